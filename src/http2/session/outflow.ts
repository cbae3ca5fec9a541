// What a session sends: heads at once, content as far as windows and socket allow. What has to wait
// waits in its stream, and holds up no other (RFC 9113 section 5.2).
import { assert } from '../../base/assert.ts';
import { encodeRequest, encodeResponse, encodeTrailers, type RequestBlock } from '../head-block.ts';
import { HpackEncoder } from '../hpack-encoder.ts';
import type { KeptBytes } from '../kept-bytes.ts';
import { DEFAULT_WINDOW, ErrorCode, FRAME_BYTES_MAX, MAX_31 } from '../protocol.ts';
import type { Content, Stream, StreamUser } from '../stream.ts';
import type { StreamTable } from './stream-table.ts';

/** Output from which on it is sent at once. */
const FULL_BYTES = 32 * 1024;
const NOTHING = Buffer.alloc(0);

export class Outflow {
  /** The socket does not take more for now. */
  isCongested = false;
  private readonly table: StreamTable;
  private readonly encoder = new HpackEncoder();
  private sendWindow = DEFAULT_WINDOW;
  private isPumping = false;
  /** Filled with each piece of what waits. */
  private readonly piece: Content = { base: NOTHING, from: 0, to: 0, room: 0 };

  constructor(table: StreamTable) {
    this.table = table;
  }

  request(user: StreamUser, head: RequestBlock, isLast: boolean): Stream {
    const { table } = this;
    const { out } = table;
    const stream = table.add(table.nextId, user);
    table.nextId += 2;
    const block = out.beginBlock();
    encodeRequest(this.encoder, out, head);
    out.endBlock(block, stream.id, isLast);
    stream.isLocalDone = isLast;
    this.wrote();
    return stream;
  }

  respond(stream: Stream, bytes: Buffer, end: number, isLast: boolean): void {
    if (stream.isClosed || stream.isLocalDone) return;
    const { out } = this.table;
    const block = out.beginBlock();
    encodeResponse(this.encoder, out, bytes, end);
    out.endBlock(block, stream.id, isLast);
    stream.isLocalDone = isLast;
    this.wrote();
    if (isLast) this.table.closeIfDone(stream);
  }

  send(stream: Stream, base: Buffer, from: number, to: number): boolean {
    if (stream.isClosed || stream.isStopped) return true;
    assert(!stream.isEnding && !stream.isLocalDone, 'what has ended sends nothing more');
    const sent = stream.isWaiting ? from : this.sendNow(stream, base, from, to);
    if (sent === to) return true;
    stream.queue(base, sent, to);
    this.await(stream);
    return false;
  }

  end(stream: Stream, trailers: string): boolean {
    if (stream.isClosed || stream.isLocalDone) return true;
    stream.isEnding = true;
    stream.trailers = trailers;
    if (stream.hasContent) return false;
    this.endNow(stream);
    return true;
  }

  /** As `send` and `end`; without trailers the last frame of the content ends the message. */
  sendLast(stream: Stream, base: Buffer, from: number, to: number, trailers: string): boolean {
    if (stream.isClosed || stream.isStopped) return true;
    if (from === to || trailers !== '') {
      const isSent = from === to || this.send(stream, base, from, to);
      return this.end(stream, trailers) && isSent;
    }
    assert(!stream.isEnding && !stream.isLocalDone, 'what has ended sends nothing more');
    const sent = stream.isWaiting ? from : this.sendNow(stream, base, from, to, true);
    if (sent === to) return true;
    stream.queue(base, sent, to);
    this.await(stream);
    return this.end(stream, '');
  }

  private await(stream: Stream): void {
    const { waiting, options } = this.table;
    if (!waiting.has(stream)) stream.progressMs = options.nowMs();
    waiting.add(stream);
  }

  /** Returns how far it came; `isEnd`: the message ends at `to`. */
  private sendNow(stream: Stream, base: Buffer, from: number, to: number, isEnd = false): number {
    let at = from;
    while (at < to && !this.isCongested) {
      const bytes = Math.min(to - at, FRAME_BYTES_MAX, stream.sendWindow, this.sendWindow);
      if (bytes <= 0) break;
      const isWhole = at + bytes === to;
      if (isWhole && isEnd) {
        stream.isEnding = true;
        stream.isLocalDone = true;
      }
      this.put(stream, base, at, at + bytes, isWhole && isEnd);
      this.table.guard.earnSent(bytes, isWhole);
      at += bytes;
    }
    if (at === to && isEnd) this.table.closeIfDone(stream);
    return at;
  }

