// What the comparison of endpoints finds and what it leaves alone, with traffic made by seeds.
import { describe, expect, it } from 'vitest';
import { FaultHistory, type Reading } from '../../src/health/fault-history.ts';
import { comparing, firstOutlier } from '../support/outcomes.ts';

/** `count` numbers, one per seed, in order. */
function sorted(count: number, of: (seed: number) => number): number[] {
  return Array.from({ length: count }, (_, seed) => of(seed)).sort((a, b) => a - b);
}

describe('an endpoint that begins to fail everything', () => {
  it.each([
    [2, 45],
    [4, 26],
    [8, 20],
  ])('one of %i at 250 requests a second fails at most %i before it is found', (count, most) => {
    const failed = sorted(100, (seed) => {
      const fromS = 5 + (seed % 20) / 100;
      const rates = (seconds: number) =>
        Array.from({ length: count }, (_, i) => (i === 1 && seconds > fromS ? 1 : 0.001));
      const found = firstOutlier({ rates, perSecond: 250, seconds: 10, seed })!;
      expect(found.outlier.slot).toBe(1);
      expect(found.seconds - fromS).toBeLessThan(1);
      return found.failed;
    });
    expect(failed.at(-1)).toBeLessThanOrEqual(most);
  });

  it('is found at one request a second too, in less than a minute', () => {
    const rates = (seconds: number) => [0, 0, 0, seconds > 60 ? 1 : 0];
    const found = firstOutlier({ rates, perSecond: 1, seconds: 180, seed: 1, tickMs: 500 })!;
    expect(found.outlier.slot).toBe(3);
    expect(found.seconds).toBeLessThan(120);
  });
});

describe('a slow poison', () => {
  it('of 5 % beside 0.1 % is found within the window', () => {
    const times = sorted(60, (seed) => {
      const rates = (seconds: number) => [0.001, 0.001, seconds > 20 ? 0.05 : 0.001, 0.001];
      const found = firstOutlier({ rates, perSecond: 250, seconds: 80, seed, tickMs: 100 })!;
      expect(found.outlier.slot).toBe(2);
      return found.seconds - 20;
    });
    expect(times[30]!).toBeLessThan(20);
    expect(times.at(-1)!).toBeLessThan(60);
  });
});

describe('nobody is found', () => {
  // Each row is 500 runs of 10 s with 20 looks a second at four endpoints. By Ville's inequality the
  // bound for endpoints that are only just tolerated is one in 5,000 of such runs; endpoints that
  // are alike are far inside of it.
  it.each([0, 0.001, 0.05, 0.5, 1])('where all fail alike: a share of %d', (rate) => {
    let wrong = 0;
    for (let seed = 0; seed < 500; seed += 1) {
      const rates = () => [rate, rate, rate, rate];
      if (firstOutlier({ rates, perSecond: 250, seconds: 10, seed }) !== null) wrong += 1;
    }
    expect(wrong).toBe(0);
  });

  it('where all fail together for a while', () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const rates = (seconds: number) =>
        seconds > 5 && seconds < 7 ? [1, 1, 1, 1] : [0.001, 0.001, 0.001, 0.001];
      expect(firstOutlier({ rates, perSecond: 250, seconds: 15, seed })).toBeNull();
    }
  });

  it('where one has a little more than its peers', () => {
    for (let seed = 0; seed < 30; seed += 1) {
      const rates = () => [0.001, 0.001, 0.006, 0.001];
      expect(firstOutlier({ rates, perSecond: 1000, seconds: 10, seed })).toBeNull();
    }
  });

  it('where fewer endpoints had requests than a comparison needs', () => {
    const rates = () => [1, 0, 0];
    const policy = { ...comparing, minEndpoints: 4 };
    expect(firstOutlier({ rates, perSecond: 250, seconds: 5, seed: 1, policy })).toBeNull();
    expect(firstOutlier({ rates: () => [1], perSecond: 250, seconds: 5, seed: 1 })).toBeNull();
  });
});

describe('FaultHistory', () => {
  const reading = (slot: number, requests: number, faults: number, id = `e${slot}`): Reading => ({
    ...{ id, slot, requests, faults },
  });

  it('says what it found in numbers', () => {
    const history = new FaultHistory();
    history.read(0, [reading(0, 0, 0), reading(1, 500, 0)], comparing);
    history.read(400, [reading(0, 40, 40), reading(1, 580, 1)], comparing);
    const [found] = history.outliers(comparing);
    expect(found).toMatchObject({ slot: 0, kind: 'success-rate' });
    expect(found!.text).toMatch(
      /^40 of 40 requests failed within 0\.4 s, 1 of 80 of its peer's \(evidence 10\^2\d\)$/,
    );
    expect(history.compared(1, comparing)).toMatchObject({
      own: { requests: 80, faults: 1 },
      peers: { requests: 40, faults: 40 },
      evidence: 0,
    });
  });

  it('holds nothing against an endpoint that was away, or has the slot of another', () => {
    for (const id of ['e0', 'other']) {
      const history = new FaultHistory();
      history.read(0, [reading(0, 0, 0), reading(1, 0, 0)], comparing);
      history.read(50, [reading(0, 5, 5), reading(1, 100, 0)], comparing);
      if (id === 'e0') history.read(100, [reading(1, 120, 0)], comparing);
      history.read(150, [reading(0, 50, 50, id), reading(1, 150, 0)], comparing);
      history.read(200, [reading(0, 55, 51, id), reading(1, 200, 0)], comparing);
      expect(history.outliers(comparing)).toEqual([]);
      expect(history.compared(0, comparing)!.own).toEqual({ requests: 5, faults: 1 });
    }
  });

  it('forgets failures when the window has passed', () => {
    const history = new FaultHistory();
    history.read(0, [reading(0, 0, 0), reading(1, 0, 0)], comparing);
    history.read(50, [reading(0, 1, 1), reading(1, 1, 0)], comparing);
    expect(history.isQuiet).toBe(false);
    for (let ms = 100; ms < 70_000; ms += 100) {
      history.read(ms, [reading(0, ms, 1), reading(1, ms, 0)], comparing);
    }
    expect(history.isQuiet).toBe(true);
    expect(history.compared(0, comparing)).toBeNull();
  });
});
