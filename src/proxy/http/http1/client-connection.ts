// One connection of a client: reads requests in order, hands each to an exchange, and decides what
// becomes of the connection after each answer.
//
//   head -> exchange -> head ...      between requests, and within one
//   exchange -> flushing -> head      the client still has to take what was sent
//   exchange -> tunnel                after 101
//   any -> lingering -> closed        answered, but the client may still be sending
//   any -> closing -> closed          answered, and the client won't send any more
//
// Invariant: `request` is set exactly in the states exchange and tunnel. One that was evicted closes when
// its turn comes, unless it is given a place again for a request that is complete before. When it is read,
// and what becomes of bytes that arrive early, is intake.ts.
import { assert } from '../../../base/assert.ts';
import { TimerEntry, type TimerOwner } from '../../../base/timer-wheel.ts';
import { isPersistent } from '../../../http1/framing.ts';
import type { Head } from '../../../http1/head.ts';
import { type HeadParser, HeadState } from '../../../http1/head-parser.ts';
import { PREFACE_LINE_BYTES } from '../../../http2/protocol.ts';
import { type Reason, type ReasonCode, reason } from '../../../model/reason.ts';
import type { Route } from '../../../model/route.ts';
import { logBug } from '../../bug.ts';
import { ConnectionPlace } from '../../limits/connection-place.ts';
import type { Drainable, LiveListener, Neighbours } from '../../listener.ts';
import type { LiveService } from '../../live-service.ts';
import type { Wire, WireHandler } from '../../network.ts';
import { type ClientFacts, clientFacts } from '../client-facts.ts';
import type { HeaderPolicy } from '../header-policy.ts';
import { Http2ClientConnection } from '../http2/client-connection.ts';
import { judge, type OwnAnswer } from '../judgement.ts';
import type { HttpPlane } from '../plane.ts';
import { hostOf, pathOf } from '../target.ts';
import type { Tunnel } from '../tunnel.ts';
import type { Http1Request } from './http1-request.ts';
import { Intake, type IntakeOwner } from './intake.ts';
import { Replies, type RepliesOwner, type ReplyOptions } from './replies.ts';

type State = 'head' | 'exchange' | 'flushing' | 'tunnel' | 'lingering' | 'closing' | 'closed';

/** How long, and for how many bytes, a client that was answered may go on sending. */
const LINGER_MS = 2000;
const LINGER_BYTES_MAX = 1024 * 1024;
/**
 * A client that has ended its side may want its answer still, or be gone: the two look the same.
 * It is gone when the answer does not begin within this time.
 */
const LEFT_MS = 1000;
/**
 * How long a connection that is refused may take to show by its first bytes whether it speaks HTTP/2, where
 * the listener does; then it is answered in HTTP/1.1.
 */
const REFUSED_MS = 1000;
/** How long an idle connection is kept for one more request when the process drains. */
const DRAIN_IDLE_MS = 1000;
/**
 * The same for one that has not asked yet. Its first request is on its way, and no other process gets it: packets may
 * be lost twice (they are sent again after 1 s, and after 2 s more), and the client's machine may be busy.
 */
const DRAIN_FRESH_MS = 5000;
/** Requests that are answered without an exchange in one turn; then the other connections come first. */
const HEADS_MAX = 16;
const HEADER_TIMEOUT = reason('client-header-timeout');
const BODY_TIMEOUT = reason('client-body-timeout');

type Roles = WireHandler & TimerOwner & IntakeOwner & Drainable & RepliesOwner;

