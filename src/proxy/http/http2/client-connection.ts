// A client's HTTP/2 connection: gives each stream an exchange, and decides what becomes of the
// connection. Streams end by themselves; what ends the connection ends all of them.
//
//   open -> (GOAWAY, twice) leaving -> lingering -> closed      in order: no stream is lost
//   open -> lingering -> closed                                 idle, or a broken rule
//   any -> closed                                               gone, or cut
import { TimerEntry, type TimerOwner } from '../../../base/timer-wheel.ts';
import { type Head, HeadFlag } from '../../../http1/head.ts';
import { HeadState } from '../../../http1/head-parser.ts';
import type { HeadText } from '../../../http2/head-text.ts';
import { ErrorCode, errorName } from '../../../http2/protocol.ts';
import type { SessionOwner } from '../../../http2/session/session-owner.ts';
import { Session } from '../../../http2/session.ts';
import type { Stream } from '../../../http2/stream.ts';
import { BOUNDS } from '../../../model/bounds.ts';
import { type Reason, type ReasonCode, reason } from '../../../model/reason.ts';
import type { Route } from '../../../model/route.ts';
import { logBug } from '../../bug.ts';
import { ConnectionPlace } from '../../limits/connection-place.ts';
import type { Drainable, LiveListener, Neighbours } from '../../listener.ts';
import type { LiveService } from '../../live-service.ts';
import type { Wire, WireHandler } from '../../network.ts';
import { type ClientFacts, clientFacts } from '../client-facts.ts';
import type { HeaderPolicy } from '../header-policy.ts';
import { judge } from '../judgement.ts';
import type { HttpPlane } from '../plane.ts';
import { hostOf, pathOf } from '../target.ts';
import { recordRefusal } from '../unserved.ts';
import { WEBSOCKET } from '../websocket.ts';
import type { Http2Request } from './http2-request.ts';
import { Intake, type IntakeOwner } from './intake.ts';
import { Link, type LinkOwner } from './link.ts';
import { type RepliesOwner, StreamReplies, type StreamReplyOptions } from './stream-replies.ts';

type State = 'open' | 'lingering' | 'closed';
/** What the connection's timer is set for. */
type Wait = 'nothing' | 'idle' | 'head' | 'window' | 'linger' | 'leave';

/** How long, and for how many bytes, a client may go on sending when all has been said. */
const LINGER_MS = 2000;
const LINGER_BYTES_MAX = 1024 * 1024;
/** How long an idle connection is kept when the process drains, and a client may take to answer a PING. */
const LEAVE_MS = 1000;
/** What a client may send on all streams together before it is taken; each stream has its own bound. */
const CONNECTION_WINDOW = 1024 * 1024;
const HEADER_TIMEOUT = reason('client-header-timeout');
const HEADER_TOO_LARGE = reason('header-too-large');
const HTTP2_ERROR = reason('http2-error');
const HTTP2_FLOOD = reason('http2-flood');
const UNSUPPORTED_PROTOCOL = reason('unsupported-protocol');

type Roles = WireHandler &
  TimerOwner &
  IntakeOwner &
  Drainable &
  SessionOwner &
  LinkOwner &
  RepliesOwner;

export interface Takeover {
  /** The place of the HTTP/1.1 connection that it was taken for. */
  readonly place: ConnectionPlace;
  /** Why the connection is refused, or null. */
  readonly refused: Reason | null;
  /** Bytes of the preface that were read. */
  readonly prefaceBytes: number;
}

export class Http2ClientConnection implements Roles {
  readonly wire: Wire;
  readonly session: Session;
  group: Neighbours | null = null;
  older: Drainable | null = null;
  younger: Drainable | null = null;
  readonly listener: LiveListener;
  private readonly plane: HttpPlane;
  private readonly link: Link;
  private readonly intake: Intake;
  private readonly replies: StreamReplies;
  private readonly timer = new TimerEntry(this);
  private readonly place: ConnectionPlace;
  private state: State = 'open';
  private waits: Wait = 'nothing';
  private facts: ClientFacts | null = null;
  /** Streams whose request has a body that may have come with its head. */
  private fresh: Stream[] = [];
  /** Streams that are read again at the end of the turn. */
  private resuming: Stream[] = [];
  private requests = 0;
  private lingered = 0;
  private isFeeding = false;
  private isDraining = false;
  /** It was evicted, and has asked for nothing since. */
  private isLeaving = false;

