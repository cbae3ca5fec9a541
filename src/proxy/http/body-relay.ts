// A body on its way through: which of the bytes that arrive belong to it, and how they go out. What
// goes out is framed anew, in place: the content of a read is one range, and so one chunk.
// Any split of the incoming bytes gives the same content, trailers and verdict.
import { assert } from '../../base/assert.ts';
import { BodyState, ChunkedDecoder } from '../../http1/chunked-decoder.ts';
import { Body, type BodyKind } from '../../http1/framing.ts';

/** Room that a chunk's size line takes at most. */
const CHUNK_LINE_MAX = 18;
const CR = 13;
const LF = 10;
const LAST_CHUNK = Buffer.from('0\r\n\r\n');

export class BodyRelay {
  /** The whole body has arrived. */
  isDone = true;
  /** Why it can't go on; '' while it can. */
  fault: 'bad-chunk' | 'bad-trailer' | '' = '';
  /** Content that has arrived, framing not counted. */
  bytes = 0;
  /** After `take`: base[from,to) is to be sent, and then `last`. */
  from = 0;
  to = 0;
  last: Buffer | null = null;
  private kind: BodyKind = Body.none;
  private isChunkedOut = false;
  private left = 0;
  private decoder: ChunkedDecoder | null = null;

  /** A body begins. `length` counts for Body.length alone; `isChunkedOut`: it leaves in chunks. */
  begin(kind: BodyKind, length: number, isChunkedOut: boolean): void {
    this.kind = kind;
    this.isChunkedOut = isChunkedOut;
    this.left = kind === Body.length ? length : 0;
    this.isDone = kind === Body.none;
    this.bytes = 0;
    this.fault = '';
    this.from = 0;
    this.to = 0;
    this.last = null;
    if (kind !== Body.chunked) return;
    this.decoder ??= new ChunkedDecoder();
    this.decoder.reset();
  }

  /** Content that is still to come where the length was announced; 0 where it was not. */
  get announced(): number {
    return this.left;
  }

  /** The end of the connection is the end of the body. */
  get endsWithConnection(): boolean {
    return this.kind === Body.untilClose;
  }

  /** No orderly close may stand for the end of what we send: its frame tells when it is whole. */
  get isFramedOut(): boolean {
    return this.kind === Body.length || this.isChunkedOut;
  }

  /**
   * Takes base[start,end) and returns the offset after the last byte of the body. What is to be
   * sent may begin before `start` and end behind that offset's content: framing is written there,
   * within the headroom, the tailroom, or over framing that was read.
   */
  take(base: Buffer, start: number, end: number): number {
    this.last = null;
    if (this.kind === Body.chunked) return this.takeChunks(base, start, end);
    const count = this.kind === Body.length ? Math.min(this.left, end - start) : end - start;
    if (this.kind === Body.length) {
      this.left -= count;
      this.isDone = this.left === 0;
    }
    this.put(base, start, start + count);
    return start + count;
  }

  /** The connection has ended, and with it the body. Only where `endsWithConnection`. */
  end(): void {
    this.isDone = true;
    this.from = 0;
    this.to = 0;
    this.last = this.isChunkedOut ? LAST_CHUNK : null;
  }

  private takeChunks(base: Buffer, start: number, end: number): number {
    const decoder = this.decoder!;
    const next = decoder.decode(base, start, end);
    this.fault = decoder.fault;
    const { dataEnd } = decoder;
    // What follows the body in the buffer is another message's and must not be written over.
    assert(dataEnd === start || next === end || dataEnd + 2 <= next, 'a chunk has room behind it');
    this.put(base, start, dataEnd);
    this.isDone = decoder.state === BodyState.done;
    if (this.isDone && this.isChunkedOut) this.putLast(base, next, decoder.trailers);
    return next;
  }

  private put(base: Buffer, start: number, end: number): void {
    this.bytes += end - start;
    this.from = start;
    this.to = end;
    if (!this.isChunkedOut || end === start) return;
    this.from = frameChunk(base, start, end);
    this.to = end + 2;
  }

  /** The last chunk goes where it was read, so that it leaves in one write with the content. */
  private putLast(base: Buffer, limit: number, trailers: string): void {
    const bytes = trailers === '' ? LAST_CHUNK : Buffer.from(`0\r\n${trailers}\r\n`, 'latin1');
    if (this.to === this.from || this.to + bytes.length > limit) {
      this.last = bytes;
      return;
    }
    bytes.copy(base, this.to);
    this.to += bytes.length;
  }
}

/**
 * Makes base[start,end) a chunk: its size line before it, CRLF behind it. Returns where the chunk
 * begins; it ends at `end + 2`.
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
