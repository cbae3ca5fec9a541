// One try of a request on a stream of a shared HTTP/2 connection to an endpoint.
//   idle -> connecting -> awaiting -> relaying -> idle
//                                '-> tunnel -> idle
// The stream is the attempt's own; the connection is its pool's.
import { assert } from '../../../base/assert.ts';
import { TimerEntry, type TimerOwner } from '../../../base/timer-wheel.ts';
import { Body, responseBody } from '../../../http1/framing.ts';
import type { Head } from '../../../http1/head.ts';
import { HeadState } from '../../../http1/head-parser.ts';
import type { HeadText } from '../../../http2/head-text.ts';
import { ErrorCode, errorName } from '../../../http2/protocol.ts';
import type { Content, Stream, StreamUser } from '../../../http2/stream.ts';
import { EndpointColumn } from '../../../ledger/layout.ts';
import { type Reason, reason } from '../../../model/reason.ts';
import { connectDetail, connectFailure } from '../../connect-failure.ts';
import { Hold } from '../../hold.ts';
import type { LiveEndpoint } from '../../live-endpoint.ts';
import type { Wire } from '../../network.ts';
import type { UpstreamUser } from '../../upstream-connection.ts';
import { isStarved } from '../../upstream-connection.ts';
import type { BodyPiece } from '../body-piece.ts';
import type { BodySource } from '../body-source.ts';
import {
  type EndpointEvents,
  type EndpointSide,
  INTERIM_MAX,
  isProtocolGiven,
  type Tried,
} from '../endpoint-side.ts';
import type { HttpPlane } from '../plane.ts';
import type { RequestCopy } from '../request-copy.ts';
import { asksWebSocket } from '../upgrade.ts';
import { switchingHead, WEBSOCKET, withoutKey } from '../websocket.ts';
import type { Http2EndpointConnection } from './endpoint-connection.ts';
import { Http2Pool } from './http2-pool.ts';
import { StreamPiece } from './stream-piece.ts';
import { LastBytes, StreamUpstreamEnd } from './tunnel-ends.ts';

const CONNECT_TIMEOUT = reason('connect-timeout');
const STALE = reason('stale-connection');
const RESET = reason('reset');
const STREAM_REFUSED = reason('stream-refused');
const RESPONSE_TIMEOUT = reason('response-timeout');
const BAD_RESPONSE = reason('bad-response');
const BAD_RESPONSE_BODY = reason('bad-response-body');
const RESPONSE_HEAD_TOO_LARGE = reason('response-head-too-large');
const RESPONSE_CUT = reason('response-cut');
const NO_TUNNELS = reason('no-tunnels');

/** How long an endpoint may take to take the last bytes of a tunnel. */
const FLUSH_MS = 5000;
const NOTHING = Buffer.alloc(0);
/** What a tunnel is told of a stream that was reset. */
const CUT: NodeJS.ErrnoException = Object.assign(new Error('RST_STREAM'), { code: 'ECONNRESET' });

type State = 'idle' | 'connecting' | 'awaiting' | 'relaying' | 'tunnel';

export class Http2Attempt implements EndpointSide, StreamUser, BodySource, TimerOwner {
  sentMs = 0;
  hasAnswered = false;
  readonly speaks = 'http2';
  private state: State = 'idle';
  private readonly owner: EndpointEvents & Tried;
  private readonly plane: HttpPlane;
  private readonly hold: Hold;
  private readonly timer = new TimerEntry(this);
  private readonly piece = new StreamPiece();
  private shared: Http2EndpointConnection | null = null;
  private stream: Stream | null = null;
  /** The connection had served before, so it may be stale. */
  private isOnKept = false;
  private isPaused = false;
  private interims = 0;
  /** The request asks for a WebSocket, with this key. */
  private isTunnel = false;
  private key = '';
  private tunnel: UpstreamUser | null = null;

