import { describe, expect, it } from 'vitest';
import { isPanic } from '../../src/health/panic.ts';

describe('panic', () => {
  it.each([
    ['all work', 0.5, 4, 0, false],
    ['just the share', 0.5, 2, 2, false],
    ['less than the share', 0.5, 1, 2, true],
    ['nobody works', 0.5, 0, 1, true],
    ['nobody to fall back on', 0.5, 0, 0, false],
    ['turned off', 0, 0, 4, false],
    ['as soon as one is out', 1, 9, 1, true],
  ])('%s', (_, threshold, working, spare, expected) => {
    expect(isPanic({ threshold, spread: 'spill' }, { working, spare })).toBe(expected);
  });
});
