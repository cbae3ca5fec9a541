// The one source of time, so that tests can turn it by hand and a simulator can replace it.
// The import is cheaper to read than the global of the same name, which is a getter.
import { performance } from 'node:perf_hooks';

/** A timer that was set; `cancel` may be called at any time and more than once. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds from an arbitrary start; never goes backwards. For measuring. */
  nowMs(): number;
  /** Milliseconds since the Unix epoch. For showing to people. */
  wallMs(): number;
  /** Calls `run` once after `delayMs`; it does not keep the process alive. */
  setTimer(delayMs: number, run: () => void): Timer;
  /** Calls `run` when everything that has happened by now has been told: in the next turn. */
  nextTurn(run: () => void): void;
}

/** The clock of a worker thread. */
export interface WorkerClock extends Clock {
  /** The time since the Unix epoch, ms, at which `nowMs` was 0. */
  readonly originMs: number;
  /** Calls `run` every `everyMs` until it is cancelled; it does not keep the process alive. */
  setTicker(everyMs: number, run: () => void): Timer;
}

/** setTimeout takes no more than 2^31-1 ms and would fire at once beyond. */
const TIMEOUT_MS_MAX = 0x7fffffff;

export const systemClock: WorkerClock = {
  originMs: performance.timeOrigin,
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(delayMs, run) {
    const handle = setTimeout(run, Math.min(delayMs, TIMEOUT_MS_MAX));
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  setTicker(everyMs, run) {
    const handle = setInterval(run, everyMs);
    handle.unref();
    return { cancel: () => clearInterval(handle) };
  },
  nextTurn: (run) => void setImmediate(run),
};