  constructor(owner: EndpointEvents & Tried, plane: HttpPlane) {
    this.owner = owner;
    this.plane = plane;
    this.hold = new Hold(plane.context.ledger);
  }

  get endpoint(): LiveEndpoint | null {
    return this.hold.endpoint;
  }

  get isHolding(): boolean {
    return this.shared !== null;
  }

  get isRelaying(): boolean {
    return this.state === 'relaying';
  }

  open(endpoint: LiveEndpoint, idleSinceMs: number): boolean {
    assert(this.state === 'idle' && this.shared === null, 'an attempt is one try at a time');
    const { plane } = this;
    const { service } = this.owner;
    this.sentMs = 0;
    this.hasAnswered = false;
    this.isPaused = false;
    this.interims = 0;
    this.tunnel = null;
    const { upgrade } = this.owner;
    this.isTunnel = upgrade !== '' && asksWebSocket(upgrade);
    if (!this.hold.take(endpoint, this.owner.live)) return false;
    this.state = 'connecting';
    const pool = Http2Pool.of(endpoint, plane);
    const kept = pool.take(idleSinceMs);
    if (kept?.isOpen && !this.isTunnel) {
      this.shared = kept;
      this.isOnKept = kept.isReused && idleSinceMs >= 0;
      this.owner.onReady(this);
      return true;
    }
    if (kept === null) {
      plane.context.ledger.addEndpoint(endpoint.slot, EndpointColumn.connects, 1);
    }
    this.shared = kept ?? pool.open(service.limits);
    this.isOnKept = false;
    if (this.isTunnel) this.shared.awaitTunnel(this);
    else this.shared.await(this);
    this.setTimer(service.timeouts.connectMs);
    return true;
  }

  /** The connection is open; `mayOpen`: it takes a stream. */
  onConnected(mayOpen: boolean): void {
    this.setTimer(0);
    if (mayOpen) this.owner.onReady(this);
    else this.fail(STREAM_REFUSED, '');
  }

  /** The connection's peer has said whether it `takesTunnels`. */
  onTunnelAsked(takesTunnels: boolean, mayOpen: boolean): void {
    this.setTimer(0);
    if (takesTunnels) this.onConnected(mayOpen);
    else if (isProtocolGiven(this.owner)) this.fail(NO_TUNNELS, '');
    else {
      this.hold.endpoint!.refusesTunnels = true;
      this.hold.forgo();
      this.owner.onOtherProtocol(this);
    }
  }

  /** The endpoint has chosen HTTP/1.1, and the connection is for that. */
  onOtherProtocol(): void {
    this.shared = null;
    this.hold.forgo();
    this.owner.onOtherProtocol(this);
  }

  onConnectFailed(error: NodeJS.ErrnoException | null): void {
    const code = error?.code ?? '';
    this.shared = null;
    if (!isStarved(code)) return this.fail(connectFailure(code), connectDetail(error));
    this.hold.forgo();
    this.owner.onStarved(this, code);
  }

  send(copy: RequestCopy, nowMs: number): boolean {
    const { session } = this.shared!;
    const { host, tls } = this.hold.endpoint!;
    const { headLength, trailers, view } = copy;
    const isEmpty = view.length === headLength;
    const named = copy.wantsOwnHost ? copy.headFor(host) : null;
    this.state = 'awaiting';
    this.sentMs = nowMs;
    this.hold.count();
    if (this.isTunnel) return this.sendConnect(named ?? copy.head);
    const isAll = copy.isDone && isEmpty && trailers === '';
    const request = {
      bytes: named ?? view,
      end: named?.length ?? headLength,
      protocol: '',
      scheme: tls === null ? ('http' as const) : ('https' as const),
    };
    const stream = session.request(this, request, isAll);
    assert(stream !== null, 'a stream is opened where one may be');
    this.stream = stream;
    if (isAll) return true;
    if (copy.isDone) return session.sendLast(stream, view, headLength, view.length, trailers);
    return isEmpty || session.send(stream, view, headLength, view.length);
  }

