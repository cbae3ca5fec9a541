import { describe, expect, it } from 'vitest';
import { formatRatio, median, quantile, ratioOf } from '../../bench/statistics.ts';

describe('statistics of the benchmark', () => {
  it('takes the middle, or between the two', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(quantile([1, 2, 3, 4, 5], 0.25)).toBe(2);
  });

  it('compares within a round, so that a slow round of both is no difference', () => {
    const ratio = ratioOf([10, 20, 30, 40, 50], [20, 40, 60, 80, 100]);
    expect(ratio).toEqual({ value: 0.5, noise: 0, isTold: true });
    expect(formatRatio(ratio)).toBe('0.50 ±0.00');
  });

  it('tells no ratio where the noise is larger than the difference', () => {
    const ratio = ratioOf([90, 95, 102, 110, 120], [100, 100, 100, 100, 100]);
    expect(ratio.value).toBeCloseTo(1.02);
    expect(ratio.noise).toBeCloseTo(0.075);
    expect(ratio.isTold).toBe(false);
    expect(formatRatio(ratio)).toBe('not told (noise ±0.08)');
  });

  it('tells none of a single round', () => {
    expect(ratioOf([50], [100]).isTold).toBe(false);
  });
});
