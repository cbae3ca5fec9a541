// Which share of the new requests each endpoint gets, by its weight: one after the other, at any
// load, over several workers, and when endpoints come, go, and change their weights.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Balancer, Choice } from '../../src/balance/balancer.ts';
import { createBalancer } from '../../src/balance/policies.ts';
import { type Random, seededRandom } from '../../src/base/prng.ts';
import { Ledger, WorkerLedger } from '../../src/ledger/ledger.ts';
import type { BalancePolicy } from '../../src/model/service.ts';
import { choices, contextOf, tally, turnsOf } from '../suites/balancer.suite.ts';

const TURNS = ['least-conn', 'round-robin'] as const;

interface Load {
  readonly weights: readonly number[];
  /** Requests in flight all the time. */
  readonly inFlight: number;
  readonly picks: number;
  readonly workers?: number;
  readonly seed?: number;
  /** Which of those in flight ends next: the oldest, or any. */
  readonly ends?: 'oldest' | 'any';
}

/** Requests that each endpoint got, in a closed loop. */
function countsOf(policy: BalancePolicy, load: Load): number[] {
  const { weights, inFlight, picks, workers = 1, seed = 1, ends = 'oldest' } = load;
  const random = seededRandom(seed);
  const active = new Int32Array(weights.length);
  const context = contextOf({ inFlight: active, random, turns: turnsOf(weights.length) });
  const balancers = Array.from({ length: workers }, () => createBalancer(policy, context));
  for (const one of balancers) one.setChoices(choices(weights.length, (i) => weights[i]!));
  const counts = weights.map(() => 0);
  const running: number[] = [];
  for (let n = 0; n < picks; n += 1) {
    if (running.length >= inFlight) active[end(running, ends, random)]! -= 1;
    const { slot } = balancers[Math.floor(random() * workers)]!.pick([], 0)!;
    active[slot]! += 1;
    counts[slot]! += 1;
    running.push(slot);
  }
  return counts;
}

function end(running: number[], which: 'oldest' | 'any', random: Random): number {
  return running.splice(which === 'oldest' ? 0 : Math.floor(random() * running.length), 1)[0]!;
}

/** What the weights promise. */
function due(weights: readonly number[], picks: number): number[] {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => (picks * weight) / sum);
}

describe.each(TURNS)('%s', (policy) => {
  it('gives 10, 10 and 50 of 70 requests, one after the other, to weights 1, 1 and 5', () => {
    for (let seed = 0; seed < 50; seed += 1) {
      for (const workers of [1, 2, 3]) {
        const load = { weights: [1, 1, 5], inFlight: 1, picks: 70, workers, seed };
        expect(countsOf(policy, load)).toEqual([10, 10, 50]);
      }
    }
  });

  it('follows any weights at any load, exactly over workers', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(),
        (weights, inFlight, workers, seed) => {
          const picks = 4000;
          const counts = countsOf(policy, { weights, inFlight, picks, workers, seed });
          const expected = due(weights, picks);
          // Requests of the same length: two of each endpoint are the whole error, at any time.
          counts.forEach((count, i) => {
            expect(Math.abs(count - expected[i]!)).toBeLessThanOrEqual(2);
          });
        },
      ),
      { numRuns: 150 },
    );
  });

  it('follows the weights when requests take as long as they like', () => {
    for (const inFlight of [1, 2, 3, 5, 8, 20, 100, 1000]) {
      for (const weights of [
        [1, 1, 5],
        [1, 2, 4],
        [3, 3, 7, 11, 1],
        [0.1, 1, 1],
      ]) {
        const load = { weights, inFlight, picks: 40_000, workers: 2, ends: 'any' } as const;
        const expected = due(weights, load.picks);
        countsOf(policy, load).forEach((count, i) => {
          expect(Math.abs(count / expected[i]! - 1)).toBeLessThan(0.13);
        });
      }
    }
  });

  it('is smooth: no endpoint waits for its turn much longer than its share says', () => {
    const balancer = createBalancer(policy, contextOf());
    balancer.setChoices(choices(3, (i) => [1, 1, 5][i]!));
    const order: number[] = [];
    tally(balancer, 700, (slot) => order.push(slot));
    const gaps = order.flatMap((slot, at) => {
      const next = order.indexOf(slot, at + 1);
      return next < 0 ? [] : [{ slot, gap: next - at }];
    });
    for (const { slot, gap } of gaps) expect(gap).toBeLessThanOrEqual(slot === 2 ? 3 : 9);
  });

  it('shares by weight among those that are left when others were tried', () => {
    const balancer = createBalancer(policy, contextOf());
    balancer.setChoices(choices(4, (i) => [1, 3, 5, 100][i]!));
    const counts = [0, 0, 0, 0];
    for (let n = 0; n < 900; n += 1) counts[balancer.pick([3], 0)!.slot]! += 1;
    expect(counts).toEqual([100, 300, 500, 0]);
  });

  it('neither floods nor starves an endpoint that joins, is back, or has the slot of another', () => {
    const turns = turnsOf(4);
    const balancer = createBalancer(policy, contextOf({ turns }));
    const all = choices(4, (i) => [1, 1, 2, 2][i]!);
    for (const stale of [0, 1, -1, 123_456_789, -2_000_000_000, 2_000_000_000]) {
      balancer.setChoices(all.slice(0, 3));
      tally(balancer, 10_000);
      turns.times[3] = stale;
      balancer.setChoices(all);
      // Two of the longest steps are owed at the most: 4 requests at weight 2.
      const first = tally(balancer, 60);
      expect(first[3]!).toBeGreaterThanOrEqual(18);
      expect(first[3]!).toBeLessThanOrEqual(26);
      expect(tally(balancer, 600)).toEqual([100, 100, 200, 200]);
    }
  });

  it('follows a weight that rises, as in slow start, without a jump', () => {
    const turns = turnsOf(2);
    const balancer = createBalancer(policy, contextOf({ turns }));
    for (let step = 1; step <= 10; step += 1) {
      balancer.setChoices(choices(2, (i) => (i === 0 ? 1 : step / 10)));
      const [, rising = 0] = tally(balancer, 1000);
      expect(Math.abs(rising / 1000 - step / (10 + step))).toBeLessThan(0.005);
    }
  });
});

