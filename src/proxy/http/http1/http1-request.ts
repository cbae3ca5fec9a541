// One request of an HTTP/1.1 connection, as its exchange sees it: the body as it arrives, the response
// as the client is to get it, and what becomes of the connection afterwards.
// Pooled together with its exchange. `connection` is set exactly while the pair serves a request, and
// `leave`, on every way out, is the one place that clears both references.
import { assert } from '../../../base/assert.ts';
import { Body, type BodyKind, isPersistent, requestBody } from '../../../http1/framing.ts';
import { type Head, HeadFlag } from '../../../http1/head.ts';
import { type Reason, reason } from '../../../model/reason.ts';
import type { Route } from '../../../model/route.ts';
import type { HttpPolicy } from '../../../model/service.ts';
import { CHUNKS_MAX } from '../../limits/rest.ts';
import type { LiveService } from '../../live-service.ts';
import type { Wire } from '../../network.ts';
import type { BodyPiece } from '../body-piece.ts';
import type { BodySource } from '../body-source.ts';
import type { ClientSide } from '../client-side.ts';
import { Exchange } from '../exchange.ts';
import { HeaderPolicy } from '../header-policy.ts';
import type { HttpPlane } from '../plane.ts';
import { requestIdOf } from '../request-id.ts';
import { writeResponseHead } from '../response-head.ts';
import type { Tunnel } from '../tunnel.ts';
import { acceptedProtocol, writeSwitch } from '../upgrade.ts';
import { BodyFramer } from './body-framer.ts';
import { BodyReader } from './body-reader.ts';
import type { ClientConnection } from './client-connection.ts';
import { ClientEnd } from './tunnel-ends.ts';

/** Bytes of a body that are cheaper to copy behind the head than to send from where they are. */
const COPIED_MAX = 4096;

export class Http1Request implements ClientSide {
  readonly exchange: Exchange;
  hasBegun = false;
  bytesOut = 0;
  readonly isDuplex = false;
  private readonly plane: HttpPlane;
  private connection: ClientConnection | null = null;
  /** What `policy` was made of. */
  private http: HttpPolicy | null = null;
  private policy!: HeaderPolicy;
  private readonly request = new BodyReader();
  private readonly response = new BodyFramer();
  /** The client speaks HTTP/1.0. */
  private isOldClient = false;
  /** As far as it is about the request, the connection may serve another one. */
  private mayKeepAlive = false;
  /** What an upgrade asks for; '' where it is none that is passed on. */
  private upgrade = '';
  /** What it goes by in heads and logs; '' where that is off. */
  private requestId = '';
  /** The connection serves another request when the response is done. */
  private isKept = false;
  /** The frame of the response tells when it is whole. */
  private isFramed = false;
  /** Body bytes that the head of the response has announced; -1: it does not say. */
  private announced = -1;

  constructor(plane: HttpPlane) {
    this.plane = plane;
    this.exchange = new Exchange(this, plane);
  }

  /** A request's head is complete: takes what is needed of it, for its bytes won't stay. */
  begin(connection: ClientConnection, head: Head, live: LiveService, route: Route | null): void {
    assert(this.connection === null, 'a request belongs to one connection at a time');
    this.connection = connection;
    const { http } = live.service;
    if (this.http !== http) {
      this.http = http;
      this.policy = HeaderPolicy.of(http);
    }
    this.hasBegun = false;
    this.bytesOut = 0;
    this.isOldClient = head.minorVersion === 0;
    this.mayKeepAlive = isPersistent(head);
    this.upgrade = head.has(HeadFlag.upgrade) ? acceptedProtocol(head) : '';
    this.isKept = false;
    this.isFramed = false;
    this.announced = -1;
    this.request.begin(requestBody(head), head.contentLength);
    const client = connection.factsFor(this.policy);
    this.requestId = this.idOf(head, client.isTrusted);
    this.exchange.begin(head, {
      live,
      route,
      client,
      policy: this.policy,
      requestId: this.requestId,
      upgrade: this.upgrade,
      hasBody: !this.request.isLast,
      announced: Math.max(0, head.contentLength),
      withinMs: 0,
      websocketKey: '',
    });
  }

  private idOf(head: Head, isTrusted: boolean): string {
    const { requestId: policy } = this.policy;
    if (policy === 'off') return '';
    return requestIdOf(head, { policy, isTrusted, make: this.plane.makeRequestId });
  }

  /** What the client is told of it. */
  private get returnedId(): string {
    return this.policy.returnsRequestId ? this.requestId : '';
  }

  // What the connection tells

  /** The whole request has arrived. */
  get isRequestDone(): boolean {
    return this.request.isLast;
  }

  /**
   * Takes bytes of the request's body and returns the offset after the last one that belongs to it.
   * May end the exchange: the caller looks at what it refers to afterwards.
   */
  takeBody(base: Buffer, start: number, end: number): number {
    const { request } = this;
    const connection = this.connection!;
    const next = request.take(base, start, end);
    if (request.chunks > CHUNKS_MAX) connection.beginRest();
    if (request.fault !== '') {
      this.exchange.failClient(reason(request.fault));
      return end;
    }
    this.exchange.onRequestBody(connection.wire, request);
    return next;
  }

