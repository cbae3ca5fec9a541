// One try of a request on an HTTP/1.1 connection to an endpoint: sends the request as the endpoint is to
// see it, reads the response strictly, and keeps or closes the connection.
//   idle -> connecting -> awaiting -> relaying -> idle
//                                '-> tunnel -> idle
// A whole request is sent at the end of the turn: while `awaiting` with something `unsent`, nothing was sent.
import { assert } from '../../../base/assert.ts';
import { isPersistent, responseBody } from '../../../http1/framing.ts';
import type { Head } from '../../../http1/head.ts';
import { type HeadParser, HeadState } from '../../../http1/head-parser.ts';
import { EndpointColumn } from '../../../ledger/layout.ts';
import { type Reason, reason } from '../../../model/reason.ts';
import { connectDetail, connectFailure } from '../../connect-failure.ts';
import { Hold } from '../../hold.ts';
import { CHUNKS_MAX, Rest, type Rested } from '../../limits/rest.ts';
import type { LiveEndpoint } from '../../live-endpoint.ts';
import type { Wire } from '../../network.ts';
import type { Pool } from '../../pool.ts';
import { introductionOf } from '../../proxy-protocol/introduction.ts';
import { isStarved, UpstreamConnection, type UpstreamUser } from '../../upstream-connection.ts';
import type { BodyPiece } from '../body-piece.ts';
import type { BodySource } from '../body-source.ts';
import {
  type EndpointEvents,
  type EndpointSide,
  INTERIM_MAX,
  type Tried,
} from '../endpoint-side.ts';
import { Http2Pool } from '../http2/http2-pool.ts';
import type { HttpPlane } from '../plane.ts';
import type { RequestCopy } from '../request-copy.ts';
import type { Due } from '../turn.ts';
import { BodyFramer, chunkOf, lastChunk } from './body-framer.ts';
import { BodyGather } from './body-gather.ts';
import { BodyReader } from './body-reader.ts';
import { UpstreamEnd } from './tunnel-ends.ts';

const CONNECT_TIMEOUT = reason('connect-timeout');
const STALE = reason('stale-connection');
const RESET = reason('reset');
const RESPONSE_TIMEOUT = reason('response-timeout');
const BAD_RESPONSE = reason('bad-response');
const BAD_RESPONSE_BODY = reason('bad-response-body');
const RESPONSE_HEAD_TOO_LARGE = reason('response-head-too-large');
const RESPONSE_CUT = reason('response-cut');

/** How long an endpoint may take to take the last bytes of a tunnel. */
const FLUSH_MS = 5000;
/** A connection whose responses are larger is read into a buffer of its own while they come. */
const STREAMED_MIN = 32 * 1024;

type State = 'idle' | 'connecting' | 'awaiting' | 'relaying' | 'tunnel';

export class Http1Attempt implements EndpointSide, UpstreamUser, Rested, Due {
  sentMs = 0;
  hasAnswered = false;
  readonly speaks = 'http1';
  private state: State = 'idle';
  private readonly owner: EndpointEvents & Tried;
  private readonly plane: HttpPlane;
  private readonly hold: Hold;
  /** The connection; null where it is none, or is gone. */
  private upstream: UpstreamConnection | null = null;
  /** The connection had served before, so it may be stale. */
  private isOnKept = false;
  private readonly request = new BodyFramer();
  private readonly response = new BodyReader();
  /** As far as it is about the response, the connection may serve another request. */
  private isKept = false;
  private interims = 0;
  /** What is sent at the end of the turn; null when it was. */
  private unsent: RequestCopy | null = null;
  /** Of the body, the same. */
  private readonly gather = new BodyGather();
  /** Made for the first response that costs too much at a time. */
  private rest: Rest | null = null;

  constructor(owner: EndpointEvents & Tried, plane: HttpPlane) {
    this.owner = owner;
    this.plane = plane;
    this.hold = new Hold(plane.context.ledger);
  }

  get endpoint(): LiveEndpoint | null {
    return this.hold.endpoint;
  }

  get isHolding(): boolean {
    return this.upstream !== null;
  }

