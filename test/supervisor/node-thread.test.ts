import { expect, it } from 'vitest';
import { nodeThreads } from '../../src/supervisor/node-thread.ts';
import type { WorkerInit } from '../../src/worker/messages.ts';

const churning = new URL('../support/churning-worker.ts', import.meta.url);

it('keeps little of what comes and goes in a worker', async () => {
  // It is asked for nothing but its index.
  const init = { index: 0 } as WorkerInit;
  const most = await new Promise<unknown>((resolve, reject) => {
    nodeThreads(churning)(init, { onMessage: resolve, onError: reject, onExit: () => {} });
  });
  // V8 takes 64 MiB where nobody bounds it.
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThan(26 * 2 ** 20);
});
