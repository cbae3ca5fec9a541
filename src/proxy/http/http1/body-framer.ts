// A body as it leaves on an HTTP/1.1 connection: as it is where its length was announced, or ends with
// the connection; else in chunks, framed in place, so that content and framing leave in one write.
import type { BodyPiece } from '../body-piece.ts';

/** Room that a chunk's size line takes at most. */
const CHUNK_LINE_MAX = 18;
const CR = 13;
const LF = 10;
const CRLF_BYTES = 2;
const LAST_CHUNK = Buffer.from('0\r\n\r\n');

export class BodyFramer {
  /** After `frame`: base[from,to) is to be sent, and then `last`. */
  base!: Buffer;
  from = 0;
  to = 0;
  last: Buffer | null = null;
  private isChunked = false;

  /** A body begins; `isChunked`: it leaves in chunks. */
  begin(isChunked: boolean): void {
    this.isChunked = isChunked;
    this.from = 0;
    this.to = 0;
    this.last = null;
  }

  /** Says what goes out for this piece; may write around its content, within its room. */
  frame(piece: BodyPiece): void {
    this.base = piece.base;
    this.from = piece.from;
    this.to = piece.to;
    this.last = null;
    if (!this.isChunked) return;
    if (piece.to > piece.from) this.frameContent(piece);
    if (piece.isLast) this.putLast(piece);
  }

  private frameContent(piece: BodyPiece): void {
    let { base, from, to } = piece;
    if (from < CHUNK_LINE_MAX || to + CRLF_BYTES > piece.room) {
      base = Buffer.allocUnsafe(CHUNK_LINE_MAX + to - from + CRLF_BYTES);
      piece.base.copy(base, CHUNK_LINE_MAX, from, to);
      to = CHUNK_LINE_MAX + to - from;
      from = CHUNK_LINE_MAX;
    }
    this.base = base;
    this.from = frameChunk(base, from, to);
    this.to = to + CRLF_BYTES;
  }

  /** The last chunk goes behind the content, where there is room, so that they leave in one write. */
  private putLast({ base, room, trailers }: BodyPiece): void {
    const bytes = lastChunk(trailers);
    if (this.base !== base || this.to === this.from || this.to + bytes.length > room) {
      this.last = bytes;
      return;
    }
    bytes.copy(base, this.to);
    this.to += bytes.length;
  }
}

/** base[start,end) as a chunk of its own, for what is sent from a copy. */
export function chunkOf(content: Buffer): Buffer {
  const out = Buffer.allocUnsafe(CHUNK_LINE_MAX + content.length + CRLF_BYTES);
  content.copy(out, CHUNK_LINE_MAX);
  const end = CHUNK_LINE_MAX + content.length;
  return out.subarray(frameChunk(out, CHUNK_LINE_MAX, end), end + CRLF_BYTES);
}

/** The end of a chunked body (RFC 9112 section 7.1.2). */
export function lastChunk(trailers: string): Buffer {
  return trailers === '' ? LAST_CHUNK : Buffer.from(`0\r\n${trailers}\r\n`, 'latin1');
}

/**
 * Makes base[start,end) a chunk: its size line before it, CRLF behind it. Returns where the chunk
 * begins; it ends at `end + 2`.
 */
function frameChunk(base: Buffer, start: number, end: number): number {
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
