import { BlockList, isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  canonicalHost,
  formatIp,
  isUnspecified,
  Networks,
  parseIp,
} from '../../src/base/ip-address.ts';

describe('an IP address', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['::FFFF:7f00:1', '127.0.0.1'],
    ['0:0:0:0:0:ffff:7f00:0001', '127.0.0.1'],
    ['::1', '::1'],
    ['0:0::1', '::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::', '::'],
    ['2001:DB8::', '2001:db8::'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ])('%s is %s', (text, canonical) => {
    expect(formatIp(parseIp(text)!)).toBe(canonical);
  });

  it.each([
    '',
    '1',
    '1.2.3',
    '1.2.3.256',
    '1.2.3.4.5',
    // The system reads these as octal, or as a name: 10.0.0.1 and nothing.
    '012.0.0.1',
    '1.2.3.04',
    '::ffff:1.2.3.04',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    '::1.2.3',
    'g::',
    'localhost',
    '1.2.3.4:80',
    '[::1]',
  ])('is not %j', (text) => {
    expect(parseIp(text)).toBeNull();
  });

  it('is what the system takes for one, and is written as the system does', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV4Extended(), fc.ipV6(), fc.string()), (text) => {
        const ip = parseIp(text);
        if (isIPv4(text) || isIPv6(text)) expect(ip).not.toBeNull();
        if (ip === null) return;
        expect(isIPv4(text) || isIPv6(text.replace(/%.*$/, ''))).toBe(true);
        expect(parseIp(formatIp(ip))).toEqual(ip);
      }),
    );
  });

  it.each(['0.0.0.0', '::', '::ffff:0.0.0.0', '0:0:0:0:0:0:0:0'])('%s is every address', (text) => {
    expect(isUnspecified(parseIp(text)!)).toBe(true);
  });
});

describe('a host to listen on', () => {
  it.each([
    ['', ''],
    ['*', ''],
    ['0', ''],
    ['0.0.0.0', ''],
    ['00', ''],
    ['::', ''],
    ['0::0', ''],
    ['::ffff:0.0.0.0', ''],
    ['127.1', '127.0.0.1'],
    ['0x7f.1', '127.0.0.1'],
    ['2130706433', '127.0.0.1'],
    ['0177.0.0.1', '127.0.0.1'],
    ['127.0.0.1.', '127.0.0.1'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['LocalHost', 'localhost'],
    ['localhost.', 'localhost'],
    ['1.2.3.4.5', null],
    ['1.2.3.256', null],
    ['::zz', null],
  ])('%s is %j', (text, canonical) => {
    expect(canonicalHost(text)).toBe(canonical);
  });
});

it('networks hold what a block list of the system holds', () => {
  const four = fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 }));
  const six = fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 }));
  fc.assert(
    fc.property(fc.oneof(four, six), fc.oneof(fc.ipV4(), fc.ipV6()), ([net, bits], address) => {
      const list = new BlockList();
      list.addSubnet(net, bits, isIPv6(net) ? 'ipv6' : 'ipv4');
      // Of mapped networks the two speak differently: here an IPv4 address is within ::/0.
      fc.pre(
        isIPv6(net) === isIPv6(address) && !/^::ffff:|^(0+:){5}ffff:/i.test(`${net} ${address}`),
      );
      const is = list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
      expect(new Networks([`${net}/${bits}`]).has(parseIp(address)!)).toBe(is);
    }),
  );
});

it('networks know both spellings', () => {
  const networks = new Networks(['169.254.0.0/16', 'fe80::/10', '10.0.0.7']);
  const has = (text: string) => networks.has(parseIp(text)!);
  expect(has('169.254.169.254')).toBe(true);
  expect(has('::ffff:169.254.169.254')).toBe(true);
  expect(has('::ffff:a9fe:a9fe')).toBe(true);
  expect(has('fe80::1%eth0')).toBe(true);
  expect(has('10.0.0.7')).toBe(true);
  expect(has('10.0.0.8')).toBe(false);
  expect(has('fec0::1')).toBe(false);
});
