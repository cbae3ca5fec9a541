import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/base/prng.ts';
import { QuantileEstimate } from '../../src/base/quantile.ts';

describe('a running quantile', () => {
  it('says nothing before it has seen enough', () => {
    const p95 = new QuantileEstimate(0.95);
    for (let i = 0; i < 29; i += 1) p95.add(1000);
    expect(p95.value).toBe(Number.POSITIVE_INFINITY);
    p95.add(1000);
    expect(p95.value).toBeLessThan(2000);
  });

  it('comes near the real one, whatever the scale', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: -3, max: 6 }), (seed, power) => {
        const random = seededRandom(seed);
        const p95 = new QuantileEstimate(0.95);
        // Uniform in scale * [1, 2): the real one is at 1.95.
        const scale = 10 ** power;
        for (let i = 0; i < 5000; i += 1) p95.add(scale * (1 + random()));
        expect(p95.value / scale).toBeGreaterThan(1.6);
        expect(p95.value / scale).toBeLessThan(2.2);
      }),
    );
  });

  it('follows a stream that becomes ten times as slow', () => {
    const random = seededRandom(7);
    const p95 = new QuantileEstimate(0.95);
    for (let i = 0; i < 1000; i += 1) p95.add(100 * (1 + random()));
    for (let i = 0; i < 500; i += 1) p95.add(1000 * (1 + random()));
    expect(p95.value).toBeGreaterThan(1500);
  });
});
