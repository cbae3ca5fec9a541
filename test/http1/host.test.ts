import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isHost } from '../../src/http1/host.ts';
import { bytesOf } from './reader.ts';

const accepts = (text: string): boolean => {
  // The bytes about it belong to other parts of the head.
  const bytes = bytesOf(`1.${text}:1]`);
  return isHost(bytes, 2, 2 + text.length);
};

describe('isHost', () => {
  it.each([
    ...['a', 'a.example', 'A-b_c~d.example', '127.0.0.1', 'a.', 'xn--bcher-kva.example', '%41'],
    ...['a:80', 'a:', 'a:0', 'a:65535', '[::]', '[::1]', '[::1]:80', '[::ffff:127.0.0.1]'],
    ...["a!$&'()*+;=b"],
  ])('takes %s', (text) => {
    expect(accepts(text)).toBe(true);
  });

  it.each([
    ...['', ':', ':80', 'a b', 'a,b', 'a/b', 'a?b', 'a#b', 'u@a', 'a\\b', 'a:b', 'a:-1', 'a:65536'],
    ...['a:000080', '%', '%4', '%4g', 'a%', '[]', '[', ']', '[::1', '::1', '[::1]a', '[::1]:x'],
    ...['[v1.a]', '[fe80::1%eth0]', '[fe80::1%25eth0]', 'a[::1]', '"a"', '<a>', 'caf\xe9', 'a\tb'],
  ])('refuses %s', (text) => {
    expect(accepts(text)).toBe(false);
  });

  it('knows IPv6 addresses as Node does', () => {
    const group = fc.oneof(
      fc.string({ unit: fc.constantFrom(...'0123456789abcdefABCDEF'), maxLength: 5 }),
      fc.constantFrom('', '', '1.2.3.4', '1.2.3', '256.0.0.1', '1.02.3.4', '1.2.3.4.5', 'g'),
    );
    const address = fc.array(group, { maxLength: 9 }).map((groups) => groups.join(':'));
    fc.assert(
      fc.property(fc.oneof(address, fc.ipV6()), (text) => {
        expect(accepts(`[${text}]`)).toBe(isIPv6(text));
      }),
      { numRuns: 5000 },
    );
  });

  it('takes every IPv4 address', () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        expect(isIPv4(text)).toBe(true);
        expect(accepts(text)).toBe(true);
      }),
    );
  });
});
