// Fresh seeds for some seconds. The first seed is printed, and a failing one says how it is replayed. How many
// there are depends on the machine. Longer runs (npm run sim -- --plane both --seconds 600) still find something
// about once in a thousand worlds: a minute of them here would fail for what has nothing to do with a change.
import { expect, it } from 'vitest';
import { runControlWorld } from '../../sim/control/world.ts';
import { runWorld } from '../../sim/data/world.ts';

/** A world that has begun is run to its end. */
const TIMEOUT_MS = 120_000;

it.each([
  ['data', runWorld, 2000],
  ['control', runControlWorld, 2000],
] as const)(
  'fresh seeds of the %s plane find nothing',
  { timeout: TIMEOUT_MS },
  async (plane, run, forMs) => {
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
  },
);