  tunnelEnd(): UpstreamEnd {
    return new UpstreamEnd(this.upstream!);
  }

  get isRelaying(): boolean {
    return this.state === 'relaying';
  }

  open(endpoint: LiveEndpoint, idleSinceMs: number): boolean {
    assert(this.state === 'idle' && this.upstream === null, 'an attempt is one try at a time');
    assert(this.gather.isEmpty, 'bytes of one request do not go with another');
    this.unsent = null;
    this.sentMs = 0;
    this.hasAnswered = false;
    this.isKept = false;
    this.interims = 0;
    if (!this.hold.take(endpoint, this.owner.live)) return false;
    this.state = 'connecting';
    const pool = this.poolOf(endpoint);
    const kept = idleSinceMs < 0 ? null : pool.take(idleSinceMs);
    this.isOnKept = kept !== null;
    if (kept !== null) {
      kept.user = this;
      this.upstream = kept;
      this.owner.onReady(this);
      return true;
    }
    const { ledger } = this.plane.context;
    ledger.addEndpoint(endpoint.slot, EndpointColumn.connects, 1);
    const { service, clientWire, upgrade } = this.owner;
    this.upstream = new UpstreamConnection(endpoint, this, this.plane.context, {
      home: pool,
      // What HTTP/2 does not have, or the endpoint has not there, is asked for by HTTP/1.1.
      tls: upgrade === '' ? endpoint.tls : (endpoint.http1Tls ?? endpoint.tls),
      introduction: introductionOf(service, clientWire),
      wire: null,
    });
    this.upstream.setTimer(this.owner.service.timeouts.connectMs);
    return true;
  }

  /** A PROXY header speaks for one client: a connection that began with another one's is no use. */
  private poolOf(endpoint: LiveEndpoint): Pool {
    const { service, clientWire } = this.owner;
    const { sendProxy } = service.upstream;
    if (sendProxy === 'off') return endpoint.pool;
    return this.plane.introduced.poolOf(clientWire, endpoint, sendProxy);
  }

  send(copy: RequestCopy, nowMs: number): boolean {
    this.state = 'awaiting';
    this.sentMs = nowMs;
    this.hold.count();
    this.request.begin(copy.isChunked);
    if (!copy.isDone) {
      const isTaken = this.write(copy);
      if (!isTaken && !copy.isChunked && !copy.wantsOwnHost) copy.lend();
      return isTaken;
    }
    // Nothing follows it: it leaves with the other requests of this turn.
    this.unsent = copy;
    this.plane.turns.add(this);
    return true;
  }

  /** As send, where it was put off until now, and the attempt is not another try's since. */
  turn(): void {
    const { unsent: copy, upstream } = this;
    this.unsent = null;
    try {
      // What is not taken holds the client up with its next piece.
      if (upstream !== null) this.gather.flush(upstream.wire);
      if (copy === null || this.write(copy)) return;
      // Who waits for the response does not know of the write, which keeps the bytes.
      copy.lend();
      copy.rescue();
    } catch (error) {
      this.owner.onBug(error);
    }
  }

  /** The connection is lost: what has not left it may go elsewhere, whatever its method. */
  private withdraw(): void {
    if (this.unsent === null) return;
    this.unsent = null;
    this.sentMs = 0;
  }

  /** Head and content. Bytes of an unfinished write are the copy's own where it is sent as it is. */
  private write(copy: RequestCopy): boolean {
    const { wire } = this.upstream!;
    const { wantsOwnHost } = copy;
    if (!copy.isChunked && !wantsOwnHost) return wire.write(copy.view);
    const head = wantsOwnHost ? copy.headFor(this.hold.endpoint!.host) : copy.head;
    if (copy.isChunked) return this.sendChunks(wire, head, copy);
    return wire.write(Buffer.concat([head, copy.content]));
  }

  /** What was gathered goes as one chunk; the bytes are fresh, so an unfinished write may keep them. */
  private sendChunks(wire: Wire, head: Buffer, copy: RequestCopy): boolean {
    const parts = [head];
    if (copy.content.length > 0) parts.push(chunkOf(copy.content));
    if (copy.isDone) parts.push(lastChunk(copy.trailers));
    return wire.write(Buffer.concat(parts));
  }

