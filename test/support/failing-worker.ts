// A worker thread as it is, which also does as it is told by the name of a service: `crash`
// throws, `hang` never comes back. For tests of what the supervisor makes of it.
import { parentPort } from 'node:worker_threads';
import type { ToWorker } from '../../src/worker/messages.ts';

parentPort!.on('message', (message: ToWorker) => {
  if (message.type !== 'apply') return;
  const names = message.delta.upsert.map(({ name }) => name);
  if (names.includes('crash')) throw new Error('crashed as told');
  if (names.includes('hang')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
await import('../../src/worker/entry.ts');
