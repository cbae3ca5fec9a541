// One TCP session: a client connection relayed to one endpoint, byte for byte, each direction on
// its own (half-close included).
//   placing -> connecting -> relaying -> closed
//      ^------------'-----------'          an endpoint that refuses, or closes before it sent a byte
// Until the endpoint has shown that it serves the session (trial.ts), a failure moves it to another one, with
// the bytes that the client sent.
// A session that does not end in order is ended with RST on both sides: what was relayed must not
// look complete.
import { hashText } from '../../balance/hash.ts';
import { TimerEntry, type TimerOwner } from '../../base/timer-wheel.ts';
import { EndpointColumn, ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import { BUG, logBug } from '../bug.ts';
import { connectDetail, connectFailure } from '../connect-failure.ts';
import type { WorkerContext } from '../context.ts';
import { Hold } from '../hold.ts';
import { ConnectionPlace } from '../limits/connection-place.ts';
import type { Drainable, LiveListener, Neighbours } from '../listener.ts';
import type { LiveEndpoint } from '../live-endpoint.ts';
import type { LiveService } from '../live-service.ts';
import type { Wire, WireHandler } from '../network.ts';
import { Placement, type PlacementOwner } from '../placement.ts';
import { introductionOf } from '../proxy-protocol/introduction.ts';
import { HeaderWatch } from '../proxy-protocol/proxy-header.ts';
import type { EndpointSession } from '../sessions/endpoint-sessions.ts';
import { accountSession, type EndedSession } from '../sessions/session-account.ts';
import { isStarved } from '../upstream-connection.ts';
import { SESSION_REFUSED, Trial } from './trial.ts';
import { Upstream, type UpstreamOwner } from './upstream.ts';

const OUT_OF_DESCRIPTORS = reason('out-of-descriptors');
const CONNECT_TIMEOUT = reason('connect-timeout');
const CLIENT_CLOSED = reason('client-closed');
const CLIENT_IDLE = reason('client-idle');
const CUT = reason('response-cut');
const TOO_MANY_CONNECTIONS = reason('too-many-connections');
const BAD_PROXY_HEADER = reason('bad-proxy-header');
const DRAINING = reason('draining');

/** How long a client may go on sending after its endpoint has gone away in order. */
const LINGER_MS = 2000;

/** A session without a byte for so long asks the kernel for probes: short ones are spared the calls. */
const PROBING_AFTER_MS = 1000;

type Owner = WireHandler &
  UpstreamOwner &
  PlacementOwner &
  Drainable &
  TimerOwner &
  EndpointSession &
  EndedSession;

/** What is known of a connection that was looked at before. */
export interface Opening {
  readonly live: LiveService;
  /** What the client has sent; its wire is paused where that is anything. */
  readonly bytes: Buffer;
  readonly hasEnded: boolean;
}

export class TcpSession implements Owner {
  group: Neighbours | null = null;
  older: Drainable | null = null;
  younger: Drainable | null = null;
  // What is accounted at its end (session-account.ts).
  readonly live: LiveService;
  readonly startMs: number;
  endpointId = '';
  bytesIn = 0;
  bytesOut = 0;
  /** Why it ended otherwise than in order; the first reason counts. */
  why: Reason | null = null;
  hasClientEnded = false;
  private readonly client: Wire;
  private readonly listener: LiveListener;
  private readonly context: WorkerContext;
  private readonly timer = new TimerEntry(this);
  /** Null: nobody has asked for it. */
  private clientAddress: string | null = null;
  private readonly placement: Placement;
  private readonly hold: Hold;
  private readonly place: ConnectionPlace;
  private state: 'placing' | 'connecting' | 'relaying' | 'closed' = 'placing';
  private upstream: Upstream | null = null;
  private attemptMs = 0;
  /** The kernel probes both peers, or is not to. */
  private isProbing = false;
  private readonly trial: Trial;
  /** Looks for a PROXY header of a client who may not send one; null where that is settled. */
  private watch: HeaderWatch | null = null;
  /** Its connection has closed in order; what it sent is still on its way to the endpoint. */
  private isClientGone = false;
  private hasUpstreamEnded = false;

  /** Takes the wire over, which it closes, and begins to connect. */
  constructor(
    client: Wire,
    listener: LiveListener,
    context: WorkerContext,
    opening: Opening | null = null,
  ) {
    this.client = client;
    this.listener = listener;
    this.context = context;
    this.startMs = context.clock.nowMs();
    client.handler = this;
    // Once it has closed, its address is not to be had.
    if (context.accessLog !== null) this.clientAddress = client.remoteAddress;
    // A tcp listener has a service as long as it is open, or routes that were asked.
    this.live = opening?.live ?? listener.service!;
    this.placement = new Placement(this, context);
    this.hold = new Hold(context.ledger);
    const { balance } = this.live.service;
    this.placement.begin(this.live, balance.policy === 'hash' ? hashText(this.address) : 0);
    const { ledger } = context;
    this.place = new ConnectionPlace(ledger);
    const { hold, placement } = this;
    this.trial = new Trial(this, { hold, placement, wheel: context.wheel });
    if (opening !== null) this.take(opening);
    else if (mayNotIntroduce(client, listener)) this.watch = new HeaderWatch();
    const refused = this.place.take(this.live, listener, this);
    if (refused !== null) this.fail(refused, '');
    else if (context.network.isFromReserve(client.descriptor)) this.fail(OUT_OF_DESCRIPTORS, '');
    else this.start();
  }

  private take({ bytes, hasEnded }: Opening): void {
    this.hasClientEnded = hasEnded;
    this.bytesIn = bytes.length;
    this.context.ledger.addService(this.live.slot, ServiceColumn.bytesIn, bytes.length);
    if (bytes.length > 0) this.trial.early.keep(bytes, 0, bytes.length);
  }

  private start(): void {
    const refused = this.placement.admit(true);
    if (refused === null) this.placement.find();
    else this.fail(refused, '');
  }

  // Connecting

  onPlaced(endpoint: LiveEndpoint): void {
    if (!this.hold.take(endpoint, this.live)) {
      this.placement.lostPlace();
      return;
    }
    this.state = 'connecting';
    const { clock, network } = this.context;
    endpoint.sessions.add(this);
    this.endpointId = endpoint.id;
    this.attemptMs = clock.nowMs();
    this.setTimer(this.live.service.timeouts.connectMs);
    const introduction = introductionOf(this.live.service, this.client);
    this.upstream = new Upstream(this, endpoint, network, introduction);
  }

  onNoPlace(why: Reason, detail: string): void {
    this.fail(why, detail);
  }

  onConnected(): void {
    const { live, trial, upstream } = this;
    const endpoint = this.hold.endpoint!;
    this.hold.count();
    this.state = 'relaying';
    trial.begin();
    const { tcp, timeouts } = live.service;
    const isShort = timeouts.idleTcpMs > 0 && timeouts.idleTcpMs <= PROBING_AFTER_MS;
    this.isProbing = isShort || tcp.keepAlive === null;
    this.context.ledger.addEndpoint(endpoint.slot, EndpointColumn.connects, 1);
    live.outcomes.took(endpoint, (this.context.clock.nowMs() - this.attemptMs) * 1000);
    this.touch();
    const { view } = trial.early;
    const isTaken = view === null || upstream!.wire.write(view);
    if (view !== null) this.countSent(view.length);
    if (tcp.earlyFailureMs === 0) trial.trust();
    if (this.hasClientEnded) upstream!.wire.end();
    else if (isTaken) this.client.resume();
  }

  private connectFailed(why: Reason, detail: string): void {
    const { live, placement } = this;
    const endpoint = this.hold.endpoint!;
    placement.noteTried(endpoint);
    // All that is counted on the endpoint is counted before the session is no longer in flight on it.
    live.outcomes.failed(endpoint, why);
    const isSaved = this.trial.mayMove(why);
    if (isSaved) live.outcomes.retried(endpoint, why);
    this.leaveEndpoint();
    if (!isSaved) {
      this.fail(why, `${endpoint.address}:${endpoint.port} ${detail}`.trimEnd());
      return;
    }
    const fields = { service: live.name, endpoint: endpoint.id, reason: why.code, detail };
    this.context.log.debug(fields, 'the session moves to another endpoint');
    this.seekAnother();
  }

  private seekAnother(): void {
    this.state = 'placing';
    this.context.wheel.cancel(this.timer);
    this.hasUpstreamEnded = false;
    this.placement.find();
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
    this.trial.end();
    // Its end must not be taken for a refusal, for which the session would move.
    this.leaveEndpoint();
    if (this.isClientGone) this.finish(false);
    else this.client.reset();
  }

  // The client's side

  onBytes(base: Buffer, start: number, end: number): void {
    const { upstream } = this;
    const { early } = this.trial;
    if (this.watch !== null && this.isImpostor(base, start, end))
      return this.fail(BAD_PROXY_HEADER, '');
    this.bytesIn += end - start;
    this.context.ledger.addService(this.live.slot, ServiceColumn.bytesIn, end - start);
    if (this.state !== 'relaying') {
      // One read at most: then the client is paused until there is an endpoint to send it to.
      early.keep(base, start, end);
      this.client.pause();
    } else if (upstream !== null) {
      const copy = early.isWhole ? early.keepSent(base, start, end) : null;
      this.countSent(end - start);
      this.touch();
      const { wire } = upstream;
      const isTaken =
        copy === null ? this.client.forwardTo(wire, base, start, end) : wire.write(copy);
      if (!isTaken) this.client.pause();
    }
    // With the endpoint gone, what still comes has nowhere to go.
  }

  /**
   * A header from a network that is not trusted: the endpoint must not take it for one of ours. The
   * beginning of its beginning may have been relayed before; the rest never is.
   */
  private isImpostor(base: Buffer, start: number, end: number): boolean {
    const seen = this.watch!.take(base, start, end);
    if (seen !== 'watching') this.watch = null;
    return seen === 'header';
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
    if (isOrderly && this.upstream !== null && !this.upstream.wire.isFlushed) {
      // What the client sent last is still on its way to the endpoint.
      this.isClientGone = true;
      this.touch();
      return;
    }
    this.finish(isOrderly);
  }

  /** The client's connection is gone, and nothing is on its way any more. */
  private finish(isOrderly: boolean): void {
    const wasRelaying = this.state === 'relaying';
    this.state = 'closed';
    this.context.wheel.remove(this.timer);
    if (!isOrderly && !this.hasUpstreamEnded) this.why ??= CLIENT_CLOSED;
    if (wasRelaying && !isOrderly) this.upstream?.wire.reset();
    this.trial.end();
    this.leaveEndpoint();
    this.placement.end(0);
    this.place.leave();
    accountSession(this.context, this, this.listener.snapshot.key);
    this.listener.gone(this);
  }

  // The endpoint's side

  onUpstreamBytes(base: Buffer, start: number, end: number): void {
    const count = end - start;
    if (!this.trial.isCredited) this.trial.trust();
    this.bytesOut += count;
    this.context.ledger.addService(this.live.slot, ServiceColumn.bytesOut, count);
    this.context.ledger.addEndpoint(this.hold.endpoint!.slot, EndpointColumn.bytesOut, count);
    this.touch();
    const { wire } = this.upstream!;
    if (!wire.forwardTo(this.client, base, start, end)) wire.pause();
  }

  onUpstreamEnd(): void {
    if (this.trial.wasRefused(false)) {
      // What it was sent is not all that the client sends: it must not look complete.
      this.upstream!.wire.reset();
      return this.connectFailed(SESSION_REFUSED, '');
    }
    this.hasUpstreamEnded = true;
    this.trial.credit();
    this.client.end();
  }

  onUpstreamDrain(): void {
    if (this.isClientGone) return this.finish(true);
    this.touch();
    this.client.resume();
  }

  onUpstreamClosed(error: NodeJS.ErrnoException | null): void {
    const detail = error?.code ?? '';
    if (this.state === 'connecting') {
      if (isStarved(detail)) this.makeRoom(detail);
      else this.connectFailed(connectFailure(detail), connectDetail(error));
      return;
    }
    if (this.isClientGone) return this.finish(error === null);
    if (this.hasUpstreamEnded) {
      this.leaveEndpoint();
      this.linger();
      return;
    }
    if (this.trial.wasRefused(true)) return this.connectFailed(SESSION_REFUSED, detail);
    if (this.trial.isEarly) this.live.outcomes.failed(this.hold.endpoint!, CUT);
    this.leaveEndpoint();
    this.cut(CUT);
  }

  /** Out of descriptors or ports, which is no fault of the endpoint's. */
  private makeRoom(code: string): void {
    this.hold.forgo();
    this.leaveEndpoint();
    this.placement.forgetAttempt();
    if (this.placement.makeRoom(code)) this.seekAnother();
    else this.fail(OUT_OF_DESCRIPTORS, code);
  }

  /**
   * The endpoint sent everything and is gone. The client gets what is on its way; what it still
   * sends is read and dropped, for closing now would reset the connection and destroy that.
   */
  private linger(): void {
    this.client.resume();
    if (this.hasClientEnded && this.client.isFlushed) this.client.destroy();
    else this.setTimer(LINGER_MS);
  }

  // Ends

  /** A rule of ours was broken in this session: it ends, the others live. */
  onBug(error: unknown): void {
    logBug(this.context.log, error, { state: this.state });
    if (this.state !== 'closed') this.cut(BUG);
  }

  onTimer(): void {
    switch (this.state) {
      case 'connecting':
        this.connectFailed(CONNECT_TIMEOUT, '');
        return;
      case 'relaying':
        if (this.upstream === null) this.client.destroy();
        else if (!this.isProbing) this.beginProbing();
        else this.endIdle();
        return;
    }
  }

  private beginProbing(): void {
    const { tcp, timeouts } = this.live.service;
    this.isProbing = true;
    if (tcp.keepAlive !== null) {
      this.client.keepAlive(tcp.keepAlive);
      this.upstream!.wire.keepAlive(tcp.keepAlive);
    }
    if (timeouts.idleTcpMs > 0) this.setTimer(timeouts.idleTcpMs - PROBING_AFTER_MS);
  }

  /** Both sides see an end in order, unless something that was sent is still on its way. */
  private endIdle(): void {
    const { wire } = this.upstream!;
    if (!wire.isFlushed || !this.client.isFlushed) {
      this.cut(CLIENT_IDLE);
      return;
    }
    this.why ??= CLIENT_IDLE;
    this.leaveEndpoint();
    this.hasUpstreamEnded = true;
    this.client.end();
    this.linger();
  }

  get service(): LiveService | null {
    return this.place.service;
  }

  get address(): string {
    this.clientAddress ??= this.client.remoteAddress;
    return this.clientAddress;
  }

  get attempts(): number {
    return this.placement.attempts;
  }

  /**
   * What a silent session waits for is not known here. One on which nobody has said anything yet may
   * give way where its address has more than half of all.
   */
  get leisure(): 'partial' | 'busy' {
    return this.bytesIn + this.bytesOut === 0 && this.place.service !== null ? 'partial' : 'busy';
  }

  evict(): void {
    this.place.leave();
    this.cut(TOO_MANY_CONNECTIONS);
  }

  /** It closes when it is evicted. */
  depart(): boolean {
    return false;
  }

  /** Its endpoint is left: a session that has sent it nothing moves, another is cut. */
  endSession(why: Reason): void {
    if (this.state === 'relaying') this.cut(why);
    if (this.state !== 'connecting') return;
    this.placement.noteTried(this.hold.endpoint!);
    this.leaveEndpoint();
    this.seekAnother();
  }

  /** Sessions live on while the process drains, until the grace is over. */
  drain(): void {}

  abort(): void {
    this.cut(DRAINING);
  }

  private touch(): void {
    const { idleTcpMs } = this.live.service.timeouts;
    this.setTimer(this.isProbing ? idleTcpMs : PROBING_AFTER_MS);
  }

  /** 0 turns it off. */
  private setTimer(ms: number): void {
    const { wheel } = this.context;
    if (ms > 0) wheel.schedule(this.timer, ms);
    else wheel.cancel(this.timer);
  }

  private countSent(count: number): void {
    this.context.ledger.addEndpoint(this.hold.endpoint!.slot, EndpointColumn.bytesIn, count);
  }

  private leaveEndpoint(): void {
    const { upstream } = this;
    this.upstream = null;
    upstream?.leave();
    this.hold.endpoint?.sessions.delete(this);
    this.hold.leave();
  }
}

/** What was looked at before is a ClientHello, and none. */
function mayNotIntroduce(client: Wire, { snapshot }: LiveListener): boolean {
  return snapshot.policy.acceptProxy.length > 0 && !client.isIntroduced;
}
