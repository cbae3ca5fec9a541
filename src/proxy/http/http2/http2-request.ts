// One request of an HTTP/2 connection, as its exchange sees it: a stream.
// Pooled together with its exchange. `stream` and `connection` are set exactly while the pair serves a
// request, and `leave`, on every way out, is the one place that clears both references.
import { assert } from '../../../base/assert.ts';
import { TimerEntry, type TimerOwner } from '../../../base/timer-wheel.ts';
import type { BodyKind } from '../../../http1/framing.ts';
import type { Head } from '../../../http1/head.ts';
import { ErrorCode } from '../../../http2/protocol.ts';
import type { Content, Stream, StreamUser } from '../../../http2/stream.ts';
import { type Reason, reason } from '../../../model/reason.ts';
import type { Route } from '../../../model/route.ts';
import type { HttpPolicy } from '../../../model/service.ts';
import type { LiveService } from '../../live-service.ts';
import type { Wire } from '../../network.ts';
import type { BodyPiece } from '../body-piece.ts';
import type { BodySource } from '../body-source.ts';
import type { ClientSide } from '../client-side.ts';
import { Exchange } from '../exchange.ts';
import { grpcTimeoutMs, isGrpc } from '../grpc.ts';
import { HeaderPolicy } from '../header-policy.ts';
import type { HttpPlane } from '../plane.ts';
import { requestIdOf } from '../request-id.ts';
import { writeResponseHead } from '../response-head.ts';
import type { Tunnel } from '../tunnel.ts';
import { writeOpened } from '../upgrade.ts';
import { makeKey } from '../websocket.ts';
import type { Http2ClientConnection } from './client-connection.ts';
import { StreamPiece } from './stream-piece.ts';
import { StreamClientEnd } from './tunnel-ends.ts';

const BODY_TIMEOUT = reason('client-body-timeout');
const HTTP2_ERROR = reason('http2-error');

/** What a stream asks for. */
export interface StreamRequest {
  readonly head: Head;
  readonly live: LiveService;
  readonly route: Route | null;
  /** What an extended CONNECT asks for; '' for other requests. */
  readonly upgrade: string;
}

export class Http2Request implements ClientSide, StreamUser, BodySource, TimerOwner {
  readonly exchange: Exchange;
  hasBegun = false;
  bytesOut = 0;
  isHeld = false;
  readonly isDuplex = true;
  /** The exchange has begun and has not looked for an endpoint yet: the body's first bytes may come. */
  isUndispatched = false;
  private readonly plane: HttpPlane;
  private readonly timer = new TimerEntry(this);
  private readonly piece = new StreamPiece();
  private connection: Http2ClientConnection | null = null;
  private stream: Stream | null = null;
  /** What `policy` was made of. */
  private http: HttpPolicy | null = null;
  private policy!: HeaderPolicy;
  private requestId = '';
  private isGrpc = false;
  private isHead = false;
  /** The upgrade that an extended CONNECT asks for (RFC 8441); '' for other requests. */
  private upgrade = '';
  private websocketKey = '';
  private tunnel: Tunnel | null = null;
  /** For the tunnel: the client will send no more. */
  hasEnded = false;

  constructor(plane: HttpPlane) {
    this.plane = plane;
    this.exchange = new Exchange(this, plane);
  }

