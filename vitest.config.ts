// Three projects, from quick to slow: unit (no process is started), e2e (real processes and real
// registries) and chaos (faults under load). e2e and chaos run one file at a time: they measure
// and kill real processes, and the machine is small. What they poll for may take a registry's back-off.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          // A worker thread takes more than the default second to start on a loaded machine.
          expect: { poll: { timeout: 10_000 } },
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**', 'test/chaos/**'],
          testTimeout: 15_000,
        },
      },
      {
        test: {
          name: 'e2e',
          expect: { poll: { timeout: 15_000 } },
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'chaos',
          expect: { poll: { timeout: 15_000 } },
          include: ['test/chaos/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
