// The header of the PROXY protocol: what we write we read, whatever else is refused, and no cut or
// change of a header is taken for another client.
import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIp } from '../../src/base/ip-address.ts';
import {
  HEADER_BYTES_MAX,
  HeaderWatch,
  readProxyHeader,
  writeV1,
  writeV2,
} from '../../src/proxy/proxy-protocol/proxy-header.ts';

const v1 = (line: string) => readProxyHeader(Buffer.from(line, 'latin1'));
const SIGNATURE = '0d0a0d0a000d0a515549540a';
const v2 = (hex: string) =>
  readProxyHeader(Buffer.from(SIGNATURE + hex.replaceAll(' ', ''), 'hex'));

describe('version 1', () => {
  it.each([
    ['PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n', '192.0.2.1', 40000],
    ['PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n', '255.255.255.255', 65535],
    ['PROXY TCP6 2001:db8::1 2001:DB8:0:0::2 1 0\r\n', '2001:db8::1', 1],
    ['PROXY TCP6 ffff:f...f:ffff 1 1 1\r\n', null, 0],
    ['PROXY UNKNOWN\r\n', '', 0],
    [
      'PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n',
      '',
      0,
    ],
  ])('%j', (line, address, port) => {
    const read = v1(line);
    if (address === null) expect(read.kind).toBe('bad');
    else {
      const peer = address === '' ? null : { address, port };
      expect(read).toMatchObject({ kind: 'whole', length: line.length, peer });
    }
  });

  it.each([
    'GET / HTTP/1.1\r\n',
    'PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n',
    'PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n',
    'PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n',
    'PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n',
    'PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n',
    'PROXY TCP4 1.1.1.1.1 2.2.2.2 1 2\r\n',
    'PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n',
    'PROXY TCP4 256.1.1.1 2.2.2.2 1 2\r\n',
    'PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n',
    'PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n',
    'PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n',
    'PROXY TCP4 ::1 ::2 1 2\r\n',
    'PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n',
    'PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n',
    'PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n',
    'PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n',
    'PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n',
    'PROXY UNKNOWN\n',
    `PROXY UNKNOWN ${'x'.repeat(100)}\r\n`,
    'proxy ',
  ])('refuses %j', (line) => {
    expect(v1(line).kind).toBe('bad');
  });
});

describe('version 2', () => {
  it.each([
    ['21 11 000c c0000201 c6336402 9c40 01bb', { address: '192.0.2.1', port: 40000 }],
    [
      '21 21 0024 20010db8000000000000000000000001 20010db8000000000000000000000002 0001 0002',
      { address: '2001:db8::1', port: 1 },
    ],
    [
      '21 21 0024 00000000000000000000ffff7f000001 00000000000000000000ffff7f000001 0001 0002',
      { address: '127.0.0.1', port: 1 },
    ],
    ['20 00 0000', null],
    ['20 ff 0003 010203', null],
    ['21 00 0000', null],
    ['21 00 0004 deadbeef', null],
    ['21 12 000c c0000201 c6336402 9c40 01bb', null],
    [
      '21 11 0013 c0000201 c6336402 9c40 01bb 04 0001 00 01 0000',
      { address: '192.0.2.1', port: 40000 },
    ],
  ])('%s', (hex, peer) => {
    const length = 12 + hex.replaceAll(' ', '').length / 2;
    expect(v2(hex)).toMatchObject({ kind: 'whole', length, peer });
  });

  it.each([
    ['11 11 000c c0000201 c6336402 9c40 01bb', 'version 1'],
    ['22 11 000c c0000201 c6336402 9c40 01bb', 'command'],
    ['21 41 000c c0000201 c6336402 9c40 01bb', 'family'],
    ['21 13 000c c0000201 c6336402 9c40 01bb', 'family'],
    ['21 11 000b c0000201 c6336402 9c40 01', 'too few addresses'],
    ['21 21 000c c0000201 c6336402 9c40 01bb', 'too few addresses'],
    ['21 11 ffff', 'too long'],
    ['21 11 000e c0000201 c6336402 9c40 01bb 0400', 'extensions'],
    ['21 11 0010 c0000201 c6336402 9c40 01bb 04 0002 00', 'extensions'],
  ])('refuses %s', (hex, why) => {
    expect(v2(hex)).toMatchObject({ kind: 'bad', why: expect.stringContaining(why) });
  });
});

