// The moments at which counters were read, as far as a comparison may start from them: all of the
// last second, so that it can start where a fault began, and fewer the older they are. Wherever a
// change came, one of them lies within a sixth of the time since.

/** How far back every moment is kept, ms. */
export const FINE_MS = 1000;
const GAP_SHARE = 1 / 6;

export class Timeline {
  /** Clock.nowMs() of each, oldest first. */
  readonly times: number[] = [];

  /** The counters were read now. Returns the indexes to be forgotten, the highest first. */
  add(nowMs: number, windowMs: number): number[] {
    const { times } = this;
    times.push(nowMs);
    const forgotten: number[] = [];
    let nextMs = nowMs;
    for (let i = times.length - 2; i >= 0; i -= 1) {
      const ageMs = nowMs - times[i]!;
      const gapMs = nextMs - times[Math.max(0, i - 1)]!;
      const isBetween = i > 0 && ageMs > FINE_MS && gapMs < GAP_SHARE * ageMs;
      if (isBetween || ageMs > windowMs) forgotten.push(i);
      else nextMs = times[i]!;
    }
    for (const i of forgotten) times.splice(i, 1);
    return forgotten;
  }

  clear(): void {
    this.times.length = 0;
  }
}
