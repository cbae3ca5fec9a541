// A thread that is asked once: started with its question, bounded in time and memory, and ended by its answer.
// For work that can't be cut into turns, such as reading YAML.
import { Worker } from 'node:worker_threads';
import { systemClock } from './clock.ts';
import { messageOf } from './coded-error.ts';

const MIB = 1024 ** 2;

export interface ThreadQuestion {
  /** The entry without its ending, beside the caller: `new URL('./load-entry', import.meta.url)`. */
  readonly entry: URL;
  /** Of the thread, as debuggers show it. */
  readonly name: string;
  /** What the thread finds as `workerData`; copied. */
  readonly input: unknown;
  readonly timeMsMax: number;
  /** Its old generation; young objects come on top. */
  readonly memoryBytesMax: number;
}

export type ThreadAnswer<T> =
  | { readonly kind: 'answer'; readonly value: T }
  /** Its time or its memory did not suffice. */
  | { readonly kind: 'late' | 'out-of-memory' }
  | { readonly kind: 'failed'; readonly why: string };

/** The first message of a thread that is started for it. Never rejects. */
export function askThread<T>(question: ThreadQuestion): Promise<ThreadAnswer<T>> {
  const { entry, name, input, timeMsMax, memoryBytesMax } = question;
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`${entry.href}.${extension}`), {
    workerData: input,
    name,
    resourceLimits: { maxOldGenerationSizeMb: memoryBytesMax / MIB },
  });
  return new Promise((resolve) => {
    const late = systemClock.setTimer(timeMsMax, () => {
      resolve({ kind: 'late' });
      void worker.terminate();
    });
    worker.once('message', (value: T) => resolve({ kind: 'answer', value }));
    worker.once('error', (error) => resolve(failureOf(error)));
    worker.once('exit', () => {
      late.cancel();
      resolve({ kind: 'failed', why: 'the thread ended without an answer' });
    });
  });
}

function failureOf(error: unknown): ThreadAnswer<never> {
  const isMemory = error instanceof Error && 'code' in error;
  return isMemory && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
    ? { kind: 'out-of-memory' }
    : { kind: 'failed', why: messageOf(error) };
}
