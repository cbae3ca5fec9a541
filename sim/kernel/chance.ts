import { addToHash, FIRST_HASH, mixHash } from '../../src/balance/hash.ts';
import { Draws } from '../../src/base/prng.ts';

/**
 * A stream of draws for one purpose. Streams of other names are not moved by how many draws are
 * made here: an actor can be taken out of a run without changing what the others do.
 */
export class Chance extends Draws {
  /** `before`: `hashOfName` of what goes before `name`. */
  constructor(seed: number, name: string, before = hashOfSeed(seed)) {
    super(mixHash(addToHash(before, name)));
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

/** What names of streams begin with, for those of which there are many. */
export function hashOfName(seed: number, begin: string): number {
  return addToHash(hashOfSeed(seed), begin);
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