  private put(stream: Stream, base: Buffer, from: number, to: number, isLast: boolean): void {
    stream.sendWindow -= to - from;
    this.sendWindow -= to - from;
    this.table.out.data(stream.id, base, from, to, isLast);
    this.wrote();
  }

  private endNow(stream: Stream): void {
    const { out } = this.table;
    stream.isLocalDone = true;
    if (stream.trailers === '') out.data(stream.id, NOTHING, 0, 0, true);
    else {
      const block = out.beginBlock();
      encodeTrailers(this.encoder, out, stream.trailers);
      out.endBlock(block, stream.id, true);
    }
    this.wrote();
    this.table.closeIfDone(stream);
  }

  private wrote(): void {
    const { out, owner } = this.table;
    if (out.used >= FULL_BYTES && !this.isCongested) owner.onFull();
    else owner.onOutput();
  }

  // Windows

  /** The peer takes `increment` more on the connection, or on `stream`. */
  widen(stream: Stream | null, increment: number): void {
    const { table } = this;
    if (stream === null) {
      if (increment === 0) return table.fail(ErrorCode.protocolError, 'WINDOW_UPDATE of 0');
      this.sendWindow += increment;
      if (this.sendWindow > MAX_31) {
        return table.fail(ErrorCode.flowControlError, 'a window of the connection too large');
      }
      return this.pump();
    }
    if (increment === 0) {
      return table.failStream(stream, ErrorCode.protocolError, 'WINDOW_UPDATE of 0');
    }
    stream.sendWindow += increment;
    if (stream.sendWindow > MAX_31) {
      const why = 'a window of a stream too large';
      return table.failStream(stream, ErrorCode.flowControlError, why);
    }
    if (stream.isWaiting) this.pump();
  }

  /** SETTINGS change the windows of all streams by `grown`, below 0 too. False: one is too large. */
  widenAll(grown: number): boolean {
    for (const stream of this.table.streams.values()) {
      stream.sendWindow += grown;
      if (stream.sendWindow > MAX_31) return false;
    }
    return true;
  }

  /** What the peer keeps of header fields. */
  setTableSize(bytes: number): void {
    this.encoder.setTableSize(bytes);
  }

  /** Sends what waits, a frame of each stream in turn, as far as windows and socket allow. */
  pump(): void {
    const { table } = this;
    const { waiting } = table;
    if (this.isPumping || table.isOver) return;
    this.isPumping = true;
    let idle = 0;
    while (idle < waiting.size && this.sendWindow > 0 && !this.isCongested && !table.isOver) {
      const [stream] = waiting as unknown as [Stream];
      waiting.delete(stream);
      idle = this.sendWaiting(stream) ? 0 : idle + 1;
      if (stream.isWaiting && !stream.isClosed) waiting.add(stream);
      else if (!stream.isClosed || stream.isLocalDone) stream.user?.onDrain(stream);
    }
    this.isPumping = false;
  }

  /** Sends at most a frame of what waits; false where the stream's window has no room for any. */
  private sendWaiting(stream: Stream): boolean {
    if (stream.hasContent && !this.sendContent(stream, stream.outbox!)) return false;
    if (!stream.hasContent && stream.isEnding && !stream.isLocalDone) this.endNow(stream);
    return true;
  }

  /** As `sendWaiting`; the last frame of a message without trailers ends it. */
  private sendContent(stream: Stream, outbox: KeptBytes): boolean {
    const { piece, table } = this;
    const bytesMax = Math.min(FRAME_BYTES_MAX, stream.sendWindow, this.sendWindow);
    if (bytesMax <= 0) return false;
    stream.progressMs = table.options.nowMs();
    outbox.take(piece, bytesMax);
    const isLast = outbox.isEmpty && stream.isEnding && stream.trailers === '';
    stream.isLocalDone ||= isLast;
    // Copied before anything else happens: what is kept may be cleared by that.
    this.put(stream, piece.base, piece.from, piece.to, isLast);
    table.guard.earnSent(piece.to - piece.from, outbox.isEmpty);
    outbox.done();
    if (isLast) table.closeIfDone(stream);
    return true;
  }
}
