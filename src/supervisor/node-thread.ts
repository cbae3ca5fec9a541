// Worker threads of Node behind the door by which the supervisor starts them.
import { Worker } from 'node:worker_threads';
import type { StartThread } from './thread-door.ts';

/** The source runs as it is in development, and as JavaScript from dist/. */
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const workerEntry = new URL(`../worker/entry.${extension}`, import.meta.url);

/**
 * Room for what has just been made, which V8 divides by three. By default it doubles this
 * where much is made that lives for a second, as connections do that come and go, and keeps it.
 */
const YOUNG_MIB = 24;

/** Starts threads that run this module. */
export function nodeThreads(entry: URL = workerEntry): StartThread {
  return (init, events) => {
    const worker = new Worker(entry, {
      workerData: init,
      name: `worker ${init.index}`,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
    });
    worker.on('message', events.onMessage);
    worker.on('error', events.onError);
    worker.once('exit', events.onExit);
    return {
      post: (message) => worker.postMessage(message),
      terminate: () => void worker.terminate(),
    };
  };
}
