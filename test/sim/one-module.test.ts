// Worlds that run from one bundled module, as `npm run sim` runs fresh seeds.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runWorld } from '../../sim/data/world.ts';
import { Trace } from '../../sim/kernel/trace.ts';
import { asOneModule } from '../../sim/one-module.ts';
import { programVersion } from '../../src/version.ts';

const sim = join(import.meta.dirname, '../../sim');

/** Worlds of HTTP/1.1, with HTTP/2, with TLS, and with both. */
const SEEDS = [1033, 1073, 1035, 1007];

async function linesOf(run: typeof runWorld, seed: number): Promise<string[]> {
  const lines: string[] = [];
  const trace = new Trace({ keep: false, print: (line) => void lines.push(line) });
  const { faults } = await run(seed, { trace });
  return [...lines, ...faults];
}

describe('asOneModule', () => {
  it('leaves the trace of each world as it is', async () => {
    const file = join(sim, 'data/world.ts');
    const bundled = await asOneModule<{ readonly runWorld: typeof runWorld }>(file);
    expect(bundled.runWorld).not.toBe(runWorld);
    for (const seed of SEEDS) {
      const lines = await linesOf(runWorld, seed);
      expect(lines.length).toBeGreaterThan(100);
      expect(await linesOf(bundled.runWorld, seed)).toEqual(lines);
    }
  });

  it('finds the files that lie beside a source', async () => {
    const file = join(sim, '../src/version.ts');
    const bundled = await asOneModule<{ readonly programVersion: typeof programVersion }>(file);
    expect(bundled.programVersion()).toBe(programVersion());
  });
});
