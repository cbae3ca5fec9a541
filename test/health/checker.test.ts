// The schedule of checks, with time turned by hand and checks that end when told to.
import { beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { Checker, type CheckRun } from '../../src/health/checker.ts';
import type { CheckOutcome, CheckTarget } from '../../src/health/outcome.ts';
import type { HealthCheck } from '../../src/model/service.ts';
import { makeCheck } from '../support/check.ts';
import { ManualClock } from '../support/clock.ts';

const check = makeCheck({ intervalMs: 2000, timeoutMs: 1000, rise: 2, fall: 3 });
const place: CheckRun = { address: '10.0.0.1', port: 80, isUp: false };

interface Run {
  readonly atMs: number;
  readonly check: HealthCheck;
  readonly target: CheckTarget;
  readonly signal: AbortSignal;
  end(outcome: CheckOutcome): Promise<void>;
  break(error: Error): Promise<void>;
}

let clock: ManualClock;
let runs: Run[];
let changes: string[];
let checker: Checker;

const good: CheckOutcome = { isGood: true, text: 'GET /health answered 200' };
const bad: CheckOutcome = { isGood: false, text: 'GET /health answered 500' };
let warnings: unknown[];

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

beforeEach(() => {
  clock = new ManualClock();
  runs = [];
  changes = [];
  warnings = [];
  checker = new Checker({
    clock,
    random: seededRandom(1),
    log: { ...silentLogger, warn: (fields) => warnings.push(fields) },
    onChange: (key, { isUp }) => changes.push(`${key} ${isUp ? 'up' : 'down'}`),
    probe: (given, target, signal) =>
      new Promise((resolve, reject) => {
        const end = (outcome: CheckOutcome) => {
          resolve(outcome);
          return turn();
        };
        const fail = (error: Error) => {
          reject(error);
          return turn();
        };
        signal.addEventListener('abort', () => resolve(bad));
        runs.push({ atMs: clock.nowMs(), check: given, target, signal, end, break: fail });
      }),
  });
});

/** Lets time pass until one more check runs; returns how long that took, ms. */
function untilNext(maxMs = 10_000): number {
  const count = runs.length;
  const fromMs = clock.nowMs();
  while (runs.length === count && clock.nowMs() - fromMs < maxMs) clock.advance(1);
  expect(runs.length, 'a check runs').toBe(count + 1);
  return clock.nowMs() - fromMs;
}

async function answer(outcome: CheckOutcome): Promise<void> {
  await runs.at(-1)!.end(outcome);
}

describe('the first check', () => {
  it('comes at once, and brings the endpoint up', async () => {
    checker.watch('a', check, place);
    expect(checker.state('a')).toMatchObject({ isUp: false, isKnown: false });
    clock.advance(0);
    expect(runs.length).toBe(1);
    await answer(good);
    expect(changes).toEqual(['a up']);
    expect(checker.state('a')!.last).toMatchObject({ isGood: true, text: good.text });
  });

  it('is waited for as up where the endpoint is in use, or `initial` says so', () => {
    checker.watch('a', check, { ...place, isUp: true });
    checker.watch('b', { ...check, initial: 'up' }, place);
    expect(checker.state('a')!.isUp).toBe(true);
    expect(checker.state('b')!.isUp).toBe(true);
  });

  it('of many endpoints is spread over a little time, and a bounded number runs at once', async () => {
    for (let i = 0; i < 1000; i += 1) checker.watch(`e${i}`, check, place);
    clock.advance(0);
    expect(runs.length).toBeLessThan(100);
    clock.advance(100);
    expect(runs.length).toBe(256);
    await runs[0]!.end(good);
    expect(runs.length).toBe(257);
    checker.unwatch('e999');
    for (let i = 1; i < runs.length; i += 1) await runs[i]!.end(good);
    expect(changes.length).toBeGreaterThanOrEqual(999);
    expect(clock.waiting).toBe(999);
  });
});

describe('the next check', () => {
  it('comes at the interval, a tenth more or less', async () => {
    checker.watch('a', check, place);
    untilNext();
    for (let i = 0; i < 20; i += 1) {
      await answer(good);
      const waitedMs = untilNext();
      expect(waitedMs).toBeGreaterThanOrEqual(1800);
      expect(waitedMs).toBeLessThanOrEqual(2201);
    }
  });

  it('comes sooner while results speak against the state', async () => {
    checker.watch('a', check, place);
    untilNext();
    await answer(good);
    untilNext();
    await answer(bad);
    expect(untilNext()).toBeLessThanOrEqual(551);
    await answer(bad);
    expect(untilNext()).toBeLessThanOrEqual(551);
    await answer(bad);
    expect(changes).toEqual(['a up', 'a down']);
    expect(untilNext()).toBeGreaterThanOrEqual(1800);
  });

  it('comes sooner while a new endpoint has yet to come up, for half a minute', async () => {
    checker.watch('a', check, place);
    untilNext();
    for (let i = 0; i < 10; i += 1) {
      await answer(bad);
      expect(untilNext()).toBeLessThanOrEqual(551);
    }
    clock.advance(30_000);
    await answer(bad);
    expect(untilNext()).toBeGreaterThanOrEqual(1800);
  });

  it('does not start before the last has ended', () => {
    checker.watch('a', check, place);
    clock.advance(60_000);
    expect(runs.length).toBe(1);
  });
});

describe('a suspect', () => {
  beforeEach(async () => {
    checker.watch('a', { ...check, intervalMs: 60_000, fall: 1 }, place);
    untilNext();
    await answer(good);
    clock.advance(1000);
  });

  it('is checked at once', async () => {
    checker.hurry('a');
    expect(untilNext()).toBeLessThanOrEqual(1);
    await answer(bad);
    expect(changes).toEqual(['a up', 'a down']);
  });

  it('is not checked more often than ten times a second', async () => {
    const fromMs = clock.nowMs();
    const before = runs.length;
    for (let i = 0; i < 1000; i += 1) {
      const count = runs.length;
      checker.hurry('a');
      clock.advance(1);
      if (runs.length > count) await answer(good);
    }
    expect(clock.nowMs() - fromMs).toBe(1000);
    expect(runs.length - before).toBeLessThanOrEqual(11);
    expect(runs.length - before).toBeGreaterThanOrEqual(9);
  });

  it('is checked once more where a check was running already', async () => {
    checker.hurry('a');
    untilNext();
    checker.hurry('a');
    await answer(good);
    expect(untilNext()).toBeLessThanOrEqual(101);
  });

  it('that nobody watches is no matter', () => {
    checker.hurry('b');
    expect(clock.waiting).toBe(1);
  });
});

describe('an endpoint', () => {
  it('that leaves has its check given up at once, and is never heard of again', async () => {
    checker.watch('a', check, place);
    untilNext();
    checker.unwatch('a');
    expect(runs[0]!.signal.aborted).toBe(true);
    await answer(good);
    clock.advance(60_000);
    expect(runs.length).toBe(1);
    expect(changes).toEqual([]);
    expect(checker.state('a')).toBeNull();
    expect(clock.waiting).toBe(0);
  });

  it('goes on with its state when it is watched again, and begins anew at another address', async () => {
    checker.watch('a', check, place);
    untilNext();
    await answer(good);
    checker.watch('a', { ...check }, place);
    expect(checker.state('a')!.isUp).toBe(true);
    expect(clock.waiting).toBe(1);
    checker.watch('a', check, { ...place, port: 81 });
    expect(checker.state('a')!.isUp).toBe(false);
    untilNext();
    expect(runs.at(-1)!.target.port).toBe(81);
  });

  it('is checked at once where it is to be checked in another way', async () => {
    checker.watch('a', check, place);
    untilNext();
    await answer(good);
    clock.advance(500);
    checker.watch('a', { ...check, path: '/other' }, place);
    expect(checker.state('a')!.isUp).toBe(true);
    expect(untilNext()).toBeLessThanOrEqual(1);
    expect(runs.at(-1)!.check.path).toBe('/other');
  });

  it('is asked by its new name at once where it is registered by another', async () => {
    checker.watch('a', check, { ...place, hostName: 'one.test' });
    untilNext();
    await answer(good);
    clock.advance(500);
    checker.watch('a', check, { ...place, hostName: 'two.test' });
    expect(checker.state('a')!.isUp).toBe(true);
    expect(untilNext()).toBeLessThanOrEqual(1);
    expect(runs.map(({ target }) => target.hostName)).toEqual(['one.test', 'two.test']);
  });

  it('whose check can not even be made is down, and says why', async () => {
    checker.watch('a', check, place);
    untilNext();
    await runs[0]!.break(new Error('odd character in the path'));
    expect(checker.state('a')).toMatchObject({
      isUp: false,
      last: { text: 'odd character in the path' },
    });
    expect(untilNext()).toBeGreaterThan(0);
  });
});

it('closes with nothing left behind', () => {
  checker.watch('a', check, place);
  checker.watch('b', check, place);
  untilNextBoth();
  checker.close();
  expect(runs.every(({ signal }) => signal.aborted)).toBe(true);
  expect(clock.waiting).toBe(0);
});

function untilNextBoth(): void {
  clock.advance(0);
  expect(runs.length).toBe(2);
}

describe('checks that are asked for too often', () => {
  it('come late, each in its turn, and it is logged once in a while', async () => {
    const count = 1500;
    const often = { ...check, intervalMs: 100 };
    for (let i = 0; i < count; i += 1) checker.watch(`e${i}`, often, place);
    const ended = new Set<number>();
    for (let ms = 0; ms < 5000; ms += 5) {
      clock.advance(5);
      for (let i = 0; i < runs.length; i += 1) {
        if (ended.has(i)) continue;
        ended.add(i);
        void runs[i]!.end(good);
      }
      await turn();
    }
    // A thousand at once, and a thousand a second: 75,000 were asked for.
    expect(runs.length).toBeLessThanOrEqual(6000);
    expect(runs.length).toBeGreaterThan(5500);
    for (let i = 0; i < count; i += 1) expect(checker.state(`e${i}`)!.isKnown).toBe(true);
    expect(warnings).toHaveLength(1);
  });
});