export class ClientConnection implements Roles {
  readonly wire: Wire;
  /** The client will send no more. */
  hasEnded = false;
  group: Neighbours | null = null;
  older: Drainable | null = null;
  younger: Drainable | null = null;
  readonly listener: LiveListener;
  private readonly plane: HttpPlane;
  private readonly replies: Replies;
  private readonly timer = new TimerEntry(this);
  private state: State = 'head';
  private request: Http1Request | null = null;
  private tunnel: Tunnel | null = null;
  /** Kept only while a head is in pieces. */
  private parser: HeadParser | null = null;
  private facts: ClientFacts | null = null;
  private readonly place: ConnectionPlace;
  private readonly intake: Intake;
  /** Why the connection is refused, while its protocol is not known yet. */
  private refused: Reason | null = null;
  private requests = 0;
  /** Requests in a row that had come before the answer to the one before. */
  private ahead = 0;
  private lingered = 0;
  private isDraining = false;
  isOldClient = false;
  /** It was evicted, and has asked for nothing since. */
  private isLeaving = false;
  isHead = false;
  /** The client said that no request will follow. */
  isLast = false;

  constructor(wire: Wire, listener: LiveListener, plane: HttpPlane) {
    this.wire = wire;
    this.listener = listener;
    this.plane = plane;
    this.replies = new Replies(this, plane);
    this.intake = new Intake(wire, this, plane);
    wire.handler = this;
    this.setTimer(this.listener.timeouts.keepAliveMs);
    this.place = new ConnectionPlace(plane.context.ledger);
    const refused = this.place.enter(wire, listener, plane.context);
    if (refused === null) return;
    if (wire.tls === null && listener.snapshot.policy.http2) {
      this.refused = refused;
      this.setTimer(REFUSED_MS);
    } else this.refuse(refused, null);
  }

  /** The service whose connections this one counts among. */
  get service(): LiveService | null {
    return this.place.service;
  }

  get leisure(): 'idle' | 'partial' | 'busy' {
    if (this.state !== 'head' || this.isLeaving || !this.intake.isEmpty) return 'busy';
    // It has no place that another one could have.
    if (this.refused !== null) return 'busy';
    // Of what is being taken a request may come that asks for room: not for its own.
    if (this.intake.isTaking) return 'busy';
    return this.parser === null ? 'idle' : 'partial';
  }

  evict(): void {
    this.isLeaving = true;
    this.place.leave();
  }