const four = fc.ipV4();
const six = fc.ipV6().filter((text) => !text.includes('.'));
const port = fc.nat(65535);
const client = fc.oneof(fc.tuple(four, four), fc.tuple(six, six)).chain(([from, to]) =>
  fc.record({
    source: fc.record({ address: fc.constant(from), port }),
    destination: fc.option(fc.record({ address: fc.constant(to), port })),
    tls: fc.option(
      fc.record({
        version: fc.constant('TLSv1.3'),
        cipher: fc.constant('TLS_AES_128_GCM_SHA256'),
        hasCertificate: fc.boolean(),
        serverName: fc.constantFrom('', 'db.example.com'),
        protocol: fc.constantFrom('', 'h2'),
      }),
    ),
  }),
);

describe('what we write', () => {
  it('is read as the same client, whatever follows it, and is partial when it is cut', () => {
    fc.assert(
      fc.property(client, fc.boolean(), fc.uint8Array(), (one, isFirst, rest) => {
        const header = isFirst ? writeV1(one) : writeV2(one);
        const read = readProxyHeader(Buffer.concat([header, rest]));
        expect(read).toMatchObject({ kind: 'whole', length: header.length });
        if (read.kind !== 'whole') return;
        expect(read.peer?.port).toBe(one.source.port);
        expect(parseIp(read.peer!.address)).toEqual(parseIp(one.source.address));
        for (let cut = 0; cut < header.length; cut += 1) {
          expect(readProxyHeader(header.subarray(0, cut)).kind).toBe('partial');
        }
        expect(new HeaderWatch().take(header, 0, header.length)).toBe('header');
      }),
    );
  });

  it('names nobody for a client without an address, and for our own checks', () => {
    const nobody = { source: { address: '', port: 0 }, destination: null, tls: null };
    expect(readProxyHeader(writeV1(nobody))).toMatchObject({ kind: 'whole', peer: null });
    expect(readProxyHeader(writeV2(nobody))).toMatchObject({ kind: 'whole', peer: null });
    expect(readProxyHeader(writeV2(null))).toMatchObject({ kind: 'whole', peer: null });
  });
});

describe('what watches for a header', () => {
  const headers = ['PROXY UNKNOWN\r\n', Buffer.from(SIGNATURE, 'hex').toString('latin1')];

  it.each(headers)('finds it in every split: %j', (header) => {
    const bytes = Buffer.from(header, 'latin1');
    const begin = Math.min(bytes.length, header.startsWith('P') ? 6 : 12);
    // Each bit of `cuts` is a read that ends there.
    for (let cuts = 0; cuts < 2 ** (begin - 1); cuts += 1) {
      const watch = new HeaderWatch();
      let from = 0;
      let seen = 'watching';
      for (let at = 1; at <= begin; at += 1) {
        if (at < begin && (cuts & (1 << (at - 1))) === 0) continue;
        expect(seen).toBe('watching');
        seen = watch.take(bytes, from, at === begin ? bytes.length : at);
        from = at;
      }
      expect(seen).toBe('header');
    }
  });

  it.each(headers)('lets go with the first byte that differs: %j', (header) => {
    const bytes = Buffer.from(header, 'latin1');
    for (let at = 0; at < (header.startsWith('P') ? 6 : 12); at += 1) {
      const other = Buffer.from(bytes);
      other[at] = 0x7e;
      const watch = new HeaderWatch();
      if (at > 0) expect(watch.take(other, 0, at)).toBe('watching');
      expect(watch.take(other, at, at)).toBe('watching');
      expect(watch.take(other, at, other.length)).toBe('other');
    }
  });
});

it('takes any bytes: a header of bounded length, more to come within it, or none', () => {
  const begun = fc.constantFrom(
    'PROXY ',
    'PROXY TCP4 1.1.1.1 2.2.2.2 ',
    `${Buffer.from(SIGNATURE, 'hex').toString('latin1')}\x21\x11`,
  );
  fc.assert(
    fc.property(fc.option(begun), fc.uint8Array({ maxLength: 300 }), (begin, rest) => {
      const bytes = Buffer.concat([Buffer.from(begin ?? '', 'latin1'), rest]);
      const read = readProxyHeader(bytes);
      if (read.kind === 'partial') expect(bytes.length).toBeLessThan(HEADER_BYTES_MAX);
      if (read.kind !== 'whole') return;
      expect(read.length).toBeLessThanOrEqual(bytes.length);
      if (read.peer !== null) expect(isIP(read.peer.address)).not.toBe(0);
      // What follows says nothing of the client.
      expect(readProxyHeader(Buffer.concat([bytes, Buffer.from('more')]))).toEqual(read);
    }),
    { numRuns: 2000 },
  );
});
