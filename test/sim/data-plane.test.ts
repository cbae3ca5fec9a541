// Worlds of the data plane: a fixed set of seeds, and fresh ones, each for so long. Bounded by time and
// not by number, so that a loaded machine makes it smaller and not red.
import { describe, expect, it } from 'vitest';
import { runWorld } from '../../sim/data/world.ts';
import { Trace } from '../../sim/kernel/trace.ts';
import { dataMutants } from '../../sim/mutants/data-mutants.ts';
import { mutated } from '../../sim/mutants/runner.ts';

const FIXED_SEEDS = 150;
const FIXED_MS = 25_000;
const FRESH_MS = 20_000;

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

  it('keeps every promise, over fresh seeds', { timeout: 120_000 }, async () => {
    const first = Math.floor(Math.random() * 2 ** 31);
    console.log(`fresh seeds from ${first}`);
    expect(await run(first, FRESH_MS, Number.POSITIVE_INFINITY)).toBeGreaterThan(0);
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

it.each(dataMutants)('the fault "$name" can be put into the sources', (mutant) => {
  expect(mutated(mutant)).toContain(mutant.replace);
});
