import { describe, expect, it } from 'vitest';
import { hashText } from '../../src/balance/hash.ts';
import { createBalancer } from '../../src/balance/policies.ts';
import { rampWeight } from '../../src/balance/slow-start.ts';
import type { BalancePolicy } from '../../src/model/service.ts';
import { balancerSuite, choices, contextOf, tally } from '../suites/balancer.suite.ts';

const policies: BalancePolicy[] = ['least-conn', 'round-robin', 'random', 'p2c', 'ewma', 'hash'];
for (const policy of policies) {
  describe(policy, () => balancerSuite((context) => createBalancer(policy, context)));
}

/** Spread of counts around their mean: 0 is perfectly even. */
function unevenness(counts: number[]): number {
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return Math.max(...counts.map((count) => Math.abs(count / mean - 1)));
}

describe('least-conn', () => {
  it('always takes one with the fewest in flight for its weight', () => {
    const context = contextOf({ inFlight: Int32Array.from([4, 2, 9, 2, 7]) });
    const balancer = createBalancer('least-conn', context);
    balancer.setChoices(choices(5, (i) => (i === 2 ? 5 : 1)));
    // Loads with the new request: 5, 3, 2, 3, 8.
    expect(balancer.pick([], 0)!.slot).toBe(2);
    expect([1, 3]).toContain(balancer.pick([2], 0)!.slot);
  });

  it('shares ties evenly', () => {
    const balancer = createBalancer('least-conn', contextOf());
    balancer.setChoices(choices(7));
    expect(unevenness(tally(balancer, 700))).toBe(0);
  });

  it('fills endpoints in proportion to their weights', () => {
    const inFlight = new Int32Array(10);
    const balancer = createBalancer('least-conn', contextOf({ inFlight }));
    balancer.setChoices(choices(3, (i) => [1, 2, 4][i]!));
    tally(balancer, 700, (slot) => {
      inFlight[slot]! += 1;
    });
    expect([...inFlight.slice(0, 3)]).toEqual([100, 200, 400]);
  });
});

describe('round-robin', () => {
  it('goes round evenly, and smoothly by weight', () => {
    const even = createBalancer('round-robin', contextOf());
    even.setChoices(choices(5));
    expect(unevenness(tally(even, 500))).toBe(0);
    const weighted = createBalancer('round-robin', contextOf());
    weighted.setChoices(choices(3, (i) => [5, 1, 1][i]!));
    const order: number[] = [];
    expect(tally(weighted, 70, (slot) => order.push(slot))).toEqual([50, 10, 10]);
    expect(order.slice(0, 7).join('')).not.toContain('00000');
  });
});

describe('random and p2c', () => {
  it('share by weight', () => {
    for (const policy of ['random', 'p2c'] as const) {
      const balancer = createBalancer(policy, contextOf());
      balancer.setChoices(choices(2, (i) => [1, 3][i]!));
      const counts = tally(balancer, 20_000);
      expect(counts[1]! / counts[0]!).toBeGreaterThan(2);
    }
  });
});

describe('ewma', () => {
  it('sends less to a slow endpoint', () => {
    const balancer = createBalancer('ewma', contextOf());
    balancer.setChoices(choices(4).map((c) => ({ ...c, latencyUs: c.slot === 0 ? 90_000 : 1000 })));
    expect(tally(balancer, 1000)[0] ?? 0).toBe(0);
  });
});

describe('hash', () => {
  it('keeps every key that can stay when an endpoint leaves, and spreads the rest', () => {
    const balancer = createBalancer('hash', contextOf());
    const all = choices(10);
    const keys = Array.from({ length: 20_000 }, (_, i) => hashText(`key-${i}`));
    balancer.setChoices(all);
    const before = keys.map((key) => balancer.pick([], key)!.slot);
    balancer.setChoices(all.filter((choice) => choice.slot !== 4));
    keys.forEach((key, i) => {
      const now = balancer.pick([], key)!.slot;
      if (before[i] !== 4) expect(now).toBe(before[i]);
    });
    const counts = Array.from({ length: 10 }, (_, s) => before.filter((slot) => slot === s).length);
    expect(unevenness(counts)).toBeLessThan(0.35);
  });
});

describe('rampWeight', () => {
  it.each([
    [0, 1],
    [500, 1],
    [5000, 5],
    [10_000, 10],
    [60_000, 10],
  ])('%i ms into a slow start of 10 s a weight of 10 counts as %d', (elapsed, weight) => {
    expect(rampWeight(10, { fromMs: 1000, slowStartMs: 10_000, nowMs: 1000 + elapsed })).toBe(
      weight,
    );
  });

  it('leaves the weight alone where slow start does not apply', () => {
    expect(rampWeight(3, { fromMs: 0, slowStartMs: 10_000, nowMs: 5 })).toBe(3);
    expect(rampWeight(3, { fromMs: 5, slowStartMs: 0, nowMs: 5 })).toBe(3);
  });
});
