// What choosing an endpoint costs by itself: nanoseconds per pick, for each policy and 3, 50 and
// 1,000 endpoints, with 64 requests in flight that end in the order they began. And what comes of
// it: how far the shares of endpoints of different weights are from those weights.
// usage: node bench/choosing.ts
import type { Balancer, Choice } from '../src/balance/balancer.ts';
import { createBalancer } from '../src/balance/policies.ts';
import { seededRandom } from '../src/base/prng.ts';
import type { BalancePolicy } from '../src/model/service.ts';

const POLICIES: readonly BalancePolicy[] = [
  'least-conn',
  'round-robin',
  'random',
  'p2c',
  'ewma',
  'hash',
];
const COUNTS = [3, 50, 1000];
const IN_FLIGHT = 64;
const PICKS = 20_000;
const ROUNDS = 15;
const NO_ONE: readonly number[] = [];

/** Weights by index: all alike, and 1, 1, 5 over and over. */
const EVEN = (): number => 1;
const UNEVEN = (i: number): number => (i % 3 === 2 ? 5 : 1);

const LOADS = [1, 3, 10, 100, 1000];
/** Weights of the shares. */
const SHARED = [1, 1, 5];

interface Stage {
  readonly balancer: Balancer<Choice>;
  readonly inFlight: Int32Array;
}

function stage(policy: BalancePolicy, weights: readonly number[]): Stage {
  const numbers = () => new Int32Array(new SharedArrayBuffer(weights.length * 4));
  const inFlight = numbers();
  const turns = { times: numbers(), clocks: numbers(), service: 0 };
  const random = seededRandom(1);
  const balancer = createBalancer(policy, { inFlight, perEndpointMax: 0, random, turns });
  balancer.setChoices(
    weights.map((weight, slot) => ({ id: `e${slot}`, slot, weight, latencyUs: 1000 })),
  );
  return { balancer, inFlight };
}

/** Picks endpoints with so many requests in flight, which end in the order they began. */
function pickTimes(picks: number, taken: Int32Array, { balancer, inFlight }: Stage): void {
  for (let i = 0; i < picks; i += 1) {
    const at = i % taken.length;
    if (taken[at]! >= 0) Atomics.sub(inFlight, taken[at]!, 1);
    const { slot } = balancer.pick(NO_ONE, Math.imul(i, 0x9e3779b1))!;
    Atomics.add(inFlight, slot, 1);
    taken[at] = slot;
  }
}

/** Median over the rounds, ns per pick, bookkeeping of what is in flight included. */
function measure(policy: BalancePolicy, count: number, weightOf: (i: number) => number): number {
  const staged = stage(
    policy,
    Array.from({ length: count }, (_, i) => weightOf(i)),
  );
  const taken = new Int32Array(IN_FLIGHT).fill(-1);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const startMs = performance.now();
    pickTimes(PICKS, taken, staged);
    times.push(((performance.now() - startMs) * 1e6) / PICKS);
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1]!;
}

/** Shares of 70 requests per request in flight (at least 7,000), scaled to 70. */
function shares(policy: BalancePolicy, load: number): string {
  const { balancer, inFlight } = stage(policy, SHARED);
  const counts = SHARED.map(() => 0);
  const counting: Balancer<Choice> = {
    setChoices: () => {},
    pick: (tried, hash) => {
      const choice = balancer.pick(tried, hash)!;
      counts[choice.slot]! += 1;
      return choice;
    },
  };
  const picks = Math.max(7000, load * 70);
  pickTimes(picks, new Int32Array(load).fill(-1), { balancer: counting, inFlight });
  return counts.map((count) => ((count * 70) / picks).toFixed(1)).join(' / ');
}

function table(cell: (policy: BalancePolicy, column: number) => string, columns: number[]): void {
  const row = (policy: BalancePolicy) =>
    Object.fromEntries(columns.map((column) => [`${column}`, cell(policy, column)]));
  console.table(Object.fromEntries(POLICIES.map((policy) => [policy, row(policy)])));
}

console.log('nanoseconds per pick, by endpoints, equal weights');
table((policy, count) => measure(policy, count, EVEN).toFixed(0), COUNTS);
console.log('nanoseconds per pick, by endpoints, weights 1, 1, 5');
table((policy, count) => measure(policy, count, UNEVEN).toFixed(0), COUNTS);
console.log('of 70 requests to weights 1 / 1 / 5, by requests in flight (10 / 10 / 50 is exact)');
table(shares, LOADS);
