// HPACK (RFC 7541): its examples, its bounds, and our encoder read by our decoder and by Node's.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Kind } from '../../src/http2/field-kind.ts';
import { FrameWriter } from '../../src/http2/frame-writer.ts';
import { HpackDecoder } from '../../src/http2/hpack-decoder.ts';
import { Field, HpackEncoder } from '../../src/http2/hpack-encoder.ts';

type Pair = readonly [name: string, value: string];

/** The fields of a block; null where it can't be decoded. */
function decode(decoder: HpackDecoder, block: Buffer): Pair[] | null {
  const fields: Pair[] = [];
  const isFine = decoder.decode(block, 0, block.length, {
    onField(base, start, nameEnd, end) {
      const text = (from: number, to: number) => base.toString('latin1', from, to);
      fields.push([text(start, nameEnd), text(nameEnd + 2, end - 2)]);
    },
  });
  return isFine ? fields : null;
}

function encode(encoder: HpackEncoder, pairs: readonly Pair[]): Buffer {
  const out = new FrameWriter();
  encoder.begin(out);
  for (const [name, value] of pairs) {
    const field = new Field();
    field.nameBase = Buffer.from(name, 'latin1');
    field.nameEnd = field.nameBase.length;
    field.valueBase = Buffer.from(value, 'latin1');
    field.valueEnd = field.valueBase.length;
    encoder.add(out, field);
  }
  return Buffer.from(out.view());
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const plain = () => new HpackDecoder(4096);

describe('the decoder', () => {
  it('reads the requests of appendix C.4, which depend on each other', () => {
    const decoder = plain();
    const first: Pair[] = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'www.example.com'],
    ];
    expect(decode(decoder, hex('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'))).toEqual(first);
    expect(decode(decoder, hex('8286 84be 5886 a8eb 1064 9cbf'))).toEqual([
      ...first,
      ['cache-control', 'no-cache'],
    ]);
    expect(
      decode(decoder, hex('8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf')),
    ).toEqual([
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/index.html'],
      [':authority', 'www.example.com'],
      ['custom-key', 'custom-value'],
    ]);
    expect(decoder.tableSize).toBe(164);
  });

  it('reads the responses of appendix C.6, with eviction', () => {
    const decoder = new HpackDecoder(256);
    decode(
      decoder,
      hex(
        '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      ),
    );
    expect(decoder.tableSize).toBe(222);
    expect(decode(decoder, hex('4883 640e ffc1 c0bf'))?.[0]).toEqual([':status', '307']);
    expect(decoder.tableSize).toBe(222);
    const third = decode(
      decoder,
      hex(
        '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
      ),
    );
    expect(third?.at(-1)).toEqual([
      'set-cookie',
      'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
    ]);
    expect(decoder.tableSize).toBe(215);
  });

  it.each([
    ['index 0', '80'],
    ['an index beyond both tables', 'be'],
    ['a name beyond both tables', '7f00 0161'],
    ['an integer without its end', 'ff'],
    ['an integer of too many bytes', 'ff80 8080 8080 8001'],
    ['an integer beyond all lengths', 'ffff ffff ff0f'],
    ['a string longer than its block', '0003 6162'],
    ['a literal without a value', '0001 61'],
    ['a Huffman string with EOS', '0001 6184 ffff ffff'],
    ['a table larger than the setting', '3fe2 1f'],
    ['a change of size behind a field', '82 20'],
  ])('refuses %s', (_, block) => {
    const decoder = plain();
    expect(decode(decoder, hex(block))).toBeNull();
    // Nothing after it can be decoded either.
    expect(decode(decoder, hex('82'))).toBeNull();
  });

  it('follows changes of size at the beginning of a block', () => {
    const decoder = plain();
    decode(decoder, hex('4001 6101 62'));
    expect(decoder.tableSize).toBe(34);
    expect(decode(decoder, hex('20 3f e1 1f 82'))).toEqual([[':method', 'GET']]);
    expect(decoder.tableSize).toBe(0);
  });

  it('empties its table for an entry that is larger', () => {
    const decoder = new HpackDecoder(64);
    decode(decoder, hex('4001 6101 62'));
    const value = 'x'.repeat(60);
    const large = Buffer.concat([hex('4001 613c'), Buffer.from(value)]);
    expect(decode(decoder, large)).toEqual([['a', value]]);
    expect(decoder.tableSize).toBe(0);
  });

  it('takes any bytes without throwing, and never holds more than its table', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (blocks) => {
        const decoder = new HpackDecoder(512);
        for (const block of blocks) decode(decoder, Buffer.from(block));
        expect(decoder.tableSize).toBeLessThanOrEqual(512);
      }),
    );
  });

  it('says what a field is', () => {
    const kinds: number[] = [];
    const block = encode(new HpackEncoder(), [
      ['x', 'y'],
      ['te', 'trailers'],
      ['te', 'gzip'],
      ['cookie', 'a'],
      [':what', 'b'],
      ['x', 'a\nb'],
    ]);
    plain().decode(block, 0, block.length, {
      onField: (_base, _start, _nameEnd, _end, kind) => kinds.push(kind),
    });
    const { plain: ok, connectionSpecific: hop, cookie, badPseudo, malformed } = Kind;
    expect(kinds).toEqual([ok, ok, hop, cookie, badPseudo, malformed]);
  });
});

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
const value = fc.string({ maxLength: 80 }).map((text) => text.replace(/[^\x21-\x7e]/g, '.'));

