// A connection to an endpoint that speaks HTTP/2, shared by the attempts of many exchanges. Each attempt
// has a stream; the connection belongs to the endpoint's Http2Pool for as long as it takes new ones.
//   connecting -> open -> leaving -> closed
// `leaving`: no new streams; those that there are end first. A connection that says nothing while it
// should is asked for a sign of life, and given up without one.
import { TimerEntry, type TimerOwner } from '../../../base/timer-wheel.ts';
import { ErrorCode } from '../../../http2/protocol.ts';
import type { SessionOwner } from '../../../http2/session/session-owner.ts';
import { Session } from '../../../http2/session.ts';
import type { Stream } from '../../../http2/stream.ts';
import { BOUNDS } from '../../../model/bounds.ts';
import type { Limits } from '../../../model/service.ts';
import type { LiveEndpoint } from '../../live-endpoint.ts';
import type { ClientTls, ConnectHandler, Wire } from '../../network.ts';
import { UpstreamConnection } from '../../upstream-connection.ts';
import type { HttpPlane } from '../plane.ts';
import type { Http2Attempt } from './http2-attempt.ts';
import type { Http2Pool } from './http2-pool.ts';
import { Intake, type IntakeOwner } from './intake.ts';
import { Link, type LinkOwner } from './link.ts';

/** What an endpoint may send on all streams together before it is taken. */
const CONNECTION_WINDOW = 4 * 1024 * 1024;
/** What an endpoint may send as a head. */
const RESPONSE_BOUNDS = { headBytes: 65_536, fieldCount: 200 };
/** Silence, while streams wait, after which the endpoint is asked for a sign of life ... */
const SILENCE_MS = 10_000;
/** ... and how long that may take. */
const PONG_MS = 5000;
/** After an answer the silence is the endpoint's right: gRPC servers forbid frequent PINGs. */
const PING_AGAIN_MS = 310_000;

type State = 'connecting' | 'open' | 'leaving' | 'closed';
type Roles = ConnectHandler & TimerOwner & SessionOwner & LinkOwner & IntakeOwner;

export class Http2EndpointConnection implements Roles {
  readonly wire: Wire;
  readonly session: Session;
  readonly openedMs: number;
  /** Monotonic ms since no stream is open; of use while there is none. */
  idleSinceMs: number;
  /** An exchange was answered on it. */
  isReused = false;
  private readonly plane: HttpPlane;
  private readonly pool: Http2Pool;
  private readonly endpoint: LiveEndpoint;
  /** The endpoint's when it was opened. */
  private readonly tls: ClientTls | null;
  private readonly link: Link;
  private readonly intake: Intake;
  private readonly timer = new TimerEntry(this);
  private state: State = 'connecting';
  /** Attempts that wait for it to open. */
  private waiters: Http2Attempt[] = [];
  /** Attempts that wait for the endpoint to say whether it takes tunnels. */
  private tunnelWaiters: Http2Attempt[] = [];
  private resuming: Stream[] = [];
  private limits: Limits;
  private heardMs: number;
  private isAsked = false;
  private isSilent = false;
  /** It has left its pool, and may still be opening. */
  private isParting = false;

  /** `wire`: an open connection, which changes hands; null: one is opened. */
  constructor(
    endpoint: LiveEndpoint,
    pool: Http2Pool,
    limits: Limits,
    plane: HttpPlane,
    wire: Wire | null = null,
  ) {
    const { context } = plane;
    this.endpoint = endpoint;
    this.tls = endpoint.tls;
    this.plane = plane;
    this.pool = pool;
    this.limits = limits;
    this.openedMs = context.wheel.nowMs;
    this.idleSinceMs = this.openedMs;
    this.heardMs = this.openedMs;
    this.wire = wire ?? context.network.connect(endpoint, this);
    this.link = new Link(this.wire, this, plane.turns);
    this.intake = new Intake(this.wire, this, plane);
    this.session = new Session(
      this,
      {
        isServer: false,
        text: plane.headText,
        streams: 0,
        streamWindow: BOUNDS.http2ResponseWindow.max,
        connectionWindow: CONNECTION_WINDOW,
        workMax: BOUNDS.http2Frames.max,
        nowMs: () => context.wheel.nowMs,
      },
      RESPONSE_BOUNDS,
    );
    if (wire === null) return;
    wire.handler = this;
    this.state = 'open';
    this.link.due();
  }

  get isOpen(): boolean {
    return this.state === 'open';
  }