  /** With neither length nor chunks an orderly close would look like the end of the response. */
  get looksComplete(): boolean {
    return this.hasBegun && !this.isFramed;
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

  get hasWhole(): boolean {
    return this.hasBegun && this.bytesOut === this.announced;
  }

  get isFlushed(): boolean {
    return this.connection!.wire.isFlushed;
  }

  get isHeld(): boolean {
    return this.connection!.isHeld;
  }

  get tunnelClient(): ClientEnd {
    return new ClientEnd(this.connection!);
  }

  hold(): void {
    this.connection!.hold();
  }

  release(): void {
    this.connection!.release();
  }

  sendInterim(head: Head): void {
    // HTTP/1.0 knows of none.
    if (this.isOldClient) return;
    const { responseWriter: writer } = this.plane;
    const { policy } = this;
    const plain = { isChunked: false, connection: '', upgrade: '' } as const;
    writeResponseHead(writer, { head, policy, ...plain, requestId: '', hstsLine: '' });
    if (!this.connection!.wire.write(writer.view())) writer.abandonBuffer();
  }

  respond(head: Head, kind: BodyKind, source: BodySource, piece: BodyPiece): void {
    const { policy, response } = this;
    const { responseWriter: writer } = this.plane;
    const isOpenEnded = kind === Body.chunked || kind === Body.untilClose;
    const isChunked = isOpenEnded && !this.isOldClient;
    // While more of the request may come, its end can't be told from the next one's start. Where
    // nothing but the end of the connection tells the end of the body, it has to end.
    const mayKeep = this.mayKeepAlive && this.request.isLast && this.connection!.mayKeepAlive();
    this.isKept = mayKeep && (!isOpenEnded || isChunked);
    this.isFramed = !isOpenEnded || isChunked;
    const sayKept = this.isOldClient ? 'keep-alive' : '';
    const connection = this.isKept ? sayKept : 'close';
    // The head is written before the body is framed, for that may write over where it was read.
    const requestId = this.returnedId;
    const { hstsLine } = this.connection!.factsFor(policy);
    const upgrade = '';
    // One literal: a spread of another costs a call for each response.
    const options = { head, policy, isChunked, connection, upgrade, requestId, hstsLine } as const;
    writeResponseHead(writer, options);
    response.begin(isChunked);
    response.frame(piece);
    this.hasBegun = true;
    this.announced = kind === Body.none ? 0 : kind === Body.length ? head.contentLength : -1;
    this.bytesOut = piece.to - piece.from;
    this.sendFirst(source);
  }

  /**
   * Head and first bytes of the body leave in one write: few bytes behind the head in its buffer,
   * many with the head before them in theirs, where there is room.
   */
  private sendFirst(source: BodySource): void {
    const { response } = this;
    const { responseWriter: writer } = this.plane;
    const { base, from, to, last } = response;
    const count = to - from;
    if (count === 0) this.sendWriter(source);
    else if (count <= COPIED_MAX) {
      writer.copy(base, from, to);
      this.sendWriter(source);
    } else if (from >= writer.length) {
      const room = from - writer.length;
      writer.copyTo(base, room);
      this.forward(source, base, room, to);
    } else {
      this.sendWriter(source);
      this.forward(source, base, from, to);
    }
    if (last !== null) this.sendLast(source, last);
  }

  sendBody(source: BodySource, piece: BodyPiece): void {
    const { response } = this;
    response.frame(piece);
    this.bytesOut += piece.to - piece.from;
    const { base, from, to, last } = response;
    if (to > from) this.forward(source, base, from, to);
    if (last !== null) this.sendLast(source, last);
  }

  private sendWriter(source: BodySource): void {
    const { responseWriter: writer } = this.plane;
    if (this.connection!.wire.write(writer.view())) return;
    writer.abandonBuffer();
    source.pause();
  }

  private forward(source: BodySource, base: Buffer, from: number, to: number): void {
    if (!source.forwardTo(this.connection!.wire, base, from, to)) source.pause();
  }

  private sendLast(source: BodySource, last: Buffer): void {
    if (!this.connection!.wire.write(last)) source.pause();
  }

  switchProtocols(head: Head): boolean {
    const { responseWriter: writer } = this.plane;
    const { policy, upgrade: asked, returnedId: requestId } = this;
    // Of a 101 browsers take no policy for what follows (RFC 6455 has no such thing).
    const options = { policy, asked, requestId, hstsLine: '' };
    if (!writeSwitch(writer, head, options)) return false;
    this.hasBegun = true;
    this.isFramed = true;
    if (!this.connection!.wire.write(writer.view())) writer.abandonBuffer();
    return true;
  }

  /** The tunnel has the client's bytes from here on, those that came early first. */
  beginTunnel(tunnel: Tunnel): void {
    this.connection!.beginTunnel(tunnel);
  }

  // The ways out

  done(): void {
    const { isKept } = this;
    const isRequestDone = this.request.isLast;
    this.leave().exchangeDone(isKept, isRequestDone);
  }

  reply(why: Reason, detail: string, mayKeep: boolean): void {
    const mayKeepAlive = mayKeep && this.request.isLast && this.mayKeepAlive;
    const requestId = this.returnedId;
    this.leave().reply(why, { detail, mayKeepAlive, requestId });
  }

  cut(): void {
    const { looksComplete } = this;
    const connection = this.leave();
    if (looksComplete) connection.reset();
    else connection.breakOff();
  }

  tunnelDone(isOrderly: boolean): void {
    const connection = this.leave();
    if (isOrderly) connection.tunnelClosed();
    else connection.reset();
  }

  drop(): void {
    this.leave();
  }

  onBug(error: unknown): void {
    this.connection!.onBug(error);
  }

  /** Clears both references and gives the pair back; returns the connection, which goes on alone. */
  private leave(): ClientConnection {
    const connection = this.connection!;
    this.connection = null;
    connection.requestLeft(this);
    this.plane.giveRequest(this);
    return connection;
  }

  /** Whether the pair may be given back, or taken: no connection refers to it, and it holds nothing. */
  get isFree(): boolean {
    return this.connection === null && this.exchange.isFree;
  }
}