describe('least-conn', () => {
  it('gives a slow endpoint no more than its part of what is in flight', () => {
    // Endpoint 0 never answers.
    const inFlight = new Int32Array(3);
    const balancer = createBalancer('least-conn', contextOf({ inFlight }));
    balancer.setChoices(choices(3, (i) => [1, 1, 5][i]!));
    const running: number[] = [];
    for (let n = 0; n < 2000; n += 1) {
      if (running.length >= 14) inFlight[running.shift()!]! -= 1;
      const { slot } = balancer.pick([], 0)!;
      inFlight[slot]! += 1;
      if (slot !== 0) running.push(slot);
    }
    expect(inFlight[0]).toBeLessThanOrEqual(3);
  });

  it('gives an endpoint that was busy for long no burst afterwards', () => {
    const inFlight = new Int32Array(2);
    const balancer = createBalancer('least-conn', contextOf({ inFlight }));
    balancer.setChoices(choices(2));
    inFlight[0] = 100;
    expect(tally(balancer, 1000)).toEqual([0, 1000]);
    inFlight[0] = 0;
    const [first = 0] = tally(balancer, 100);
    expect(first).toBeGreaterThanOrEqual(50);
    expect(first).toBeLessThanOrEqual(53);
  });

  it('keeps the limit per endpoint, and shares by weight below it', () => {
    const inFlight = new Int32Array(3);
    const balancer = createBalancer('least-conn', contextOf({ inFlight, perEndpointMax: 4 }));
    balancer.setChoices(choices(3, (i) => [1, 1, 5][i]!));
    for (let n = 0; n < 12; n += 1) inFlight[balancer.pick([], 0)!.slot]! += 1;
    expect([...inFlight]).toEqual([4, 4, 4]);
    expect(balancer.pick([], 0)).toBeNull();
  });

  it('takes an idle endpoint of a thousand without a look at each', () => {
    const count = 1000;
    let reads = 0;
    const inFlight = new Proxy(new Int32Array(count), {
      get: (target, key) => {
        reads += 1;
        return Reflect.get(target, key) as unknown;
      },
    });
    for (const weightOf of [() => 1, (i: number) => 1 + (i % 5)]) {
      const context = contextOf({ inFlight, turns: turnsOf(count) });
      const balancer = createBalancer('least-conn', context);
      balancer.setChoices(choices(count, weightOf));
      tally(balancer, 5000);
      reads = 0;
      tally(balancer, 20_000);
      expect(reads / 20_000).toBeLessThan(8);
    }
  });
});

describe('over the workers of a process', () => {
  it('turns are exact, and a slot that another endpoint gets starts anew', () => {
    const ledger = new Ledger();
    const workers = [0, 1, 2].map((index) => new WorkerLedger(ledger.buffersFor(index)));
    const balancers = workers.map((worker) => {
      const turns = { times: worker.turns, clocks: worker.turnClocks, service: 7 };
      const context = contextOf({ inFlight: worker.inFlight, random: seededRandom(9), turns });
      const balancer: Balancer<Choice> = createBalancer('least-conn', context);
      balancer.setChoices(choices(3, (i) => [1, 1, 5][i]!));
      return balancer;
    });
    const counts = [0, 0, 0];
    const random = seededRandom(4);
    for (let n = 0; n < 700; n += 1) {
      const at = Math.floor(random() * 3);
      const { slot } = balancers[at]!.pick([], 0)!;
      workers[at]!.acquire(slot);
      counts[slot]! += 1;
      workers[at]!.release(slot);
    }
    expect(counts).toEqual([100, 100, 500]);
    expect(workers[1]!.turns[2]).not.toBe(0);
    ledger.clearEndpoint(2);
    expect(workers[1]!.turns[2]).toBe(0);
  });
});

describe.each(['p2c', 'ewma', 'random', 'hash'] as const)('%s', (policy) => {
  it('starves nobody of a light weight, at any load', () => {
    for (const inFlight of [1, 2, 3, 5, 8, 20, 100, 1000]) {
      const weights = [1, 1, 5];
      const random = seededRandom(3);
      const active = new Int32Array(3);
      const context = contextOf({ inFlight: active, random });
      const balancer = createBalancer(policy, context);
      balancer.setChoices(choices(3, (i) => weights[i]!).map((c) => ({ ...c, latencyUs: 1000 })));
      const counts = [0, 0, 0];
      const running: number[] = [];
      for (let n = 0; n < 20_000; n += 1) {
        if (running.length >= inFlight) active[running.shift()!]! -= 1;
        const { slot } = balancer.pick([], Math.floor(random() * 2 ** 32))!;
        active[slot]! += 1;
        counts[slot]! += 1;
        running.push(slot);
      }
      const expected = due(weights, 20_000);
      counts.forEach((count, i) => {
        expect(count / expected[i]!).toBeGreaterThan(0.6);
        expect(count / expected[i]!).toBeLessThan(1.4);
      });
    }
  });
});
