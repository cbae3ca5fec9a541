// One TCP session: a client connection relayed to one endpoint, byte for byte, each direction on
// its own (half-close included). Connecting is tried on other endpoints when one refuses; once
// connected, the session stays where it is.
//   connecting <-> queued     no endpoint has a place
//   connecting -> relaying -> closed
// A session that does not end in order is ended with RST on both sides: what was relayed must not
// look complete.
// Invariant: `endpoint` is set exactly while the ledger counts this session as in flight on it.
import { hashText } from '../../balance/hash.ts';
import { TimerEntry, type TimerOwner } from '../../base/timer-wheel.ts';
import { EndpointColumn, ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { WorkerContext } from '../context.ts';
import type { Drainable, LiveListener } from '../listener.ts';
import type { LiveEndpoint, LiveService, Waiter } from '../live-service.ts';
import type { Wire, WireHandler } from '../network.ts';
import { isStarved } from '../upstream-connection.ts';
import { Upstream, type UpstreamOwner } from './upstream.ts';

const NO_ENDPOINT = reason('no-endpoint');
const QUEUE_FULL = reason('queue-full');
const QUEUE_TIMEOUT = reason('queue-timeout');
const TOO_MANY_CONNECTIONS = reason('too-many-connections');
const OUT_OF_DESCRIPTORS = reason('out-of-descriptors');
const OUT_OF_MEMORY = reason('out-of-memory');
const BUG = reason('bug');
const CONNECT_REFUSED = reason('connect-refused');
const CONNECT_FAILED = reason('connect-failed');
const CONNECT_TIMEOUT = reason('connect-timeout');
const CLIENT_CLOSED = reason('client-closed');
const CLIENT_IDLE = reason('client-idle');
const CUT = reason('response-cut');
const DRAINING = reason('draining');

/** How long a client may go on sending after its endpoint has gone away in order. */
const LINGER_MS = 2000;

export class TcpSession implements WireHandler, UpstreamOwner, Waiter, Drainable, TimerOwner {
  private readonly client: Wire;
  private readonly listener: LiveListener;
  private readonly live: LiveService;
  private readonly context: WorkerContext;
  private readonly timer = new TimerEntry(this);
  private readonly startMs: number;
  private readonly clientAddress: string;
  private readonly tried: number[] = [];
  private state: 'connecting' | 'queued' | 'relaying' | 'closed' = 'connecting';
  private endpoint: LiveEndpoint | null = null;
  private upstream: Upstream | null = null;
  /** It is counted among those that are taken while memory is short. */
  private hasPlace = false;
  private attempts = 0;
  private attemptMs = 0;
  private queuedUntilMs: number | null = null;
  /** What the client sent before there was anyone to send it to; the client is paused then. */
  private early: Buffer | null = null;
  private hasClientEnded = false;
  private hasUpstreamEnded = false;
  /** Why it ended otherwise than in order; the first reason counts. */
  private why: Reason | null = null;
  /** The last endpoint, for the access log. */
  private endpointId = '';
  private bytesIn = 0;
  private bytesOut = 0;

  /** Takes the wire over, which it closes, and begins to connect. */
  constructor(client: Wire, listener: LiveListener, context: WorkerContext) {
    this.client = client;
    this.listener = listener;
    this.context = context;
    this.startMs = context.clock.nowMs();
    client.handler = this;
    this.clientAddress = client.remoteAddress;
    // A tcp listener has a service as long as it is open.
    this.live = listener.service!;
    const { ledger } = context;
    ledger.addService(this.live.slot, ServiceColumn.connections, 1);
    const count = ledger.openConnection(this.live.slot);
    if (count > this.live.service.limits.connections) this.fail(TOO_MANY_CONNECTIONS, '');
    else if (context.network.isFromReserve(client.descriptor)) this.fail(OUT_OF_DESCRIPTORS, '');
    else if (!this.hasMemory()) this.fail(OUT_OF_MEMORY, '');
    else this.connect();
  }

  /** While memory is short, whether this is one of the few sessions that are taken. */
  private hasMemory(): boolean {
    const { memory } = this.context;
    if (memory.isShort) this.hasPlace = memory.sessions.enter();
    return this.hasPlace || !memory.isShort;
  }

  // Connecting

  private connect(): void {
    this.state = 'connecting';
    const { live } = this;
    const hash = live.service.balance.policy === 'hash' ? hashText(this.clientAddress) : 0;
    const { limits } = live.service;
    const endpoint = live.isFull ? null : live.pick(this.tried, hash);
    if (endpoint !== null) this.attempt(endpoint);
    else if (live.usableCount > 0) this.queue(limits.queueTimeoutMs);
    else if (limits.parkMs > 0) this.queue(limits.parkMs);
    else this.fail(NO_ENDPOINT, live.whyNoEndpoint());
  }

  private attempt(endpoint: LiveEndpoint): void {
    const { clock, ledger, network, wheel } = this.context;
    this.endpoint = endpoint;
    this.endpointId = endpoint.id;
    this.attemptMs = clock.nowMs();
    if (!this.tried.includes(endpoint.slot)) this.tried.push(endpoint.slot);
    ledger.acquire(endpoint.slot);
    ledger.addEndpoint(endpoint.slot, EndpointColumn.attempts, 1);
    wheel.schedule(this.timer, this.live.service.timeouts.connectMs);
    this.attempts += 1;
    this.upstream = new Upstream(this, endpoint, network);
  }

  /** Waits for a place, or, while no endpoint is up, for one to come. */
  private queue(timeoutMs: number): void {
    if (!this.live.enqueue(this)) {
      this.fail(QUEUE_FULL, '');
      return;
    }
    this.state = 'queued';
    const { wheel } = this.context;
    // It may leave the queue and come back in vain: the time runs from when it came first.
    this.queuedUntilMs ??= wheel.nowMs + timeoutMs;
    wheel.schedule(this.timer, Math.max(0, this.queuedUntilMs - wheel.nowMs));
  }

  /** An endpoint may have a place: called once, and taken off the queue. */
  onPlace(): void {
    if (this.state !== 'queued') return;
    try {
      this.connect();
    } catch (error) {
      // Who called is another session.
      this.onBug(error);
    }
  }

  onConnected(): void {
    const { endpoint, upstream, early } = this;
    this.state = 'relaying';
    this.live.attemptSucceeded(endpoint!, (this.context.clock.nowMs() - this.attemptMs) * 1000);
    this.context.ledger.addEndpoint(endpoint!.slot, EndpointColumn.connects, 1);
    this.touch();
    this.early = null;
    const isTaken = early === null || upstream!.wire.write(early);
    if (early !== null) this.countIn(early.length);
    if (this.hasClientEnded) upstream!.wire.end();
    else if (isTaken) this.client.resume();
  }

  private connectFailed(why: Reason, detail: string): void {
    const endpoint = this.endpoint!;
    const { ledger, log } = this.context;
    this.leaveEndpoint();
    this.live.attemptFailed(endpoint, why);
    if (this.mayTryAgain()) {
      ledger.addRetry(this.live.slot, why.index);
      ledger.addEndpoint(endpoint.slot, EndpointColumn.retries, 1);
      const fields = { service: this.live.name, endpoint: endpoint.id, reason: why.code, detail };
      log.debug(fields, 'connecting failed; trying again');
      this.connect();
      return;
    }
    this.fail(why, `${endpoint.address}:${endpoint.port} ${detail}`.trimEnd());
  }

  /** Nothing was sent: as long as there is an endpoint that was not asked, the session is saved. */
  private mayTryAgain(): boolean {
    const { retry } = this.live.service;
    if (retry.attempts <= 1 || !retry.on.has('connect')) return false;
    return this.tried.length < this.live.usableCount || this.attempts < retry.attempts;
  }

  /** Ends a session that has no endpoint. */
  private fail(why: Reason, detail: string): void {
    const { log } = this.context;
    log.warn({ service: this.live.name, reason: why.code, detail }, why.text);
    this.cut(why);
  }

  /** Ends both sides with RST. */
  private cut(why: Reason): void {
    this.why ??= why;
    this.upstream?.wire.reset();
    this.client.reset();
  }

  // The client's side

  onBytes(base: Buffer, start: number, end: number): void {
    if (this.state === 'relaying') {
      // With the endpoint gone, what still comes has nowhere to go.
      if (this.upstream === null) return;
      this.countIn(end - start);
      this.touch();
      if (!this.client.forwardTo(this.upstream.wire, base, start, end)) this.client.pause();
      return;
    }
    // One read at most: then the client is paused until there is someone to send it to.
    const bytes = Buffer.from(base.subarray(start, end));
    this.early = this.early === null ? bytes : Buffer.concat([this.early, bytes]);
    this.client.pause();
  }

  onEnd(): void {
    this.hasClientEnded = true;
    if (this.state === 'relaying') this.upstream?.wire.end();
  }

  onDrain(): void {
    this.touch();
    if (this.upstream !== null) this.upstream.wire.resume();
    else if (this.hasClientEnded) this.client.destroy();
  }

  onClose(error: NodeJS.ErrnoException | null): void {
    if (this.state === 'closed') return;
    const isOrderly = error === null && this.hasClientEnded && this.hasUpstreamEnded;
    if (this.state === 'queued') this.live.dequeue(this);
    const wasRelaying = this.state === 'relaying';
    this.state = 'closed';
    this.context.wheel.remove(this.timer);
    if (!isOrderly && !this.hasUpstreamEnded) this.why ??= CLIENT_CLOSED;
    if (wasRelaying && !isOrderly) this.upstream?.wire.reset();
    this.leaveEndpoint();
    if (this.hasPlace) this.context.memory.sessions.leave();
    this.account();
    this.listener.gone(this);
  }

  // The endpoint's side

  onUpstreamBytes(base: Buffer, start: number, end: number): void {
    const count = end - start;
    this.bytesOut += count;
    this.context.ledger.addService(this.live.slot, ServiceColumn.bytesOut, count);
    this.context.ledger.addEndpoint(this.endpoint!.slot, EndpointColumn.bytesOut, count);
    this.touch();
    const { wire } = this.upstream!;
    if (!wire.forwardTo(this.client, base, start, end)) wire.pause();
  }

  onUpstreamEnd(): void {
    this.hasUpstreamEnded = true;
    this.client.end();
  }

  onUpstreamDrain(): void {
    this.touch();
    this.client.resume();
  }

  onUpstreamClosed(error: NodeJS.ErrnoException | null): void {
    if (this.state === 'connecting') {
      const code = error?.code ?? '';
      const why = code === 'ECONNREFUSED' ? CONNECT_REFUSED : CONNECT_FAILED;
      if (isStarved(code)) this.fail(OUT_OF_DESCRIPTORS, code);
      else this.connectFailed(why, code);
      return;
    }
    this.leaveEndpoint();
    if (!this.hasUpstreamEnded) this.cut(CUT);
    else this.linger();
  }

  /**
   * The endpoint sent everything and is gone. The client gets what is on its way; what it still
   * sends is read and dropped, for closing now would reset the connection and destroy that.
   */
  private linger(): void {
    this.client.resume();
    if (this.hasClientEnded && this.client.isFlushed) this.client.destroy();
    else this.context.wheel.schedule(this.timer, LINGER_MS);
  }

  // Ends

  /** A rule of ours was broken in this session: it ends, the others live. */
  onBug(error: unknown): void {
    const err = error instanceof Error ? error.stack : String(error);
    this.context.log.error({ err, state: this.state, reason: BUG.code }, BUG.text);
    if (this.state !== 'closed') this.cut(BUG);
  }

  onTimer(): void {
    switch (this.state) {
      case 'connecting':
        this.connectFailed(CONNECT_TIMEOUT, '');
        return;
      case 'queued':
        this.live.dequeue(this);
        if (this.live.usableCount > 0) this.fail(QUEUE_TIMEOUT, '');
        else this.fail(NO_ENDPOINT, this.live.whyNoEndpoint());
        return;
      case 'relaying':
        if (this.upstream !== null) this.cut(CLIENT_IDLE);
        else this.client.destroy();
        return;
    }
  }

  get isIdle(): boolean {
    return false;
  }

  /** Sessions live on while the process drains, until the grace is over. */
  drain(): void {}

  abort(): void {
    this.cut(DRAINING);
  }

  private touch(): void {
    this.context.wheel.schedule(this.timer, this.live.service.timeouts.idleMs);
  }

  private countIn(count: number): void {
    this.bytesIn += count;
    this.context.ledger.addService(this.live.slot, ServiceColumn.bytesIn, count);
    this.context.ledger.addEndpoint(this.endpoint!.slot, EndpointColumn.bytesIn, count);
  }

  private leaveEndpoint(): void {
    const { endpoint, upstream } = this;
    this.upstream = null;
    upstream?.leave();
    this.endpoint = null;
    if (endpoint === null) return;
    this.context.ledger.release(endpoint.slot);
    this.live.placeFreed();
  }

  private account(): void {
    const { clock, ledger, accessLog } = this.context;
    const { slot, name } = this.live;
    const totalMs = clock.nowMs() - this.startMs;
    ledger.closeConnection(slot);
    ledger.addExchange(slot, 0, totalMs * 1000);
    if (this.why !== null) ledger.addReason(slot, this.why.index);
    accessLog?.add({
      client: this.clientAddress,
      listener: this.listener.snapshot.key,
      service: name,
      endpoint: this.endpointId,
      method: '',
      target: '',
      host: '',
      status: 0,
      reason: this.why?.code ?? '',
      attempts: this.attempts,
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
      totalMs,
    });
  }
}
