// Consistent hashing on a ring: a key stays with its endpoint while the endpoint is there, and a
// change of membership moves only the keys of the endpoints that came or went.
import { type Balancer, type BalancerContext, type Choice, isOut } from './balancer.ts';

/** Points on the ring of an endpoint with average weight: keeps shares within about a tenth. */
const POINTS = 128;
/** Two to the power of what a double has beyond the 32 bits of a point. */
const OWNERS_MAX = 2 ** 20;

export class HashRing<C extends Choice> implements Balancer<C> {
  private readonly context: BalancerContext;
  private points = new Uint32Array(0);
  private owners: C[] = [];

  constructor(context: BalancerContext) {
    this.context = context;
  }

  setChoices(choices: readonly C[]): void {
    const mean = choices.reduce((sum, choice) => sum + choice.weight, 0) / (choices.length || 1);
    const byId = choices.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const counts = byId.map(({ weight }) => Math.max(1, Math.round((POINTS * weight) / mean)));
    // A point and whose it is in one number, which numbers alone sort by: points that are equal go by id.
    const ring = new Float64Array(counts.reduce((sum, count) => sum + count, 0));
    let end = 0;
    for (const [at, { id }] of byId.entries()) {
      const before = addToHash(FIRST_HASH, `${id}#`);
      for (let i = 0; i < counts[at]!; i += 1, end += 1)
        ring[end] = mixHash(addToHash(before, `${i}`)) * OWNERS_MAX + at;
    }
    ring.sort();
    this.points = Uint32Array.from(ring, (one) => Math.floor(one / OWNERS_MAX));
    this.owners = Array.from(ring, (one) => byId[one % OWNERS_MAX]!);
  }

  pick(tried: readonly number[], hash: number): C | null {
    const count = this.owners.length;
    const start = this.firstPointFrom(hash >>> 0);
    for (let seen = 0; seen < count; seen += 1) {
      const owner = this.owners[(start + seen) % count]!;
      if (!isOut(owner, tried, this.context)) return owner;
    }
    return null;
  }

  private firstPointFrom(hash: number): number {
    let low = 0;
    let high = this.points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.points[middle]! < hash) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** 32 bits of a text: FNV-1a with a final mix, so that near texts land far apart. */
export function hashText(text: string): number {
  return mixHash(addToHash(FIRST_HASH, text));
}

/** What `addToHash` begins with. */
export const FIRST_HASH = 0x811c9dc5 | 0;

/** The FNV-1a hash of a text that goes on with `text`, by its UTF-16 units; signed, before the final mix. */
export function addToHash(before: number, text: string): number {
  let hash = before;
  for (let i = 0; i < text.length; i += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash;
}

/** The final mix of a hash by `addToHash`, as MurmurHash3 ends (fmix32): 32 bits, unsigned. */
export function mixHash(before: number): number {
  let hash = before;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
