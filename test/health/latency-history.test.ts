import { describe, expect, it } from 'vitest';
import { type Random, seededRandom } from '../../src/base/prng.ts';
import { LatencyHistory } from '../../src/health/latency-history.ts';
import { BUCKETS, bucketOf, upperBoundUs } from '../../src/ledger/histogram.ts';

const bounds = Array.from({ length: BUCKETS }, (_, bucket) => upperBoundUs(bucket) / 1000);
const policy = { factor: 3, minMs: 20 };

/** Response times as they are: a long tail. Median `ms`, p99 about six times that. */
function sample(random: Random, ms: number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return ms * Math.exp(0.77 * normal);
}

interface Traffic {
  /** Median of each endpoint at a time in seconds, ms. */
  readonly medians: (seconds: number) => readonly number[];
  readonly seconds: number;
  readonly seed: number;
}

/** 250 requests a second in turn; the first outlier, and when it was found. */
function firstSlow({ medians, seconds, seed }: Traffic) {
  const random = seededRandom(seed);
  const history = new LatencyHistory(bounds);
  const counts = medians(0).map(() => new Float64Array(BUCKETS));
  for (let tick = 1; tick <= seconds * 2; tick += 1) {
    const now = medians(tick / 2);
    for (let i = 0; i < 125; i += 1) {
      const slot = i % now.length;
      counts[slot]![bucketOf(sample(random, now[slot]!) * 1000)]! += 1;
    }
    const readings = counts.map((buckets, slot) => {
      return { id: `e${slot}`, slot, buckets: buckets.slice() };
    });
    history.read(tick * 500, readings, 60_000);
    const [outlier] = history.outliers(policy);
    if (outlier !== undefined) return { ...outlier, seconds: tick / 2 };
  }
  return null;
}

describe('an endpoint that turns ten times as slow', () => {
  it('is found within seconds, and told with its numbers', () => {
    for (let seed = 0; seed < 40; seed += 1) {
      const medians = (s: number) => [20, s > 10 ? 200 : 20, 20, 20];
      const found = firstSlow({ medians, seconds: 30, seed })!;
      expect(found).toMatchObject({ slot: 1, kind: 'latency' });
      expect(found.seconds - 10).toBeLessThan(8);
      expect(found.text).toMatch(
        /^\d+ of \d+ answers took longer than \d+ ms within [\d.]+ s, \d+ of \d+ of its peers', whose p99 is \d+ ms \(evidence 10\^\d+\)$/,
      );
    }
  });
});

describe('nobody is found slow', () => {
  it.each([
    ['where all are alike', () => [20, 20, 20, 20]],
    ['where all turn slow', (s: number) => (s > 10 ? [300, 300, 300, 300] : [20, 20, 20, 20])],
    ['where one is a little slower', () => [20, 30, 20, 20]],
    ['where nobody is slow in earnest', () => [0.2, 2, 0.2, 0.2]],
    ['alone', () => [500]],
  ])('%s', (_, medians) => {
    for (let seed = 0; seed < 40; seed += 1) {
      expect(firstSlow({ medians, seconds: 20, seed })).toBeNull();
    }
  });
});
