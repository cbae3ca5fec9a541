// Worlds of the data plane: a fixed set of seeds, bounded by time so that a loaded machine makes it
// smaller and not red. Fresh ones: fresh-data.test.ts.
import { describe, expect, it } from 'vitest';
import { runWorld } from '../../sim/data/world.ts';
import { Trace } from '../../sim/kernel/trace.ts';
import { knownMutants } from '../../sim/mutants/known.ts';
import { mutated } from '../../sim/mutants/runner.ts';

const FIXED_SEEDS = 100;
const FIXED_MS = 40_000;

describe('a world of the data plane', () => {
  it('keeps every promise, over fixed seeds', { timeout: 120_000 }, async () => {
    const untilMs = performance.now() + FIXED_MS;
    let exchanges = 0;
    for (let seed = 1; seed <= FIXED_SEEDS && performance.now() < untilMs; seed += 1) {
      const result = await runWorld(seed);
      expect(result.faults, `npm run sim -- --seed ${seed}`).toEqual([]);
      exchanges += result.exchanges;
    }
    expect(exchanges).toBeGreaterThan(0);
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

it.each([...knownMutants])('the fault "$name" can be put into the sources', (mutant) => {
  expect(mutated(mutant)).toContain(mutant.replace);
});
