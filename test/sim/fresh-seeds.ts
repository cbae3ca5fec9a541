// Fresh seeds of one plane for some seconds. The first seed is printed, and a failing one says how it is
// replayed. How many there are depends on the machine. A file for each plane, so that they run side by side.
import { expect, it } from 'vitest';

/** So much of real time; all of CI has 25 minutes. */
const FOR_MS = 15_000;
/** A world that has begun is run to its end. */
const TIMEOUT_MS = 120_000;

export function tryFreshSeeds(
  plane: string,
  run: (seed: number) => Promise<{ readonly faults: readonly string[] }>,
  forMs = FOR_MS,
): void {
  it(`fresh seeds of the ${plane} plane find nothing`, { timeout: TIMEOUT_MS }, async () => {
    const first = Math.floor(Math.random() * 2 ** 31);
    const replay = (seed: number): string => `npm run sim -- --plane ${plane} --seed ${seed}`;
    console.log(`the first fresh seed: ${replay(first)}`);
    const untilMs = performance.now() + forMs;
    let seed = first;
    for (; performance.now() < untilMs; seed += 1) {
      const { faults } = await run(seed);
      expect(faults, replay(seed)).toEqual([]);
    }
    console.log(`${seed - first} fresh seeds of the ${plane} plane`);
    expect(seed).toBeGreaterThan(first);
  });
}