  /** RFC 8441 section 4. */
  private sendConnect(head: Buffer): boolean {
    const { tls } = this.hold.endpoint!;
    const { bytes, key } = withoutKey(head);
    const scheme = tls === null ? ('http' as const) : ('https' as const);
    const request = { bytes, end: bytes.length, scheme, protocol: WEBSOCKET };
    this.key = key;
    this.stream = this.shared!.session.request(this, request, false);
    assert(this.stream !== null, 'a stream is opened where one may be');
    return true;
  }

  tunnelEnd(): StreamUpstreamEnd {
    return new StreamUpstreamEnd(this.asEnd, this.shared!.session, this.stream!);
  }

  /** What the tunnel asks of its stream; made for each tunnel. */
  private get asEnd() {
    return {
      forwardTo: this.forwardTo.bind(this),
      pause: () => this.pause(),
      hold: () => this.pause(),
      release: () => this.resume(),
      setTimer: (ms: number) => this.setTimer(ms),
      attach: (user: UpstreamUser) => {
        this.tunnel = user;
      },
    };
  }

  sendBody(_source: BodySource, { base, from, to, isLast, trailers }: BodyPiece): boolean {
    const { session } = this.shared!;
    const stream = this.stream!;
    if (isLast) return session.sendLast(stream, base, from, to, trailers);
    return to === from || session.send(stream, base, from, to);
  }

  setTimer(ms: number): void {
    const { wheel } = this.plane.context;
    if (ms > 0) wheel.schedule(this.timer, ms);
    else wheel.cancel(this.timer);
  }

  // The source of the response's body

  forwardTo(wire: Wire, base: Buffer, start: number, end: number): boolean {
    return this.shared!.wire.forwardTo(wire, base, start, end);
  }

  pause(): void {
    this.isPaused = true;
    if (this.stream !== null) this.shared!.session.pause(this.stream);
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    if (this.stream !== null) this.shared!.resumeSoon(this.stream);
  }

  countBytes(bytesIn: number, bytesOut: number): void {
    const { slot } = this.hold.endpoint!;
    const { ledger } = this.plane.context;
    if (bytesIn > 0) ledger.addEndpoint(slot, EndpointColumn.bytesIn, bytesIn);
    if (bytesOut > 0) ledger.addEndpoint(slot, EndpointColumn.bytesOut, bytesOut);
  }

  complete(): void {
    this.shared!.isReused = true;
    this.drop();
  }

  /** A stream that has not ended is reset, whatever `drop` is for: that says it is not complete. */
  drop(isReset = false): void {
    const { shared, state, stream } = this;
    this.state = 'idle';
    this.shared = null;
    this.stream = null;
    this.tunnel = null;
    this.setTimer(0);
    if (stream !== null) {
      stream.user = null;
      // One that has ended well is about to be closed: the end is told first.
      if (stream.isRemoteDone && stream.isLocalDone) shared!.session.leave(stream);
      else if (state === 'tunnel' && stream.isWaiting && !isReset) {
        new LastBytes(shared!.session, stream, this.plane.context.wheel, FLUSH_MS);
      } else shared!.session.reset(stream, ErrorCode.cancel);
    } else shared?.forget(this);
    this.hold.leave();
  }

  // What happens on the stream

  onHead(stream: Stream, text: HeadText, isLast: boolean): void {
    if (!this.hasAnswered) {
      this.hasAnswered = true;
      this.owner.onAnswering(this);
      if (this.stream !== stream) return;
    }
    if (this.isTunnel && text.status >= 200 && text.status < 300) {
      this.switchTo(text, isLast);
      return;
    }
    const { plane } = this;
    const parser = plane.takeResponseParser();
    parser.feed(text.writer.view(), 0, text.writer.length);
    if (parser.state !== HeadState.done) this.fail(BAD_RESPONSE, parser.fault);
    else if (parser.head.status < 200) this.takeInterim(parser.head);
    else this.respond(stream, parser.head, isLast);
    plane.giveResponseParser(parser);
  }