  get isIdle(): boolean {
    return this.state === 'open' && !this.isUsed;
  }

  /** By streams, or by attempts that wait for what the endpoint says of tunnels. */
  private get isUsed(): boolean {
    return this.session.streams.size > 0 || this.tunnelWaiters.length > 0;
  }

  /** Whether one more attempt may use it, now or when it is open. */
  get hasRoom(): boolean {
    const { session } = this;
    const max = session.hasSettings ? BOUNDS.http2EndpointStreams.max : this.pool.unsettledMax;
    if (this.state === 'connecting') return this.waiting < max;
    if (this.state !== 'open' || this.isSilent || !session.mayOpen) return false;
    if (session.streams.size >= max) return false;
    const { upstreamAgeMs } = this.limits;
    return upstreamAgeMs === 0 || this.plane.context.wheel.nowMs - this.openedMs < upstreamAgeMs;
  }

  /** Tells the attempt when it is open; `limits` are those of its service. */
  await(attempt: Http2Attempt): void {
    this.waiters.push(attempt);
  }

  /** Tells the attempt, in a later turn, whether the endpoint takes tunnels (RFC 8441 section 3). */
  awaitTunnel(attempt: Http2Attempt): void {
    this.tunnelWaiters.push(attempt);
    this.link.due();
  }

  /** The attempt waits no more: a connection that nobody wants is not made. */
  forget(attempt: Http2Attempt): void {
    const isLeft = remove(this.waiters, attempt) || remove(this.tunnelWaiters, attempt);
    if (!isLeft) return;
    if (this.state !== 'connecting') this.settle();
    else if (this.waiting === 0) this.close();
  }

  /**
   * An attempt has waited for it as long as it may. What it was to open with may be lost: who comes now
   * waits for another, or one that never opens would be kept by those who go on waiting for it.
   */
  waitedTooLong(): void {
    if (this.state === 'connecting') this.leave();
  }

  private nextWaiter(): Http2Attempt | undefined {
    return this.waiters.shift() ?? this.tunnelWaiters.shift();
  }

  private get waiting(): number {
    return this.waiters.length + this.tunnelWaiters.length;
  }

  onConnect(): void {
    const { tls } = this.wire;
    // Without TLS there is no ALPN: it is HTTP/2.
    if (tls !== null && tls.protocol !== 'h2') {
      this.becomeHttp1();
      return;
    }
    this.state = 'open';
    this.endpoint.agreed = 'http2';
    this.endpoint.refusesTunnels = false;
    this.heardMs = this.plane.context.wheel.nowMs;
    this.idleSinceMs = this.heardMs;
    // What one attempt begins may end another.
    for (let next = this.waiters.shift(); next !== undefined; next = this.waiters.shift()) {
      next.onConnected(this.session.mayOpen);
    }
    // What it was begun with is not what the endpoint gets now; or it is in no pool any more.
    if (this.tls !== this.endpoint.tls || this.isParting) this.leave();
    this.settle();
    this.link.due();
  }

  /** The endpoint has chosen HTTP/1.1: the connection is one of its pool's, and who waited goes there. */
  private becomeHttp1(): void {
    const { endpoint, limits, plane, tls, wire } = this;
    const { pool: home } = endpoint;
    this.state = 'closed';
    plane.context.wheel.remove(this.timer);
    this.pool.remove(this);
    endpoint.agreed = 'http1';
    const opening = { home, tls, introduction: null, wire };
    new UpstreamConnection(endpoint, null, plane.context, opening).release(limits);
    for (let next = this.nextWaiter(); next !== undefined; next = this.nextWaiter()) {
      next.onOtherProtocol();
    }
    this.session.over(ErrorCode.cancel);
  }

  onBytes(base: Buffer, start: number, end: number): void {
    if (this.state === 'closed') return;
    this.heardMs = this.plane.context.wheel.nowMs;
    this.isSilent = false;
    this.intake.take(base, start, end);
  }

  feed(base: Buffer, start: number, end: number, room: number): number {
    if (this.state === 'closed') return end;
    const at = this.session.feed(base, start, end, room);
    if (this.session.hasSettings) this.pool.settled(this.session.peer.maxStreams);
    if (this.tunnelWaiters.length > 0) this.link.due();
    this.settle();
    return at;
  }

  /** What a stream has kept goes on at the end of the turn. */
  resumeSoon(stream: Stream): void {
    this.resuming.push(stream);
    this.link.due();
  }