  /** A request's head is complete: takes what is needed of it, for its bytes won't stay. */
  begin(connection: Http2ClientConnection, stream: Stream, request: StreamRequest): void {
    assert(this.connection === null, 'a request belongs to one stream at a time');
    const { head, live, route, upgrade } = request;
    this.connection = connection;
    this.stream = stream;
    stream.user = this;
    const { http } = live.service;
    if (this.http !== http) {
      this.http = http;
      this.policy = HeaderPolicy.of(http);
    }
    const { policy } = this;
    this.hasBegun = false;
    this.bytesOut = 0;
    this.isHeld = false;
    this.isGrpc = isGrpc(head);
    this.isHead = head.method === 'HEAD';
    this.upgrade = upgrade;
    this.hasEnded = stream.isRemoteDone;
    this.tunnel = null;
    const hasBody = upgrade === '' && !stream.isRemoteDone;
    this.isUndispatched = hasBody;
    // What comes before the tunnel is open belongs to it, and waits.
    if (upgrade !== '') connection.session.pause(stream);
    this.websocketKey = upgrade === '' ? '' : makeKey(this.plane.context.random);
    const client = connection.factsFor(policy);
    this.requestId =
      policy.requestId === 'off'
        ? ''
        : requestIdOf(head, {
            policy: policy.requestId,
            isTrusted: client.isTrusted,
            make: this.plane.makeRequestId,
          });
    this.exchange.begin(head, {
      live,
      route,
      client,
      policy,
      requestId: this.requestId,
      upgrade,
      hasBody,
      websocketKey: this.websocketKey,
      announced: Math.max(0, head.contentLength),
      withinMs: this.isGrpc ? grpcTimeoutMs(head) : 0,
    });
    if (hasBody) this.setTimer(this.exchange.bodyIdleMs);
  }

  /** What of the body came with the head has been taken. */
  dispatch(): void {
    this.isUndispatched = false;
    this.exchange.dispatch();
  }

  private get returnedId(): string {
    return this.policy.returnsRequestId ? this.requestId : '';
  }

  // What the stream tells

  onHead(): void {
    assert(false, 'a server gets no responses');
  }

  onData(_stream: Stream, content: Content, isLast: boolean): void {
    if (this.tunnel !== null) {
      this.tunnel.takeBytes(content.base, content.from, content.to);
      if (isLast) this.onTunnelEnd();
      return;
    }
    this.setTimer(isLast ? 0 : this.exchange.bodyIdleMs);
    this.exchange.onRequestBody(this, this.piece.set(content, isLast));
  }

  private onTunnelEnd(): void {
    this.hasEnded = true;
    this.tunnel?.onClientEnd();
  }

  onEnd(_stream: Stream, trailers: string): void {
    if (this.upgrade !== '') {
      this.onTunnelEnd();
      return;
    }
    this.setTimer(0);
    this.exchange.onRequestBody(this, this.piece.end(trailers));
  }

  onDrain(): void {
    if (this.tunnel !== null) this.tunnel.onClientDrain();
    else this.exchange.onClientDrain();
  }

  onReset(): void {
    this.exchange.onClientGone(false);
  }

  onFault(): void {
    this.exchange.failClient(HTTP2_ERROR);
  }

  onTimer(): void {
    const { exchange } = this;
    // While we don't read the body, or have nobody who gets it, the silence is not the client's.
    if (this.isHeld || exchange.isUnsent) this.setTimer(exchange.bodyIdleMs);
    else if (this.stream?.isRemoteDone === false) exchange.failClient(BODY_TIMEOUT);
  }

  // The source of the request's body

  forwardTo(wire: Wire, base: Buffer, start: number, end: number): boolean {
    return this.connection!.wire.forwardTo(wire, base, start, end);
  }

  pause(): void {
    this.hold();
  }

  // What the exchange asks

  get clientWire(): Wire {
    return this.connection!.wire;
  }

  get address(): string {
    return this.connection!.address;
  }

  get listenerKey(): string {
    return this.connection!.listenerKey;
  }

  /** Here a response ends with its stream, and not before. */
  get hasWhole(): boolean {
    return false;
  }

  get isFlushed(): boolean {
    return !this.stream!.isWaiting && !this.connection!.session.isCongested;
  }

  get tunnelClient(): StreamClientEnd {
    return new StreamClientEnd(this, this.connection!.session, this.stream!);
  }

  /** The client's content is awaited, and its silence is its fault. */
  private get awaitsBody(): boolean {
    return this.upgrade === '' && !this.stream!.isRemoteDone;
  }

  hold(): void {
    this.isHeld = true;
    this.connection!.session.pause(this.stream!);
  }

  release(): void {
    if (!this.isHeld) return;
    this.isHeld = false;
    this.setTimer(this.awaitsBody ? this.exchange.bodyIdleMs : 0);
    this.connection!.resumeSoon(this.stream!);
  }

