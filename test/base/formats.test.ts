import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatBytes, parseBytes } from '../../src/base/bytes.ts';
import { formatDuration, parseDuration } from '../../src/base/duration.ts';
import { formatListen, parseListen } from '../../src/model/listener.ts';

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['10s', 10_000],
    ['1m30s', 90_000],
    ['0.5s', 500],
    ['2h', 7_200_000],
    ['0s', 0],
  ])('%s is %i ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each(['', '10', 's', '-1s', '10 s', '10x', '1s!', 'NaN'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  it('reads what it writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 10 }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
  });
});

describe('sizes', () => {
  it.each([
    ['512', 512],
    ['32KiB', 32_768],
    ['2MB', 2_000_000],
    ['1.5KiB', 1536],
  ])('%s is %i bytes', (text, bytes) => expect(parseBytes(text)).toBe(bytes));

  it.each(['', 'KiB', '-1', '1.1B', '1 KiB', '1TB'])('%j is none', (text) => {
    expect(parseBytes(text)).toBeNull();
  });

  it('reads what it writes', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31 - 1), (bytes) => {
        expect(parseBytes(formatBytes(bytes))).toBe(bytes);
      }),
    );
  });
});

describe('listen addresses', () => {
  it.each([
    ['80', { kind: 'tcp', host: '', port: 80 }],
    [':80', { kind: 'tcp', host: '', port: 80 }],
    ['0.0.0.0:80', { kind: 'tcp', host: '', port: 80 }],
    ['10.0.0.1:8080', { kind: 'tcp', host: '10.0.0.1', port: 8080 }],
    ['[::1]:80', { kind: 'tcp', host: '::1', port: 80 }],
    ['/run/x.sock', { kind: 'unix', path: '/run/x.sock' }],
  ])('%s', (text, address) => expect(parseListen(text)).toEqual(address));

  it.each(['', '0', '65536', 'x', '::1:80x', '80:', 'a b:80', '-1'])('%j is none', (text) => {
    expect(parseListen(text)).toBeNull();
  });

  it('reads what it writes', () => {
    for (const text of [':80', '10.0.0.1:80', '[::1]:80', '/run/x.sock']) {
      expect(formatListen(parseListen(text)!)).toBe(text);
    }
  });
});
