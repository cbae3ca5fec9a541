// The first world, over many seeds: whatever the weather, every request is answered with the bytes
// of its script, and nothing is left over.
import { describe, expect, it } from 'vitest';
import { runOrderlyWorld } from '../../sim/data/orderly-world.ts';
import { Trace } from '../../sim/kernel/trace.ts';

const SEEDS = 1000;

describe('an orderly world', () => {
  it(`gives every byte of every answer, over ${SEEDS} seeds`, { timeout: 120_000 }, async () => {
    let exchanges = 0;
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const result = await runOrderlyWorld(seed);
      expect(result.faults, `npm run sim -- --seed ${seed} --trace`).toEqual([]);
      exchanges += result.exchanges;
    }
    expect(exchanges).toBeGreaterThan(20 * SEEDS);
  });

  it('runs the same way each time', async () => {
    const traceOf = async (seed: number): Promise<string> => {
      const trace = new Trace({ keep: true, print: null });
      const { events } = await runOrderlyWorld(seed, trace);
      return `${trace.text()}\n${events} events`;
    };
    for (const seed of [1, 2, 3]) expect(await traceOf(seed)).toBe(await traceOf(seed));
    expect(await traceOf(1)).not.toBe(await traceOf(2));
  });
});
