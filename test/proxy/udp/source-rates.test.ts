// How many datagrams a source may send in a second.
import { expect, it } from 'vitest';
import { SourceRates } from '../../../src/proxy/udp/source-rates.ts';

it('takes a second worth at once, and the rate in the long run', () => {
  const rates = new SourceRates();
  let taken = 0;
  for (let ms = 0; ms < 10_000; ms += 1) {
    for (let i = 0; i < 3; i += 1) if (rates.take('10.0.0.1', 7, ms)) taken += 1;
  }
  expect(taken).toBeGreaterThanOrEqual(7 + 7 * 9);
  expect(taken).toBeLessThanOrEqual(7 + 7 * 10);
});

it('follows a rate that is changed, and counts each address by itself', () => {
  const rates = new SourceRates();
  expect(rates.take('a', 1, 0)).toBe(true);
  expect(rates.take('a', 1, 0)).toBe(false);
  expect(rates.take('a', 1000, 1)).toBe(true);
  expect(rates.take('b', 1, 1)).toBe(true);
});

it('knows no more addresses than it may, whoever sends', () => {
  const rates = new SourceRates();
  for (let i = 0; i < 100_000; i += 1)
    rates.take(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 1, 0);
  expect(rates.size).toBeLessThanOrEqual(65_536);
  // The latest is still known.
  expect(rates.take('10.1.134.159', 1, 0)).toBe(false);
});
