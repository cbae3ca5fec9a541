// Worlds of datagrams: fixed seeds, bounded by time. Fresh ones: fresh.test.ts.
import { describe, expect, it } from 'vitest';
import { runUdpWorld } from '../../sim/data/udp/world.ts';
import { Trace } from '../../sim/kernel/trace.ts';

const SEEDS = 150;
const FOR_MS = 6000;

describe('a world of datagrams', () => {
  it('keeps every promise, over fixed seeds', { timeout: 60_000 }, async () => {
    const untilMs = performance.now() + FOR_MS;
    let exchanges = 0;
    for (let seed = 1; seed <= SEEDS && performance.now() < untilMs; seed += 1) {
      const result = await runUdpWorld(seed);
      expect(result.faults, `npm run sim -- --plane udp --seed ${seed}`).toEqual([]);
      exchanges += result.exchanges;
    }
    expect(exchanges).toBeGreaterThan(0);
  });

  it('runs the same way each time', { timeout: 60_000 }, async () => {
    const traceOf = async (seed: number): Promise<string> => {
      const lines: string[] = [];
      const trace = new Trace({ keep: false, print: (line) => void lines.push(line) });
      const { events } = await runUdpWorld(seed, { trace });
      return `${lines.join('\n')}\n${events} events`;
    };
    for (const seed of [1, 2, 3]) expect(await traceOf(seed)).toBe(await traceOf(seed));
    expect(await traceOf(1)).not.toBe(await traceOf(2));
  });
});
