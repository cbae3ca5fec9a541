import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeadParser, HeadState } from '../../src/http1/head-parser.ts';
import { REQUESTS } from './corpus/requests.ts';
import { RESPONSES } from './corpus/responses.ts';
import { type HeadRow, LIMITS } from './corpus/row.ts';
import { bytesOf, piecesOf, readHead, WIDE_LIMITS } from './reader.ts';

const verdict = (kind: 'request' | 'response', row: HeadRow, cuts: readonly number[] = []) =>
  readHead(
    new HeadParser(kind, LIMITS),
    piecesOf(bytesOf(row.bytes), cuts),
    kind === 'request' ? null : (row.to ?? 'GET'),
  );

const everyByte = (row: HeadRow) => Array.from({ length: row.bytes.length }, (_, i) => i);

for (const [kind, rows] of [
  ['request', REQUESTS],
  ['response', RESPONSES],
] as const) {
  describe(`corpus of ${kind} heads`, () => {
    it('has no two rows about the same', () => {
      expect(new Set(rows.map((row) => row.about)).size).toBe(rows.length);
    });

    it.each(rows.map((row) => [row.about, row] as const))('%s', (_, row) => {
      const whole = verdict(kind, row);
      if (typeof row.gives === 'string') expect(whole).toBe(row.gives);
      else expect(whole).toMatchObject(row.gives);
      expect(verdict(kind, row, everyByte(row)), 'byte by byte').toEqual(whole);
    });

    it('reads the same however the bytes are split', () => {
      fc.assert(
        fc.property(
          fc.constantFrom(...rows),
          fc.array(fc.nat(700), { maxLength: 6 }),
          (row, at) => {
            const cuts = at.map((cut) => cut % (row.bytes.length + 1));
            expect(verdict(kind, row, cuts)).toEqual(verdict(kind, row));
          },
        ),
        { numRuns: 2000 },
      );
    });
  });
}

describe('HeadParser', () => {
  const good = bytesOf('GET /a HTTP/1.1\r\nHost: h\r\nCookie: c\r\n\r\n');

  it('parses a head that lies whole in the buffer where it lies', () => {
    const parser = new HeadParser('request', WIDE_LIMITS);
    const base = Buffer.alloc(100);
    good.copy(base, 20);
    expect(parser.feed(base, 20, 100)).toBe(20 + good.length);
    expect(parser.head.bytes).toBe(base);
    expect(parser.head.start).toBe(20);
    expect(parser.head.end).toBe(20 + good.length);
  });

  it('begins anew after a reset, whatever came before', () => {
    const parser = new HeadParser('request', LIMITS);
    const fresh = () => readHead(new HeadParser('request', LIMITS), [good], null);
    for (const row of REQUESTS) {
      const bytes = bytesOf(row.bytes);
      readHead(parser, piecesOf(bytes, [bytes.length >> 1]), null);
      parser.reset();
      expect(parser.isEmpty).toBe(true);
      expect(readHead(parser, [good], null), row.about).toEqual(fresh());
      parser.reset();
    }
  });

  it('gives the bytes of a head in pieces back with the reset', () => {
    const parser = new HeadParser('request', LIMITS);
    readHead(parser, piecesOf(good, [9]), null);
    const { bytes } = parser.head;
    expect(bytes.length).toBeGreaterThan(0);
    parser.reset();
    expect(parser.head.bytes.length).toBe(0);
  });

  it('takes other limits with a reset', () => {
    const parser = new HeadParser('request', { ...WIDE_LIMITS, fieldCount: 1 });
    parser.feed(good, 0, good.length);
    expect(parser.fault).toBe('header-too-large');
    parser.reset(WIDE_LIMITS);
    parser.feed(good, 0, good.length);
    expect(parser.state).toBe(HeadState.done);
  });

  it('knows whether anything of a head has come', () => {
    const parser = new HeadParser('request', LIMITS);
    expect(parser.isEmpty).toBe(true);
    parser.feed(good, 0, 0);
    expect(parser.isEmpty).toBe(true);
    parser.feed(good, 0, 1);
    expect(parser.isEmpty).toBe(false);
  });

  it('refuses a byte that may not stand where it does without waiting for another', () => {
    const early = [
      'GET / HTTP/1.1\r\nA\n',
      'GET / HTTP/1.1\r\nA: b\0',
      'GET /\n',
      'GET / HTTP/1.1\r\n ',
    ];
    for (const text of [...early, 'GET / HTTP/1.1\r\nHost: a\r\nX ', 'GET / HTTP/1.1\r\nA: \rb']) {
      const parser = new HeadParser('request', LIMITS);
      const bytes = bytesOf(text);
      parser.feed(bytes, 0, bytes.length - 1);
      expect(parser.state, JSON.stringify(text)).toBe(HeadState.more);
      parser.feed(bytes, bytes.length - 1, bytes.length);
      expect(parser.state, JSON.stringify(text)).toBe(HeadState.rejected);
    }
  });

  it('asks for no more once the limit is reached', () => {
    const parser = new HeadParser('request', LIMITS);
    const bytes = bytesOf(`GET / HTTP/1.1\r\nX: ${'x'.repeat(LIMITS.headBytes)}`);
    parser.feed(bytes, 0, LIMITS.headBytes - 1);
    expect(parser.state).toBe(HeadState.more);
    parser.feed(bytes, LIMITS.headBytes - 1, LIMITS.headBytes);
    expect(parser.fault).toBe('header-too-large');
  });

  it('interns common methods and keeps the case of others', () => {
    const parser = new HeadParser('request', LIMITS);
    for (const method of ['GET', 'POST', 'OPTIONS', 'PROPFIND', 'Get', 'GEX']) {
      parser.reset();
      const bytes = bytesOf(`${method} /a HTTP/1.1\r\nHost: h\r\n\r\n`);
      parser.feed(bytes, 0, bytes.length);
      expect(parser.head.method).toBe(method);
    }
  });

  it('scans a head of single bytes in time that grows with its length', () => {
    // A field line of 30 KB, byte by byte: with a rescan of the line per byte this takes minutes.
    const parser = new HeadParser('request', WIDE_LIMITS);
    const bytes = bytesOf(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(30_000)}\r\n\r\n`);
    for (let at = 0; at < bytes.length; at += 1) parser.feed(bytes, at, at + 1);
    expect(parser.state).toBe(HeadState.done);
  }, 2000);
});