  sendInterim(head: Head): void {
    const { responseWriter: writer } = this.plane;
    const { policy } = this;
    const plain = { isChunked: false, connection: '', upgrade: '' } as const;
    writeResponseHead(writer, { head, policy, ...plain, requestId: '', hstsLine: '' });
    this.connection!.session.respond(this.stream!, writer.view(), writer.length, false);
  }

  respond(head: Head, _kind: BodyKind, source: BodySource, piece: BodyPiece): void {
    const { responseWriter: writer } = this.plane;
    const { session } = this.connection!;
    const { policy, returnedId: requestId } = this;
    const { hstsLine } = this.connection!.factsFor(policy);
    // One literal: a spread of another costs a call for each response.
    writeResponseHead(writer, {
      head,
      policy,
      requestId,
      hstsLine,
      isChunked: false,
      connection: '',
      upgrade: '',
    });
    const isAll = piece.isLast && piece.to === piece.from && piece.trailers === '';
    this.hasBegun = true;
    session.respond(this.stream!, writer.view(), writer.length, isAll);
    if (!isAll) this.sendBody(source, piece);
  }

  sendBody(source: BodySource, { base, from, to, isLast, trailers }: BodyPiece): void {
    const { session } = this.connection!;
    const stream = this.stream!;
    this.bytesOut += to - from;
    if (this.awaitsBody) this.setTimer(this.exchange.bodyIdleMs);
    let isTaken = true;
    if (isLast) isTaken = session.sendLast(stream, base, from, to, trailers);
    else if (to > from) isTaken = session.send(stream, base, from, to);
    if (!isTaken && !isLast) source.pause();
  }

  switchProtocols(head: Head): boolean {
    const { responseWriter: writer } = this.plane;
    const { websocketKey: key, returnedId: requestId } = this;
    if (key === '' || !writeOpened(writer, head, { key, requestId })) return false;
    this.hasBegun = true;
    this.connection!.session.respond(this.stream!, writer.view(), writer.length, false);
    return true;
  }

  beginTunnel(tunnel: Tunnel): void {
    this.tunnel = tunnel;
    this.setTimer(0);
    this.connection!.resumeSoon(this.stream!);
    // What was kept is given with its end.
    if (this.hasEnded && this.stream!.inbox === null) tunnel.onClientEnd();
  }

  // The ways out

  done(): void {
    const stream = this.stream!;
    this.leave().finish(stream);
  }

  reply(why: Reason, detail: string): void {
    const { stream, isGrpc: isTrailers, isHead, returnedId: requestId } = this;
    this.leave().reply(stream!, why, { detail, requestId, isHead, isGrpc: isTrailers });
  }

  cut(): void {
    const stream = this.stream!;
    this.leave().session.reset(stream, ErrorCode.internalError);
  }

  tunnelDone(isOrderly: boolean): void {
    const stream = this.stream!;
    const connection = this.leave();
    if (!isOrderly) connection.session.reset(stream, ErrorCode.cancel);
    else {
      connection.session.end(stream);
      connection.finish(stream);
    }
  }

  drop(): void {
    const stream = this.stream!;
    this.leave().session.reset(stream, ErrorCode.cancel);
  }

  onBug(error: unknown): void {
    this.connection!.onRequestBug(this, error);
  }

  /** Clears both references and gives the pair back; returns the connection. */
  private leave(): Http2ClientConnection {
    const connection = this.connection!;
    this.plane.context.wheel.cancel(this.timer);
    this.stream!.user = null;
    this.tunnel = null;
    this.connection = null;
    this.stream = null;
    this.isUndispatched = false;
    this.plane.giveHttp2Request(this);
    return connection;
  }

  /** Whether the pair may be given back, or taken. */
  get isFree(): boolean {
    return this.connection === null && this.stream === null && this.exchange.isFree;
  }

  /** 0: no limit. */
  private setTimer(ms: number): void {
    const { wheel } = this.plane.context;
    if (ms > 0) wheel.schedule(this.timer, ms);
    else wheel.cancel(this.timer);
  }
}