  depart(): boolean {
    if (!this.isLeaving || this.state !== 'head') return false;
    this.state = 'closed';
    this.wire.destroy();
    return true;
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

  get isAwaitingHead(): boolean {
    return this.state === 'head';
  }

  takeBytes(base: Buffer, start: number, end: number): void {
    const { intake } = this;
    let at = start;
    let heads = 0;
    while (at < end) {
      if (this.state === 'head' && heads === HEADS_MAX) {
        intake.postpone(base, at, end);
        at = end;
      } else if (this.state === 'head') {
        heads += 1;
        at = this.takeHead(base, at, end);
      } else if (this.state === 'exchange' && !this.request!.isRequestDone) {
        at = this.takeBody(this.request!, base, at, end);
      } else if (this.state === 'tunnel') {
        this.tunnel!.takeBytes(base, at, end);
        at = end;
      } else if (this.state === 'exchange' || this.state === 'flushing') {
        intake.keep(base, at, end);
        at = end;
      } else {
        if (this.state === 'lingering') this.drainLingering(end - at);
        at = end;
      }
    }
  }

  private takeBody(request: Http1Request, base: Buffer, start: number, end: number): number {
    this.setTimer(request.exchange.bodyIdleMs);
    const next = request.takeBody(base, start, end);
    // What a body was read into is not what an idle connection should hold.
    if (this.request !== request || request.isRequestDone) this.wire.shareBuffer();
    return next;
  }

  // Requests

  private takeHead(base: Buffer, start: number, end: number): number {
    const isFirst = this.parser === null;
    const parser = this.parser ?? this.plane.takeParser(this.listener.headLimits);
    const next = parser.feed(base, start, end);
    if (parser.state === HeadState.more) {
      this.parser = parser;
      // From the first byte of the head, whatever trickles in later.
      if (isFirst && this.refused === null) this.setTimer(this.listener.timeouts.clientHeaderMs);
      return next;
    }
    this.parser = null;
    let consumed = next;
    const isDone = parser.state === HeadState.done && this.refused === null;
    if (isDone) consumed = this.start(parser.head, base, next, end);
    else if (this.isHttp2(parser)) consumed = this.becomeHttp2(base, next, end);
    else if (this.refused !== null) this.turnAway(this.refused);
    else this.refuse(reason(parser.fault as ReasonCode), null);
    this.plane.giveParser(parser);
    return consumed;
  }

  /** The first line of HTTP/2's preface, which is one of no request that HTTP/1.1 has. */
  private isHttp2({ fault, head }: HeadParser): boolean {
    const isPreface = fault === 'bad-version' && head.method === 'PRI' && this.requests === 0;
    return isPreface && this.listener.snapshot.policy.http2;
  }

  /** The client speaks HTTP/2: another object goes on with the connection and with base[next,end). */
  private becomeHttp2(base: Buffer, next: number, end: number): number {
    const { listener, place, plane, refused, wire } = this;
    this.state = 'closed';
    plane.context.wheel.remove(this.timer);
    const takeover = { place, refused, prefaceBytes: PREFACE_LINE_BYTES };
    const connection = new Http2ClientConnection(wire, listener, plane, takeover);
    listener.replace(this, connection);
    connection.onBytes(base, next, end);
    return end;
  }

  /** Starts the exchange for a complete head; returns the offset after the body bytes it took. */
  private start(head: Head, base: Buffer, next: number, end: number): number {
    this.requests += 1;
    this.isLeaving = false;
    this.ahead = this.intake.isCatchingUp ? this.ahead + 1 : 0;
    this.isOldClient = head.minorVersion === 0;
    this.isHead = head.method === 'HEAD';
    this.isLast = !isPersistent(head);
    const { router } = this.listener;
    const route = router === null ? null : router.match(hostOf(head), pathOf(head));
    const live = this.serviceFor(head, route);
    if (live === null) return next;
    const request = this.plane.takeRequest();
    const { exchange } = request;
    this.request = request;
    this.state = 'exchange';
    this.plane.context.wheel.cancel(this.timer);
    request.begin(this, head, live, route);
    let at = next;
    if (!request.isRequestDone) {
      if (next < end) at = this.takeBody(request, base, next, end);
      else this.setTimer(exchange.bodyIdleMs);
    }
    // The exchange may have ended over a fault in the body.
    if (this.request === request) exchange.dispatch();
    return at;
  }

  /** The service that answers for this head; null when the request was answered here. */
  private serviceFor(head: Head, route: Route | null): LiveService | null {
    const { listener, place } = this;
    const judged = judge(head, route, listener, this.plane.context);
    const isOwn = 'kind' in judged;
    const live = isOwn ? judged.live : judged;
    if (live !== null && place.service === null) {
      const refused = place.take(live, listener, this);
      if (refused !== null) return this.refuse(refused, null);
    }
    return isOwn ? this.answer(head, judged) : judged;
  }

  // Answers of our own

  /**
   * Answers what no exchange was begun for. `head`: the request, where its length is known. `detail`
   * is for the log; where there is one, the client is told what it asked for.
   */
  private refuse(why: Reason, head: Head | null, detail = ''): null {
    this.reply(why, this.replies.refused(why, head, detail));
    return null;
  }

  /** The client that was refused speaks HTTP/1.1, as far as is known. */
  private turnAway(why: Reason): void {
    this.refused = null;
    this.refuse(why, null);
  }

  private answer(head: Head, answer: OwnAnswer): null {
    if (answer.kind === 'refuse') return this.refuse(answer.why, head, answer.detail);
    this.replies.answer(head, answer);
    return null;
  }

  /** Sends an answer of our own. It closes afterwards unless the whole request has been read. */
  reply(why: Reason, options: ReplyOptions): void {
    if (this.state === 'closed') return;
    // Of a request that was not understood, or not read, more may come.
    if (!options.mayKeepAlive) this.isLast = false;
    if (why.status === 0) this.abort();
    else this.replies.reply(why, options);
  }

  // What the exchange tells

  /** Whether the connection may serve another request after this one. */
  mayKeepAlive(): boolean {
    if (this.isDraining || this.hasEnded) return false;
    const { keepAliveRequests, pipelined } = this.listener.limits;
    if (pipelined > 0 && this.ahead >= pipelined) return false;
    return keepAliveRequests === 0 || this.requests < keepAliveRequests;
  }

  /** The answer is sent, or with the kernel. */
  exchangeDone(isKept: boolean, isRequestDone: boolean): void {
    if (!isRequestDone) this.isLast = false;
    this.afterAnswer(isKept);
  }

  /**
   * The request is over, and from here on may be another connection's. The same turn brings what becomes
   * of this connection: exchangeDone, reply, tunnelClosed, abort or reset.
   */
  requestLeft(request: Http1Request): void {
    assert(this.request === request, 'a request is referred to by its own connection alone');
    this.request = null;
    this.tunnel = null;
    this.intake.endHold();
  }

  /** What is not taken yet holds up the next request: a client must read what it asks for. */
  afterAnswer(isKept: boolean): void {
    if (!isKept) this.close();
    else if (this.wire.isFlushed) this.nextRequest();
    else {
      this.state = 'flushing';
      this.setTimer(this.listener.timeouts.idleBodyMs);
    }
  }

  private nextRequest(): void {
    this.state = 'head';
    this.isHead = false;
    this.isOldClient = false;
    if (this.hasEnded) {
      this.close();
      return;
    }
    this.setTimer(this.isDraining ? DRAIN_IDLE_MS : this.listener.timeouts.keepAliveMs);
    this.intake.goOn();
  }

  /** The exchange has become a tunnel: bytes that came early belong to it. */
  beginTunnel(tunnel: Tunnel): void {
    this.tunnel = tunnel;
    this.state = 'tunnel';
    this.plane.context.wheel.cancel(this.timer);
    this.intake.goOn();
  }

  tunnelClosed(): void {
    this.linger();
  }

  get isHeld(): boolean {
    return this.intake.isHeld;
  }

  /** What came has nowhere to go: the client is not read until `release`. */
  hold(): void {
    this.intake.hold();
  }

  release(): void {
    if (!this.intake.isHeld) return;
    if (this.state === 'exchange') this.setTimer(this.request!.exchange.bodyIdleMs);
    this.intake.release();
  }

  /** What came cost much for little: the others come first. */
  beginRest(): void {
    this.intake.beginRest();
  }

  onDrain(): void {
    if (this.state === 'flushing') this.nextRequest();
    else if (this.state === 'closing') this.wire.destroy();
    else if (this.state === 'lingering') {
      if (this.hasEnded) this.wire.destroy();
      else this.setTimer(LINGER_MS);
    } else if (this.tunnel !== null) this.tunnel.onClientDrain();
    else this.request?.exchange.onClientDrain();
  }

  // Ends

  /** Closes in order, after what was sent. */
  private close(): void {
    if (this.state === 'closed') return;
    if (!this.hasEnded && !(this.isLast && this.intake.isEmpty)) {
      this.linger();
      return;
    }
    // Nothing will come that could reset the connection before the answer has arrived.
    this.state = 'closing';
    this.intake.clear();
    if (this.wire.isFlushed) this.wire.destroy();
    else this.setTimer(this.listener.timeouts.idleBodyMs);
  }

  /**
   * Ends our side and reads on for a while: closing at once while the client sends would reset
   * the connection and destroy the answer on its way (RFC 9112 section 9.6).
   */
  private linger(): void {
    if (this.state === 'closed') return;
    this.state = 'lingering';
    this.intake.clear();
    // Until the answer is taken it is the client's turn; then the client is given a moment to close.
    this.setTimer(this.wire.isFlushed ? LINGER_MS : this.listener.timeouts.idleBodyMs);
    this.wire.end();
    this.wire.resume();
    if (this.hasEnded && this.wire.isFlushed) this.wire.destroy();
  }

  /**
   * The response breaks off, which its frame shows: an end in order is enough. A reset would destroy
   * earlier answers that are still on their way.
   */
  breakOff(): void {
    this.linger();
  }

  private drainLingering(count: number): void {
    this.lingered += count;
    if (this.lingered > LINGER_BYTES_MAX) this.abort();
  }

  /** The client will send no more; it may still read. */
  onEnd(): void {
    this.hasEnded = true;
    switch (this.state) {
      case 'head':
        // Between requests it is the end; within a head the rest will never come.
        this.state = 'closed';
        this.wire.destroy();
        return;
      case 'exchange':
        if (!this.request!.isRequestDone) this.abort();
        else if (!this.request!.hasBegun) this.setTimer(LEFT_MS);
        return;
      case 'tunnel':
        this.tunnel!.onClientEnd();
        return;
      case 'lingering':
        if (this.wire.isFlushed) this.wire.destroy();
        return;
    }
  }

  onClose(error: NodeJS.ErrnoException | null): void {
    const { request } = this;
    this.state = 'closed';
    this.plane.context.wheel.remove(this.timer);
    this.intake.end();
    if (this.parser !== null) this.plane.giveParser(this.parser);
    this.parser = null;
    request?.exchange.onClientGone(error === null && this.hasEnded);
    assert(this.request === null, 'what is closed refers to no request');
    if (this.refused !== null) this.replies.refused(this.refused, null, '');
    this.place.leave();
    this.plane.introduced.leave(this.wire);
    this.listener.gone(this);
  }

  onTimer(): void {
    switch (this.state) {
      case 'head':
        if (this.refused !== null) this.turnAway(this.refused);
        else if (this.parser !== null) this.refuse(HEADER_TIMEOUT, null);
        else this.wire.destroy();
        return;
      case 'exchange':
        this.exchangeIsSlow(this.request!);
        return;
      case 'flushing':
      case 'closing':
      case 'lingering':
        this.wire.destroy();
        return;
    }
  }

  private exchangeIsSlow({ exchange, isRequestDone, hasBegun }: Http1Request): void {
    // While we don't read the body, or have nobody who gets it, the silence is not the client's.
    if (this.isHeld || (!isRequestDone && exchange.isUnsent)) this.setTimer(exchange.bodyIdleMs);
    else if (!isRequestDone) exchange.failClient(BODY_TIMEOUT);
    else if (this.hasEnded && !hasBegun) this.abort();
  }

  /** A rule of ours was broken on this connection: it ends, the others live. */
  onBug(error: unknown): void {
    logBug(this.plane.context.log, error, { state: this.state });
    const { request } = this;
    this.state = 'closed';
    this.wire.destroy();
    request?.exchange.abandon();
  }

  /** No further requests: what is in flight is finished, then it closes. */
  drain(): void {
    this.isDraining = true;
    // An idle client may be sending at this moment; it gets one more answer, with Connection: close.
    if (this.leisure === 'idle') this.setTimer(this.requests > 0 ? DRAIN_IDLE_MS : DRAIN_FRESH_MS);
    this.depart();
  }

  /** Closes now, whatever is in flight. */
  abort(): void {
    assert(this.wire.handler === this, 'a connection ends its own wire');
    // In mid-answer an orderly close may look like its end.
    if (this.request?.looksComplete) this.reset();
    else {
      this.state = 'closed';
      this.wire.destroy();
    }
  }

  /** Closes with RST, so that a response without an end can't look complete. */
  reset(): void {
    this.state = 'closed';
    this.wire.reset();
  }

  /** 0: no limit. */
  private setTimer(ms: number): void {
    const { wheel } = this.plane.context;
    if (ms > 0) wheel.schedule(this.timer, ms);
    else wheel.cancel(this.timer);
  }
}
