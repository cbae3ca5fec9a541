// What every balancing policy must do, whatever it optimises. Each policy's test runs it.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Balancer, BalancerContext, Choice } from '../../src/balance/balancer.ts';
import type { Turns } from '../../src/balance/turn.ts';
import { seededRandom } from '../../src/base/prng.ts';

export type CreateBalancer = (context: BalancerContext) => Balancer<Choice>;

export function choices(count: number, weightOf: (i: number) => number = () => 1): Choice[] {
  return Array.from({ length: count }, (_, slot) => ({
    id: `e${slot}`,
    slot,
    weight: weightOf(slot),
    latencyUs: 0,
  }));
}

export function contextOf(more: Partial<BalancerContext> = {}): BalancerContext {
  const turns = turnsOf(2000);
  return {
    ...{ inFlight: new Int32Array(2000), perEndpointMax: 0, random: seededRandom(1), turns },
    ...more,
  };
}

/** Shared times for so many slots. */
export function turnsOf(slots: number): Turns {
  return { times: new Int32Array(slots), clocks: new Int32Array(1), service: 0 };
}

/** How often each slot is picked in `picks` picks; `after` sees each pick. */
export function tally(
  balancer: Balancer<Choice>,
  picks: number,
  after: (slot: number, n: number) => void = () => {},
): number[] {
  const counts: number[] = [];
  for (let n = 0; n < picks; n += 1) {
    const slot = balancer.pick([], Math.imul(n, 0x9e3779b1) >>> 0)!.slot;
    counts[slot] = (counts[slot] ?? 0) + 1;
    after(slot, n);
  }
  return Array.from(counts, (count) => count ?? 0);
}

export function balancerSuite(create: CreateBalancer): void {
  it('has nothing to pick from before there are choices', () => {
    expect(create(contextOf()).pick([], 1)).toBeNull();
  });

  it('picks another endpoint for each attempt, until none is left', () => {
    const balancer = create(contextOf());
    balancer.setChoices(choices(5));
    const tried: number[] = [];
    for (let n = 0; n < 5; n += 1) tried.push(balancer.pick(tried, 12345)!.slot);
    expect([...tried].sort()).toEqual([0, 1, 2, 3, 4]);
    expect(balancer.pick(tried, 12345)).toBeNull();
  });

  it('never exceeds the limit per endpoint and gives up only when all are full', () => {
    const inFlight = new Int32Array(10);
    const balancer = create(contextOf({ inFlight, perEndpointMax: 3 }));
    balancer.setChoices(choices(4));
    for (let n = 0; n < 12; n += 1) inFlight[balancer.pick([], n * 0x1234567)!.slot]! += 1;
    expect([...inFlight.slice(0, 4)]).toEqual([3, 3, 3, 3]);
    expect(balancer.pick([], 1)).toBeNull();
  });

  it('picks only what is a choice now, whatever came and went before', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uniqueArray(fc.nat(30)), { maxLength: 8 }),
        fc.nat(),
        (sets, seed) => {
          const balancer = create(contextOf({ random: seededRandom(seed) }));
          const all = choices(31, (i) => 1 + (i % 3));
          for (const set of sets) {
            balancer.setChoices(set.map((slot) => all[slot]!));
            const picked = balancer.pick([], seed >>> 0);
            if (set.length === 0) expect(picked).toBeNull();
            else expect(set).toContain(picked!.slot);
          }
        },
      ),
    );
  });
}
