// Worker threads of Node behind the door by which the supervisor starts them.
import { Worker } from 'node:worker_threads';
import type { StartThread } from './thread-door.ts';

/** The source runs as it is in development, and as JavaScript from dist/. */
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const workerEntry = new URL(`../worker/entry.${extension}`, import.meta.url);

/** Starts threads that run this module. */
export function nodeThreads(entry: URL = workerEntry): StartThread {
  return (init, events) => {
    const worker = new Worker(entry, { workerData: init, name: `worker ${init.index}` });
    worker.on('message', events.onMessage);
    worker.on('error', events.onError);
    worker.once('exit', events.onExit);
    return {
      post: (message) => worker.postMessage(message),
      terminate: () => void worker.terminate(),
    };
  };
}