  onTurn(): void {
    const { resuming, session } = this;
    if (this.state === 'connecting') return;
    if (resuming.length > 0) {
      this.resuming = [];
      for (const stream of resuming) session.resume(stream);
    }
    // Answers that were whole before the end have been read on all the same.
    if (this.state === 'closed') return;
    if (this.tunnelWaiters.length > 0 && session.hasSettings) this.answerTunnels();
    this.settle();
    this.link.flush(session);
  }

  private answerTunnels(): void {
    const { session, tunnelWaiters: waiters } = this;
    for (let next = waiters.shift(); next !== undefined; next = waiters.shift()) {
      next.onTunnelAsked(session.peer.takesTunnels, this.state === 'open' && session.mayOpen);
    }
  }

  onOutput(): void {
    this.link?.due();
  }

  onFull(): void {
    if (this.state !== 'connecting') this.link.flush(this.session);
  }

  onDrain(): void {
    this.link.drained(this.session);
  }

  onRequest(): void {}
  onMalformed(): void {}

  onStreamClosed(): void {
    const { session } = this;
    if (session.streams.size > 0) return;
    this.idleSinceMs = this.plane.context.wheel.nowMs;
    this.link?.due();
  }

  /** The endpoint takes no more streams: those that it works on end first. */
  onGoaway(): void {
    this.leave();
  }

  onFault(): void {
    this.close();
  }

  /** No new streams, but those of the attempts that wait for it to open. */
  leave(): void {
    this.isParting = true;
    if (this.state === 'open') this.state = 'leaving';
    this.pool.remove(this);
    this.settle();
  }

  /** Sets the timer for what may come next, and closes what has served its time. */
  private settle(): void {
    const { wheel } = this.plane.context;
    const { state } = this;
    if (state !== 'open' && state !== 'leaving') return;
    if (this.isUsed) {
      if (!this.timer.isSet) wheel.schedule(this.timer, SILENCE_MS);
      return;
    }
    this.wire.shareBuffer();
    if (state === 'leaving') this.close();
    else {
      // What comes for no stream (PING, the rest of an answer that nobody waits for) makes it no less idle.
      const idleMs = wheel.nowMs - this.idleSinceMs;
      wheel.schedule(this.timer, Math.max(0, this.limits.idleUpstreamMs - idleMs));
    }
  }

  onTimer(): void {
    const { wheel } = this.plane.context;
    const { session } = this;
    if (!this.isUsed) {
      this.close();
      return;
    }
    const silentMs = wheel.nowMs - this.heardMs;
    if (silentMs < SILENCE_MS) wheel.schedule(this.timer, SILENCE_MS - silentMs);
    else if (this.isAsked) this.giveUp();
    else {
      this.isAsked = true;
      session.ping(() => {
        this.isAsked = false;
        wheel.schedule(this.timer, PING_AGAIN_MS);
      });
      wheel.schedule(this.timer, PONG_MS);
    }
  }

  /** Nothing comes, not even an answer to our PING: nobody is there. */
  private giveUp(): void {
    this.isSilent = true;
    this.wire.reset();
    this.ended(null);
  }

  onEnd(): void {
    // A peer that has ended its side answers no more streams.
    this.close();
  }

  onClose(error: NodeJS.ErrnoException | null): void {
    this.ended(error);
  }

  /** Closes it; attempts that use it fail. */
  close(): void {
    if (this.state === 'closed') return;
    if (this.state !== 'connecting') this.link.flush(this.session);
    this.wire.destroy();
    this.ended(null);
  }

  private ended(error: NodeJS.ErrnoException | null): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.plane.context.wheel.remove(this.timer);
    this.intake.end();
    this.pool.remove(this);
    for (let next = this.nextWaiter(); next !== undefined; next = this.nextWaiter()) {
      next.onConnectFailed(error);
    }
    this.session.over(ErrorCode.cancel);
  }

  /** A rule of ours was broken: the connection ends, and with it all that use it. */
  onBug(error: unknown): void {
    const err = error instanceof Error ? error.stack : String(error);
    this.plane.context.log.error(
      { err, state: this.state, reason: 'bug' },
      'HTTP/2 to an endpoint',
    );
    this.close();
  }
}

/** Takes one out of a list; false where it is not in it. */
function remove(list: Http2Attempt[], one: Http2Attempt): boolean {
  const at = list.indexOf(one);
  if (at >= 0) list.splice(at, 1);
  return at >= 0;
}
