// The door to worker threads: how the supervisor starts one and speaks with it.
import type { FromWorker, ToWorker, WorkerInit } from '../worker/messages.ts';

export interface Thread {
  /** Messages arrive in order, copied. */
  post(message: ToWorker): void;
  /** Ends it from outside; onExit follows. */
  terminate(): void;
}

/** None of them is called before StartThread has returned. */
export interface ThreadEvents {
  readonly onMessage: (message: FromWorker) => void;
  /** It threw; onExit follows. */
  readonly onError: (error: Error) => void;
  /** It has ended; once, and last. */
  readonly onExit: (exitCode: number) => void;
}

export type StartThread = (init: WorkerInit, events: ThreadEvents) => Thread;
