import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/base/prng.ts';
import {
  evidence,
  evidenceMax,
  logGamma,
  type Outcomes,
  tolerated,
} from '../../src/health/evidence.ts';

const EXCESS = 0.01;
const of = (faults: number, requests: number): Outcomes => ({ requests, faults });
const outcomes = fc
  .tuple(fc.nat(2000), fc.nat(2000))
  .map(([faults, good]) => of(faults, faults + good));

describe('the gamma function', () => {
  it('is that of the factorials and of a half', () => {
    let factorial = 1;
    for (let n = 1; n <= 20; n += 1) {
      expect(logGamma(n)).toBeCloseTo(Math.log(factorial), 8);
      factorial *= n;
    }
    expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.sqrt(Math.PI)), 8);
  });
});

describe('what is tolerated beside peers', () => {
  it.each([
    [0, 0.01],
    [0.001, 0.011],
    [0.05, 0.0952],
    [0.5, 0.6667],
    [0.99, 1],
    [1, 1],
  ])('that fail %d: %d', (p, expected) => {
    expect(tolerated(p, EXCESS)).toBeCloseTo(expected, 4);
  });
});

describe('evidence', () => {
  it.each([
    // Fifteen failures of fifteen beside three good peers: a quarter of a second at 250 a second.
    ['everything fails, three good peers', of(15, 15), of(0, 45), 9, 11],
    ['everything fails, one good peer', of(25, 25), of(0, 25), 9, 11],
    ['everything fails, of late', of(20, 40), of(0, 120), 5, 12],
    ['a slow poison', of(50, 1000), of(3, 3000), 9, 20],
    ['too little', of(5, 5), of(0, 15), 1, 4],
    ['all fail', of(100, 100), of(300, 300), 0, 0],
    ['half of all fail', of(55, 100), of(150, 300), 0, 0],
    ['better than its peers', of(0, 100), of(300, 300), 0, 0],
    ['no peers', of(100, 100), of(0, 0), 0, 0],
    ['a hair more than its peers, for ever', of(1500, 100_000), of(1000, 100_000), 0, 0],
  ])('%s', (_, own, peers, least, most) => {
    const found = evidence(own, peers, EXCESS);
    expect(found).toBeGreaterThanOrEqual(least);
    expect(found).toBeLessThanOrEqual(most);
  });

  it('is a number from 0 on, and never above its cheap bound', () => {
    fc.assert(
      fc.property(outcomes, outcomes, fc.double({ min: 0, max: 0.3, noNaN: true }), (a, b, e) => {
        const found = evidence(a, b, e);
        expect(found).toBeGreaterThanOrEqual(0);
        expect(found).toBeLessThanOrEqual(evidenceMax(a, b, e) + 1e-6);
      }),
    );
  });

  it('never speaks against both of two', () => {
    fc.assert(
      fc.property(outcomes, outcomes, (a, b) => {
        expect(Math.min(evidence(a, b, EXCESS), evidence(b, a, EXCESS))).toBe(0);
      }),
    );
  });

  it.each([
    [0, 0.01],
    [0.01, 0.02],
    [0.05, 0.0952],
    [0.3, 0.4615],
  ])(
    'reaches 10^1 by chance in less than a tenth of the runs, however often it is looked at: peers %d, endpoint %d, just tolerated',
    (peerRate, ownRate) => {
      const random = seededRandom(11);
      const runs = 400;
      let wrong = 0;
      for (let run = 0; run < runs; run += 1) {
        let [own, peers] = [of(0, 0), of(0, 0)];
        // A look after every ten requests.
        for (let look = 0; look < 100; look += 1) {
          own = add(own, ownRate, random);
          peers = add(peers, peerRate, random);
          if (evidenceMax(own, peers, EXCESS) < 1 || evidence(own, peers, EXCESS) < 1) continue;
          wrong += 1;
          break;
        }
      }
      expect(wrong / runs).toBeLessThan(0.1);
    },
  );
});

function add({ requests, faults }: Outcomes, rate: number, random: () => number): Outcomes {
  let failed = 0;
  for (let i = 0; i < 10; i += 1) if (random() < rate) failed += 1;
  return of(faults + failed, requests + 10);
}