  sendBody(source: BodySource, piece: BodyPiece): boolean {
    const { request } = this;
    const { wire } = this.upstream!;
    request.frame(piece);
    let isTaken = true;
    if (request.to > request.from) isTaken = this.sendPiece(source, wire);
    const { last } = request;
    if (last === null) return isTaken;
    return this.gather.isEmpty ? wire.write(last) : this.gather.add(wire, last, 0, last.length);
  }

  /** Small pieces leave at the end of the turn, unless the system is behind already. */
  private sendPiece(source: BodySource, wire: Wire): boolean {
    const { gather } = this;
    const { base, from, to } = this.request;
    if (gather.takes(to - from) && wire.isFlushed) {
      if (gather.isEmpty) this.plane.turns.add(this);
      return gather.add(wire, base, from, to);
    }
    gather.flush(wire);
    return source.forwardTo(wire, base, from, to);
  }

  setTimer(ms: number): void {
    this.upstream!.setTimer(ms);
  }

  resume(): void {
    if (this.rest === null || !this.rest.isOn) this.upstream?.wire.resume();
  }

  countBytes(bytesIn: number, bytesOut: number): void {
    const { slot } = this.hold.endpoint!;
    const { ledger } = this.plane.context;
    if (bytesIn > 0) ledger.addEndpoint(slot, EndpointColumn.bytesIn, bytesIn);
    if (bytesOut > 0) ledger.addEndpoint(slot, EndpointColumn.bytesOut, bytesOut);
  }

  complete(isRequestDone: boolean): void {
    const upstream = this.upstream!;
    const { wire } = upstream;
    upstream.clearTimer();
    // The endpoint has answered before it had the last of the body.
    if (isRequestDone) this.gather.flush(wire);
    if (this.isKept && isRequestDone && wire.isFlushed && wire.isOpen) {
      this.upstream = null;
      if (this.response.bytes < STREAMED_MIN) wire.shareBuffer();
      // A client that reads slowly must not keep a connection from being read that is idle now.
      wire.resume();
      upstream.release(this.owner.service.limits);
    }
    this.drop();
  }

  drop(isReset = false): void {
    const { state, upstream } = this;
    this.state = 'idle';
    this.upstream = null;
    this.unsent = null;
    this.gather.letGo();
    this.rest?.end();
    if (isReset) upstream?.reset();
    // The last bytes of a tunnel that ends in order are still to be taken.
    else if (state === 'tunnel') upstream?.destroyFlushed(FLUSH_MS);
    else upstream?.destroy();
    this.hold.leave();
  }

  // What happens on the connection

  onUpstreamConnect(): void {
    if (this.upstream!.wire.tls?.protocol === 'h2') this.giveUp();
    else {
      // Where the endpoint had a choice, it has made it.
      if (this.owner.upgrade === '') this.hold.endpoint!.agreed = 'http1';
      this.owner.onReady(this);
    }
  }

  /** The endpoint speaks HTTP/2 now: the connection is for that, and the request goes by it. */
  private giveUp(): void {
    const wire = this.upstream!.handOver();
    this.upstream = null;
    Http2Pool.of(this.hold.endpoint!, this.plane).adopt(wire, this.owner.service.limits);
    this.hold.forgo();
    this.owner.onOtherProtocol(this);
  }

  onUpstreamBytes(base: Buffer, start: number, end: number): void {
    if (this.state === 'relaying') this.takeBody(base, start, end);
    else if (this.state === 'awaiting' && this.unsent === null) {
      if (!this.hasAnswered) {
        this.hasAnswered = true;
        this.owner.onAnswering(this);
      }
      this.readHeads(base, start, end);
    } else {
      this.withdraw();
      this.fail(this.isOnKept ? STALE : BAD_RESPONSE, 'bytes before the request');
    }
  }

