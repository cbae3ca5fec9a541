// How much is handed to Node's encryption at a time. Node sets memory aside for what was encrypted and is not with the
// system yet; of that it keeps the two latest pieces for as long as the connection lives, and a write of 16 KiB or more
// gets a piece of its own size. So what a connection keeps is what its largest write took, however small those are that
// follow, and it gives that back by closing alone. Smaller writes cost a turn of the event loop each: half as much again
// of the time for an answer of 64 KiB. Hence what all connections of a thread keep is bounded: each may write as much at a
// time as it has to say, for as long as there is room, and those that come later write little at a time.
import { assert } from '../../base/assert.ts';

/** Less than the 16 KiB that Node sets aside for small ones, by what a record adds with any cipher. */
export const SMALL_WRITE_BYTES = 16 * 1024 - 128;
/** An answer of 64 KiB with its head; Node sets aside whole steps of 16 KiB, and one step more from 80 KiB on. */
export const MEDIUM_WRITE_BYTES = 80 * 1024 - 1;
/** One read of a long answer. Node gives the system ten pieces of 16 KiB in one step. */
export const LARGE_WRITE_BYTES = 128 * 1024;

/** What may be written at a time, from small to large, and what Node keeps then beside the 16 KiB that it keeps anyway. */
const STEPS: readonly { readonly writeBytes: number; readonly keptBytes: number }[] = [
  { writeBytes: SMALL_WRITE_BYTES, keptBytes: 0 },
  { writeBytes: MEDIUM_WRITE_BYTES, keptBytes: 80 * 1024 },
  { writeBytes: LARGE_WRITE_BYTES, keptBytes: 144 * 1024 },
];

const keptBy = (writeBytes: number): number =>
  STEPS.find((step) => step.writeBytes === writeBytes)!.keptBytes;

/** What the connections of one thread keep that have written much at a time. */
export class LargeWrites {
  /** 460 connections with answers of 64 KiB, 256 with longer ones. Another number is for tests. */
  bytesMax = 36 * 1024 * 1024;
  private bytes = 0;

  /** What they keep, at most. */
  get keptBytes(): number {
    return this.bytes;
  }

  /**
   * How much a connection may write at a time from now on that has so much to write and could write `now` before: that
   * much, or less where there is no room. The room is its own until `leave`.
   */
  raise(now: number, wanted: number): number {
    const others = this.bytes - keptBy(now);
    let most = now;
    for (const { writeBytes, keptBytes } of STEPS) {
      if (most >= wanted || others + keptBytes > this.bytesMax) break;
      if (writeBytes > most) most = writeBytes;
    }
    this.bytes = others + keptBy(most);
    return most;
  }

  /** The connection has closed that could write `now` at a time. */
  leave(now: number): void {
    this.bytes -= keptBy(now);
    assert(this.bytes >= 0, 'room is given back once');
  }
}

/** How many of the first of `pieces` may be written together; at least one, which alone is small enough. */
export function countTogether(
  pieces: readonly { readonly length: number }[],
  bytesMax: number,
): number {
  let length = 0;
  const end = pieces.findIndex((piece) => {
    length += piece.length;
    return length > bytesMax;
  });
  return end < 0 ? pieces.length : Math.max(1, end);
}
