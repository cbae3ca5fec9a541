// How much is handed to Node's encryption at a time. Node sets memory aside for what was encrypted and is not with the
// system yet; of that it keeps the two latest pieces for as long as the connection lives, and a write of 16 KiB or more
// gets a piece of its own size. So what a connection keeps is what its largest write took, and smaller writes cost a
// turn of the event loop each: half as much again of the time for an answer of 64 KiB. Hence a few connections write
// large, and when there are many that have, the others do not.
import { assert } from '../../base/assert.ts';

/** Less than the 16 KiB that Node sets aside for small ones, by what a record adds with any cipher. */
export const SMALL_WRITE_BYTES = 16 * 1024 - 128;
/** Node gives the system ten pieces of 16 KiB in one step. */
export const LARGE_WRITE_BYTES = 128 * 1024;
/** Reads of answers have 64 KiB, which take 80: 20 MiB for all of these. */
const LARGE_MAX = 256;

/** The connections of one thread that may write large. */
export class LargeWrites {
  /** Another number is for tests. */
  max = LARGE_MAX;
  private places = 0;

  /** How many there are. */
  get count(): number {
    return this.places;
  }

  /** Whether there is room for one more, which then has its place until `leave`. */
  enter(): boolean {
    if (this.places >= this.max) return false;
    this.places += 1;
    return true;
  }

  leave(): void {
    assert(this.places > 0, 'a place is given back once');
    this.places -= 1;
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
