import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { outliers } from '../../src/health/success-rate.ts';

const policy = { windowMs: 10_000, minRequests: 100, minEndpoints: 5 };

/** Endpoints that did so many of 100 requests well. */
const good = (...counts: number[]) =>
  counts.map((count, slot) => ({ slot, good: count, bad: 100 - count }));
const slots = (counts: number[], own = policy) =>
  outliers(own, good(...counts)).map(({ slot }) => slot);

describe('outliers by success rate', () => {
  it.each([
    ['one that fails half', [100, 100, 50, 100, 100, 100], [2]],
    ['nobody where all fail alike', [50, 50, 50, 50, 50, 50], []],
    ['nobody where all do well', [100, 100, 100, 100, 100, 100], []],
    ['nobody for a hair', [100, 100, 99, 100, 100, 100], []],
    ['nobody among too few', [100, 100, 0, 100], []],
    ['the worst first', [98, 98, 98, 98, 98, 98, 98, 98, 98, 98, 30, 20], [11, 10]],
  ])('%s', (_, counts, expected) => {
    expect(slots(counts)).toEqual(expected);
  });

  it('leaves out those with too few requests', () => {
    const few = { slot: 9, good: 0, bad: 99 };
    expect(outliers(policy, [...good(100, 100, 100, 100, 100), few])).toEqual([]);
  });

  it('are never all, and each does worse than everyone who stays', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(100), { minLength: 5, maxLength: 40 }), (counts) => {
        const out = new Set(slots(counts));
        expect(out.size).toBeLessThan(counts.length);
        const staying = counts.filter((_, slot) => !out.has(slot));
        for (const slot of out) expect(counts[slot]!).toBeLessThan(Math.min(...staying));
      }),
    );
  });
});
