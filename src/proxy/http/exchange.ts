// One request with its answer: from the parsed head to the last byte of the response, over one or
// more attempts. It is taken from the plane when a head is complete and given back when the answer
// is. Reading order: begin -> takeRequestBytes -> dispatch -> (connect) -> sendRequest ->
// onUpstreamBytes -> readResponseHead -> relayBody -> complete; attemptFailed is every other way.
//
//   free -> placing <-> queued            placing: choosing an endpoint
//           placing -> connecting -> awaiting -> relaying -> free
//                 ^-- retry --'-----------'          '-> tunnel -> free
//
// Invariant: `endpoint` is set exactly while the ledger counts this exchange as in flight on it.
import { hashText } from '../../balance/hash.ts';
import { assert } from '../../base/assert.ts';
import { TimerEntry, type TimerOwner } from '../../base/timer-wheel.ts';
import { BodyState, ChunkedDecoder } from '../../http1/chunked-decoder.ts';
import { FieldId } from '../../http1/fields.ts';
import {
  Body,
  type BodyKind,
  isPersistent,
  requestBody,
  responseBody,
} from '../../http1/framing.ts';
import { type Head, HeadFlag } from '../../http1/head.ts';
import { HeadState } from '../../http1/head-parser.ts';
import { HeadWriter } from '../../http1/head-writer.ts';
import { EndpointColumn, ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { Route } from '../../model/route.ts';
import type { Service } from '../../model/service.ts';
import type { LiveEndpoint, LiveService, Waiter } from '../live-service.ts';
import { UpstreamConnection, type UpstreamUser } from '../upstream-connection.ts';
import type { ClientConnection } from './client-connection.ts';
import type { HttpPlane } from './plane.ts';
import { writeRequestHead } from './request-head.ts';
import { writeResponseHead } from './response-head.ts';
import { isIdempotent, retryVerdict } from './retry.ts';

type State = 'free' | 'placing' | 'queued' | 'connecting' | 'awaiting' | 'relaying' | 'tunnel';

/** Kept connections that lay idle for longer are not used for what can't be repeated. */
const FRESH_MS = 1000;
/** Room that a chunk's size line takes at most. */
const CHUNK_LINE_MAX = 18;
const CR = 13;
const LF = 10;

const LAST_CHUNK = Buffer.from('0\r\n\r\n');

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

export class Exchange implements UpstreamUser, Waiter, TimerOwner {
  state: State = 'free';
  /** The whole request has arrived from the client. */
  isRequestDone = false;
  private readonly plane: HttpPlane;
  private readonly timer = new TimerEntry(this);
  private client!: ClientConnection;
  private live!: LiveService;
  /** The policy that it began with. */
  private service!: Service;

  // The request. What goes to the endpoint lies in `out` as long as it may have to go again.
  private readonly out = new HeadWriter();
  /** An unfinished write refers to the buffer of `out`. */
  private isOutLent = false;
  private isReplayable = true;
  private method = '';
  private isRepeatable = false;
  private isOldClient = false;
  private isUpgrade = false;
  private mayKeepAlive = false;
  private bodyKind: BodyKind = Body.none;
  private bodyLeft = 0;
  private bodyBytes = 0;
  private decoder: ChunkedDecoder | null = null;
  private hash = 0;

  // Attempts.
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
  private hasResponseBegun = false;
  private status = 0;
  private responseKind: BodyKind = Body.none;
  private responseLeft = 0;
  private responseDecoder: ChunkedDecoder | null = null;
  private isChunkedOut = false;
  private isUpstreamKept = false;
  private isClientKept = false;
  private hasUpstreamEnded = false;

  // For the log and the ledger.
  private startMs = 0;
  private bytesIn = 0;
  private bytesOut = 0;
  private target = '';
  private host = '';
  private endpointId = '';

  constructor(plane: HttpPlane) {
    this.plane = plane;
  }

  /** The head is complete: takes everything that is needed of it, for its bytes won't stay. */
  begin(client: ClientConnection, head: Head, live: LiveService, route: Route | null): void {
    assert(this.state === 'free', 'an exchange serves one request at a time');
    const { context } = this.plane;
    this.state = 'placing';
    this.client = client;
    this.live = live;
    this.service = live.service;
    this.startMs = performance.now();
    this.method = head.method;
    this.isRepeatable = isIdempotent(head.method);
    this.isOldClient = head.minorVersion === 0;
    this.mayKeepAlive = isPersistent(head);
    this.bodyKind = requestBody(head);
    this.bodyLeft = this.bodyKind === Body.length ? head.contentLength : 0;
    this.isRequestDone = this.bodyKind === Body.none;
    this.isUpgrade = head.has(HeadFlag.upgrade) && this.isRequestDone && !isH2c(head);
    if (this.bodyKind === Body.chunked) {
      this.decoder ??= new ChunkedDecoder();
      this.decoder.reset();
    }
    if (this.service.balance.policy === 'hash') this.hash = this.hashOf(head);
    if (context.accessLog !== null) {
      this.target = head.text(head.targetStart, head.targetEnd);
      this.host = head.hostStart < 0 ? '' : head.text(head.hostStart, head.hostEnd);
    }
    live.retryBudget.earn();
    writeRequestHead(this.out, {
      head,
      client: client.facts,
      policy: this.service.http,
      route,
      isUpgrade: this.isUpgrade,
      makeRequestId: this.plane.makeRequestId,
    });
  }

  /** How long the client may keep us waiting for the next piece of its body, ms. */
  get bodyIdleMs(): number {
    return this.service.timeouts.idleMs;
  }

  /** Chooses an endpoint; to be called once after `begin` and the body bytes that came with the head. */
  dispatch(): void {
    if (this.state !== 'placing') return;
    const { bodyBytes } = this.service.limits;
    // What is announced too large is refused before an endpoint, or a client that expects 100, sees it.
    if (bodyBytes > 0 && this.bodyBytes + this.bodyLeft > bodyBytes)
      this.failClient(BODY_TOO_LARGE);
    else this.place();
  }

  /**
   * Takes bytes of the request body and returns the offset after the last one that belongs to it.
   * May end the exchange: look at the client's state afterwards.
   */
  takeRequestBytes(base: Buffer, start: number, end: number): number {
    if (this.bodyKind === Body.chunked) return this.takeChunked(base, start, end);
    const count = Math.min(this.bodyLeft, end - start);
    this.bodyLeft -= count;
    if (this.bodyLeft === 0) this.isRequestDone = true;
    this.countBody(count);
    this.sendBody(base, start, start + count);
    this.afterBody();
    return start + count;
  }

  private takeChunked(base: Buffer, start: number, end: number): number {
    const decoder = this.decoder!;
    const next = decoder.decode(base, start, end);
    // The framing that goes out is ours, and not what limits and figures are about.
    this.countBody(decoder.dataEnd - start);
    if (decoder.state === BodyState.rejected) {
      this.failClient(reason(decoder.fault as 'bad-chunk' | 'bad-trailer'));
      return end;
    }
    const { dataEnd } = decoder;
    if (dataEnd > start) {
      // What follows the body in the buffer is another request's and must not be written over.
      assert(next === end || dataEnd + 2 <= next, 'a chunk ends before the bytes behind it');
      this.sendBody(base, frameChunk(base, start, dataEnd), dataEnd + 2);
    }
    if (decoder.state === BodyState.done) {
      this.isRequestDone = true;
      const last = decoder.trailers === '' ? LAST_CHUNK : lastChunk(decoder.trailers);
      this.sendBody(last, 0, last.length);
    }
    this.afterBody();
    return next;
  }

  private countBody(count: number): void {
    this.bodyBytes += count;
    this.bytesIn += count;
    const { bodyBytes } = this.service.limits;
    if (bodyBytes > 0 && this.bodyBytes > bodyBytes) this.failClient(BODY_TOO_LARGE);
  }

  private sendBody(base: Buffer, start: number, end: number): void {
    if (this.state === 'free') return;
    const { retry } = this.service;
    const isSent = this.state === 'awaiting' || this.state === 'relaying';
    if (this.isReplayable && isSent && this.bodyBytes > retry.bodyBytesMax) {
      this.isReplayable = false;
    }
    if (this.isReplayable) this.out.copy(base, start, end);
    if (isSent) {
      const isTaken = this.client.wire.forwardTo(this.upstream!.wire, base, start, end);
      if (!isTaken) this.client.holdBody();
    } else if (this.bodyBytes >= retry.bodyBytesMax) {
      // No endpoint to send it to yet: the client waits.
      this.client.holdBody();
    }
  }

  /** Set the time-outs anew after a piece of the body: the next piece, or the answer, is awaited. */
  private afterBody(): void {
    if (this.state === 'awaiting') this.awaitResponse();
  }

  /** The endpoint's time runs while it is its turn: not while we wait for the client's body. */
  private awaitResponse(): void {
    const { responseMs } = this.service.timeouts;
    if (this.isRequestDone || this.client.isHeld) this.upstream!.setTimer(responseMs);
    else this.upstream!.clearTimer();
  }

  private hashOf(head: Head): number {
    const key = this.service.balance.hash;
    if (key === null) return 0;
    if (key.on === 'header') return hashText(head.valueOfName(key.name) ?? '');
    if (key.on === 'cookie') return hashText(cookieOf(head, key.name));
    return hashText(this.client.facts.address);
  }

  // Attempts

  private place(): void {
    const { live } = this;
    const endpoint = live.pick(this.tried, this.hash);
    if (endpoint === null) {
      if (live.usableCount === 0) this.failSelf(NO_ENDPOINT, live.whyNoEndpoint());
      else this.enqueue();
      return;
    }
    this.attempt(endpoint);
  }

  private enqueue(): void {
    const { limits } = this.service;
    if (!this.live.enqueue(this)) {
      this.failSelf(QUEUE_FULL, '');
      return;
    }
    if (this.state !== 'queued')
      this.plane.context.wheel.schedule(this.timer, limits.queueTimeoutMs);
    this.state = 'queued';
  }

  onPlace(): void {
    if (this.state === 'queued') this.place();
  }

  /** The time in the queue is up. */
  onTimer(): void {
    if (this.state !== 'queued') return;
    this.live.dequeue(this);
    this.failSelf(QUEUE_TIMEOUT, '');
  }

  private attempt(endpoint: LiveEndpoint): void {
    const { context } = this.plane;
    if (this.state === 'queued') context.wheel.cancel(this.timer);
    this.endpoint = endpoint;
    this.endpointId = endpoint.id;
    this.attempts += 1;
    if (!this.tried.includes(endpoint.slot)) this.tried.push(endpoint.slot);
    context.ledger.acquire(endpoint.slot);
    context.ledger.addEndpoint(endpoint.slot, EndpointColumn.attempts, 1);
    const freshMs = this.isRepeatable ? 0 : context.wheel.nowMs - FRESH_MS;
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
    context.ledger.addEndpoint(endpoint.slot, EndpointColumn.connects, 1);
    this.upstream = new UpstreamConnection(endpoint, this, context.wheel);
    this.upstream.setTimer(this.service.timeouts.connectMs);
  }

  onUpstreamConnect(): void {
    if (this.state === 'connecting') this.sendRequest(this.upstream!);
  }

  private sendRequest(upstream: UpstreamConnection): void {
    this.state = 'awaiting';
    this.attemptMs = performance.now();
    const isTaken = upstream.wire.write(this.out.view());
    if (!isTaken) this.isOutLent = true;
    if (this.bodyBytes > this.service.retry.bodyBytesMax) this.isReplayable = false;
    if (!this.isRequestDone) {
      if (isTaken) this.client.resumeBody();
      else this.client.holdBody();
    }
    this.awaitResponse();
  }

  /** The attempt is over: the connection is closed, the count in flight taken back. */
  private dropUpstream(): void {
    this.upstream?.destroy();
    this.upstream = null;
    this.leaveEndpoint();
  }

  private leaveEndpoint(): void {
    const { endpoint } = this;
    if (endpoint === null) return;
    this.endpoint = null;
    this.plane.context.ledger.release(endpoint.slot);
    this.live.placeFreed();
  }

  private attemptFailed(why: Reason, detail = ''): void {
    const { live, plane } = this;
    const endpoint = this.endpoint!;
    // The kernel closes what is queued with the socket; the bytes are ours again.
    this.dropUpstream();
    if (this.isOutLent) this.keepOut();
    if (why.blamesEndpoint) live.attemptFailed(endpoint, why);
    const verdict = retryVerdict(why, this.service.retry, {
      isIdempotent: this.isRepeatable,
      hasResponseBegun: this.hasResponseBegun,
      isReplayable: this.isReplayable,
      attempts: this.attempts,
      hasUntried: this.tried.length < live.usableCount,
    });
    const mayGoAgain =
      verdict === 'free' ||
      (verdict === 'charged' && live.retryBudget.spend(plane.context.wheel.nowMs));
    if (!mayGoAgain) {
      this.failUpstream(why, endpoint, detail);
      return;
    }
    plane.context.ledger.addRetry(live.slot, why.index);
    plane.context.ledger.addEndpoint(endpoint.slot, EndpointColumn.retries, 1);
    if (why === STALE) {
      // The endpoint itself is well: the same one may be asked again, on a connection of its own.
      this.needsFresh = true;
      this.tried.splice(this.tried.indexOf(endpoint.slot), 1);
      this.attempts -= 1;
    }
    this.state = 'placing';
    this.place();
  }

  /** A failed write may still refer to the buffer of `out`: what has to go again moves to another. */
  private keepOut(): void {
    const bytes = Buffer.from(this.out.view());
    this.out.abandonBuffer();
    this.out.copy(bytes, 0, bytes.length);
    this.isOutLent = false;
  }

  /** The endpoint is down by its check, and this exchange may be waiting for it in vain. */
  onEndpointDown(endpoint: LiveEndpoint): void {
    if (this.endpoint !== endpoint || this.state !== 'awaiting' || this.hasResponseBegun) return;
    if (this.isRepeatable && this.isReplayable) this.attemptFailed(ENDPOINT_DOWN);
  }

  onUpstreamEnd(): void {
    switch (this.state) {
      case 'awaiting':
        return this.attemptFailed(this.lossReason());
      case 'relaying':
        if (this.responseKind !== Body.untilClose) return this.cut(RESPONSE_CUT);
        this.isUpstreamKept = false;
        return this.endResponse();
      case 'tunnel':
        this.hasUpstreamEnded = true;
        return this.client.endTunnel();
    }
  }

  onUpstreamClose(error: NodeJS.ErrnoException | null): void {
    // It is gone already; nothing is to be destroyed.
    this.upstream = null;
    switch (this.state) {
      case 'connecting':
        return this.attemptFailed(
          error?.code === 'ECONNREFUSED' ? CONNECT_REFUSED : CONNECT_FAILED,
          error?.code ?? '',
        );
      case 'awaiting':
        return this.attemptFailed(this.lossReason(), error?.code ?? '');
      case 'relaying':
        return this.cut(RESPONSE_CUT);
      case 'tunnel':
        this.finish(null);
        this.client.closeTunnel();
        return;
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
      case 'tunnel':
        this.finish(null);
        this.client.closeTunnel();
        return;
    }
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
        return this.readResponseHeads(base, start, end);
      case 'relaying':
        return this.relayBody(base, start, end);
      case 'tunnel':
        return this.relayTunnel(base, start, end);
      default:
        // Nothing was asked yet.
        return this.attemptFailed(BAD_RESPONSE, 'bytes before the request');
    }
  }

  private readResponseHeads(base: Buffer, start: number, end: number): void {
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
      this.relayInterim(head);
      parser.reset();
    }
  }

  /** 100 and 103 go on to clients that know of them (RFC 9110 section 15.2). */
  private relayInterim(head: Head): void {
    if (this.isOldClient) return;
    const { responseWriter } = this.plane;
    const { http } = this.service;
    const options = { head, policy: http, isChunked: false, connection: '', upgrade: '' } as const;
    writeResponseHead(responseWriter, options);
    if (!this.client.wire.write(responseWriter.view())) responseWriter.abandonBuffer();
  }

  private beginResponse(head: Head, base: Buffer, start: number, end: number): void {
    const { live, service } = this;
    const us = (performance.now() - this.attemptMs) * 1000;
    if (service.retry.onStatus.has(head.status) && this.mayRetryStatus()) {
      this.plane.context.ledger.addResponse(this.endpoint!.slot, head.status, us);
      return this.attemptFailed(RETRY_STATUS, String(head.status));
    }
    this.plane.context.ledger.addResponse(this.endpoint!.slot, head.status, us);
    live.attemptSucceeded(this.endpoint!, us);
    this.state = 'relaying';
    this.hasResponseBegun = true;
    this.status = head.status;
    this.responseKind = responseBody(head, this.method);
    this.responseLeft = this.responseKind === Body.length ? head.contentLength : 0;
    this.isUpstreamKept = isPersistent(head) && this.responseKind !== Body.untilClose;
    if (this.responseKind === Body.chunked) {
      this.responseDecoder ??= new ChunkedDecoder();
      this.responseDecoder.reset();
    }
    const isOpenEnded = this.responseKind === Body.chunked || this.responseKind === Body.untilClose;
    this.isChunkedOut = isOpenEnded && !this.isOldClient;
    // Where the end can't be told but by closing, or more of the request may come, it is closed.
    this.isClientKept =
      this.mayKeepAlive &&
      this.isRequestDone &&
      (!isOpenEnded || this.isChunkedOut) &&
      this.client.mayKeepAlive();
    this.sendResponseHead(head, base, start, end);
  }

  private mayRetryStatus(): boolean {
    return (
      this.isRepeatable &&
      this.isReplayable &&
      this.attempts < this.service.retry.attempts &&
      this.tried.length < this.live.usableCount &&
      // Out of budget, the endpoint's own answer says more than one of ours.
      this.live.retryBudget.has(this.plane.context.wheel.nowMs)
    );
  }

  private sendResponseHead(head: Head, base: Buffer, start: number, end: number): void {
    const { responseWriter } = this.plane;
    const keepAlive = this.isOldClient ? 'keep-alive' : '';
    writeResponseHead(responseWriter, {
      head,
      policy: this.service.http,
      isChunked: this.isChunkedOut,
      connection: this.isClientKept ? keepAlive : 'close',
      upgrade: '',
    });
    const room = start - responseWriter.length;
    // The commonest answer: all of it in one read. The head goes before the body in place, and
    // both leave in one write.
    if (this.responseKind === Body.length && end > start && room >= 0) {
      responseWriter.copyTo(base, room);
      this.relayLength(base, start, end, room);
      return;
    }
    if (!this.client.wire.write(responseWriter.view())) {
      responseWriter.abandonBuffer();
      this.upstream!.wire.pause();
    }
    if (this.responseKind === Body.none) this.endOfResponse(start, end);
    else if (end > start) this.relayBody(base, start, end);
    else this.upstream!.setTimer(this.service.timeouts.idleMs);
  }

  private relayBody(base: Buffer, start: number, end: number): void {
    if (this.responseKind === Body.chunked) this.relayChunked(base, start, end);
    else if (this.responseKind === Body.length) this.relayLength(base, start, end, start);
    else this.relayOpenEnded(base, start, end);
  }

  /** Relays a body of known length; `from` is where what is sent begins: the head may precede. */
  private relayLength(base: Buffer, start: number, end: number, from: number): void {
    const count = Math.min(this.responseLeft, end - start);
    this.responseLeft -= count;
    this.bytesOut += count;
    this.sendToClient(base, from, start + count);
    if (this.responseLeft === 0) this.endOfResponse(start + count, end);
    else this.upstream!.setTimer(this.service.timeouts.idleMs);
  }

  private relayChunked(base: Buffer, start: number, end: number): void {
    const decoder = this.responseDecoder!;
    const next = decoder.decode(base, start, end);
    if (decoder.state === BodyState.rejected) return this.cut(BAD_RESPONSE_BODY);
    const { dataEnd } = decoder;
    if (dataEnd > start) this.sendData(base, start, dataEnd);
    if (this.state !== 'relaying') return;
    if (decoder.state === BodyState.done) {
      if (this.isChunkedOut) this.sendLast(decoder.trailers);
      this.endOfResponse(next, end);
    } else {
      this.upstream!.setTimer(this.service.timeouts.idleMs);
    }
  }

  private relayOpenEnded(base: Buffer, start: number, end: number): void {
    this.sendData(base, start, end);
    this.upstream?.setTimer(this.service.timeouts.idleMs);
  }

  /** Sends body bytes, in a chunk of our own where the client gets chunks. */
  private sendData(base: Buffer, start: number, dataEnd: number): void {
    this.bytesOut += dataEnd - start;
    if (!this.isChunkedOut) {
      this.sendToClient(base, start, dataEnd);
      return;
    }
    this.sendToClient(base, frameChunk(base, start, dataEnd), dataEnd + 2);
  }

  private sendLast(trailers: string): void {
    const last = trailers === '' ? LAST_CHUNK : lastChunk(trailers);
    if (!this.client.wire.write(last)) this.upstream!.wire.pause();
  }

  private sendToClient(base: Buffer, start: number, end: number): void {
    const { wire } = this.upstream!;
    if (!wire.forwardTo(this.client.wire, base, start, end)) wire.pause();
  }

  /** The response is complete at `next`; bytes behind it belong to nobody. */
  private endOfResponse(next: number, end: number): void {
    if (next < end) this.isUpstreamKept = false;
    this.endResponse();
  }

  private endResponse(): void {
    if (this.responseKind === Body.untilClose && this.isChunkedOut)
      this.client.wire.write(LAST_CHUNK);
    const upstream = this.upstream!;
    const { limits } = this.service;
    upstream.clearTimer();
    const isClean = this.isUpstreamKept && this.isRequestDone && upstream.wire.isFlushed;
    if (isClean && upstream.wire.isOpen) {
      this.upstream = null;
      // A client that reads slowly must not keep a connection from being read that is idle now.
      upstream.wire.resume();
      upstream.release({ idleMax: limits.idleUpstream, idleMs: limits.idleUpstreamMs });
    }
    const { client, isClientKept } = this;
    this.finish(null);
    client.exchangeDone(isClientKept);
  }

  // Tunnels

  private beginTunnel(head: Head, base: Buffer, start: number, end: number): void {
    if (!this.isUpgrade) return this.attemptFailed(UNEXPECTED_UPGRADE);
    const { context, responseWriter } = this.plane;
    const upgrade = head.valueOf(FieldId.upgrade) ?? '';
    const us = (performance.now() - this.attemptMs) * 1000;
    context.ledger.addResponse(this.endpoint!.slot, head.status, us);
    context.ledger.addService(this.live.slot, ServiceColumn.upgrades, 1);
    this.live.attemptSucceeded(this.endpoint!, us);
    this.hasResponseBegun = true;
    this.status = 101;
    this.state = 'tunnel';
    const options = { head, policy: this.service.http, isChunked: false, connection: '' } as const;
    writeResponseHead(responseWriter, { ...options, upgrade });
    if (!this.client.wire.write(responseWriter.view())) responseWriter.abandonBuffer();
    this.client.beginTunnel();
    if (end > start && this.state === 'tunnel') this.relayTunnel(base, start, end);
    this.upstream?.setTimer(this.service.timeouts.idleMs);
  }

  /** Bytes of the client for the tunnel. */
  takeTunnelBytes(base: Buffer, start: number, end: number): void {
    if (this.state !== 'tunnel') return;
    this.bytesIn += end - start;
    this.upstream!.setTimer(this.service.timeouts.idleMs);
    const { wire } = this.client;
    if (!wire.forwardTo(this.upstream!.wire, base, start, end)) wire.pause();
  }

  private relayTunnel(base: Buffer, start: number, end: number): void {
    this.bytesOut += end - start;
    this.upstream!.setTimer(this.service.timeouts.idleMs);
    this.sendToClient(base, start, end);
  }

  /** The client will send no more into the tunnel; when the endpoint won't either, it is over. */
  clientEndedTunnel(): void {
    if (this.state !== 'tunnel') return;
    this.upstream!.wire.end();
    this.closeTunnelWhenFlushed();
  }

  /** Both have ended; what the client sent last may still be on its way to the endpoint. */
  private closeTunnelWhenFlushed(): void {
    if (!this.hasUpstreamEnded || !this.client.hasEnded || !this.upstream!.wire.isFlushed) return;
    this.finish(null);
    this.client.closeTunnel();
  }

  // Back-pressure

  onUpstreamDrain(): void {
    if (this.isOutLent) this.isOutLent = false;
    if (this.state === 'tunnel') {
      this.client.wire.resume();
      this.closeTunnelWhenFlushed();
    } else this.client.resumeBody();
  }

  /** The client has taken everything that was sent: more may come from the endpoint. */
  onClientDrain(): void {
    this.upstream?.wire.resume();
  }

  // Ends

  /** A fault of the client in the middle of its request. */
  failClient(why: Reason): void {
    if (this.state === 'free') return;
    const { client, hasResponseBegun } = this;
    if (!hasResponseBegun) this.status = why.status;
    const { endsWithConnection } = this;
    this.finish(why);
    if (!hasResponseBegun) client.reply(why, '', false);
    else if (endsWithConnection) client.reset();
    else client.abort();
  }

  /** Nothing to send the request to. */
  private failSelf(why: Reason, detail: string): void {
    this.endWithReply(why, detail);
  }

  private failUpstream(why: Reason, endpoint: LiveEndpoint, detail: string): void {
    this.plane.context.log.warn(
      {
        service: this.live.name,
        endpoint: endpoint.id,
        address: `${endpoint.address}:${endpoint.port}`,
        method: this.method,
        reason: why.code,
        attempts: this.attempts,
        detail,
      },
      why.text,
    );
    this.endWithReply(why, '');
  }

  private endWithReply(why: Reason, detail: string): void {
    const { client, isRequestDone, mayKeepAlive } = this;
    this.status = why.status;
    this.finish(why);
    client.reply(why, detail, isRequestDone && mayKeepAlive);
  }

  /** The response broke off: the client's connection is cut, so that it can't look complete. */
  private cut(why: Reason): void {
    const { client, endpoint, live } = this;
    if (endpoint !== null) live.attemptFailed(endpoint, why);
    const { endsWithConnection } = this;
    this.finish(why);
    if (endsWithConnection) client.reset();
    else client.abort();
  }

  /** With neither length nor chunks an orderly close would look like the end of the response. */
  get endsWithConnection(): boolean {
    return this.state === 'relaying' && this.responseKind !== Body.length && !this.isChunkedOut;
  }

  /** The client is gone: what the endpoint does for it is stopped. */
  onClientClose(): void {
    if (this.state !== 'free') this.finish(this.state === 'tunnel' ? null : CLIENT_CLOSED);
  }

  /** The last step on every way: counts, logs, and gives the exchange back. */
  private finish(why: Reason | null): void {
    const { context } = this.plane;
    if (this.state === 'queued') {
      this.live.dequeue(this);
      context.wheel.cancel(this.timer);
    }
    this.state = 'free';
    this.dropUpstream();
    if (this.isOutLent) this.out.abandonBuffer();
    const ms = performance.now() - this.startMs;
    const { slot } = this.live;
    context.ledger.addExchange(slot, this.status, ms * 1000);
    if (this.bytesIn > 0) context.ledger.addService(slot, ServiceColumn.bytesIn, this.bytesIn);
    if (this.bytesOut > 0) context.ledger.addService(slot, ServiceColumn.bytesOut, this.bytesOut);
    if (why !== null) context.ledger.addReason(slot, why.index);
    this.logAccess(why, ms);
    this.clear();
    this.plane.giveExchange(this);
  }

  private logAccess(why: Reason | null, totalMs: number): void {
    const { accessLog } = this.plane.context;
    if (accessLog === null) return;
    accessLog.add({
      client: this.client.facts.address,
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
    this.isRequestDone = false;
    this.isOutLent = false;
    this.isReplayable = true;
    this.bodyBytes = 0;
    this.hash = 0;
    this.tried.length = 0;
    this.attempts = 0;
    this.needsFresh = false;
    this.isOnKept = false;
    this.hasAnswerBytes = false;
    this.hasResponseBegun = false;
    this.status = 0;
    this.isChunkedOut = false;
    this.isUpstreamKept = false;
    this.isClientKept = false;
    this.hasUpstreamEnded = false;
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.endpointId = '';
  }
}

/**
 * Makes base[start,end) a chunk: its size line before it (in place of bytes that were read, or in
 * the headroom), CRLF behind it (in place of framing that was read, or in the tailroom). Returns
 * where the chunk begins; it ends at `end + 2`.
 */
function frameChunk(base: Buffer, start: number, end: number): number {
  assert(start >= CHUNK_LINE_MAX, 'there is room for a size line');
  base[end] = CR;
  base[end + 1] = LF;
  base[start - 1] = LF;
  base[start - 2] = CR;
  let at = start - 2;
  let rest = end - start;
  do {
    at -= 1;
    const digit = rest & 15;
    base[at] = digit < 10 ? 48 + digit : 87 + digit;
    rest >>>= 4;
  } while (rest > 0);
  return at;
}

function lastChunk(trailers: string): Buffer {
  return Buffer.from(`0\r\n${trailers}\r\n`, 'latin1');
}

/** RFC 9113 dropped the upgrade to HTTP/2 over cleartext; passed on, it hides requests from us. */
function isH2c(head: Head): boolean {
  return head.text(head.upgradeStart, head.upgradeEnd).toLowerCase().includes('h2c');
}

function cookieOf(head: Head, name: string): string {
  const cookies = head.valueOf(FieldId.cookie) ?? '';
  for (const pair of cookies.split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
  return '';
}
