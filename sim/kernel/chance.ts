import { addToHash, FIRST_HASH, mixHash } from '../../src/balance/hash.ts';
import { Draws } from '../../src/base/prng.ts';

/**
 * A stream of draws for one purpose. Streams of other names are not moved by how many draws are
 * made here: an actor can be taken out of a run without changing what the others do.
 */
export class Chance extends Draws {
  constructor(seed: number, name: string) {
    super(mixHash(addToHash(hashOfSeed(seed), name)));
  }

  /** Whether something of this probability happens. */
  happens(share: number): boolean {
    return share > 0 && this.next() < share;
  }

  /** A number in [from, to). */
  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  /** A whole number in [from, to], both included. */
  int(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  /** A whole number in [from, to]; each order of magnitude is as likely as another. `from` >= 1. */
  size(from: number, to: number): number {
    return Math.min(to, Math.floor(Math.exp(this.between(Math.log(from), Math.log(to + 1)))));
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)]!;
  }
}

let lastSeed = -1;
let lastHash = 0;

/** Of `${seed}/`; a run asks for one seed's thousands of times. */
function hashOfSeed(seed: number): number {
  if (seed !== lastSeed) {
    lastSeed = seed;
    lastHash = addToHash(FIRST_HASH, `${seed}/`);
  }
  return lastHash;
}