  /** `takeover`: the connection was begun as one of HTTP/1.1. */
  constructor(
    wire: Wire,
    listener: LiveListener,
    plane: HttpPlane,
    takeover: Takeover | null = null,
  ) {
    this.wire = wire;
    this.listener = listener;
    this.plane = plane;
    wire.handler = this;
    const { context } = plane;
    this.link = new Link(wire, this, plane.turns);
    this.intake = new Intake(wire, this, plane);
    this.place = takeover?.place ?? new ConnectionPlace(context.ledger);
    this.session = new Session(
      this,
      {
        isServer: true,
        text: plane.headText,
        streams: BOUNDS.http2Streams.max,
        streamWindow: BOUNDS.http2Window.max,
        connectionWindow: CONNECTION_WINDOW,
        workMax: BOUNDS.http2Frames.max,
        nowMs: () => context.wheel.nowMs,
      },
      listener.headLimits,
      takeover?.prefaceBytes ?? 0,
    );
    this.replies = new StreamReplies(this, plane);
    const refused =
      takeover === null ? this.place.enter(wire, listener, context) : takeover.refused;
    if (refused !== null) this.turnAway(refused);
    this.settle();
  }

  get service(): LiveService | null {
    return this.place.service;
  }

  get leisure(): 'idle' | 'partial' | 'busy' {
    const { session } = this;
    const isFree = this.state === 'open' && session.streams.size === 0 && !session.isCongested;
    if (!isFree || this.isLeaving) return 'busy';
    return session.isInHead ? 'partial' : 'idle';
  }

  get address(): string {
    return this.facts?.address ?? this.wire.remoteAddress;
  }

  get listenerKey(): string {
    return this.listener.snapshot.key;
  }

  /** What an endpoint is told of the client, which the service may trust or not. */
  factsFor(policy: HeaderPolicy): ClientFacts {
    this.facts = clientFacts(this.facts, this.wire, this.listener, policy);
    return this.facts;
  }

  // Bytes

  onBytes(base: Buffer, start: number, end: number): void {
    this.intake.take(base, start, end);
  }

  feed(base: Buffer, start: number, end: number, room: number): number {
    if (this.state !== 'open') {
      this.lingered += end - start;
      if (this.lingered > LINGER_BYTES_MAX) this.abort();
      return end;
    }
    const { session } = this;
    this.isFeeding = true;
    session.setBounds(this.listener.headLimits);
    const at = session.feed(base, start, end, room);
    this.isFeeding = false;
    if (this.fresh.length > 0) this.dispatchFresh();
    this.settle();
    return at;
  }

  /** Bodies that came with their heads leave with them. */
  private dispatchFresh(): void {
    const { fresh } = this;
    this.fresh = [];
    for (const { user } of fresh) {
      const request = user as Http2Request | null;
      if (request?.isUndispatched) request.dispatch();
    }
  }

  /** What a stream has kept goes on at the end of the turn: whoever asks is in the middle of its own. */
  resumeSoon(stream: Stream): void {
    this.resuming.push(stream);
    this.link.due();
  }

  onTurn(): void {
    const { resuming, session } = this;
    if (resuming.length > 0) {
      this.resuming = [];
      for (const stream of resuming) {
        const request = stream.user as Http2Request | null;
        if (request !== null && !request.isHeld) session.resume(stream);
      }
    }
    this.settle();
    this.link.flush(session);
  }

  onOutput(): void {
    this.link?.due();
  }

  onFull(): void {
    this.link.flush(this.session);
  }

  onDrain(): void {
    if (this.state !== 'open') {
      this.setTimer(LINGER_MS);
      return;
    }
    this.link.drained(this.session);
  }

  // Requests

  onRequest(stream: Stream, text: HeadText, isLast: boolean): void {
    const { listener, plane } = this;
    this.countRequest();
    if (text.isTooLarge) return this.replies.refuse(stream, HEADER_TOO_LARGE, null);
    const parser = plane.takeParser(listener.headLimits);
    const { writer } = text;
    parser.feed(writer.view(), 0, writer.length);
    if (parser.state === HeadState.done) this.start(stream, parser.head, isLast, text.isTunnel);
    else {
      const fault = parser.fault === '' ? 'header-too-large' : parser.fault;
      this.replies.refuse(
        stream,
        reason(fault satisfies ReasonCode | 'bad-status-line' as ReasonCode),
        null,
      );
    }
    plane.giveParser(parser);
  }

