// One request with its answer: from the parsed head to the last byte of the response, over one or
// more attempts. It is taken from the plane when a head is complete and given back when the answer
// is. Reading order: begin -> takeBody -> dispatch -> place -> attempt -> sendRequest ->
// onUpstreamBytes -> readHeads -> beginResponse -> endResponse; attemptFailed is every other way.
//
//   free -> placing -> connecting -> awaiting -> relaying -> free
//                 ^-- retry --'-----------'          '-> tunnel -> free
//
// `placing`: an endpoint is chosen, or waited for (proxy/placement.ts, which counts it as in flight).
import { assert } from '../../base/assert.ts';
import { isPersistent, requestBody } from '../../http1/framing.ts';
import { type Head, HeadFlag } from '../../http1/head.ts';
import { type HeadParser, HeadState } from '../../http1/head-parser.ts';
import { EndpointColumn, ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { Route } from '../../model/route.ts';
import type { Service } from '../../model/service.ts';
import type { LiveEndpoint, LiveService } from '../live-service.ts';
import { Placement, type PlacementOwner } from '../placement.ts';
import { isStarved, UpstreamConnection, type UpstreamUser } from '../upstream-connection.ts';
import { Account, type Accountable } from './account.ts';
import { BodyRelay } from './body-relay.ts';
import type { ClientConnection } from './client-connection.ts';
import { Deadline, type DeadlineOwner } from './deadline.ts';
import { hashOf } from './hash-key.ts';
import { HeaderPolicy } from './header-policy.ts';
import { Hedge, type HedgeOwner, type HedgeTry } from './hedge.ts';
import type { HttpPlane } from './plane.ts';
import { RequestCopy } from './request-copy.ts';
import { writeRequestHead } from './request-head.ts';
import { ResponseRelay } from './response-relay.ts';
import { isIdempotent, retryVerdict } from './retry.ts';
import { Tunnel, type TunnelOwner } from './tunnel.ts';
import { acceptedProtocol, writeSwitch } from './upgrade.ts';

type State = 'free' | 'placing' | 'connecting' | 'awaiting' | 'relaying' | 'tunnel';

/** Kept connections that lay idle for longer are not used for what can't be repeated. */
const FRESH_MS = 1000;

const NO_ENDPOINT = reason('no-endpoint');
const OUT_OF_DESCRIPTORS = reason('out-of-descriptors');
const OUT_OF_MEMORY = reason('out-of-memory');
const REQUEST_TIMEOUT = reason('request-timeout');
const CONNECT_REFUSED = reason('connect-refused');
const CONNECT_FAILED = reason('connect-failed');
const CONNECT_TIMEOUT = reason('connect-timeout');
const STALE = reason('stale-connection');
const RESET = reason('reset');
const RESPONSE_TIMEOUT = reason('response-timeout');
const ENDPOINT_DOWN = reason('endpoint-down');
const BAD_RESPONSE = reason('bad-response');
const RESPONSE_HEAD_TOO_LARGE = reason('response-head-too-large');
const UNEXPECTED_UPGRADE = reason('unexpected-upgrade');
const RETRY_STATUS = reason('retry-status');
const RESPONSE_CUT = reason('response-cut');
const RESPONSE_STALLED = reason('response-stalled');
const BAD_RESPONSE_BODY = reason('bad-response-body');
const BODY_TOO_LARGE = reason('body-too-large');
const CLIENT_CLOSED = reason('client-closed');
const BUG = reason('bug');

type Owner = PlacementOwner & TunnelOwner & HedgeOwner & DeadlineOwner & Accountable;

export class Exchange implements UpstreamUser, Owner {
  state: State = 'free';
  /** Its place among the plane's active exchanges. */
  activeIndex = -1;
  private readonly plane: HttpPlane;
  /** Valid while `isHeld`: the connection that refers to this exchange exactly as long. */
  client!: ClientConnection;
  private isHeld = false;
  live!: LiveService;
  /** The policy that it began with. */
  private service!: Service;
  private policy!: HeaderPolicy;

  // The request.
  private readonly copy = new RequestCopy();
  private readonly body = new BodyRelay();
  method = '';
  private isRepeatable = false;
  private isOldClient = false;
  /** What an upgrade asks for; '' where it is none. */
  private upgrade = '';
  private mayKeepAlive = false;

  // Attempts.
  private readonly placement: Placement;
  private needsFresh = false;
  private upstream: UpstreamConnection | null = null;
  private attemptMs = 0;
  /** The connection of this attempt had served before, so it may be stale. */
  private isOnKept = false;
  private hasAnswerBytes = false;
  /** Made for the first request that may be hedged. */
  private hedge: Hedge | null = null;
  /** Made for the first request whose time is limited in all. */
  private deadline: Deadline | null = null;
  /** How long the last endpoint took to answer, microseconds; 0: it did not. */
  private answerUs = 0;

  // The response.
  private readonly response: ResponseRelay;
  private tunnel: Tunnel | null = null;

  /** For the log and the ledger. */
  private readonly account = new Account();

  constructor(plane: HttpPlane) {
    this.plane = plane;
    this.placement = new Placement(this, plane.context);
    this.response = new ResponseRelay(plane.responseWriter);
  }

  /** The head is complete: takes everything that is needed of it, for its bytes won't stay. */
  begin(client: ClientConnection, head: Head, live: LiveService, route: Route | null): void {
    assert(this.state === 'free' && !this.isHeld, 'an exchange has one owner at a time');
    this.reset();
    const { service } = live;
    this.state = 'placing';
    this.isHeld = true;
    this.client = client;
    this.live = live;
    if (this.service !== service) {
      this.service = service;
      this.policy = HeaderPolicy.of(service.http);
    }
    this.account.begin(head, this.plane.context);
    this.method = head.method;
    this.isRepeatable = isIdempotent(head.method);
    this.isOldClient = head.minorVersion === 0;
    this.mayKeepAlive = isPersistent(head);
    this.body.begin(requestBody(head), head.contentLength, head.isChunked);
    if (head.has(HeadFlag.upgrade)) this.upgrade = acceptedProtocol(head);
    const facts = client.factsFor(this.policy);
    const { hash } = service.balance;
    this.placement.begin(live, hash === null ? 0 : hashOf(hash, head, facts.address));
    live.retryBudget.earn();
    const { requestMs } = service.timeouts;
    if (requestMs > 0) {
      this.deadline ??= new Deadline(this, this.plane.context.wheel);
      this.deadline.set(requestMs);
    }
    writeRequestHead(this.copy.writer, {
      head,
      client: facts,
      policy: this.policy,
      route,
      isUpgrade: this.upgrade !== '',
      makeRequestId: this.plane.makeRequestId,
    });
  }

  private get endpoint(): LiveEndpoint | null {
    return this.placement.endpoint;
  }

  get attempts(): number {
    return this.placement.attempts;
  }

  /** The whole request has arrived from the client. */
  get isRequestDone(): boolean {
    return this.body.isDone;
  }

  /** A byte of the final response went to the client. */
  get hasResponseBegun(): boolean {
    return this.response.hasBegun;
  }

  /** How long the client may keep us waiting for the next piece of its body, ms. */
  get bodyIdleMs(): number {
    return this.service.timeouts.idleBodyMs;
  }

  /** Chooses an endpoint; to be called once after `begin` and the body bytes that came with the head. */
  dispatch(): void {
    if (this.state !== 'placing') return;
    const { limits } = this.service;
    // What is announced too large is refused before an endpoint, or a client that expects 100, sees it.
    if (limits.bodyBytes > 0 && this.body.bytes + this.body.announced > limits.bodyBytes) {
      this.failClient(BODY_TOO_LARGE);
      return;
    }
    const refused = this.placement.admit(this.upgrade !== '');
    if (refused === null) this.placement.find();
    // Short of memory, the connection is not kept either.
    else this.failWithReply(refused, '', refused !== OUT_OF_MEMORY);
  }

  /**
   * Takes bytes of the request body and returns the offset after the last one that belongs to it.
   * May end the exchange: look at the client's state afterwards.
   */
  takeBody(base: Buffer, start: number, end: number): number {
    const { body } = this;
    const next = body.take(base, start, end);
    const { bodyBytes } = this.service.limits;
    if (bodyBytes > 0 && body.bytes > bodyBytes) this.failClient(BODY_TOO_LARGE);
    else if (body.fault !== '') this.failClient(reason(body.fault));
    if (this.state === 'free') return end;
    if (body.to > body.from) this.sendBody(base, body.from, body.to);
    if (body.last !== null) this.sendBody(body.last, 0, body.last.length);
    if (this.state === 'awaiting') this.awaitResponse();
    return next;
  }

  private sendBody(base: Buffer, start: number, end: number): void {
    const { bodyBytesMax } = this.service.retry;
    const isSent = this.state === 'awaiting' || this.state === 'relaying';
    if (isSent && this.body.bytes > bodyBytesMax) this.copy.giveUp();
    this.copy.append(base, start, end);
    if (isSent) {
      const isTaken = this.client.wire.forwardTo(this.upstream!.wire, base, start, end);
      if (!isTaken) this.client.hold();
    } else if (this.body.bytes >= bodyBytesMax) {
      // No endpoint to send it to yet: the client waits.
      this.client.hold();
    }
  }

  /** The endpoint's time runs while it is its turn: not while we wait for the client's body. */
  private awaitResponse(): void {
    const { responseMs } = this.service.timeouts;
    if (this.body.isDone || this.client.isHeld) this.upstream!.setTimer(responseMs);
    else this.upstream!.clearTimer();
    if (this.service.retry.hedge !== null) this.awaitHedge();
  }

  // Attempts

  onNoPlace(why: Reason, detail: string): void {
    this.failWithReply(why, detail);
  }

  onBug(error: unknown): void {
    this.client.onBug(error);
  }

  /** The time for the whole request is up. */
  onDeadline(): void {
    if (this.state === 'free' || this.state === 'tunnel') return;
    if (this.response.hasBegun) this.end(REQUEST_TIMEOUT, '');
    else this.failWithReply(REQUEST_TIMEOUT, '');
  }

  onPlaced(endpoint: LiveEndpoint): void {
    const { context } = this.plane;
    const { clock, ledger, wheel } = context;
    this.account.endpointId = endpoint.id;
    const freshMs = this.isRepeatable ? 0 : wheel.nowMs - FRESH_MS;
    const kept = this.needsFresh ? null : endpoint.pool.take(freshMs);
    this.isOnKept = kept !== null;
    this.hasAnswerBytes = false;
    this.attemptMs = 0;
    if (kept !== null) {
      kept.user = this;
      this.upstream = kept;
      const isAtOnce = this.placement.attempts === 1 && this.state === 'placing';
      this.sendRequest(kept, isAtOnce ? this.account.startMs : clock.nowMs());
      return;
    }
    this.state = 'connecting';
    ledger.addEndpoint(endpoint.slot, EndpointColumn.connects, 1);
    this.upstream = new UpstreamConnection(endpoint, this, context);
    this.upstream.setTimer(this.service.timeouts.connectMs);
  }

  onUpstreamConnect(): void {
    if (this.state !== 'connecting') return;
    this.sendRequest(this.upstream!, this.plane.context.clock.nowMs());
  }

  private sendRequest(upstream: UpstreamConnection, nowMs: number): void {
    const { copy, body, client } = this;
    this.state = 'awaiting';
    this.attemptMs = nowMs;
    const isTaken = upstream.wire.write(copy.view());
    if (!isTaken) copy.lend();
    if (body.bytes > this.service.retry.bodyBytesMax) copy.giveUp();
    if (!body.isDone) {
      if (isTaken) client.release();
      else client.hold();
    }
    this.awaitResponse();
  }

  /** The attempt is over: the connection is closed, the count in flight taken back. */
  private dropUpstream(): void {
    const { upstream } = this;
    this.upstream = null;
    upstream?.destroy();
    if (this.endpoint !== null) this.countBytes(this.endpoint.slot);
    this.placement.leave();
  }

  /** Before the attempt is no longer counted as in flight, which keeps the row this endpoint's. */
  private countBytes(slot: number): void {
    if (this.attemptMs === 0) return;
    const { ledger } = this.plane.context;
    const bytesIn = this.body.bytes;
    const bytesOut = this.response.hasBegun ? this.response.body.bytes : 0;
    if (bytesIn > 0) ledger.addEndpoint(slot, EndpointColumn.bytesIn, bytesIn);
    if (bytesOut > 0) ledger.addEndpoint(slot, EndpointColumn.bytesOut, bytesOut);
  }

  private attemptFailed(why: Reason, detail = ''): void {
    const { live, plane } = this;
    const { ledger, wheel } = plane.context;
    const endpoint = this.endpoint!;
    // A stale connection says nothing of the endpoint: it may be asked again, on a fresh one.
    if (why === STALE) this.needsFresh = true;
    else this.placement.noteTried(endpoint);
    this.dropUpstream();
    this.copy.rescue();
    if (why.blamesEndpoint)
      live.attemptFailed(endpoint, why, why === RETRY_STATUS ? Number(detail) : 0);
    if (why === RESPONSE_TIMEOUT) this.answerUs = this.service.timeouts.responseMs * 1000;
    const second = this.hedge === null ? null : this.hedge.handOver();
    if (second !== null) {
      this.goOnWith(second);
      return;
    }
    const verdict = this.verdictOn(why);
    const mayGoAgain =
      verdict === 'free' || (verdict === 'charged' && live.retryBudget.spend(wheel.nowMs));
    if (!mayGoAgain) {
      this.failWithReply(why, detail);
      return;
    }
    ledger.addRetry(live.slot, why.index);
    ledger.addEndpoint(endpoint.slot, EndpointColumn.retries, 1);
    if (why === STALE || why === ENDPOINT_DOWN) this.placement.forgetAttempt();
    this.state = 'placing';
    this.placement.find();
  }

  private verdictOn(why: Reason): 'no' | 'free' | 'charged' {
    return retryVerdict(why, this.service.retry, {
      isIdempotent: this.isRepeatable,
      isUnsent: this.state === 'connecting',
      hasResponseBegun: this.response.hasBegun,
      isReplayable: this.copy.isWhole,
      attempts: this.placement.attempts,
      hasUntried: this.placement.hasUntried,
    });
  }

  // Hedging

  private awaitHedge(): void {
    const { body, copy } = this;
    const isSafe = this.isRepeatable && body.isDone && copy.isWhole && this.upgrade === '';
    const afterMs = isSafe ? this.live.hedgeAfterMs : Number.POSITIVE_INFINITY;
    if (afterMs === Number.POSITIVE_INFINITY) return;
    this.hedge ??= new Hedge(this, this.plane);
    if (!this.hedge.isTrying) this.hedge.await(afterMs);
  }

  onHedgeDue(): void {
    const { hedge, live } = this;
    if (this.state !== 'awaiting' || this.hasAnswerBytes || hedge!.isTrying) return;
    const endpoint = this.placement.pickOther();
    if (endpoint === null) return;
    if (!live.retryBudget.spend(this.plane.context.wheel.nowMs)) return;
    hedge!.try(endpoint, Buffer.from(this.copy.view()), live);
  }

  onHedgeAnswer(base: Buffer, start: number, end: number): void {
    const second = this.hedge!.handOver()!;
    this.plane.context.ledger.addService(this.live.slot, ServiceColumn.hedgesWon, 1);
    this.dropUpstream();
    this.copy.rescue();
    this.goOnWith(second);
    this.onUpstreamBytes(base, start, end);
  }

  private goOnWith({ endpoint, upstream, sentMs, isOnKept }: HedgeTry): void {
    this.placement.moveTo(endpoint);
    this.account.endpointId = endpoint.id;
    this.upstream = upstream;
    upstream.user = this;
    this.attemptMs = sentMs;
    this.isOnKept = isOnKept;
    this.hasAnswerBytes = false;
    this.state = sentMs === 0 ? 'connecting' : 'awaiting';
  }

  // What happens to the attempt

  /**
   * The endpoint is down by its check, and this exchange may be waiting for it in vain. Where it may
   * not go elsewhere it goes on waiting.
   */
  onEndpointDown(endpoint: LiveEndpoint): void {
    if (this.endpoint !== endpoint) return;
    const isWaiting = this.state === 'connecting' || this.state === 'awaiting';
    if (isWaiting && this.verdictOn(ENDPOINT_DOWN) !== 'no') this.attemptFailed(ENDPOINT_DOWN);
  }

  onUpstreamEnd(): void {
    if (this.state === 'awaiting') this.attemptFailed(this.lossReason());
    else if (this.state === 'relaying') {
      if (!this.response.body.endsWithConnection) return this.cut(RESPONSE_CUT);
      this.response.end();
      this.endResponse();
    }
  }

  onUpstreamClose(error: NodeJS.ErrnoException | null): void {
    const detail = error?.code ?? '';
    // It is gone already; nothing is to be destroyed.
    this.upstream = null;
    switch (this.state) {
      case 'connecting':
        if (isStarved(detail)) return this.makeRoom(detail);
        return this.attemptFailed(
          detail === 'ECONNREFUSED' ? CONNECT_REFUSED : CONNECT_FAILED,
          detail,
        );
      case 'awaiting':
        return this.attemptFailed(this.lossReason(), detail);
      case 'relaying':
        return this.cut(RESPONSE_CUT, detail);
    }
  }

  onUpstreamTimer(): void {
    switch (this.state) {
      case 'connecting':
        return this.attemptFailed(CONNECT_TIMEOUT);
      case 'awaiting':
        return this.attemptFailed(RESPONSE_TIMEOUT);
      case 'relaying':
        // While the client does not take what is there, the silence is not the endpoint's.
        if (!this.client.wire.isFlushed) return this.failClient(CLIENT_CLOSED);
        return this.cut(RESPONSE_STALLED);
    }
  }

  onUpstreamBug(error: unknown): void {
    this.client.onBug(error);
  }

  /** Out of descriptors or ports, which is no fault of the endpoint's: idle connections go. */
  private makeRoom(code: string): void {
    this.dropUpstream();
    if (!this.placement.makeRoom(code)) {
      this.failWithReply(OUT_OF_DESCRIPTORS, code);
      return;
    }
    this.state = 'placing';
    this.placement.find();
  }

  /** Closed before the first byte of the answer: a kept connection may have been closed before us. */
  private lossReason(): Reason {
    return this.isOnKept && !this.hasAnswerBytes ? STALE : RESET;
  }

  // The response

  onUpstreamBytes(base: Buffer, start: number, end: number): void {
    switch (this.state) {
      case 'awaiting':
        this.hasAnswerBytes = true;
        if (this.hedge !== null) this.hedge.cancel();
        return this.readHeads(base, start, end);
      case 'relaying':
        this.response.take(base, start, end);
        return this.afterResponseBytes();
      default:
        // Nothing was asked yet.
        return this.attemptFailed(BAD_RESPONSE, 'bytes before the request');
    }
  }

  private readHeads(base: Buffer, start: number, end: number): void {
    const upstream = this.upstream!;
    const parser = upstream.parser ?? this.plane.takeResponseParser();
    upstream.parser = parser;
    this.takeHeads(parser, base, start, end);
    if (parser.state === HeadState.more) return;
    upstream.parser = null;
    this.plane.giveResponseParser(parser);
  }

  private takeHeads(parser: HeadParser, base: Buffer, start: number, end: number): void {
    let at = start;
    // Interim responses (1xx) come before the final one.
    while (at < end && this.state === 'awaiting') {
      at = parser.feed(base, at, end);
      if (parser.state === HeadState.more) return;
      if (parser.state === HeadState.rejected) {
        const isTooLarge = parser.fault === 'header-too-large';
        return this.attemptFailed(
          isTooLarge ? RESPONSE_HEAD_TOO_LARGE : BAD_RESPONSE,
          parser.fault,
        );
      }
      const { head } = parser;
      if (head.status === 101) return this.beginTunnel(head, base, at, end);
      if (head.status >= 200) return this.beginResponse(head, base, at, end);
      // HTTP/1.0 knows of none.
      if (!this.isOldClient) {
        this.response.sendInterim(head, { client: this.client.wire, policy: this.policy });
      }
      parser.reset();
    }
  }

  private beginResponse(head: Head, base: Buffer, start: number, end: number): void {
    const { client, live } = this;
    const { onStatus } = this.service.retry;
    const us = this.observe(head.status);
    if (onStatus.size > 0 && onStatus.has(head.status) && this.mayRetryStatus()) {
      return this.attemptFailed(RETRY_STATUS, String(head.status));
    }
    const answered = {
      method: this.method,
      isOldClient: this.isOldClient,
      // While more of the request may come, its end can't be told from the next one's start.
      mayKeepAlive: this.mayKeepAlive && this.body.isDone && client.mayKeepAlive(),
      policy: this.policy,
      client: client.wire,
      upstream: this.upstream!.wire,
    };
    if (!this.response.begin(head, answered, { base, start, end })) {
      return this.attemptFailed(BAD_RESPONSE, this.response.body.fault);
    }
    live.attemptSucceeded(this.endpoint!, us, head.status);
    this.state = 'relaying';
    this.account.status = head.status;
    // What is not done with this read ends at another moment. Afterwards this exchange may serve
    // another request.
    if (!this.response.body.isDone) this.account.goesOn();
    this.afterResponseBytes();
  }

  /** Counts the answer; returns how long it took, microseconds. */
  private observe(status: number): number {
    const us = this.account.answered(this.attemptMs, this.plane.context);
    this.plane.context.ledger.addResponse(this.endpoint!.slot, status, us);
    this.answerUs = us;
    return us;
  }

  private mayRetryStatus(): boolean {
    this.placement.noteTried(this.endpoint!);
    return (
      this.isRepeatable &&
      this.copy.isWhole &&
      this.placement.attempts < this.service.retry.attempts &&
      this.placement.hasUntried &&
      // Out of budget, the endpoint's own answer says more than one of ours.
      this.live.retryBudget.has(this.plane.context.wheel.nowMs)
    );
  }

  private afterResponseBytes(): void {
    const { body } = this.response;
    if (body.fault !== '') this.cut(BAD_RESPONSE_BODY, body.fault);
    else if (body.isDone) this.endResponse();
    else this.upstream!.setTimer(this.service.timeouts.idleBodyMs);
  }

  private endResponse(): void {
    const upstream = this.upstream!;
    const { client, response } = this;
    upstream.clearTimer();
    const isClean = response.isUpstreamKept && this.body.isDone && upstream.wire.isFlushed;
    if (isClean && upstream.wire.isOpen) {
      this.upstream = null;
      response.leaveUpstream();
      // A client that reads slowly must not keep a connection from being read that is idle now.
      upstream.wire.resume();
      upstream.release(this.service.limits);
    }
    const { isClientKept } = response;
    const isRequestDone = this.body.isDone;
    this.finish(null);
    client.exchangeDone(isClientKept, isRequestDone);
  }

  private beginTunnel(head: Head, base: Buffer, start: number, end: number): void {
    const { client, plane } = this;
    const upstream = this.upstream!;
    if (!writeSwitch(plane.responseWriter, head, this.policy, this.upgrade)) {
      return this.attemptFailed(UNEXPECTED_UPGRADE);
    }
    plane.context.ledger.addService(this.live.slot, ServiceColumn.upgrades, 1);
    this.live.attemptSucceeded(this.endpoint!, this.observe(head.status));
    this.account.goesOn();
    this.response.hasBegun = true;
    this.account.status = head.status;
    this.state = 'tunnel';
    this.endLimits();
    if (!client.wire.write(plane.responseWriter.view())) plane.responseWriter.abandonBuffer();
    const tunnel = new Tunnel(this, client, upstream, this.service.timeouts.idleTunnelMs);
    this.tunnel = tunnel;
    client.beginTunnel(tunnel);
    if (end > start && this.tunnel === tunnel) tunnel.onUpstreamBytes(base, start, end);
  }

  tunnelDone(): void {
    if (this.state === 'tunnel') this.finish(null);
  }

  onTunnelBytes(bytesIn: number, bytesOut: number): void {
    const { ledger } = this.plane.context;
    const { slot } = this.endpoint!;
    if (bytesIn > 0) {
      ledger.addEndpoint(slot, EndpointColumn.bytesIn, bytesIn);
      ledger.addService(this.live.slot, ServiceColumn.bytesIn, bytesIn);
    }
    if (bytesOut > 0) {
      ledger.addEndpoint(slot, EndpointColumn.bytesOut, bytesOut);
      ledger.addService(this.live.slot, ServiceColumn.bytesOut, bytesOut);
    }
  }

  // Back-pressure

  onUpstreamDrain(): void {
    this.copy.takeBack();
    this.client.release();
  }

  /** The client has taken everything that was sent: more may come from the endpoint. */
  onClientDrain(): void {
    this.upstream?.wire.resume();
  }

  // Ends

  /** With neither length nor chunks an orderly close would look like the end of the response. */
  get looksComplete(): boolean {
    return this.state === 'relaying' && !this.response.body.isFramedOut;
  }

  /** A fault of the client in the middle of its request. */
  failClient(why: Reason): void {
    if (this.state === 'free') return;
    if (this.response.hasBegun) this.end(why, '');
    else this.failWithReply(why, '', false);
  }

  /** Nothing went to the client yet: it gets an answer of ours. */
  private failWithReply(why: Reason, detail: string, isClientKept = true): void {
    const { client } = this;
    const isKept = isClientKept && this.body.isDone && this.mayKeepAlive;
    this.account.status = why.status;
    this.finish(why, detail);
    // Why there is no endpoint is for everyone; what went wrong with one is for the log.
    client.reply(why, why === NO_ENDPOINT ? detail : '', isKept);
  }

  /** The response broke off by the endpoint's fault. */
  private cut(why: Reason, detail = ''): void {
    if (this.endpoint !== null) this.live.attemptFailed(this.endpoint, why);
    this.end(why, detail);
  }

  /** Ends in mid-response: the client's connection is cut, so that it can't look complete. */
  private end(why: Reason, detail: string): void {
    const { client, looksComplete } = this;
    this.finish(why, detail);
    if (looksComplete) client.reset();
    else client.abort();
  }

  /** The client is gone: what the endpoint does for it is stopped. */
  onClientClose(isOrderly: boolean): void {
    if (this.state === 'free') return;
    if (this.state !== 'tunnel') this.finish(CLIENT_CLOSED);
    else {
      if (!isOrderly) this.upstream?.reset();
      this.finish(null);
    }
  }

  /** A rule of ours was broken: whatever can still be done is to count right. */
  abandon(): void {
    if (this.state !== 'free') this.finish(BUG);
  }

  /** What bounds requests does not bound tunnels: their place while memory is short is another. */
  private endLimits(): void {
    this.placement.endAdmission(this.answerUs);
    this.deadline?.clear();
    this.hedge?.cancel();
  }

  /**
   * The last step on every way, and the only one: counts, logs, takes back every reference to the
   * exchange, and gives it back. It may serve another connection before this returns to the caller,
   * who reads nothing of it afterwards.
   */
  private finish(why: Reason | null, detail = ''): void {
    const { context } = this.plane;
    this.state = 'free';
    this.endLimits();
    this.dropUpstream();
    this.placement.end(this.answerUs);
    this.account.close(this, why, detail, context);
    this.copy.letGo();
    this.tunnel = null;
    this.isHeld = false;
    this.client.exchangeLeft(this);
    assert(this.endpoint === null && this.upstream === null, 'what is given back holds nothing');
    assert(!this.placement.isQueued, 'what is given back waits for nothing');
    this.plane.giveExchange(this);
  }

  get bodyIn(): number {
    return this.body.bytes;
  }

  get bodyOut(): number {
    return this.response.hasBegun ? this.response.body.bytes : 0;
  }

  get tunnelIn(): number {
    return this.tunnel === null ? 0 : this.tunnel.bytesIn;
  }

  get tunnelOut(): number {
    return this.tunnel === null ? 0 : this.tunnel.bytesOut;
  }

  /** As new: at the beginning, so that nothing of the request before can have come in since. */
  private reset(): void {
    this.copy.reset();
    this.response.reset();
    this.upgrade = '';
    this.attemptMs = 0;
    this.needsFresh = false;
    this.isOnKept = false;
    this.hasAnswerBytes = false;
    this.answerUs = 0;
  }
}
