// A property that holds on one machine holds on another: all draw from the seed that the run prints.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

describe('properties', () => {
  it('draw from TEST_SEED', () => {
    expect(process.env.TEST_SEED).toMatch(/^\d+$/);
    expect(fc.readConfigureGlobal().seed).toBe(Number(process.env.TEST_SEED));
    const { seed } = fc.check(fc.property(fc.nat(), () => true));
    expect(seed).toBe(Number(process.env.TEST_SEED));
  });
});
