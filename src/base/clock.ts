// The one source of time of the control plane, so that tests can turn it by hand.

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
}

/** setTimeout takes no more than 2^31-1 ms and would fire at once beyond. */
const TIMEOUT_MS_MAX = 0x7fffffff;

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(delayMs, run) {
    const handle = setTimeout(run, Math.min(delayMs, TIMEOUT_MS_MAX));
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};
