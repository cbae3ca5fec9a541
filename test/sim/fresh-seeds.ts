// Fresh seeds of one plane for some seconds. How many there are depends on the machine, up to a bound; which, on the
// sources (vitest.config.ts). A file for each plane, so that they run side by side.
import { expect, it } from 'vitest';
import { type Plane, replayCommand } from '../../sim/options.ts';
import { runPlane, tellPlane } from '../../sim/planes.ts';

/** A world that has begun is run to its end, and a failing one some two hundred times to make it short. */
const TIMEOUT_MS = 400_000;

/** What is tried. */
export interface Trial {
  readonly plane: Plane;
  readonly first: number;
  /** Real time, ms; at least one seed is run. */
  readonly forMs: number;
  /** So many at most. */
  readonly countMax: number;
  readonly run: (seed: number) => Promise<{ readonly faults: readonly string[] }>;
  /** A failing seed, made short and told. */
  readonly tell: (seed: number) => Promise<readonly string[]>;
}

/**
 * Runs seeds from `first` on; resolves with how many there were. Throws at the first that fails, and says what was
 * found, the command that runs it again, and what happens in the shortest part of it that still fails.
 */
export async function trySeeds(trial: Trial): Promise<number> {
  const { plane, first, forMs, countMax, run, tell } = trial;
  const untilMs = performance.now() + forMs;
  let seed = first;
  do {
    const { faults } = await run(seed);
    if (faults.length > 0) {
      const lines = [...faults, 'in short:', ...(await tell(seed))].map((line) => `  ${line}`);
      const text = `seed ${seed} of the ${plane} plane: ${replayCommand(plane, seed)}`;
      throw new Error([text, ...lines].join('\n'));
    }
    seed += 1;
  } while (seed - first < countMax && performance.now() < untilMs);
  return seed - first;
}

export function tryFreshSeeds(plane: Plane, forMs: number, countMax: number): void {
  it(`fresh seeds of the ${plane} plane find nothing`, { timeout: TIMEOUT_MS }, async () => {
    const first = Number(process.env.TEST_SEED);
    console.log(`the first fresh seed: ${replayCommand(plane, first)}`);
    const run = (seed: number) => runPlane(plane, seed);
    const tell = (seed: number) => tellPlane(plane, seed);
    const count = await trySeeds({ plane, first, forMs, countMax, run, tell });
    console.log(`${count} fresh seeds of the ${plane} plane`);
    expect(count).toBeGreaterThan(0);
  });
}
