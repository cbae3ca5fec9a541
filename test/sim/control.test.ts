// Runs of the simulated control plane: fixed seeds, among them those that once found a fault. Fresh ones:
// fresh-control.test.ts.
import { describe, expect, it } from 'vitest';
import { planOf } from '../../sim/control/plan.ts';
import { runControlWorld } from '../../sim/control/world.ts';
import { Kernel } from '../../sim/kernel/kernel.ts';
import { shrink } from '../../sim/kernel/shrink.ts';
import { Trace } from '../../sim/kernel/trace.ts';

/** What worlds of plain services found: docs/simulator.md. */
const FOUND = [
  1, 4, 38, 46, 47, 50, 56, 58, 61, 106, 133, 161, 171, 179, 214, 250, 255, 331, 395,
].concat([
  31_841_524, 550_424_614, 587_713_831, 780_856_957, 871_876_224, 1_198_270_867, 1_483_466_641,
  1_321_678_546, 1_646_339_467, 1_726_474_606, 1_872_102_156, 2_115_995_714, 37_032_482,
  219_804_076, 359_419_829, 580_534_235, 2_062_498_556, 857_636_216, 2_073_528_208, 113_980_816,
  225_037_252, 692_353_786, 353_772_988, 1_257_332_151, 1_257_332_268, 1_257_332_676, 572_842_458,
  572_842_569, 572_842_693, 950_173_979, 800_016,
]);
/** What worlds found that have more; and some others. */
const FIXED = [35, 96, 2, 3, 5, 7, 11, 2_132_636_944, 2_132_637_036, 1_889_844_065];
const replay = (seed: number) => `npm run sim -- --plane control --seed ${seed}`;

describe('the control plane', () => {
  it.each(FIXED)('keeps its promises in seed %i', { timeout: 60_000 }, async (seed) => {
    const { faults } = await runControlWorld(seed);
    expect(faults, replay(seed)).toEqual([]);
  });

  it.each(FOUND)('keeps its promises in seed %i, plain', { timeout: 60_000 }, async (seed) => {
    const { faults } = await runControlWorld(seed, { isGuided: false });
    expect(faults, `${replay(seed)} --plain`).toEqual([]);
  });

  it('runs the same way each time', { timeout: 60_000 }, async () => {
    const traceOf = async (seed: number): Promise<string> => {
      const trace = new Trace({ keep: true, print: null });
      const { events, questions } = await runControlWorld(seed, { trace });
      return `${trace.text()}\n${events} events, ${questions} questions`;
    };
    expect(await traceOf(3)).toBe(await traceOf(3));
  });

  it('runs any part of a plan', { timeout: 60_000 }, async () => {
    const steps = planOf(new Kernel(1)).filter((_, i) => i % 2 === 0);
    const result = await runControlWorld(1, { steps });
    expect(result.steps).toBe(steps.length);
    expect(result.faults).toEqual([]);
  });
});

describe('the shrinker', () => {
  const items = Array.from({ length: 40 }, (_, i) => i);

  it('finds the shortest list that fails', async () => {
    const fails = async (some: readonly number[]) => some.includes(7) && some.includes(31);
    expect(await shrink(items, { fails, runsMax: 1000 })).toEqual([7, 31]);
  });

  it('makes no more runs than it may, and gives the shortest list so far', async () => {
    let runs = 0;
    const fails = async (some: readonly number[]) => {
      runs += 1;
      return some.includes(7);
    };
    const left = await shrink(items, { fails, runsMax: 3 });
    expect(runs).toBe(3);
    expect(left).toContain(7);
    expect(left.length).toBeLessThan(40);
  });
});
