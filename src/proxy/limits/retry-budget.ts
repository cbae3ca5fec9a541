// Retries that repeat work are bounded by a share of the traffic, so that a service in trouble is
// not crushed by its own retries. Each request earns a share of a retry; a few per second are free.

/** Most retries that can be saved up. */
const SAVED_MAX = 100;

export interface RetryBudgetOptions {
  readonly budgetShare: number;
  readonly budgetMinPerSecond: number;
}

export class RetryBudget {
  private saved = SAVED_MAX;
  private refilledMs = 0;
  private readonly options: RetryBudgetOptions;

  constructor(options: RetryBudgetOptions) {
    this.options = options;
  }

  /** A request came in. */
  earn(): void {
    if (this.saved < SAVED_MAX) this.saved += this.options.budgetShare;
  }

  /** Takes a retry out of the budget at `nowMs` (monotonic); false where it is used up. */
  spend(nowMs: number): boolean {
    if (!this.has(nowMs)) return false;
    this.saved -= 1;
    return true;
  }

  /** Whether `spend` would succeed. */
  has(nowMs: number): boolean {
    const free = ((nowMs - this.refilledMs) / 1000) * this.options.budgetMinPerSecond;
    this.refilledMs = nowMs;
    this.saved = Math.min(SAVED_MAX, this.saved + free);
    return this.saved >= 1;
  }
}
