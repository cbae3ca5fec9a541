// What the simulator's actors know of HTTP/2 is measured by the examples of RFC 7541, not by the product.
import { describe, expect, it } from 'vitest';
import { Decoder, Encoder, type Field, integer } from '../../sim/data/h2/hpack.ts';
import { huffman, unhuffman } from '../../sim/data/h2/huffman.ts';
import { Chance } from '../../sim/kernel/chance.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe("the actors' HPACK", () => {
  it('reads the requests of appendix C.4, with Huffman and its table', () => {
    const decoder = new Decoder();
    const first = decoder.decode(hex('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'));
    expect(first).toEqual([
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'www.example.com'],
    ]);
    const second = decoder.decode(hex('8286 84be 5886 a8eb 1064 9cbf'));
    expect(second.slice(3)).toEqual([
      [':authority', 'www.example.com'],
      ['cache-control', 'no-cache'],
    ]);
    const third = decoder.decode(
      hex('8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf'),
    );
    expect(third).toContainEqual(['custom-key', 'custom-value']);
  });

  it('writes integers as appendix C.1 does', () => {
    expect(integer(10, 5, 0)).toEqual(hex('0a'));
    expect(integer(1337, 5, 0)).toEqual(hex('1f9a0a'));
    expect(integer(42, 8, 0)).toEqual(hex('2a'));
  });

  it('reads what it writes, in whichever way that is drawn', () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const encoder = new Encoder(new Chance(seed, 'encoder'));
      const decoder = new Decoder();
      for (let i = 0; i < 20; i += 1) {
        const fields: Field[] = [
          [':method', 'GET'],
          [':path', `/${i}`],
          ['x-long', 'v'.repeat(i * 60)],
          ['x-same', 'one'],
        ];
        expect(decoder.decode(encoder.encode(fields))).toEqual(fields);
      }
    }
  });

  it.each([
    ['index 0', '80'],
    ['an index beyond the tables', 'ff00'],
    ['a string that ends too late', '007f'],
    ['a table larger than it may be', '3fe21f'],
    ['a change of the table after a field', '8220'],
  ])('refuses %s', (_, bytes) => {
    expect(() => new Decoder().decode(hex(bytes))).toThrow();
  });

  it('wants a smaller table where one was asked for', () => {
    const decoder = new Decoder();
    decoder.setMax(100);
    expect(() => decoder.decode(hex('82'))).toThrow('has to shrink');
    expect(decoder.decode(hex('3f45 82'))).toEqual([[':method', 'GET']]);
  });

  it('knows all symbols of the Huffman code, and refuses bad padding', () => {
    const all = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
    expect(unhuffman(huffman(all))).toBe(all);
    expect(huffman('www.example.com')).toEqual(hex('f1e3 c2e5 f23a 6ba0 ab90 f4ff'));
    expect(() => unhuffman(hex('00'))).toThrow('padding');
    expect(() => unhuffman(hex('ffff ffff'))).toThrow();
  });
});