  private countRequest(): void {
    this.isLeaving = false;
    // What was awaited has come: one that is answered at once leaves nothing else to be seen by `settle`.
    if (this.waits === 'idle' || this.waits === 'head') {
      this.waits = 'nothing';
      this.setTimer(0);
    }
    const { keepAliveRequests } = this.listener.limits;
    this.requests += 1;
    if (keepAliveRequests > 0 && this.requests >= keepAliveRequests) this.session.sayGoaway();
  }

  private start(stream: Stream, head: Head, isLast: boolean, isTunnel: boolean): void {
    const { router } = this.listener;
    head.majorVersion = 2;
    if (isTunnel && !this.mayTunnel(stream, head)) return;
    if (isLast && head.contentLength > 0) {
      return this.replies.refuse(
        stream,
        HTTP2_ERROR,
        head,
        'content is announced and none follows',
      );
    }
    head.isChunked = !isLast && head.contentLength < 0 && !isTunnel;
    stream.expected = isLast || isTunnel ? -1 : head.contentLength;
    const route = router === null ? null : router.match(hostOf(head), pathOf(head));
    const live = this.serviceFor(stream, head, route);
    if (live === null) return;
    const request = this.plane.takeHttp2Request();
    request.begin(this, stream, { head, live, route, upgrade: isTunnel ? WEBSOCKET : '' });
    if (request.isUndispatched && this.isFeeding) this.fresh.push(stream);
    else request.dispatch();
  }

  /** Whether an extended CONNECT is one that is served: to WebSocket, without content. */
  private mayTunnel(stream: Stream, head: Head): boolean {
    const isOne = head.text(head.upgradeStart, head.upgradeEnd).toLowerCase() === WEBSOCKET;
    if (!isOne) this.replies.refuse(stream, UNSUPPORTED_PROTOCOL, head);
    else if (head.has(HeadFlag.upgrade)) return true;
    else this.replies.refuse(stream, HTTP2_ERROR, head, 'CONNECT with a length of content');
    return false;
  }

  /** The service that answers for this head; null when the request was answered here. */
  private serviceFor(stream: Stream, head: Head, route: Route | null): LiveService | null {
    const { listener, place } = this;
    const judged = judge(head, route, listener, this.plane.context);
    const isOwn = 'kind' in judged;
    const live = isOwn ? judged.live : judged;
    if (live !== null && place.service === null) {
      const refused = place.take(live, listener, this);
      if (refused !== null) {
        this.replies.refuse(stream, refused, head);
        // The next request tries again: this one has no place.
        place.leave();
        return null;
      }
    }
    if (!isOwn) return judged;
    this.replies.answer(stream, head, judged);
    return null;
  }

  onMalformed(text: HeadText): void {
    const { context } = this.plane;
    const detail = text.fault;
    recordRefusal(context, this, { why: HTTP2_ERROR, head: null, detail });
  }

  /** Sends an answer of our own, and ends the stream. */
  reply(stream: Stream, why: Reason, options: StreamReplyOptions): void {
    this.replies.reply(stream, why, options);
  }

  /** The response is sent, or waits to be. */
  finish(stream: Stream): void {
    this.replies.finish(stream);
  }

  // Ends

  onStreamClosed(): void {
    this.link.due();
  }

  /** What the timer is for now, and whether the connection has served its time. */
  private settle(): void {
    const { session } = this;
    if (this.state !== 'open') return;
    if (session.streams.size === 0) {
      this.wire.shareBuffer();
      if (session.isEnding) return this.close();
    }
    const waits = this.whatFor();
    if (waits === this.waits) return;
    this.waits = waits;
    const { timeouts } = this.listener;
    if (waits === 'head') this.setTimer(timeouts.clientHeaderMs);
    else if (waits === 'idle') this.setTimer(this.isDraining ? LEAVE_MS : timeouts.keepAliveMs);
    else if (waits === 'window') this.setTimer(timeouts.idleBodyMs);
    else if (waits === 'leave') this.setTimer(LEAVE_MS);
    else this.setTimer(0);
  }

