import { describe, expect, it } from 'vitest';
import { safeHtml } from '../../src/base/safe-text.ts';
import { bytes, count, duration, milliseconds, rate } from '../../src/observe/text.ts';

describe('text', () => {
  it.each([
    [0, '0'],
    [999, '999'],
    [1000, '1,000'],
    [1_234_567, '1,234,567'],
  ])('counts %d as %s', (value, text) => expect(count(value)).toBe(text));

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_949, '1000 kB'],
    [999_950, '1.0 MB'],
    [12_345_678, '12.3 MB'],
    [2e15, '2.0 PB'],
  ])('writes %d bytes as %s', (value, text) => expect(bytes(value)).toBe(text));

  it.each([
    [0, '0'],
    [0.4, '0.4'],
    [9.96, '10'],
    [1234.4, '1,234'],
  ])('writes the rate %d as %s', (value, text) => expect(rate(value)).toBe(text));

  it.each([
    [0, ''],
    [0.42, '0.42'],
    [3.14, '3.1'],
    [99.6, '100'],
    [2500, '2,500'],
  ])('writes %d ms as "%s"', (value, text) => expect(milliseconds(value)).toBe(text));

  it.each([
    [-5, '0s'],
    [59_999, '59s'],
    [190_000, '3m 10s'],
    [18_120_000, '5h 2m'],
    [1_047_600_000, '12d 3h'],
  ])('writes %d ms of time as %s', (value, text) => expect(duration(value)).toBe(text));

  it('leaves nothing of HTML in text', () => {
    expect(safeHtml(`<a b="c" d='e'>&`)).toBe('&#60;a b=&#34;c&#34; d=&#39;e&#39;&#62;&#38;');
  });
});
