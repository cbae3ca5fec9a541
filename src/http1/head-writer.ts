// Writes message heads: what leaves us is put together here from what was decided, line by line.
// Kept field lines are copied as they were received, in runs; nothing else of the received head is.

import { HOP_BY_HOP } from './fields.ts';
import { FIELD_STRIDE, type Head } from './head.ts';

/** Below this many bytes a loop beats the call of copy. */
const LOOP_BYTES_MAX = 48;
const CRLF_BYTES = 2;
const SMALL_BYTES = 2048;
/** A buffer that has grown beyond this goes back when its content is done with. */
const KEPT_BYTES_MAX = 16 * 1024;
/** What a buffer grows to then, at once: a head with as much of a body as is kept for a retry by default. */
const LARGE_BYTES = 96 * 1024;
/**
 * Large buffers kept for reuse by a thread: 12 MiB. Each that is made anew counts as memory of JavaScript's: a
 * thousand uploads a second would run the garbage collector for 100 MB of it. With 32, 64 uploads at a time made
 * 8,000 of them anew in three seconds: each takes one for its copy, and one for what leaves in a turn.
 */
const SPARE_BUFFERS_MAX = 128;
const spares: Buffer[] = [];

export class HeadWriter {
  private buffer: Buffer;
  private used = 0;
  /** The smaller buffer that comes back into use when a large one goes back; null where there is none. */
  private home: Buffer | null = null;
  /** The last view: heads are often as long as the one before, and a view costs more than a look. */
  private lastView: Buffer | null = null;

  constructor(bytes = SMALL_BYTES) {
    this.buffer = Buffer.allocUnsafeSlow(bytes);
  }

  get length(): number {
    return this.used;
  }

  reset(): void {
    this.used = 0;
  }

  /** Appends from[start,end). */
  copy(from: Buffer, start: number, end: number): void {
    const count = end - start;
    const at = this.reserve(count);
    if (count > LOOP_BYTES_MAX) {
      from.copy(this.buffer, at, start, end);
      return;
    }
    const { buffer } = this;
    for (let i = 0; i < count; i += 1) buffer[at + i] = from[start + i]!;
  }

  /** Appends text whose characters are bytes (latin1). */
  text(text: string): void {
    const at = this.reserve(text.length);
    if (text.length > LOOP_BYTES_MAX) {
      this.buffer.write(text, at, 'latin1');
      return;
    }
    const { buffer } = this;
    for (let i = 0; i < text.length; i += 1) buffer[at + i] = text.charCodeAt(i);
  }

  /** Copies what was written to target[at...), which must have room. */
  copyTo(target: Buffer, at: number): void {
    this.buffer.copy(target, at, 0, this.used);
  }

  /** What was written; refers to the writer's buffer. */
  view(): Buffer {
    if (this.lastView?.length !== this.used) this.lastView = this.buffer.subarray(0, this.used);
    return this.lastView;
  }

  /** Leaves the buffer to an unfinished write that refers to it, and goes on with another. */
  abandonBuffer(): void {
    this.buffer = Buffer.allocUnsafeSlow(Math.min(this.buffer.length, KEPT_BYTES_MAX));
    this.home = null;
    this.used = 0;
    this.lastView = null;
  }

  /** As reset, where no write refers to what was written: a large buffer serves others from now on. */
  giveBack(): void {
    const { buffer, home } = this;
    this.used = 0;
    if (buffer.length <= KEPT_BYTES_MAX) return;
    if (buffer.length === LARGE_BYTES && spares.length < SPARE_BUFFERS_MAX) spares.push(buffer);
    this.buffer = home ?? Buffer.allocUnsafeSlow(SMALL_BYTES);
    this.home = null;
    this.lastView = null;
  }

  private reserve(count: number): number {
    const at = this.used;
    this.used += count;
    if (this.used > this.buffer.length) this.grow();
    return at;
  }

  private grow(): void {
    const grown = this.roomFor(this.used * 2);
    this.buffer.copy(grown);
    if (this.buffer.length <= KEPT_BYTES_MAX) this.home = this.buffer;
    this.buffer = grown;
    this.lastView = null;
  }

  private roomFor(bytes: number): Buffer {
    const isLarge = bytes > KEPT_BYTES_MAX && this.used <= LARGE_BYTES;
    if (!isLarge) return Buffer.allocUnsafeSlow(bytes);
    return spares.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES);
  }
}

/**
 * Appends the fields that go on, as received and in order: all but those that belong to the
 * connection (RFC 9110 section 7.6.1) and those whose id is 1 in `drop`.
 */
export function copyFields(writer: HeadWriter, head: Head, drop: Uint8Array): void {
  const { fields, bytes } = head;
  const end = head.fieldCount * FIELD_STRIDE;
  let runStart = -1;
  for (let at = 0; at < end; at += FIELD_STRIDE) {
    const id = fields[at]!;
    if (id !== 0 && (HOP_BY_HOP[id] === 1 || drop[id] === 1)) {
      if (runStart >= 0) writer.copy(bytes, runStart, fields[at + 1]!);
      runStart = -1;
    } else if (runStart < 0) {
      runStart = fields[at + 1]!;
    }
  }
  // The last kept line ends where the empty line begins.
  if (runStart >= 0) writer.copy(bytes, runStart, head.end - CRLF_BYTES);
}
