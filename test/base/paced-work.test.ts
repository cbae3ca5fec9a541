import { expect, it } from 'vitest';
import { PacedWork } from '../../src/base/paced-work.ts';
import { ManualClock } from '../support/clock.ts';

function stage() {
  const clock = new ManualClock();
  const done: string[] = [];
  const paced = new PacedWork<number[]>({
    ...{ clock, burst: 100, ratePerSecond: 10 },
    run: (key, work) => {
      done.push(`${key} ${work.join('+')}`);
      return work.at(-1)!;
    },
    join: (waiting, next) => [...waiting.slice(0, 1), ...next],
  });
  return { clock, done, paced };
}

it('works at once while an account has something left, then when it has something again', () => {
  const { clock, done, paced } = stage();
  for (const cost of [40, 50, 110]) paced.ask('a', [cost]);
  expect(done).toEqual(['a 40', 'a 50', 'a 110']);
  paced.ask('a', [1]);
  clock.advance(10_000);
  expect(done.length).toBe(3);
  clock.advance(200);
  expect(done.at(-1)).toBe('a 1');
  expect(clock.waiting).toBe(0);
});

it('works on the last of what waits, once, and keeps no other source waiting', () => {
  const { clock, done, paced } = stage();
  for (const cost of [200, 1, 2, 3]) paced.ask('a', [cost]);
  paced.ask('b', [1]);
  expect(done).toEqual(['a 200', 'b 1']);
  clock.advance(20_000);
  expect(done.slice(2)).toEqual(['a 1+3']);
});

it('forgets accounts that are full again, and none that is not', () => {
  const { clock, done, paced } = stage();
  paced.ask('flapping', [100_000]);
  for (let i = 0; i < 10_000; i += 1) {
    paced.ask(`n${i}`, [1]);
    clock.advance(100);
  }
  const before = done.length;
  paced.ask('flapping', [1]);
  expect(done.length).toBe(before);
  clock.advance(10_000_000);
  expect(done.at(-1)).toBe('flapping 1');
});

it('does nothing after it is closed', () => {
  const { clock, done, paced } = stage();
  paced.ask('a', [1000]);
  paced.ask('a', [1]);
  paced.close();
  paced.ask('b', [1]);
  clock.advance(1_000_000);
  expect(done).toEqual(['a 1000']);
  expect(clock.waiting).toBe(0);
});
