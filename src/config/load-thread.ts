// Reads a configuration in a thread of its own, bounded in time and memory: YAML takes milliseconds
// per kilobyte, and can't be cut into turns.
import { Worker } from 'node:worker_threads';
import { messageOf } from '../base/coded-error.ts';
import { BOUNDS, formatBound } from '../model/bounds.ts';
import type { LoadInput, LoadResult } from './load.ts';

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const entry = new URL(`./load-entry.${extension}`, import.meta.url);
const MIB = 1024 ** 2;

/** As loadSettings; a thread that ends without an answer is a problem of the configuration. */
export function loadInThread(
  input: LoadInput,
  timeMsMax: number = BOUNDS.configTime.max,
): Promise<LoadResult> {
  const worker = new Worker(entry, {
    workerData: input,
    name: 'config',
    resourceLimits: { maxOldGenerationSizeMb: BOUNDS.configMemory.max / MIB },
  });
  return new Promise((resolve) => {
    const fail = (message: string): void => {
      const problem = { where: 'configuration', key: '', message };
      resolve({ settings: null, problems: [problem], tree: {} });
    };
    const late = setTimeout(() => {
      fail(`not read within ${formatBound({ ...BOUNDS.configTime, max: timeMsMax })}`);
      void worker.terminate();
    }, timeMsMax);
    late.unref();
    worker.once('message', (result: LoadResult) => resolve(result));
    worker.once('error', (error) => fail(whyOf(error)));
    worker.once('exit', () => {
      clearTimeout(late);
      fail('the thread that reads it ended without an answer');
    });
  });
}

function whyOf(error: unknown): string {
  const isMemory = error instanceof Error && 'code' in error;
  return isMemory && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
    ? `takes more than ${formatBound(BOUNDS.configMemory)} of memory to read`
    : messageOf(error);
}
