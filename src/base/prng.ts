/** Gives a number in [0, 1). Injected wherever chance decides, so that a seed replays a run. */
export type Random = () => number;

/** A small seedable generator (mulberry32): good spread, not for secrets. */
export class Draws {
  /** Signed: V8 keeps that in place, and would make an object of a larger number with each draw. */
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0;
  }

  /** A number in [0, 1). */
  next(): number {
    const state = (this.state + 0x6d2b79f5) | 0;
    this.state = state;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }
}

/** Numbers from 0 up to 1, the same ones for the same seed (mulberry32). Not for secrets. */
export function seededRandom(seed: number): Random {
  const draws = new Draws(seed);
  return () => draws.next();
}
