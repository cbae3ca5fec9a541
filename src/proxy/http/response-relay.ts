// The final response on its way to the client: its head as we write it, and its body framed anew.
// It decides what may become of both connections afterwards, and leaves it to the exchange.
import { Body, type BodyKind, isPersistent, responseBody } from '../../http1/framing.ts';
import type { Head } from '../../http1/head.ts';
import type { HeadWriter } from '../../http1/head-writer.ts';
import type { Wire } from '../network.ts';
import { BodyRelay } from './body-relay.ts';
import type { HeaderPolicy } from './header-policy.ts';
import { writeResponseHead } from './response-head.ts';

/** The request that is answered, and by what connections. */
export interface Answered {
  readonly method: string;
  /** The client speaks HTTP/1.0. */
  readonly isOldClient: boolean;
  /** The client's connection may serve another request, as far as it is about the request. */
  readonly mayKeepAlive: boolean;
  readonly policy: HeaderPolicy;
  readonly client: Wire;
  readonly upstream: Wire;
}

/** Bytes of a body that are cheaper to copy behind the head than to send from where they are. */
const COPIED_MAX = 4096;
/** A body of so many bytes is streamed from a buffer of the connection's own. */
const STREAMED_MIN = 32 * 1024;

export class ResponseRelay {
  /** A byte of the final response went to the client. */
  hasBegun = false;
  /** The client's connection serves another request when this response is done. */
  isClientKept = false;
  /** The upstream connection may serve another request, as far as it is about the response. */
  isUpstreamKept = false;
  readonly body = new BodyRelay();
  private readonly writer: HeadWriter;
  private client!: Wire;
  private upstream!: Wire;

  /** `writer` is shared: it holds a head only until that is sent. */
  constructor(writer: HeadWriter) {
    this.writer = writer;
  }

  /** 100, 103 and the like, which don't end the exchange (RFC 9110 section 15.2). */
  sendInterim(head: Head, { client, policy }: Pick<Answered, 'client' | 'policy'>): void {
    const { writer } = this;
    writeResponseHead(writer, { head, policy, isChunked: false, connection: '', upgrade: '' });
    if (!client.write(writer.view())) writer.abandonBuffer();
  }

  /**
   * Sends the head with what has come of the body: base[start,end). False: nothing was sent, for
   * the body is malformed from the start.
   */
  begin(head: Head, answered: Answered, piece: { base: Buffer; start: number; end: number }) {
    const { base, start, end } = piece;
    const { body, writer } = this;
    const kind = responseBody(head, answered.method);
    const isChunkedOut = this.decide(head, kind, answered);
    body.begin(kind, head.contentLength, isChunkedOut);
    // The head is written before the body is taken, for that may write framing over it.
    const sayKept = answered.isOldClient ? 'keep-alive' : '';
    const connection = this.isClientKept ? sayKept : 'close';
    const { policy } = answered;
    writeResponseHead(writer, { head, policy, isChunked: isChunkedOut, connection, upgrade: '' });
    if (end > start && !this.takeFirst(base, start, end)) return false;
    this.hasBegun = true;
    this.sendFirst(base, end > start && body.to > body.from);
    return true;
  }

  /** Relays base[start,end); look at `body` afterwards. */
  take(base: Buffer, start: number, end: number): void {
    const { body } = this;
    if (body.take(base, start, end) < end) this.isUpstreamKept = false;
    if (body.fault !== '') return;
    if (body.to > body.from) this.forward(base, body.from, body.to);
    this.sendLast();
  }

  /** The endpoint's side has ended, and with it the body. */
  end(): void {
    this.isUpstreamKept = false;
    this.body.end();
    this.sendLast();
  }

  /** The upstream connection is done with this response, and may read the next one elsewhere. */
  leaveUpstream(): void {
    if (this.body.bytes < STREAMED_MIN) this.upstream.shareBuffer();
  }

  /** As new, for the next response. */
  reset(): void {
    this.hasBegun = false;
    this.isClientKept = false;
    this.isUpstreamKept = false;
  }

  private decide(head: Head, kind: BodyKind, answered: Answered): boolean {
    const isOpenEnded = kind === Body.chunked || kind === Body.untilClose;
    const isChunkedOut = isOpenEnded && !answered.isOldClient;
    this.client = answered.client;
    this.upstream = answered.upstream;
    this.isUpstreamKept = isPersistent(head) && kind !== Body.untilClose;
    // Where nothing but the end of the connection tells the end of the body, it has to end.
    this.isClientKept = answered.mayKeepAlive && (!isOpenEnded || isChunkedOut);
    return isChunkedOut;
  }

  private takeFirst(base: Buffer, start: number, end: number): boolean {
    const { body } = this;
    // Bytes behind a response without a body belong to nobody.
    const next = body.isDone ? start : body.take(base, start, end);
    if (next < end) this.isUpstreamKept = false;
    return body.fault === '';
  }

  /**
   * Head and first bytes of the body leave in one write: few bytes behind the head in its buffer,
   * many with the head before them in theirs, where there is room.
   */
  private sendFirst(base: Buffer, hasBytes: boolean): void {
    const { body, writer } = this;
    const room = hasBytes ? body.from - writer.length : -1;
    if (hasBytes && body.to - body.from <= COPIED_MAX) {
      writer.copy(base, body.from, body.to);
      this.sendWriter();
    } else if (room >= 0) {
      writer.copyTo(base, room);
      this.forward(base, room, body.to);
    } else {
      this.sendWriter();
      if (hasBytes) this.forward(base, body.from, body.to);
    }
    this.sendLast();
  }

  private sendWriter(): void {
    if (this.client.write(this.writer.view())) return;
    this.writer.abandonBuffer();
    this.upstream.pause();
  }

  private forward(base: Buffer, from: number, to: number): void {
    const { upstream } = this;
    if (!upstream.forwardTo(this.client, base, from, to)) upstream.pause();
  }

  private sendLast(): void {
    const { last } = this.body;
    if (last !== null && !this.client.write(last)) this.upstream.pause();
  }
}
