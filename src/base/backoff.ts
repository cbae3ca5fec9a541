import type { Random } from './prng.ts';

export interface BackoffOptions {
  /** Bound of the first wait, ms. */
  readonly baseMs: number;
  /** Bound that no wait exceeds, ms. */
  readonly capMs: number;
  readonly random: Random;
}

/**
 * Exponential back-off with full jitter: wait number n is uniform in [0, min(cap, base x 2^n)).
 * Full jitter spreads many clients that failed at once; a fixed share would keep them in step.
 */
export class Backoff {
  private failures = 0;
  private readonly options: BackoffOptions;

  constructor(options: BackoffOptions) {
    this.options = options;
  }

  /** The next wait in ms; at least `floorMs` (a Retry-After) when one is given. */
  nextMs(floorMs = 0): number {
    const { baseMs, capMs, random } = this.options;
    const bound = Math.min(capMs, baseMs * 2 ** Math.min(this.failures, 30));
    this.failures += 1;
    return Math.max(floorMs, random() * bound);
  }

  /** Called after a success: the next failure waits little again. */
  reset(): void {
    this.failures = 0;
  }
}
