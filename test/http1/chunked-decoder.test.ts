import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkedDecoder } from '../../src/http1/chunked-decoder.ts';
import { BODIES } from './corpus/bodies.ts';
import type { BodyRow } from './corpus/row.ts';
import { bytesOf, piecesOf, readChunked } from './reader.ts';

const verdict = (row: BodyRow, cuts: readonly number[] = []) =>
  readChunked(piecesOf(bytesOf(row.bytes), cuts));

const everyByte = (row: BodyRow) => Array.from({ length: row.bytes.length }, (_, i) => i);

describe('corpus of chunked bodies', () => {
  it.each(BODIES.map((row) => [row.about, row] as const))('%s', (_, row) => {
    const whole = verdict(row);
    if (typeof row.gives === 'string') expect(whole).toBe(row.gives);
    else expect(whole).toEqual({ trailers: '', rest: '', ...row.gives });
    expect(verdict(row, everyByte(row)), 'byte by byte').toEqual(whole);
  });

  it('reads the same however the bytes are split', () => {
    fc.assert(
      fc.property(fc.constantFrom(...BODIES), fc.array(fc.nat(), { maxLength: 6 }), (row, at) => {
        const cuts = at.map((cut) => cut % (row.bytes.length + 1));
        expect(verdict(row, cuts)).toEqual(verdict(row));
      }),
      { numRuns: 2000 },
    );
  });
});

/** Encodes as a sender may: sizes in either case, leading zeros, an extension here and there. */
const encoded = (chunks: readonly { data: Uint8Array; zeros: number; extension: string }[]) =>
  Buffer.concat([
    ...chunks.flatMap(({ data, zeros, extension }) => [
      Buffer.from(`${'0'.repeat(zeros)}${data.length.toString(16)}${extension}\r\n`),
      data,
      Buffer.from('\r\n'),
    ]),
    Buffer.from('0\r\n\r\n'),
  ]);

const chunk = fc.record({
  data: fc.uint8Array({ minLength: 1, maxLength: 300 }),
  zeros: fc.nat(4),
  extension: fc.constantFrom('', '', ';a', ';a=b', ';a="b;c"'),
});

describe('ChunkedDecoder', () => {
  it('gives back what was encoded, however it is split', () => {
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 10 }),
        (chunks, at) => {
          const bytes = encoded(chunks);
          const cuts = at.map((cut) => cut % (bytes.length + 1));
          const data = Buffer.concat(chunks.map(({ data }) => data)).toString('latin1');
          expect(readChunked(piecesOf(bytes, cuts))).toEqual({ data, trailers: '', rest: '' });
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('takes any size below 2^53 and none from there on', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 72n }), (size) => {
        const bytes = Buffer.from(`${size.toString(16)}\r\n`);
        expect(readChunked([bytes])).toBe(size < 2n ** 53n ? 'more' : 'bad-chunk');
      }),
    );
  });

  it('leaves the bytes behind the body as they were', () => {
    const bytes = Buffer.from('3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1');
    const decoder = new ChunkedDecoder();
    decoder.reset();
    const next = decoder.decode(bytes, 0, bytes.length);
    expect(bytes.toString('latin1', next)).toBe('GET / HTTP/1.1');
    // The proxy frames the data anew in place: two bytes behind it must be free.
    expect(decoder.dataEnd + 2).toBeLessThanOrEqual(next);
  });

  it('begins anew after a reset', () => {
    const decoder = new ChunkedDecoder();
    for (const row of BODIES) {
      const bytes = bytesOf(row.bytes);
      decoder.reset();
      decoder.decode(bytes, 0, bytes.length);
      decoder.reset();
      const good = Buffer.from('1\r\na\r\n0\r\nB: c\r\n\r\n');
      expect(decoder.decode(good, 0, good.length), row.about).toBe(good.length);
      expect([decoder.state, decoder.dataEnd, decoder.trailers]).toEqual([1, 1, 'B: c\r\n']);
    }
  });

  it('keeps trailers of any length, in whatever pieces they come', () => {
    for (const length of [100, 126, 127, 128, 129, 1021, 1024, 5000, 8188]) {
      const trailer = `B: ${'c'.repeat(length - 5)}\r\n`;
      const bytes = Buffer.from(`1\r\na\r\n0\r\n${trailer}\r\n`);
      const cuts = [20, 133, 134, 1030].filter((cut) => cut < bytes.length);
      const whole = { data: 'a', trailers: trailer, rest: '' };
      expect(readChunked(piecesOf(bytes, cuts)), `${length} bytes`).toEqual(whole);
    }
    const endless = Buffer.from(`0\r\nB: ${'c'.repeat(8200)}\r\n\r\n`);
    expect(readChunked([endless])).not.toHaveProperty('data');
  });

  it('lets a long body have as many extensions as it has data for', () => {
    const signed = `100;signature=${'f'.repeat(64)}\r\n${'x'.repeat(256)}\r\n`;
    expect(readChunked([Buffer.from(`${signed.repeat(500)}0\r\n\r\n`)])).toHaveProperty('data');
  });
});
