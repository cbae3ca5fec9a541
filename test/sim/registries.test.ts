// Runs of several registries: fixed seeds, and those that once found a fault. Fresh ones: fresh-registries.test.ts.
import { describe, expect, it } from 'vitest';
import { Kernel } from '../../sim/kernel/kernel.ts';
import { Trace } from '../../sim/kernel/trace.ts';
import { planOf } from '../../sim/registries/plan.ts';
import { runRegistriesWorld } from '../../sim/registries/world.ts';

/** What they found: docs/simulator.md. */
const FOUND = [
  1_159_492_386, 1_565_091_201, 207_455_942, 1_437_965_496, 1_115_620_535, 1_219_672_654,
  1_631_585_132, 1_631_585_456, 1_631_586_234, 1_714_806_105,
];
const FIXED = [2, 3, 5, 7];
const replay = (seed: number) => `npm run sim -- --plane registries --seed ${seed}`;

describe('several registries', () => {
  it.each([...FOUND, ...FIXED])(
    'give the table what they list, in seed %i',
    { timeout: 60_000 },
    async (seed) => {
      const { faults } = await runRegistriesWorld(seed);
      expect(faults, replay(seed)).toEqual([]);
    },
  );

  it('run the same way each time, whole or in part', { timeout: 60_000 }, async () => {
    const steps = planOf(new Kernel(3)).filter((_, i) => i % 2 === 0);
    const traceOf = async (): Promise<string> => {
      const trace = new Trace({ keep: true, print: null });
      const { events, questions } = await runRegistriesWorld(3, { trace, steps });
      return `${trace.text()}\n${events} events, ${questions} questions`;
    };
    const first = await traceOf();
    expect(first).toContain('QUIET');
    expect(await traceOf()).toBe(first);
  });
});
