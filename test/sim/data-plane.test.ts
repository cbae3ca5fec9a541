// Worlds of the data plane: a fixed set of seeds, bounded by time so that a loaded machine makes it
// smaller and not red, and a fresh one. `npm run sim` draws fresh ones for as long as it is given.
import { describe, expect, it } from 'vitest';
import { runWorld } from '../../sim/data/world.ts';
import { Trace } from '../../sim/kernel/trace.ts';
import { controlMutants } from '../../sim/mutants/control-mutants.ts';
import { dataMutants } from '../../sim/mutants/data-mutants.ts';
import { mutated } from '../../sim/mutants/runner.ts';

const FIXED_SEEDS = 150;
const FIXED_MS = 40_000;
const FRESH_SEEDS = 1;
const FRESH_MS = 30_000;

/** Runs seeds from `first` on, for so long or so many; returns how many exchanges there were. */
async function run(first: number, ms: number, seedsMax: number): Promise<number> {
  const untilMs = performance.now() + ms;
  let exchanges = 0;
  for (let i = 0; i < seedsMax && performance.now() < untilMs; i += 1) {
    const result = await runWorld(first + i);
    expect(result.faults, `npm run sim -- --seed ${first + i}`).toEqual([]);
    exchanges += result.exchanges;
  }
  return exchanges;
}

describe('a world of the data plane', () => {
  it('keeps every promise, over fixed seeds', { timeout: 120_000 }, async () => {
    expect(await run(1, FIXED_MS, FIXED_SEEDS)).toBeGreaterThan(0);
  });

  it('keeps every promise, over a fresh seed', { timeout: 120_000 }, async () => {
    const first = Math.floor(Math.random() * 2 ** 31);
    console.log(`fresh seed ${first}`);
    expect(await run(first, FRESH_MS, FRESH_SEEDS)).toBeGreaterThan(0);
  });

  it('runs the same way each time', { timeout: 60_000 }, async () => {
    const traceOf = async (seed: number): Promise<string> => {
      const lines: string[] = [];
      const trace = new Trace({ keep: false, print: (line) => void lines.push(line) });
      const { events } = await runWorld(seed, { trace });
      return `${lines.join('\n')}\n${events} events`;
    };
    for (const seed of [1, 2, 3]) expect(await traceOf(seed)).toBe(await traceOf(seed));
    expect(await traceOf(1)).not.toBe(await traceOf(2));
  });
});

it.each([...dataMutants, ...controlMutants])(
  'the fault "$name" can be put into the sources',
  (mutant) => {
    expect(mutated(mutant)).toContain(mutant.replace);
  },
);
