// RFC 7541 section 5.2 and appendix C, and what a decoder must refuse.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodedMax,
  decodeHuffman,
  encodeHuffman,
  huffmanLength,
} from '../../src/http2/huffman.ts';

function encode(text: Buffer): Buffer {
  const out = Buffer.alloc(huffmanLength(text, 0, text.length));
  expect(encodeHuffman(text, 0, text.length, out, 0)).toBe(out.length);
  return out;
}

function decode(bytes: Buffer): Buffer | null {
  const out = Buffer.alloc(decodedMax(bytes.length));
  const end = decodeHuffman(bytes, 0, bytes.length, out, 0);
  return end < 0 ? null : out.subarray(0, end);
}

describe('the Huffman code', () => {
  it.each([
    ['www.example.com', 'f1e3c2e5f23a6ba0ab90f4ff'],
    ['no-cache', 'a8eb10649cbf'],
    ['custom-key', '25a849e95ba97d7f'],
    ['Mon, 21 Oct 2013 20:13:21 GMT', 'd07abe941054d444a8200595040b8166e082a62d1bff'],
    ['https://www.example.com', '9d29ad171863c78f0b97c8e9ae82ae43d3'],
  ])('writes and reads %s as appendix C does', (text, hex) => {
    expect(encode(Buffer.from(text)).toString('hex')).toBe(hex);
    expect(decode(Buffer.from(hex, 'hex'))?.toString()).toBe(text);
  });

  it('reads back whatever it wrote', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(decode(encode(Buffer.from(bytes)))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it.each([
    ['EOS within a string', 'ffffffff'],
    ['EOS in front', 'fffffffc'],
    ['padding of eight bits', '07ff'],
    ['padding that is not all ones', '06'],
    ['padding of a whole byte behind a symbol of eight bits', 'f8ff'],
  ])('refuses %s', (_, hex) => {
    expect(decode(Buffer.from(hex, 'hex'))).toBeNull();
  });
});
