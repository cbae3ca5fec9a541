import { beforeEach, expect, it } from 'vitest';
import { FirstChecks } from '../../src/control/first-checks.ts';
import { ManualClock } from '../support/clock.ts';
import { keepingLogger } from '../support/discovery.ts';

const BOUND_MS = 5000;

let clock: ManualClock;
let awaiting: Set<string>;
let kept: ReturnType<typeof keepingLogger>;
let first: FirstChecks;

beforeEach(() => {
  clock = new ManualClock();
  awaiting = new Set();
  kept = keepingLogger();
  first = new FirstChecks({ clock, log: kept.log, awaiting: () => awaiting });
});

const look = () => first.areOver(BOUND_MS);

it('are over at once where no endpoint waits', () => {
  expect(look()).toBe(true);
});

it('are over a look after the last one, which is published by then', () => {
  awaiting = new Set(['a', 'b']);
  expect(look()).toBe(false);
  expect(first.waiting).toBe(2);
  awaiting.delete('a');
  expect(look()).toBe(false);
  expect(first.waiting).toBe(1);
  awaiting.delete('b');
  expect([look(), look()]).toEqual([false, true]);
});

it('are not waited for where the endpoint came later', () => {
  awaiting = new Set(['a']);
  expect(look()).toBe(false);
  awaiting = new Set(['b']);
  expect([look(), look()]).toEqual([false, true]);
});

it('are waited for no longer than the bound, and that is logged', () => {
  awaiting = new Set(['a']);
  expect(look()).toBe(false);
  clock.advance(BOUND_MS - 1);
  expect(look()).toBe(false);
  expect(kept.lines).toEqual([]);
  clock.advance(1);
  expect(look()).toBe(true);
  expect(kept.lines).toMatchObject([{ level: 'warn', fields: { endpoints: 1 } }]);
  expect(first.waiting).toBe(0);
  expect(look()).toBe(true);
});
