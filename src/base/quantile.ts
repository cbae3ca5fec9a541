// A running estimate of one quantile of a stream of positive numbers: two fields, no samples kept.
// Each sample above the estimate raises it, each below lowers it, by steps whose sizes balance
// exactly where the wanted share lies below. Steps are relative, so microseconds and minutes are
// found equally fast, and a shift of the stream is followed within a few hundred samples.

/** Relative size of a step: the estimate wavers by about as much. */
const STEP = 0.05;
/** Before so many samples the estimate says nothing. */
const SAMPLES_MIN = 30;

export class QuantileEstimate {
  private readonly share: number;
  private estimate = 0;
  private count = 0;

  /** `share` of the numbers lie below, 0-1. */
  constructor(share: number) {
    this.share = share;
  }

  /** Takes a number above 0. */
  add(value: number): void {
    this.count += 1;
    if (this.estimate === 0) this.estimate = value;
    else if (value > this.estimate) this.estimate *= 1 + STEP * this.share;
    else this.estimate /= 1 + STEP * (1 - this.share);
  }

  /** The estimate, or Infinity while too few numbers have come. */
  get value(): number {
    return this.count < SAMPLES_MIN ? Number.POSITIVE_INFINITY : this.estimate;
  }
}