  private whatFor(): Wait {
    const { session } = this;
    if (session.isInHead) return 'head';
    if (this.isDraining && !session.isEnding) return 'leave';
    if (session.streams.size === 0) return 'idle';
    return session.waitingCount > 0 || session.isCongested ? 'window' : 'nothing';
  }

  onTimer(): void {
    const { waits } = this;
    this.waits = 'nothing';
    if (this.state !== 'open') this.wire.destroy();
    else if (waits === 'head') {
      recordRefusal(this.plane.context, this, { why: HEADER_TIMEOUT, head: null, detail: '' });
      this.session.endStreams();
      this.close();
    } else if (waits === 'idle') {
      this.session.endStreams();
      this.close();
    } else if (waits === 'leave') this.session.endStreams();
    else if (waits === 'window') this.replies.endStalled(this.listener.timeouts.idleBodyMs);
    this.settle();
  }

  /** Counts and logs why the connection gets nothing, and closes it. */
  private turnAway(why: Reason): void {
    recordRefusal(this.plane.context, this, { why, head: null, detail: '' });
    this.session.endStreams();
    this.close();
  }

  /** Says what there is to say, and reads on for a while: what is on its way would reset it. */
  private close(): void {
    if (this.state !== 'open') return;
    this.state = 'lingering';
    this.session.over(ErrorCode.noError);
    // Answers may wait for a client that does not read.
    this.link.finish(this.session);
    // Until they are taken it is the client's turn; then it is given a moment to close.
    this.setTimer(this.wire.isFlushed ? LINGER_MS : this.listener.timeouts.idleBodyMs);
    this.wire.end();
    this.intake.end();
    this.wire.resume();
  }

  onGoaway(): void {
    // The client opens no more streams; those that there are end first.
    this.session.endStreams();
  }

  onFault(code: number, detail: string): void {
    const why = code === ErrorCode.enhanceYourCalm ? HTTP2_FLOOD : HTTP2_ERROR;
    const { ledger, log } = this.plane.context;
    if (this.service !== null) ledger.addReason(this.service.slot, why.index);
    const { address: client, listenerKey: listener } = this;
    const fields = { client, listener, reason: why.code, error: errorName(code), detail };
    log.info(fields, why.text);
    this.close();
  }

  onEnd(): void {
    // HTTP/2 has no half-closed connections: a client that sends no more can't open windows either.
    if (this.state === 'open') this.abort();
    else this.wire.destroy();
  }

  onClose(): void {
    this.state = 'closed';
    this.plane.context.wheel.remove(this.timer);
    this.intake.end();
    this.session.over(ErrorCode.cancel);
    this.place.leave();
    this.plane.introduced.leave(this.wire);
    this.listener.gone(this);
  }

  drain(): void {
    this.isDraining = true;
    if (this.depart()) return;
    this.session.sayGoaway();
    this.settle();
  }

  abort(): void {
    this.state = 'closed';
    this.wire.destroy();
  }

  evict(): void {
    this.isLeaving = true;
    this.place.leave();
  }

  depart(): boolean {
    const { session } = this;
    if (!this.isLeaving || this.state !== 'open' || session.streams.size > 0) return false;
    session.endStreams();
    // What a client says of its last answer is on its way, and would reset that.
    if (this.requests > 0) this.close();
    else {
      this.link.flush(session);
      this.abort();
    }
    return true;
  }

  /** A rule of ours was broken on one stream: it ends, its neighbours live. */
  onRequestBug(request: Http2Request, error: unknown): void {
    this.logBug(error);
    request.exchange.abandon();
  }

  onBug(error: unknown): void {
    this.logBug(error);
    this.state = 'closed';
    this.wire.destroy();
    this.session.over(ErrorCode.internalError);
  }

  private logBug(error: unknown): void {
    logBug(this.plane.context.log, error, { state: this.state });
  }

  /** 0: no limit. */
  private setTimer(ms: number): void {
    const { wheel } = this.plane.context;
    if (ms > 0) wheel.schedule(this.timer, ms);
    else wheel.cancel(this.timer);
  }
}