  private readHeads(base: Buffer, start: number, end: number): void {
    const upstream = this.upstream!;
    const parser = upstream.parser ?? this.plane.takeResponseParser();
    upstream.parser = parser;
    this.takeHeads(parser, base, start, end);
    if (parser.state === HeadState.more) return;
    // The attempt may be another try's by now; connection and parser are still those of this read.
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
        return this.fail(isTooLarge ? RESPONSE_HEAD_TOO_LARGE : BAD_RESPONSE, parser.fault);
      }
      const { head } = parser;
      if (head.status === 101) return this.switchTo(head, base, at, end);
      if (head.status >= 200) return this.respond(head, base, at, end);
      this.interims += 1;
      if (this.interims > INTERIM_MAX) {
        return this.fail(BAD_RESPONSE, `more than ${INTERIM_MAX} interim responses`);
      }
      this.owner.onInterim(head);
      parser.reset();
    }
  }

  private switchTo(head: Head, base: Buffer, start: number, end: number): void {
    this.state = 'tunnel';
    this.gather.flush(this.upstream!.wire);
    this.owner.onSwitch(this, head, base, start, end);
  }

  private respond(head: Head, base: Buffer, start: number, end: number): void {
    const { response } = this;
    const kind = responseBody(head, this.owner.method);
    response.begin(kind, head.contentLength);
    // Bytes behind the response belong to no message.
    const next = response.isLast || end === start ? start : response.take(base, start, end);
    if (response.fault !== '') return this.fail(BAD_RESPONSE, response.fault);
    this.isKept = isPersistent(head) && !response.endsWithConnection && next === end;
    this.state = 'relaying';
    this.owner.onResponse(this, head, kind, this.upstream!.wire, response);
  }

  private takeBody(base: Buffer, start: number, end: number): void {
    const { response } = this;
    if (response.take(base, start, end) < end) this.isKept = false;
    if (response.fault !== '') this.fail(BAD_RESPONSE_BODY, response.fault);
    else {
      if (response.chunks > CHUNKS_MAX) this.beginRest();
      this.owner.onBody(this, this.upstream!.wire, response);
    }
  }

  private beginRest(): void {
    this.rest ??= new Rest(this, this.plane.context.wheel);
    this.rest.begin();
    this.upstream!.wire.pause();
  }

  onRested(): void {
    // A client that has not taken everything goes on holding it up.
    this.owner.onRested(this);
  }

  onBug(error: unknown): void {
    this.owner.onBug(error);
  }

  onUpstreamEnd(): void {
    this.withdraw();
    if (this.state === 'awaiting') this.fail(this.lossReason(), '');
    else if (this.state !== 'relaying') return;
    else if (this.response.endsWithConnection) {
      this.response.end();
      this.owner.onBody(this, this.upstream!.wire, this.response);
    } else this.fail(RESPONSE_CUT, '');
  }

  onUpstreamClose(error: NodeJS.ErrnoException | null): void {
    const code = error?.code ?? '';
    // It is gone already: nothing is to be closed.
    this.upstream = null;
    this.withdraw();
    switch (this.state) {
      case 'connecting':
        if (isStarved(code)) this.starved(code);
        else this.fail(connectFailure(code), connectDetail(error));
        return;
      case 'awaiting':
        this.fail(this.lossReason(), code);
        return;
      case 'relaying':
        this.fail(RESPONSE_CUT, code);
        return;
    }
  }

  /** Closed before the first byte of the answer: a kept connection may have been closed before us. */
  private lossReason(): Reason {
    return this.isOnKept && !this.hasAnswered ? STALE : RESET;
  }

  onUpstreamTimer(): void {
    if (this.state === 'connecting') this.fail(CONNECT_TIMEOUT, '');
    else if (this.state === 'awaiting') this.fail(RESPONSE_TIMEOUT, '');
    else if (this.state === 'relaying') this.owner.onStalled(this);
  }

  private starved(code: string): void {
    this.hold.forgo();
    this.owner.onStarved(this, code);
  }

  private fail(why: Reason, detail: string): void {
    this.owner.onFailed(this, why, detail);
  }

  onUpstreamDrain(): void {
    this.owner.onEndpointDrain(this);
  }

  onUpstreamBug(error: unknown): void {
    this.owner.onBug(error);
  }
}
