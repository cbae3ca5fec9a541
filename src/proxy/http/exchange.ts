// One request with its answer: from the parsed head to the last byte of the response, over one or more
// attempts. It knows no protocol: it speaks to a client's side (client-side.ts) and to attempts
// (endpoint-side.ts). Reading order: begin -> dispatch -> onPlaced -> onReady -> onResponse -> onBody
// -> finish; attemptFailed is every other way.
//
//   free -> placing -> trying -> relaying -> free
//              ^-retry-'   '-> tunnel -> free
//
// `placing`: an endpoint is chosen, or waited for (placement.ts). Which of two tries counts, where there
// are two, is decided in attempts.ts.
import { assert } from '../../base/assert.ts';
import type { BodyKind } from '../../http1/framing.ts';
import type { Head } from '../../http1/head.ts';
import { ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { Service } from '../../model/service.ts';
import { givenHost } from '../../model/upstream-host.ts';
import type { LiveEndpoint } from '../live-endpoint.ts';
import type { LiveService } from '../live-service.ts';
import type { Wire } from '../network.ts';
import { Placement, type PlacementOwner } from '../placement.ts';
import { Account, type Accountable } from './account.ts';
import { Alarm } from './alarm.ts';
import { Attempts, type AttemptsOwner } from './attempts.ts';
import type { BodyPiece } from './body-piece.ts';
import type { BodySource } from './body-source.ts';
import type { ClientEvents, ClientSide } from './client-side.ts';
import type { EndpointSide } from './endpoint-side.ts';
import { hashOf } from './hash-key.ts';
import type { HttpPlane } from './plane.ts';
import type { Request } from './request.ts';
import { RequestCopy } from './request-copy.ts';
import { wantsOwnHost, writeRequestHead } from './request-head.ts';
import { Retries, type RetriesOwner } from './retries.ts';
import { isIdempotent } from './retry.ts';
import { Tunnel, type TunnelOwner } from './tunnel.ts';
import { Upload, type UploadOwner } from './upload.ts';

type State = 'free' | 'placing' | 'trying' | 'relaying' | 'tunnel';

const NO_ENDPOINT = reason('no-endpoint');
const OUT_OF_DESCRIPTORS = reason('out-of-descriptors');
const OUT_OF_MEMORY = reason('out-of-memory');
const REQUEST_TIMEOUT = reason('request-timeout');
const STALE = reason('stale-connection');
const RESPONSE_TIMEOUT = reason('response-timeout');
const ENDPOINT_DOWN = reason('endpoint-down');
const NOT_PRIMARY = reason('not-primary');
const UNEXPECTED_UPGRADE = reason('unexpected-upgrade');
const RETRY_STATUS = reason('retry-status');
const RESPONSE_STALLED = reason('response-stalled');
const BODY_TOO_LARGE = reason('body-too-large');
const CLIENT_CLOSED = reason('client-closed');
const BODY_TIMEOUT = reason('client-body-timeout');
const BUG = reason('bug');

type Roles = ClientEvents &
  RetriesOwner &
  AttemptsOwner &
  UploadOwner &
  PlacementOwner &
  TunnelOwner &
  Accountable;

export class Exchange implements Roles {
  /** Its place among the plane's active exchanges; -1 while it is free. */
  activeIndex = -1;
  readonly client: ClientSide;
  live!: LiveService;
  method = '';
  requestId = '';
  private state: State = 'free';
  private readonly plane: HttpPlane;
  /** The policy that it began with. */
  service!: Service;
  private readonly placement: Placement;
  private readonly copy = new RequestCopy();
  private readonly account = new Account();
  isRepeatable = false;
  upgrade = '';
  private readonly attempts: Attempts;
  private readonly retries: Retries;
  private readonly upload: Upload;
  /** An endpoint is found in the same moment in which the head was complete. */
  private isAtOnce = false;
  /** How long the last endpoint took to answer, microseconds; 0: it did not. */
  private answerUs = 0;
  private deadline: Alarm | null = null;
  private tunnel: Tunnel | null = null;

  constructor(client: ClientSide, plane: HttpPlane) {
    this.client = client;
    this.plane = plane;
    this.placement = new Placement(this, plane.context);
    const { copy, placement } = this;
    const attempts = new Attempts(this, plane, placement, copy);
    this.attempts = attempts;
    this.retries = new Retries(this, plane, { attempts, placement, copy });
    this.upload = new Upload(this, attempts, copy);
  }

  get clientWire(): Wire {
    return this.client.clientWire;
  }

  /** The head is complete: takes everything that is needed of it, for its bytes won't stay. */
  begin(head: Head, request: Request): void {
    assert(this.state === 'free', 'an exchange serves one request at a time');
    const { live, client, policy, route, upgrade, requestId, websocketKey } = request;
    const { service } = live;
    const { context } = this.plane;
    this.state = 'placing';
    this.live = live;
    this.service = service;
    this.method = head.method;
    this.requestId = requestId;
    this.isRepeatable = isIdempotent(head.method);
    this.upgrade = upgrade;
    this.upload.begin(request.announced);
    this.answerUs = 0;
    this.tunnel = null;
    this.account.begin(head, context);
    const { hash } = service.balance;
    this.placement.begin(live, hash === null ? 0 : hashOf(hash, head, client.address));
    this.attempts.begin();
    live.retryBudget.earn();
    this.plane.enter(this);
    const requestMs = shorter(service.timeouts.requestMs, request.withinMs);
    if (requestMs > 0) {
      this.deadline ??= new Alarm(this, context.wheel);
      this.deadline.set(requestMs);
    }
    const { copy } = this;
    copy.reset(wantsOwnHost(route, service.upstream));
    writeRequestHead(copy.writer, {
      head,
      client,
      policy,
      route,
      upstreamHost: givenHost(service.upstream.host),
      isUpgrade: upgrade !== '',
      requestId,
      websocketKey,
    });
    copy.headWritten(head.isChunked, !request.hasBody);
  }

  /** How long the client may keep us waiting for the next piece of its body, ms; 0: for ever. */
  get bodyIdleMs(): number {
    return this.service.timeouts.idleBodyMs;
  }

  /** No endpoint has been sent anything: the client may rightly keep back what it has yet to say. */
  get isUnsent(): boolean {
    return this.state === 'placing' || (this.state === 'trying' && this.attempt.sentMs === 0);
  }

  private get isUpgrade(): boolean {
    return this.upgrade !== '';
  }

  get isFree(): boolean {
    return this.state === 'free';
  }

  get attemptCount(): number {
    return this.placement.attempts;
  }

  /** The try that counts; of use but in `free` and `placing`. */
  private get attempt(): EndpointSide {
    return this.attempts.current;
  }

  /** Chooses an endpoint; to be called once after `begin` and the body bytes that came with the head. */
  dispatch(): void {
    if (this.state !== 'placing') return;
    // What is announced too large is refused before an endpoint, or a client that expects 100, sees it.
    if (this.upload.isTooLarge) {
      this.failClient(BODY_TOO_LARGE);
      return;
    }
    const refused = this.placement.admit(this.isUpgrade);
    // Short of memory, the connection is not kept either.
    if (refused !== null) this.failWithReply(refused, '', refused !== OUT_OF_MEMORY);
    else {
      this.isAtOnce = true;
      this.placement.find();
      this.isAtOnce = false;
    }
  }

  // The request's body

  onRequestBody(source: BodySource, piece: BodyPiece): void {
    const became = this.upload.take(source, piece);
    if (became === 'too-large') this.failClient(BODY_TOO_LARGE);
    if (became !== 'sent') return;
    if (this.state === 'trying') this.awaitResponse();
    else if (this.client.isDuplex) this.attempt.setTimer(this.service.timeouts.idleBodyMs);
  }

  /** The endpoint's time runs while it is its turn: not while we wait for the client's body. */
  private awaitResponse(): void {
    const isItsTurn = this.upload.isEndpointsTurn;
    this.attempt.setTimer(isItsTurn ? this.service.timeouts.responseMs : 0);
    if (this.service.retry.hedge !== null) this.attempts.awaitHedge();
  }

  // Attempts

  onPlaced(endpoint: LiveEndpoint): void {
    this.state = 'trying';
    this.account.endpointId = endpoint.id;
    if (this.attempts.open(endpoint)) return;
    this.state = 'placing';
    this.placement.lostPlace();
  }

  onNoPlace(why: Reason, detail: string): void {
    this.failWithReply(why, detail);
  }

  onReady(attempt: EndpointSide): void {
    const { copy } = this;
    // Reading the clock costs as much as choosing an endpoint.
    const nowMs = this.isAtOnce ? this.account.startMs : this.plane.context.clock.nowMs();
    const isTaken = attempt.send(copy, nowMs);
    if (attempt !== this.attempt) {
      // What the second try has not sent yet stays with its write.
      copy.rescue();
      attempt.setTimer(this.service.timeouts.responseMs);
      return;
    }
    this.upload.sent(isTaken);
    this.awaitResponse();
  }

  /** Before the try is no longer counted as in flight, which keeps the ledger's row its endpoint's. */
  countBytes(attempt: EndpointSide): void {
    if (attempt.sentMs === 0) return;
    const isHeard = attempt === this.attempt && this.tunnel === null;
    attempt.countBytes(this.upload.bytes, isHeard ? this.client.bytesOut : 0);
  }

  onFailed(attempt: EndpointSide, why: Reason, detail: string): void {
    if (attempt !== this.attempt) this.attempts.spareFailed(attempt, why);
    else if (this.state === 'relaying') this.cut(why, detail);
    else this.attemptFailed(why, detail);
  }

  private attemptFailed(why: Reason, detail = ''): void {
    if (why === RESPONSE_TIMEOUT) this.answerUs = this.service.timeouts.responseMs * 1000;
    const next = this.retries.failed(why, detail);
    if (next === 'spare') this.goOnWithSpare();
    else if (next === 'again') this.goAgain(why);
    else this.failWithReply(why, detail);
  }

  private goAgain(why: Reason): void {
    const isMove = why === ENDPOINT_DOWN || why === NOT_PRIMARY;
    if (isMove || why === STALE) this.placement.forgetAttempt();
    this.state = 'placing';
    this.placement.find();
  }

  /**
   * A tunnel was asked for and did not begin. What the client sent into it was not passed on: to the
   * endpoint, which may see it begun, it must not look complete.
   */
  get isUnopened(): boolean {
    return this.isUpgrade && this.tunnel === null;
  }

  private goOnWithSpare(): void {
    this.attempts.promoteSpare();
    this.account.endpointId = this.attempt.endpoint!.id;
  }

  /**
   * The endpoint is down by its check, and this exchange may be waiting for it in vain. Where it may
   * not go elsewhere it goes on waiting.
   */
  onEndpointDown(endpoint: LiveEndpoint): void {
    const { attempt } = this;
    if (this.state !== 'trying' || attempt.endpoint !== endpoint) return;
    if (this.retries.verdictOn(ENDPOINT_DOWN) !== 'no') this.attemptFailed(ENDPOINT_DOWN);
  }

  /**
   * The endpoint is the primary no more: nothing goes on there. What may be repeated goes to the new one.
   */
  onNotPrimary(endpoint: LiveEndpoint): void {
    if (this.state === 'free' || this.state === 'placing') return;
    this.attempts.leave(endpoint);
    const { attempt } = this;
    if (attempt.endpoint !== endpoint) return;
    if (this.state === 'trying') this.attemptFailed(NOT_PRIMARY);
    else if (this.state === 'relaying') this.end(NOT_PRIMARY, '');
    else this.cutTunnel(NOT_PRIMARY);
  }

  onStarved(attempt: EndpointSide, code: string): void {
    this.attempts.drop(attempt);
    if (attempt !== this.attempt) return;
    this.placement.forgetAttempt();
    if (!this.placement.makeRoom(code)) {
      this.failWithReply(OUT_OF_DESCRIPTORS, code);
      return;
    }
    this.state = 'placing';
    this.placement.find();
  }

  /**
   * It is placed again. That comes to an end whatever the endpoint chooses each time: a connection of HTTP/2
   * that was opened for HTTP/1.1 has room for the request that opened it.
   */
  onOtherProtocol(attempt: EndpointSide): void {
    this.attempts.drop(attempt);
    if (attempt !== this.attempt) return;
    this.placement.forgetAttempt();
    this.state = 'placing';
    this.placement.find();
  }

  onAnswering(attempt: EndpointSide): void {
    if (!this.attempts.hasSpare) return;
    this.attempts.decide(attempt);
    this.account.endpointId = this.attempt.endpoint!.id;
  }

  onAlarm(alarm: Alarm): void {
    if (!this.attempts.isHedgeDue(alarm)) this.outOfTime();
    else if (this.state === 'trying') this.attempts.hedge();
  }

  /** The time for the whole request is up. */
  private outOfTime(): void {
    if (this.state === 'free' || this.state === 'tunnel') return;
    if (this.client.hasBegun) this.end(REQUEST_TIMEOUT, '');
    else this.failWithReply(REQUEST_TIMEOUT, '');
  }

  // The response

  onInterim(head: Head): void {
    this.client.sendInterim(head);
  }

  onResponse(
    attempt: EndpointSide,
    head: Head,
    kind: BodyKind,
    source: BodySource,
    piece: BodyPiece,
  ): void {
    const { onStatus } = this.service.retry;
    const { status } = head;
    const us = this.observe(attempt, status);
    if (
      onStatus.size > 0 &&
      onStatus.has(status) &&
      this.retries.mayRetryStatus(attempt.endpoint!)
    ) {
      this.attemptFailed(RETRY_STATUS, String(status));
      return;
    }
    this.live.outcomes.answered(attempt.endpoint!, us, status);
    this.state = 'relaying';
    this.account.status = status;
    this.client.respond(head, kind, source, piece);
    if (piece.isLast) this.endResponse();
    else this.goOn();
  }

  onBody(_attempt: EndpointSide, source: BodySource, piece: BodyPiece): void {
    this.client.sendBody(source, piece);
    if (piece.isLast) this.endResponse();
    else this.goOn();
  }

  private goOn(): void {
    // The end is another moment than this one.
    this.account.goesOn();
    this.attempt.setTimer(this.service.timeouts.idleBodyMs);
  }

  /** Counts the answer; returns how long it took, microseconds. */
  private observe(attempt: EndpointSide, status: number): number {
    const us = this.account.answered(attempt.sentMs, this.plane.context);
    this.plane.context.ledger.addResponse(attempt.endpoint!.slot, status, us);
    this.answerUs = us;
    return us;
  }

  private endResponse(): void {
    const { attempt } = this;
    this.countBytes(attempt);
    attempt.complete(this.copy.isDone);
    this.finish(null);
    this.client.done();
  }

  onStalled(_attempt: EndpointSide): void {
    if (this.client.hasWhole) this.endResponse();
    // While the client does not take what is there, the silence is not the endpoint's.
    else if (!this.client.isFlushed) this.end(CLIENT_CLOSED, '');
    // Nor is it where the client owes the rest of its request, which the endpoint may wait for.
    else if (this.owesBody) this.end(BODY_TIMEOUT, '');
    else this.cut(RESPONSE_STALLED, '');
  }

  /** Request and response go on side by side, and it is as much the client's turn as the endpoint's. */
  private get owesBody(): boolean {
    return this.client.isDuplex && !this.upload.isEndpointsTurn;
  }

  // The tunnel

  onSwitch(attempt: EndpointSide, head: Head, base: Buffer, start: number, end: number): void {
    const { client } = this;
    if (!client.switchProtocols(head)) {
      this.attemptFailed(UNEXPECTED_UPGRADE);
      return;
    }
    this.plane.context.ledger.addService(this.live.slot, ServiceColumn.upgrades, 1);
    this.live.outcomes.answered(attempt.endpoint!, this.observe(attempt, head.status));
    this.account.goesOn();
    this.account.status = head.status;
    this.state = 'tunnel';
    this.endLimits();
    const { idleTunnelMs: idleMs } = this.service.timeouts;
    const upstream = attempt.tunnelEnd();
    const tunnel = new Tunnel(this, { client: client.tunnelClient, upstream, idleMs });
    this.tunnel = tunnel;
    const { sessions } = attempt.endpoint!;
    tunnel.join(sessions);
    client.beginTunnel(tunnel);
    // What the client had sent early may have ended it.
    if (this.isFree || this.tunnel !== tunnel) return;
    if (sessions.lateFor !== null) this.cutTunnel(sessions.lateFor);
    else if (end > start) tunnel.onUpstreamBytes(base, start, end);
  }

  onTunnelBytes(bytesIn: number, bytesOut: number): void {
    const { ledger } = this.plane.context;
    this.attempt.countBytes(bytesIn, bytesOut);
    if (bytesIn > 0) ledger.addService(this.live.slot, ServiceColumn.bytesIn, bytesIn);
    if (bytesOut > 0) ledger.addService(this.live.slot, ServiceColumn.bytesOut, bytesOut);
  }

  onTunnelDone(isOrderly: boolean): void {
    if (this.state !== 'tunnel') return;
    this.finish(null);
    this.client.tunnelDone(isOrderly);
  }

  onTunnelCut(why: Reason): void {
    if (this.state === 'tunnel') this.cutTunnel(why);
  }

  /** Ends it on both sides so that nothing looks complete. */
  private cutTunnel(why: Reason): void {
    this.attempts.drop(this.attempt, true);
    this.finish(why);
    this.client.tunnelDone(false);
  }

  // Back-pressure

  onEndpointDrain(attempt: EndpointSide): void {
    if (attempt !== this.attempt) return;
    this.upload.drained();
    // It is the client's turn again: what it keeps back is no delay of the endpoint's.
    if (this.state === 'trying') this.awaitResponse();
  }

  onRested(attempt: EndpointSide): void {
    if (this.client.isFlushed) attempt.resume();
  }

  onClientDrain(): void {
    if (this.state !== 'free') this.attempt.resume();
  }

  // Ends

  failClient(why: Reason): void {
    if (this.state === 'free') return;
    if (this.client.hasBegun) this.end(why, '');
    else this.failWithReply(why, '', false);
  }

  /** Nothing went to the client yet: it gets an answer of ours. */
  private failWithReply(why: Reason, detail: string, mayKeep = true): void {
    this.account.status = why.status;
    this.finish(why, detail);
    // Why there is no endpoint is for everyone; what went wrong with one is for the log.
    this.client.reply(why, why === NO_ENDPOINT ? detail : '', mayKeep);
  }

  /** The response broke off by the endpoint's fault. */
  private cut(why: Reason, detail: string): void {
    this.live.outcomes.failed(this.attempt.endpoint!, why);
    this.end(why, detail);
  }

  /** Ends in mid-response. */
  private end(why: Reason, detail: string): void {
    this.finish(why, detail);
    this.client.cut();
  }

  onClientGone(isOrderly: boolean): void {
    if (this.state === 'free') return;
    if (this.state === 'tunnel') {
      if (!isOrderly) this.attempts.drop(this.attempt, true);
      this.finish(null);
    } else this.finish(this.client.hasWhole ? null : CLIENT_CLOSED);
    this.client.drop();
  }

  abandon(): void {
    if (this.state === 'free') return;
    this.finish(BUG);
    this.client.drop();
  }

  onBug(error: unknown): void {
    if (this.state !== 'free') this.client.onBug(error);
  }

  /** What bounds requests does not bound tunnels. */
  private endLimits(): void {
    this.placement.endAdmission(this.answerUs);
    this.deadline?.clear();
    this.attempts.endHedging();
  }

  /**
   * The end of the exchange, on every way: counts, logs, and holds nothing afterwards. The caller's
   * next step is a last call of the client's side, which gives the pair back.
   */
  private finish(why: Reason | null, detail = ''): void {
    assert(this.state !== 'free', 'an exchange ends once');
    const { context } = this.plane;
    this.state = 'free';
    this.tunnel?.leave();
    this.endLimits();
    this.attempts.drop(this.attempt, this.isUnopened);
    this.placement.end(this.answerUs);
    this.account.close(this, why, detail, context);
    this.copy.letGo();
    this.plane.leave(this);
    assert(!this.attempt.isHolding, 'what has ended holds no connection');
  }

  get bodyIn(): number {
    return this.upload.bytes;
  }

  get bodyOut(): number {
    return this.client.bytesOut;
  }

  get tunnelIn(): number {
    return this.tunnel === null ? 0 : this.tunnel.bytesIn;
  }

  get tunnelOut(): number {
    return this.tunnel === null ? 0 : this.tunnel.bytesOut;
  }
}

/** The shorter of two times, of which 0 is none. */
function shorter(oneMs: number, otherMs: number): number {
  if (oneMs === 0 || otherMs === 0) return oneMs + otherMs;
  return Math.min(oneMs, otherMs);
}
