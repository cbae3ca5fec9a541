// What is said of a fresh seed that fails.
import { expect, it } from 'vitest';
import { trySeeds } from './fresh-seeds.ts';

const told: number[] = [];
const trial = {
  plane: 'control' as const,
  first: 40,
  countMax: 100,
  run: async (seed: number) => ({ faults: seed === 42 ? ['at 3 s: web is lost'] : [] }),
  tell: async (seed: number) => {
    told.push(seed);
    return ['The agent is restarted.', 'at 1 s: web is lost'];
  },
};

it('names the seed that fails, the command, and what happens in short', async () => {
  const failing = trySeeds({ ...trial, forMs: 60_000 });
  await expect(failing).rejects.toThrow(
    new Error(
      [
        'seed 42 of the control plane: npm run sim -- --plane control --seed 42',
        '  at 3 s: web is lost',
        '  in short:',
        '  The agent is restarted.',
        '  at 1 s: web is lost',
      ].join('\n'),
    ),
  );
  expect(told).toEqual([42]);
});

it('tries one at least, and stops when its time is over', async () => {
  expect(await trySeeds({ ...trial, forMs: 0 })).toBe(1);
});

it('tries no more than it may, on a machine that is fast', async () => {
  expect(await trySeeds({ ...trial, first: 43, countMax: 7, forMs: 60_000 })).toBe(7);
});
