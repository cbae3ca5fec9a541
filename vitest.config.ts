// From quick to slow: unit (no process is started), sim (worlds on simulated time), e2e (real processes and
// real registries), chaos (faults under load), and alone (what needs the machine for itself). Two files run at a
// time, as most of them wait; alone runs one after the other. What they poll for may take a registry's back-off.
// Times are those of a machine on which others take most of the cores: they end what never comes, and judge
// nothing.
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { sourcesHash } from './bin/sources.mjs';

/** Vitest itself leaves one core of two idle. */
const WORKERS = 2;

/** What would be disturbed by another file beside it, or disturb it. */
const ALONE = [
  // Attacks with all that the machine has, and measures memory.
  'test/e2e/attack.test.ts',
  // The ports of `upriver dev` are fixed.
  'test/e2e/dev.test.ts',
];

/** What takes longest, so that no worker is left with it in the end. */
const LONG = ['articles', 'upgrade', 'register', 'acme', 'outliers', 'docker', 'hostile-sources'];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number =>
      LONG.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`)) >>> 0;
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

/**
 * What tests draw begins here: another number for each state of the sources, and the same one for each run of it, so
 * that what one machine found another finds as well.
 */
const SEED = Number.parseInt(sourcesHash(import.meta.dirname).slice(0, 8), 16) >>> 1;
if (process.env.TEST_SEED === undefined) {
  process.env.TEST_SEED = `${SEED}`;
  process.stdout.write(`TEST_SEED=${SEED}\n`);
}

const SEEDED_FAST_CHECK = join(import.meta.dirname, 'test', 'support', 'seeded-fast-check.ts');

/** Properties draw from the same seed: tests that import fast-check get the one that is set to it. */
const seededProperties = {
  name: 'seeded-properties',
  enforce: 'pre' as const,
  resolveId: (id: string, importer: string | undefined): string | null =>
    id === 'fast-check' && importer !== SEEDED_FAST_CHECK ? SEEDED_FAST_CHECK : null,
};

export default defineConfig({
  test: {
    env: { TEST_SEED: process.env.TEST_SEED },
    sequence: { sequencer: LongFirst },
    projects: [
      {
        plugins: [seededProperties],
        test: {
          name: 'unit',
          // A worker thread takes more than the default second to start on a loaded machine.
          expect: { poll: { timeout: 30_000 } },
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**', 'test/chaos/**', 'test/sim/**'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          maxWorkers: WORKERS,
        },
      },
      {
        test: {
          name: 'sim',
          include: ['test/sim/**/*.test.ts'],
          testTimeout: 120_000,
          maxWorkers: WORKERS,
          sequence: { groupOrder: 1 },
          // As `npm run sim`: what a world makes lives as long as the world.
          execArgv: ['--min-semi-space-size=64', '--max-semi-space-size=64'],
        },
      },
      {
        test: {
          name: 'e2e',
          expect: { poll: { timeout: 90_000 } },
          include: ['test/e2e/**/*.test.ts'],
          exclude: ALONE,
          testTimeout: 300_000,
          hookTimeout: 240_000,
          maxWorkers: WORKERS,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'chaos',
          expect: { poll: { timeout: 90_000 } },
          include: ['test/chaos/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 240_000,
          maxWorkers: WORKERS,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: 'alone',
          expect: { poll: { timeout: 90_000 } },
          include: ALONE,
          testTimeout: 300_000,
          hookTimeout: 240_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
