// One TCP session: a client connection relayed to one endpoint, byte for byte, each direction on
// its own (half-close included). Connecting is tried on other endpoints when one refuses; once
// connected, the session stays where it is.
//   connecting -> relaying -> closed
// Invariant: `endpoint` is set exactly while the ledger counts this session as in flight on it.

import { hashText } from '../../balance/hash.ts';
import { TimerEntry, type TimerOwner } from '../../base/timer-wheel.ts';
import { EndpointColumn, ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { WorkerContext } from '../context.ts';
import type { Drainable, LiveListener } from '../listener.ts';
import type { LiveEndpoint, LiveService } from '../live-service.ts';
import { type ConnectHandler, connectWire, type Wire, type WireHandler } from '../wire.ts';

const NO_ENDPOINT = reason('no-endpoint');
const TOO_MANY_CONNECTIONS = reason('too-many-connections');
const CONNECT_REFUSED = reason('connect-refused');
const CONNECT_FAILED = reason('connect-failed');
const CONNECT_TIMEOUT = reason('connect-timeout');

export class TcpSession implements WireHandler, Drainable, TimerOwner {
  private readonly client: Wire;
  private readonly listener: LiveListener;
  private readonly live: LiveService;
  private readonly context: WorkerContext;
  private readonly timer = new TimerEntry(this);
  private readonly startMs = performance.now();
  private readonly tried: number[] = [];
  private state: 'connecting' | 'relaying' | 'closed' = 'connecting';
  private endpoint: LiveEndpoint | null = null;
  private upstream: Upstream | null = null;
  /** Bytes the client sent before there was anyone to send them to; the client is paused then. */
  private early: Buffer | null = null;
  private hasClientEnded = false;
  private bytesIn = 0;
  private bytesOut = 0;

  constructor(client: Wire, listener: LiveListener, context: WorkerContext) {
    this.client = client;
    this.listener = listener;
    this.context = context;
    client.handler = this;
    // A tcp listener has a service as long as it is open.
    this.live = listener.service!;
    const { ledger } = context;
    ledger.addService(this.live.slot, ServiceColumn.connections, 1);
    const count = ledger.openConnection(this.live.slot);
    if (count > this.live.service.limits.connections) this.fail(TOO_MANY_CONNECTIONS);
    else this.connect();
  }

  private connect(): void {
    const hash =
      this.live.service.balance.policy === 'hash' ? hashText(this.client.remoteAddress) : 0;
    const endpoint = this.live.pick(this.tried, hash);
    if (endpoint === null) {
      this.fail(NO_ENDPOINT);
      return;
    }
    const { ledger, wheel } = this.context;
    this.endpoint = endpoint;
    this.tried.push(endpoint.slot);
    ledger.acquire(endpoint.slot);
    ledger.addEndpoint(endpoint.slot, EndpointColumn.attempts, 1);
    ledger.addEndpoint(endpoint.slot, EndpointColumn.connects, 1);
    wheel.schedule(this.timer, this.live.service.timeouts.connectMs);
    this.upstream = new Upstream(this, endpoint);
  }

  /** Called by the upstream side. */
  onConnected(): void {
    this.state = 'relaying';
    this.context.ledger.endStreak(this.endpoint!.slot);
    this.touch();
    const { early } = this;
    this.early = null;
    if (early !== null) this.upstream!.wire.write(early);
    if (this.hasClientEnded) this.upstream!.wire.end();
    this.client.resume();
  }

  private connectFailed(why: Reason, detail: string): void {
    const endpoint = this.endpoint!;
    this.leaveEndpoint();
    this.live.attemptFailed(endpoint, why);
    const { retry } = this.live.service;
    const hasUntried = this.tried.length < this.live.usableCount;
    if (retry.on.has('connect') && (hasUntried || this.tried.length < retry.attempts)) {
      this.context.ledger.addRetry(this.live.slot, why.index);
      this.context.ledger.addEndpoint(endpoint.slot, EndpointColumn.retries, 1);
      this.connect();
      return;
    }
    const address = `${endpoint.address}:${endpoint.port}`;
    const fields = {
      service: this.live.name,
      endpoint: endpoint.id,
      address,
      reason: why.code,
      detail,
    };
    this.context.log.warn(fields, why.text);
    this.fail(why);
  }

  /** Closes the client with RST: it must not look as if an endpoint had ended the session. */
  private fail(why: Reason): void {
    this.context.ledger.addReason(this.live.slot, why.index);
    this.client.reset();
  }

  // The client's side

  onBytes(base: Buffer, start: number, end: number): void {
    if (this.state === 'connecting') {
      // One read at most: the client is paused until there is someone to send it to.
      const bytes = Buffer.from(base.subarray(start, end));
      this.early = this.early === null ? bytes : Buffer.concat([this.early, bytes]);
      this.client.pause();
      return;
    }
    if (this.upstream === null) return;
    this.bytesIn += end - start;
    this.touch();
    if (!this.client.forwardTo(this.upstream.wire, base, start, end)) this.client.pause();
  }

  onEnd(): void {
    this.hasClientEnded = true;
    if (this.state === 'relaying') this.upstream?.wire.end();
  }

  onDrain(): void {
    this.upstream?.wire.resume();
  }

  onClose(): void {
    const { context, live } = this;
    if (this.state === 'closed') return;
    this.state = 'closed';
    context.wheel.remove(this.timer);
    this.leaveEndpoint();
    const { slot } = live;
    context.ledger.closeConnection(slot);
    context.ledger.addExchange(slot, 0, (performance.now() - this.startMs) * 1000);
    context.ledger.addService(slot, ServiceColumn.bytesIn, this.bytesIn);
    context.ledger.addService(slot, ServiceColumn.bytesOut, this.bytesOut);
    this.listener.gone(this);
  }

  // The endpoint's side

  onUpstreamBytes(base: Buffer, start: number, end: number): void {
    this.bytesOut += end - start;
    this.touch();
    const { wire } = this.upstream!;
    if (!wire.forwardTo(this.client, base, start, end)) wire.pause();
  }

  onUpstreamEnd(): void {
    this.client.end();
  }

  onUpstreamDrain(): void {
    this.client.resume();
  }

  onUpstreamClose(error: NodeJS.ErrnoException | null): void {
    if (this.state === 'connecting') {
      const why = error?.code === 'ECONNREFUSED' ? CONNECT_REFUSED : CONNECT_FAILED;
      this.connectFailed(why, error?.code ?? '');
      return;
    }
    this.leaveEndpoint();
    // An error is passed on as one; an orderly end has ended both directions by now.
    if (error !== null) this.client.reset();
    else this.client.end();
  }

  onTimer(): void {
    if (this.state === 'connecting') this.connectFailed(CONNECT_TIMEOUT, '');
    else this.client.destroy();
  }

  /** Sessions live on while the process drains, until the grace is over. */
  drain(): void {}

  abort(): void {
    this.client.destroy();
  }

  private touch(): void {
    this.context.wheel.schedule(this.timer, this.live.service.timeouts.idleMs);
  }

  private leaveEndpoint(): void {
    const { endpoint, upstream } = this;
    this.upstream = null;
    upstream?.destroy();
    this.endpoint = null;
    if (endpoint !== null) {
      this.context.ledger.release(endpoint.slot);
      this.live.placeFreed();
    }
  }
}

/** The upstream side of a session: hands its events on, until the session has left it. */
class Upstream implements ConnectHandler {
  readonly wire: Wire;
  private session: TcpSession | null;

  constructor(session: TcpSession, endpoint: LiveEndpoint) {
    this.session = session;
    this.wire = connectWire(endpoint, this);
  }

  destroy(): void {
    this.session = null;
    this.wire.destroy();
  }

  onConnect(): void {
    this.session?.onConnected();
  }

  onBytes(base: Buffer, start: number, end: number): void {
    this.session?.onUpstreamBytes(base, start, end);
  }

  onEnd(): void {
    this.session?.onUpstreamEnd();
  }

  onDrain(): void {
    this.session?.onUpstreamDrain();
  }

  onClose(error: NodeJS.ErrnoException | null): void {
    this.session?.onUpstreamClose(error);
  }
}
