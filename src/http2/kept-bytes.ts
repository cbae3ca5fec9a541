// Content that has to wait, either way: a queue of bytes in chunks of two sizes, which are used again.
// Small pieces are put together: what each costs to keep is bounded, and what many cost further on.
//
// Each gRPC answer needs a chunk for a moment, since its message waits for the trailers behind it, and so does
// each answer that is larger than its client's window. Fresh memory for each of them made V8 mark its whole heap
// ten times a second.
import type { Content } from './stream.ts';

const SMALL_BYTES = 4096;
/** As much as a frame has. */
const LARGE_BYTES = 16 * 1024;
/** Of so many small ones a queue is made up at the most. */
const SMALL_MAX = 4;
/** Chunks that wait for the next stream which keeps something; lists per thread. */
const smallSpares: Buffer[] = [];
const largeSpares: Buffer[] = [];
const SPARES_MAX = 256;

export class KeptBytes {
  /** For who reads: the message has ended behind what is kept, with these trailers. */
  isEnded = false;
  trailers = '';
  private first: Buffer | null = null;
  /** Chunks behind the first one, where there are any. */
  private more: Buffer[] | null = null;
  /** Where the bytes begin in the first chunk, and end in the last. */
  private start = 0;
  private end = 0;
  /** A chunk whose last bytes `take` has given, until `done`. */
  private taken: Buffer | null = null;

  get isEmpty(): boolean {
    return this.first === null;
  }

  /** Copies base[from,to) behind what is there. */
  add(base: Buffer, from: number, to: number): void {
    let at = from;
    while (at < to) {
      const last = this.lastWithRoom(to - at);
      const bytes = Math.min(to - at, last.length - this.end);
      base.copy(last, this.end, at, at + bytes);
      this.end += bytes;
      at += bytes;
    }
  }

  private lastWithRoom(bytes: number): Buffer {
    const { first, more } = this;
    const last = more === null ? first : more[more.length - 1]!;
    if (last !== null && this.end < last.length) return last;
    const isLarge = bytes > SMALL_BYTES || (more !== null && more.length >= SMALL_MAX - 1);
    const made = isLarge ? take(largeSpares, LARGE_BYTES) : take(smallSpares, SMALL_BYTES);
    this.end = 0;
    if (first === null) {
      this.first = made;
      this.start = 0;
    } else if (more === null) this.more = [made];
    else more.push(made);
    return made;
  }

  /**
   * Removes what came first, `bytesMax` of it at the most, into `piece`, which is valid until `done`.
   * False: nothing is left.
   */
  take(piece: Content, bytesMax = LARGE_BYTES): boolean {
    const { first, more, start } = this;
    // Who takes within a take still uses what was given: it is left to the garbage collector.
    this.taken = null;
    if (first === null) return false;
    const end = more === null ? this.end : first.length;
    const to = Math.min(end, start + bytesMax);
    piece.base = first;
    piece.from = start;
    piece.to = to;
    piece.room = to;
    if (to < end) this.start = to;
    else {
      this.taken = first;
      this.start = 0;
      this.first = more === null ? null : this.nextOf(more);
    }
    return true;
  }

  private nextOf(more: Buffer[]): Buffer {
    const next = more.shift()!;
    if (more.length === 0) this.more = null;
    return next;
  }

  /** What was taken has been used: its memory is for others. */
  done(): void {
    if (this.taken !== null) give(this.taken);
    this.taken = null;
  }

  /** Nobody wants what is kept any more; what is taken at this moment is still in use. */
  clear(): void {
    const { first, more } = this;
    this.first = null;
    this.more = null;
    if (first !== null) give(first);
    if (more !== null) for (const chunk of more) give(chunk);
  }
}

function take(spares: Buffer[], bytes: number): Buffer {
  return spares.pop() ?? Buffer.allocUnsafeSlow(bytes);
}

function give(chunk: Buffer): void {
  const spares = chunk.length === SMALL_BYTES ? smallSpares : largeSpares;
  if (spares.length < SPARES_MAX) spares.push(chunk);
}
