import { describe, expect, it } from 'vitest';
import { Backoff } from '../../src/base/backoff.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { TokenBucket } from '../../src/base/token-bucket.ts';

describe('Backoff', () => {
  it('doubles its bound up to the cap, and starts over after a success', () => {
    const backoff = new Backoff({ baseMs: 100, capMs: 450, random: () => 0.5 });
    expect([1, 2, 3, 4, 5].map(() => backoff.nextMs())).toEqual([50, 100, 200, 225, 225]);
    backoff.reset();
    expect(backoff.nextMs()).toBe(50);
  });

  it('waits at least as long as the other side asked', () => {
    expect(new Backoff({ baseMs: 100, capMs: 450, random: () => 0 }).nextMs(3000)).toBe(3000);
  });
});

describe('TokenBucket', () => {
  it('lets a burst through, then the rate', () => {
    const bucket = new TokenBucket({ burst: 2, ratePerSecond: 10, nowMs: 0 });
    expect(bucket.take(0)).toBe(0);
    expect(bucket.take(0)).toBe(0);
    expect(bucket.take(0)).toBe(100);
    expect(bucket.take(99)).toBeCloseTo(1);
    expect(bucket.take(100)).toBe(0);
  });

  it('saves up no more than the burst', () => {
    const bucket = new TokenBucket({ burst: 2, ratePerSecond: 10, nowMs: 0 });
    expect([1, 2, 3].map(() => bucket.take(60_000) === 0)).toEqual([true, true, false]);
  });
});

describe('seededRandom', () => {
  it('replays a run from its seed and stays in [0, 1)', () => {
    const [a, b] = [seededRandom(7), seededRandom(7)];
    const draws = Array.from({ length: 1000 }, () => a());
    expect(draws).toEqual(Array.from({ length: 1000 }, () => b()));
    expect(Math.min(...draws)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...draws)).toBeLessThan(1);
    expect(new Set(draws).size).toBeGreaterThan(990);
  });
});
