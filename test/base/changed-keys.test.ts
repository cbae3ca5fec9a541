import { expect, it } from 'vitest';
import { changedKeys } from '../../src/base/changed-keys.ts';

it('names what came, what went, and what has another value', () => {
  const before = new Map([
    ['gone', 1],
    ['same', 2],
    ['other', 3],
  ]);
  const after = new Map([
    ['same', 2],
    ['other', 4],
    ['new', 5],
  ]);
  expect([...changedKeys(before, after)].sort()).toEqual(['gone', 'new', 'other']);
  expect(changedKeys(after, after).size).toBe(0);
});
