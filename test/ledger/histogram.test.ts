import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BUCKETS, bucketOf, quantileMs, upperBoundUs } from '../../src/ledger/histogram.ts';

describe('latency buckets', () => {
  it('hold exactly the values between their bounds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 0x0fff_ffff }), (us) => {
        const bucket = bucketOf(us);
        expect(bucket).toBeLessThan(BUCKETS);
        expect(us).toBeLessThan(upperBoundUs(bucket));
        if (bucket > 0) expect(us).toBeGreaterThanOrEqual(Math.floor(upperBoundUs(bucket - 1)));
      }),
    );
  });

  it('take what is too small or too large at the ends', () => {
    expect(bucketOf(0)).toBe(0);
    expect(bucketOf(-5)).toBe(0);
    expect(bucketOf(1e12)).toBe(BUCKETS - 1);
  });
});

describe('quantileMs', () => {
  it('is within an eighth of the true quantile', () => {
    const values = Array.from({ length: 10_000 }, (_, i) => 100 + i * 10);
    const counts = new Float64Array(BUCKETS);
    for (const us of values) counts[bucketOf(us)]! += 1;
    for (const q of [0.5, 0.9, 0.99]) {
      const exactMs = values[Math.floor(q * values.length)]! / 1000;
      expect(Math.abs(quantileMs(counts, q) / exactMs - 1)).toBeLessThan(0.125);
    }
  });

  it('of nothing is 0', () => expect(quantileMs(new Float64Array(BUCKETS), 0.5)).toBe(0));
});
