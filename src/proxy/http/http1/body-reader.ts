// A body as it arrives on an HTTP/1.1 connection: which of the bytes belong to it, and what of them is
// content. After `take` the reader itself is the piece that goes on.
// Any split of the incoming bytes gives the same content, trailers and verdict.
import { BodyState, ChunkedDecoder } from '../../../http1/chunked-decoder.ts';
import { Body, type BodyKind } from '../../../http1/framing.ts';
import { TAILROOM } from '../../wire/read-buffers.ts';
import type { BodyPiece } from '../body-piece.ts';

const NOTHING = Buffer.alloc(0);

export class BodyReader implements BodyPiece {
  base: Buffer = NOTHING;
  from = 0;
  to = 0;
  room = 0;
  /** The whole body has arrived. */
  isLast = true;
  trailers = '';
  /** Why it can't go on; '' while it can. */
  fault: 'bad-chunk' | 'bad-trailer' | '' = '';
  /** Content that has arrived. */
  bytes = 0;
  /** Chunks that the last `take` has read. */
  chunks = 0;
  private kind: BodyKind = Body.none;
  private left = 0;
  private decoder: ChunkedDecoder | null = null;

  /** A body begins, and nothing of an earlier one is left. `length` counts for Body.length alone. */
  begin(kind: BodyKind, length: number): void {
    this.kind = kind;
    this.left = kind === Body.length ? length : 0;
    this.isLast = kind === Body.none;
    this.bytes = 0;
    this.chunks = 0;
    this.fault = '';
    this.trailers = '';
    this.put(NOTHING, 0, 0, 0);
    if (kind !== Body.chunked) return;
    this.decoder ??= new ChunkedDecoder();
    this.decoder.reset();
  }

  /** The end of the connection is the end of the body. */
  get endsWithConnection(): boolean {
    return this.kind === Body.untilClose;
  }

  /**
   * Takes base[start,end), which may be followed by TAILROOM bytes to write to, and returns the
   * offset after the last byte of the body. Look at `fault` first.
   */
  take(base: Buffer, start: number, end: number): number {
    if (this.kind === Body.chunked) return this.takeChunks(base, start, end);
    const isBounded = this.kind !== Body.untilClose;
    const next = isBounded ? Math.min(start + this.left, end) : end;
    if (isBounded) {
      this.left -= next - start;
      this.isLast = this.left === 0;
    }
    this.put(base, start, next, next === end ? end + TAILROOM : next);
    return next;
  }

  /** The connection has ended, and with it the body. Only where `endsWithConnection`. */
  end(): void {
    this.isLast = true;
    this.put(NOTHING, 0, 0, 0);
  }

  private takeChunks(base: Buffer, start: number, end: number): number {
    const decoder = this.decoder!;
    const next = decoder.decode(base, start, end);
    this.fault = decoder.fault;
    this.chunks = decoder.chunks;
    this.isLast = decoder.state === BodyState.done;
    if (this.isLast) this.trailers = decoder.trailers;
    // What follows the body in the buffer is another message's.
    this.put(base, start, decoder.dataEnd, next === end ? end + TAILROOM : next);
    return next;
  }

  private put(base: Buffer, from: number, to: number, room: number): void {
    this.base = base;
    this.from = from;
    this.to = to;
    this.room = room;
    this.bytes += to - from;
  }
}
