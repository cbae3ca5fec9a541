// One request with its answer: from the parsed head to the last byte of the response, over one or
// more attempts. It is taken from the plane when a head is complete and given back when the answer
// is. Reading order: begin -> takeBody -> dispatch -> place -> attempt -> sendRequest ->
// onUpstreamBytes -> readHeads -> beginResponse -> endResponse; attemptFailed is every other way.
//
//   free -> placing <-> queued            placing: choosing an endpoint
//           placing -> connecting -> awaiting -> relaying -> free
//                 ^-- retry --'-----------'          '-> tunnel -> free
//
// Invariant: `endpoint` is set exactly while the ledger counts this exchange as in flight on it.
import { performance } from 'node:perf_hooks';
import { assert } from '../../base/assert.ts';
import { TimerEntry, type TimerOwner } from '../../base/timer-wheel.ts';
import { isPersistent, requestBody } from '../../http1/framing.ts';
import { type Head, HeadFlag } from '../../http1/head.ts';
import { HeadState } from '../../http1/head-parser.ts';
import { EndpointColumn, ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { Route } from '../../model/route.ts';
import type { Service } from '../../model/service.ts';
import type { LiveEndpoint, LiveService, Waiter } from '../live-service.ts';
import { UpstreamConnection, type UpstreamUser } from '../upstream-connection.ts';
import { BodyRelay } from './body-relay.ts';
import type { ClientConnection } from './client-connection.ts';
import { hashOf } from './hash-key.ts';
import { HeaderPolicy } from './header-policy.ts';
import type { HttpPlane } from './plane.ts';
import { RequestCopy } from './request-copy.ts';
import { writeRequestHead } from './request-head.ts';
import { ResponseRelay } from './response-relay.ts';
import { isIdempotent, retryVerdict } from './retry.ts';
import { Tunnel, type TunnelOwner } from './tunnel.ts';
import { acceptedProtocol, writeSwitch } from './upgrade.ts';

type State = 'free' | 'placing' | 'queued' | 'connecting' | 'awaiting' | 'relaying' | 'tunnel';

/** Kept connections that lay idle for longer are not used for what can't be repeated. */
const FRESH_MS = 1000;

const NO_ENDPOINT = reason('no-endpoint');
const QUEUE_FULL = reason('queue-full');
const QUEUE_TIMEOUT = reason('queue-timeout');
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

export class Exchange implements UpstreamUser, Waiter, TimerOwner, TunnelOwner {
  state: State = 'free';
  /** Its place among the plane's active exchanges. */
  activeIndex = -1;
  private readonly plane: HttpPlane;
  private readonly timer = new TimerEntry(this);
  private client!: ClientConnection;
  private live!: LiveService;
  /** The policy that it began with. */
  private service!: Service;
  private policy!: HeaderPolicy;

  // The request.
  private readonly copy = new RequestCopy();
  private readonly body = new BodyRelay();
  private method = '';
  private isRepeatable = false;
  private isOldClient = false;
  /** What an upgrade asks for; '' where it is none. */
  private upgrade = '';
  private mayKeepAlive = false;
  private hash = 0;

  // Attempts.
  /** Slots of the endpoints that failed. */
  private readonly tried: number[] = [];
  private attempts = 0;
  private needsFresh = false;
  private endpoint: LiveEndpoint | null = null;
  private upstream: UpstreamConnection | null = null;
  private attemptMs = 0;
  /** The connection of this attempt had served before, so it may be stale. */
  private isOnKept = false;
  private hasAnswerBytes = false;

  // The response.
  private readonly response: ResponseRelay;
  private tunnel: Tunnel | null = null;

  // For the log and the ledger.
  private startMs = 0;
  private status = 0;
  private target = '';
  private host = '';
  private endpointId = '';

  constructor(plane: HttpPlane) {
    this.plane = plane;
    this.response = new ResponseRelay(plane.responseWriter);
  }

  /** The head is complete: takes everything that is needed of it, for its bytes won't stay. */
  begin(client: ClientConnection, head: Head, live: LiveService, route: Route | null): void {
    assert(this.state === 'free', 'an exchange serves one request at a time');
    const { service } = live;
    this.state = 'placing';
    this.client = client;
    this.live = live;
    if (this.service !== service) {
      this.service = service;
      this.policy = HeaderPolicy.of(service.http);
    }
    this.startMs = performance.now();
    this.method = head.method;
    this.isRepeatable = isIdempotent(head.method);
    this.isOldClient = head.minorVersion === 0;
    this.mayKeepAlive = isPersistent(head);
    this.body.begin(requestBody(head), head.contentLength, head.isChunked);
    if (head.has(HeadFlag.upgrade)) this.upgrade = acceptedProtocol(head);
    const facts = client.factsFor(this.policy);
    if (service.balance.hash !== null)
      this.hash = hashOf(service.balance.hash, head, facts.address);
    if (this.plane.context.accessLog !== null) {
      this.target = head.text(head.targetStart, head.targetEnd);
      this.host = head.hostStart < 0 ? '' : head.text(head.hostStart, head.hostEnd);
    }
    live.retryBudget.earn();
    writeRequestHead(this.copy.writer, {
      head,
      client: facts,
      policy: this.policy,
      route,
      isUpgrade: this.upgrade !== '',
      makeRequestId: this.plane.makeRequestId,
    });
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
    return this.service.timeouts.idleMs;
  }

  /** Chooses an endpoint; to be called once after `begin` and the body bytes that came with the head. */
  dispatch(): void {
    if (this.state !== 'placing') return;
    const { limits } = this.service;
    // What is announced too large is refused before an endpoint, or a client that expects 100, sees it.
    if (limits.bodyBytes > 0 && this.body.bytes + this.body.announced > limits.bodyBytes) {
      this.failClient(BODY_TOO_LARGE);
    } else {
      this.place();
    }
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
  }

  // Attempts

  private place(): void {
    const { live } = this;
    const endpoint = live.pick(this.tried, this.hash);
    if (endpoint !== null) this.attempt(endpoint);
    else if (live.usableCount === 0) this.failWithReply(NO_ENDPOINT, live.whyNoEndpoint());
    else this.enqueue();
  }

  private enqueue(): void {
    const { wheel } = this.plane.context;
    if (!this.live.enqueue(this)) {
      this.failWithReply(QUEUE_FULL, '');
      return;
    }
    if (this.state !== 'queued') wheel.schedule(this.timer, this.service.limits.queueTimeoutMs);
    this.state = 'queued';
  }

  onPlace(): void {
    if (this.state !== 'queued') return;
    try {
      this.place();
    } catch (error) {
      // Who called is another exchange.
      this.client.onBug(error);
    }
  }

  /** The time in the queue is up. */
  onTimer(): void {
    if (this.state !== 'queued') return;
    this.live.dequeue(this);
    this.failWithReply(QUEUE_TIMEOUT, '');
  }

  private attempt(endpoint: LiveEndpoint): void {
    const { ledger, wheel } = this.plane.context;
    if (this.state === 'queued') wheel.cancel(this.timer);
    this.endpoint = endpoint;
    this.endpointId = endpoint.id;
    this.attempts += 1;
    ledger.acquire(endpoint.slot);
    ledger.addEndpoint(endpoint.slot, EndpointColumn.attempts, 1);
    const freshMs = this.isRepeatable ? 0 : wheel.nowMs - FRESH_MS;
    const kept = this.needsFresh ? null : endpoint.pool.take(freshMs);
    this.isOnKept = kept !== null;
    this.hasAnswerBytes = false;
    if (kept !== null) {
      kept.user = this;
      this.upstream = kept;
      this.sendRequest(kept);
      return;
    }
    this.state = 'connecting';
    ledger.addEndpoint(endpoint.slot, EndpointColumn.connects, 1);
    this.upstream = new UpstreamConnection(endpoint, this, wheel);
    this.upstream.setTimer(this.service.timeouts.connectMs);
  }

  onUpstreamConnect(): void {
    if (this.state === 'connecting') this.sendRequest(this.upstream!);
  }

  private sendRequest(upstream: UpstreamConnection): void {
    const { copy, body, client } = this;
    this.state = 'awaiting';
    this.attemptMs = performance.now();
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
    const { endpoint, upstream } = this;
    this.upstream = null;
    upstream?.destroy();
    if (endpoint === null) return;
    this.endpoint = null;
    this.plane.context.ledger.release(endpoint.slot);
    this.live.placeFreed();
  }

  private attemptFailed(why: Reason, detail = ''): void {
    const { live, plane } = this;
    const { ledger, wheel } = plane.context;
    const endpoint = this.endpoint!;
    // A stale connection says nothing of the endpoint: it may be asked again, on a fresh one.
    if (why === STALE) this.needsFresh = true;
    else this.noteTried(endpoint);
    this.dropUpstream();
    this.copy.rescue();
    if (why.blamesEndpoint)
      live.attemptFailed(endpoint, why, why === RETRY_STATUS ? Number(detail) : 0);
    const verdict = retryVerdict(why, this.service.retry, {
      isIdempotent: this.isRepeatable,
      hasResponseBegun: this.response.hasBegun,
      isReplayable: this.copy.isWhole,
      attempts: this.attempts,
      hasUntried: this.tried.length < live.usableCount,
    });
    const mayGoAgain =
      verdict === 'free' || (verdict === 'charged' && live.retryBudget.spend(wheel.nowMs));
    if (!mayGoAgain) {
      this.failWithReply(why, detail);
      return;
    }
    ledger.addRetry(live.slot, why.index);
    ledger.addEndpoint(endpoint.slot, EndpointColumn.retries, 1);
    // What only moved has not been tried.
    if (why === STALE || why === ENDPOINT_DOWN) this.attempts -= 1;
    this.state = 'placing';
    this.place();
  }

  private noteTried(endpoint: LiveEndpoint): void {
    if (!this.tried.includes(endpoint.slot)) this.tried.push(endpoint.slot);
  }

  /** The endpoint is down by its check, and this exchange may be waiting for it in vain. */
  onEndpointDown(endpoint: LiveEndpoint): void {
    if (this.endpoint !== endpoint || this.state !== 'awaiting') return;
    if (this.isRepeatable && this.copy.isWhole) this.attemptFailed(ENDPOINT_DOWN);
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

  /** Closed before the first byte of the answer: a kept connection may have been closed before us. */
  private lossReason(): Reason {
    return this.isOnKept && !this.hasAnswerBytes ? STALE : RESET;
  }

  // The response

  onUpstreamBytes(base: Buffer, start: number, end: number): void {
    switch (this.state) {
      case 'awaiting':
        this.hasAnswerBytes = true;
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
    const { parser } = this.upstream!;
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
    this.status = head.status;
    this.afterResponseBytes();
  }

  /** Counts the answer; returns how long it took, microseconds. */
  private observe(status: number): number {
    const us = (performance.now() - this.attemptMs) * 1000;
    this.plane.context.ledger.addResponse(this.endpoint!.slot, status, us);
    return us;
  }

  private mayRetryStatus(): boolean {
    this.noteTried(this.endpoint!);
    return (
      this.isRepeatable &&
      this.copy.isWhole &&
      this.attempts < this.service.retry.attempts &&
      this.tried.length < this.live.usableCount &&
      // Out of budget, the endpoint's own answer says more than one of ours.
      this.live.retryBudget.has(this.plane.context.wheel.nowMs)
    );
  }

  private afterResponseBytes(): void {
    const { body } = this.response;
    if (body.fault !== '') this.cut(BAD_RESPONSE_BODY, body.fault);
    else if (body.isDone) this.endResponse();
    else this.upstream!.setTimer(this.service.timeouts.idleMs);
  }

  private endResponse(): void {
    const upstream = this.upstream!;
    const { client, response } = this;
    const { limits } = this.service;
    upstream.clearTimer();
    const isClean = response.isUpstreamKept && this.body.isDone && upstream.wire.isFlushed;
    if (isClean && upstream.wire.isOpen) {
      this.upstream = null;
      // A client that reads slowly must not keep a connection from being read that is idle now.
      upstream.wire.resume();
      upstream.release(limits.idleUpstream, limits.idleUpstreamMs);
    }
    const { isClientKept } = response;
    this.finish(null);
    client.exchangeDone(isClientKept);
  }

  private beginTunnel(head: Head, base: Buffer, start: number, end: number): void {
    const { client, plane } = this;
    const upstream = this.upstream!;
    if (!writeSwitch(plane.responseWriter, head, this.policy, this.upgrade)) {
      return this.attemptFailed(UNEXPECTED_UPGRADE);
    }
    plane.context.ledger.addService(this.live.slot, ServiceColumn.upgrades, 1);
    this.live.attemptSucceeded(this.endpoint!, this.observe(head.status));
    this.response.hasBegun = true;
    this.status = head.status;
    this.state = 'tunnel';
    if (!client.wire.write(plane.responseWriter.view())) plane.responseWriter.abandonBuffer();
    const tunnel = new Tunnel(this, client, upstream, this.service.timeouts.idleMs);
    this.tunnel = tunnel;
    client.beginTunnel(tunnel);
    if (end > start && this.tunnel === tunnel) tunnel.onUpstreamBytes(base, start, end);
  }

  tunnelDone(): void {
    if (this.state === 'tunnel') this.finish(null);
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
    this.status = why.status;
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
  onBug(): void {
    if (this.state !== 'free') this.finish(BUG);
  }

  /** The last step on every way: counts, logs, and gives the exchange back. */
  private finish(why: Reason | null, detail = ''): void {
    const { context } = this.plane;
    if (this.state === 'queued') {
      this.live.dequeue(this);
      context.wheel.cancel(this.timer);
    }
    this.state = 'free';
    this.dropUpstream();
    const ms = performance.now() - this.startMs;
    const { slot } = this.live;
    context.ledger.addExchange(slot, this.status, ms * 1000);
    const { bytesIn, bytesOut } = this;
    if (bytesIn > 0) context.ledger.addService(slot, ServiceColumn.bytesIn, bytesIn);
    if (bytesOut > 0) context.ledger.addService(slot, ServiceColumn.bytesOut, bytesOut);
    if (why !== null) {
      context.ledger.addReason(slot, why.index);
      this.logFailure(why, detail);
    }
    if (context.accessLog !== null) this.logAccess(why, ms);
    this.clear();
    this.plane.giveExchange(this);
  }

  private get bytesIn(): number {
    return this.body.bytes + (this.tunnel === null ? 0 : this.tunnel.bytesIn);
  }

  private get bytesOut(): number {
    if (this.tunnel !== null) return this.tunnel.bytesOut;
    return this.response.hasBegun ? this.response.body.bytes : 0;
  }

  /** One line per failure, at the level of whose fault it is. */
  private logFailure(why: Reason, detail: string): void {
    const { log } = this.plane.context;
    const fields = {
      service: this.live.name,
      endpoint: this.endpointId,
      method: this.method,
      status: this.status,
      reason: why.code,
      attempts: this.attempts,
      detail,
    };
    if (why === CLIENT_CLOSED) log.debug(fields, why.text);
    else if (why.side === 'client') log.info(fields, why.text);
    else log.warn(fields, why.text);
  }

  private logAccess(why: Reason | null, totalMs: number): void {
    this.plane.context.accessLog!.add({
      client: this.client.address,
      listener: this.client.listenerKey,
      service: this.live.name,
      endpoint: this.endpointId,
      method: this.method,
      target: this.target,
      host: this.host,
      status: this.status,
      reason: why?.code ?? '',
      attempts: this.attempts,
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
      totalMs,
    });
  }

  /** As new, for the next request. */
  private clear(): void {
    this.copy.clear();
    this.response.clear();
    this.tunnel = null;
    this.upgrade = '';
    this.hash = 0;
    if (this.tried.length > 0) this.tried.length = 0;
    this.attempts = 0;
    this.needsFresh = false;
    this.status = 0;
    this.endpointId = '';
  }
}
