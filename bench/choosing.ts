// What choosing an endpoint costs by itself: nanoseconds per pick, for each policy and 3, 50 and
// 1,000 endpoints, with 64 requests in flight that end in the order they began.
// usage: node bench/choosing.ts
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

/** Median over the rounds, ns per pick, bookkeeping of what is in flight included. */
function measure(policy: BalancePolicy, count: number): number {
  const inFlight = new Int32Array(new SharedArrayBuffer(count * 4));
  const balancer = createBalancer(policy, { inFlight, perEndpointMax: 0, random: seededRandom(1) });
  const choices = Array.from({ length: count }, (_, slot) => ({
    ...{ id: `e${slot}`, slot, weight: 1, latencyUs: 1000 },
  }));
  balancer.setChoices(choices);
  const taken = new Int32Array(IN_FLIGHT).fill(-1);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const startMs = performance.now();
    for (let i = 0; i < PICKS; i += 1) {
      const at = i % IN_FLIGHT;
      if (taken[at]! >= 0) Atomics.sub(inFlight, taken[at]!, 1);
      const { slot } = balancer.pick(NO_ONE, Math.imul(i, 0x9e3779b1))!;
      Atomics.add(inFlight, slot, 1);
      taken[at] = slot;
    }
    times.push(((performance.now() - startMs) * 1e6) / PICKS);
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1]!;
}

console.log('nanoseconds per pick');
console.table(
  Object.fromEntries(
    POLICIES.map((policy) => [
      policy,
      Object.fromEntries(COUNTS.map((count) => [`${count}`, Math.round(measure(policy, count))])),
    ]),
  ),
);