  /** The tunnel is open: a 101 is what that is in HTTP/1.1. */
  private switchTo(text: HeadText, isLast: boolean): void {
    const { plane } = this;
    const parser = plane.takeResponseParser();
    const bytes = switchingHead(text.writer.view(), this.key);
    parser.feed(bytes, 0, bytes.length);
    if (parser.state !== HeadState.done) this.fail(BAD_RESPONSE, parser.fault);
    else {
      this.state = 'tunnel';
      this.owner.onSwitch(this, parser.head, NOTHING, 0, 0);
      if (isLast) this.tunnel?.onUpstreamEnd();
    }
    plane.giveResponseParser(parser);
  }

  private takeInterim(head: Head): void {
    this.interims += 1;
    if (this.interims > INTERIM_MAX) {
      this.fail(BAD_RESPONSE, `more than ${INTERIM_MAX} interim responses`);
    } else this.owner.onInterim(head);
  }

  private respond(stream: Stream, head: Head, isLast: boolean): void {
    head.majorVersion = 2;
    // An end of its own is what HTTP/2 has for every message.
    head.isChunked = head.contentLength < 0;
    const kind = responseBody(head, this.owner.method);
    if (isLast && kind === Body.length) {
      this.fail(BAD_RESPONSE, 'content is announced and none follows');
      return;
    }
    if (kind === Body.none) stream.expected = 0;
    else stream.expected = kind === Body.length ? head.contentLength : -1;
    this.state = 'relaying';
    this.owner.onResponse(this, head, kind, this, this.piece.nothing(isLast));
  }

  onData(_stream: Stream, content: Content, isLast: boolean): void {
    if (this.tunnel !== null) {
      this.tunnel.onUpstreamBytes(content.base, content.from, content.to);
      if (isLast) this.tunnel?.onUpstreamEnd();
    } else this.owner.onBody(this, this, this.piece.set(content, isLast));
  }

  onEnd(_stream: Stream, trailers: string): void {
    if (this.tunnel !== null) this.tunnel.onUpstreamEnd();
    else this.owner.onBody(this, this, this.piece.end(trailers));
  }

  onDrain(): void {
    if (this.tunnel !== null) this.tunnel.onUpstreamDrain();
    else this.owner.onEndpointDrain(this);
  }

  onReset(_stream: Stream, code: number, isUnprocessed: boolean): void {
    this.stream = null;
    const detail = errorName(code);
    if (this.tunnel !== null) {
      this.tunnel.onUpstreamClose(code === ErrorCode.noError ? null : CUT);
    } else if (this.state === 'relaying') this.fail(RESPONSE_CUT, detail);
    else if (isUnprocessed) this.fail(STREAM_REFUSED, detail);
    else this.fail(this.isOnKept && !this.hasAnswered ? STALE : RESET, detail);
  }

  onFault(_stream: Stream, why: string): void {
    this.stream = null;
    if (this.tunnel !== null) this.tunnel.onUpstreamClose(CUT);
    else if (this.state === 'relaying') this.fail(BAD_RESPONSE_BODY, why);
    else this.fail(why === 'header-too-large' ? RESPONSE_HEAD_TOO_LARGE : BAD_RESPONSE, why);
  }

  onTimer(): void {
    if (this.state === 'connecting') {
      this.shared!.waitedTooLong();
      this.fail(CONNECT_TIMEOUT, '');
    } else if (this.state === 'awaiting') this.fail(RESPONSE_TIMEOUT, '');
    else if (this.state === 'relaying') this.owner.onStalled(this);
    else if (this.state === 'tunnel') this.tunnel?.onUpstreamTimer();
  }

  onBug(error: unknown): void {
    this.owner.onBug(error);
  }

  private fail(why: Reason, detail: string): void {
    this.owner.onFailed(this, why, detail);
  }
}