describe('the encoder', () => {
  it('is understood by the decoder, whatever is sent again and however large the table', () => {
    const known: Pair[] = [
      ['content-type', 'application/grpc'],
      [':status', '200'],
      ['authorization', 'secret'],
      ['date', 'now'],
      ['accept', ''],
    ];
    const pair = fc.oneof(fc.constantFrom(...known), fc.tuple(name, value));
    const step = fc.record({
      tableBytes: fc.option(fc.integer({ min: 0, max: 5000 }), { freq: 4 }),
      pairs: fc.array(pair, { maxLength: 12 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const encoder = new HpackEncoder();
        const decoder = plain();
        for (const { tableBytes, pairs } of steps) {
          if (tableBytes !== null) encoder.setTableSize(tableBytes);
          expect(decode(decoder, encode(encoder, pairs))).toEqual(pairs);
        }
      }),
    );
  });

  it('says in two bytes what it has said twice', () => {
    const encoder = new HpackEncoder();
    const pairs: Pair[] = [
      ['content-type', 'text/html; charset=utf-8'],
      ['server', 'something'],
    ];
    encode(encoder, pairs);
    encode(encoder, pairs);
    expect(encode(encoder, pairs).length).toBe(2);
  });

  it('leaves out what belongs to a connection of HTTP/1.1', () => {
    const block = encode(new HpackEncoder(), [
      ['Connection', 'close'],
      ['Keep-Alive', 'timeout=5'],
      ['Transfer-Encoding', 'chunked'],
      ['Proxy-Connection', 'close'],
      ['Upgrade', 'h2c'],
      ['x', 'y'],
    ]);
    expect(decode(plain(), block)).toEqual([['x', 'y']]);
  });

  it('makes names small', () => {
    const block = encode(new HpackEncoder(), [['Content-Type', 'X']]);
    expect(decode(plain(), block)).toEqual([['content-type', 'X']]);
  });

  it('never indexes credentials and cookies', () => {
    const encoder = new HpackEncoder();
    for (const secret of ['authorization', 'cookie', 'set-cookie', 'proxy-authorization']) {
      for (let i = 0; i < 3; i += 1) {
        const block = encode(encoder, [[secret, 'value']]);
        // Section 6.2.3: 0001, and the index of the name.
        expect(block[0]! & 0xf0).toBe(0x10);
        expect(block.includes('value')).toBe(true);
      }
    }
  });

  it('tells of a smaller table before it uses it', () => {
    const encoder = new HpackEncoder();
    const decoder = plain();
    const pairs: Pair[] = [['a', 'b']];
    for (let i = 0; i < 3; i += 1) decode(decoder, encode(encoder, pairs));
    encoder.setTableSize(0);
    encoder.setTableSize(200);
    const block = encode(encoder, pairs);
    expect([...block.subarray(0, 3)]).toEqual([0x20, 0x3f, 0x80 | ((200 - 31) & 127)]);
    expect(decode(decoder, block)).toEqual(pairs);
    expect(decoder.tableSize).toBe(34);
  });
});
