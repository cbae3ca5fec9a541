/**
 * Allows bursts up to `burst` and `ratePerSecond` in the long run. Time is handed in (ms, monotonic),
 * so the bucket has no timer of its own.
 */
export class TokenBucket {
  private tokens: number;
  private updatedMs: number;
  private readonly burst: number;
  private readonly ratePerMs: number;

  constructor(options: { burst: number; ratePerSecond: number; nowMs: number }) {
    this.burst = options.burst;
    this.ratePerMs = options.ratePerSecond / 1000;
    this.tokens = options.burst;
    this.updatedMs = options.nowMs;
  }

  /** Takes a token and returns 0, or takes none and returns the ms until there will be one. */
  take(nowMs: number): number {
    const gained = (nowMs - this.updatedMs) * this.ratePerMs;
    this.tokens = Math.min(this.burst, this.tokens + gained);
    this.updatedMs = nowMs;
    if (this.tokens >= 1) {
      this.tokens -= 1;
      return 0;
    }
    return (1 - this.tokens) / this.ratePerMs;
  }

  /** Returns a share of a token that was taken: what it was taken for cost less; below 0: it cost more. */
  giveBack(share: number): void {
    this.tokens = Math.min(this.burst, this.tokens + share);
  }
}
