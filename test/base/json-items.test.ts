// Read element by element, JSON is what JSON.parse makes of it whole, however it was cut on its way.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ItemBounds, JsonItems } from '../../src/base/json-items.ts';

const WIDE: ItemBounds = { items: 1000, itemBytes: 1_000_000 };

function read(bytes: Buffer, cuts: readonly number[] = [], bounds = WIDE): unknown {
  const items = new JsonItems(bounds);
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
  let at = 0;
  for (const end of ends.sort((a, b) => a - b)) {
    items.push(bytes.subarray(at, end));
    at = end;
  }
  return items.end();
}

/** What it comes to, or that it is no JSON. */
function verdict(make: () => unknown): unknown {
  try {
    return { value: make() };
  } catch {
    return 'not JSON';
  }
}

const cuts = fc.array(fc.nat(), { maxLength: 8 });

describe('JSON by elements', () => {
  it('is what JSON.parse makes of it, however it is cut', () => {
    const text = fc.oneof(
      fc.json(),
      fc.json({ maxDepth: 6 }),
      fc.array(fc.jsonValue()).map(toJson),
    );
    fc.assert(
      fc.property(text, cuts, fc.constantFrom('', ' ', '\n\t\r '), (json, at, space) => {
        const bytes = Buffer.from(`${space}${json}${space}`);
        expect(read(bytes, at)).toEqual(JSON.parse(bytes.toString()));
      }),
      { numRuns: 2000 },
    );
  });

  it('is refused where JSON.parse refuses it', () => {
    const morsel = fc.constantFrom(
      ...[
        '[',
        ']',
        '{',
        '}',
        ',',
        ':',
        '"',
        '\\',
        '"a"',
        '1',
        ' ',
        'null',
        '{"a":',
        '\\"',
        '\u0000',
      ],
    );
    const text = fc.array(morsel, { maxLength: 12 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, cuts, (json, at) => {
        const bytes = Buffer.from(json);
        expect(verdict(() => read(bytes, at))).toEqual(verdict(() => JSON.parse(json)));
      }),
      { numRuns: 20_000 },
    );
  });

  it.each([
    '["a\\"b", "c\\\\", "\\\\\\""]',
    '{"__proto__": {"x": 1}, "a": 2, "a": 3}',
    '[[[[]]], {"b": [1, {"c": "]}"}]}]',
    '"127.0.0.1:8300"',
    'null',
    '["\u00fc\u20ac\u{1f600}"]',
  ])('reads %s byte by byte', (json) => {
    const bytes = Buffer.from(json);
    const every = Array.from({ length: bytes.length }, (_, i) => i);
    const value = read(bytes, every);
    expect(JSON.stringify(value)).toBe(JSON.stringify(JSON.parse(json)));
    expect(Object.getPrototypeOf(value ?? {})).not.toHaveProperty('x');
  });

  it('stops at a bound', () => {
    const bounds = { items: 3, itemBytes: 10 };
    expect(read(Buffer.from('[1,2,3]'), [], bounds)).toEqual([1, 2, 3]);
    expect(() => read(Buffer.from('[1,2,3,4]'), [], bounds)).toThrow('too many');
    expect(() => read(Buffer.from('{"a":1,"b":2,"c":3,"d":4}'), [], bounds)).toThrow('too many');
    expect(() => read(Buffer.from('["0123456789"]'), [5], bounds)).toThrow('too long');
    expect(() => read(Buffer.from('"0123456789"'), [5], bounds)).toThrow('too long');
    // Before the end has come.
    const items = new JsonItems(bounds);
    expect(() => items.push(Buffer.from(`[${' '.repeat(20)}`))).toThrow('too long');
  });

  it('refuses what takes long: nested deeply, or of too many values', () => {
    const nested = (depth: number) => Buffer.from(`[${'['.repeat(depth)}${']'.repeat(depth)}]`);
    expect(read(nested(64), [7, 50])).toHaveLength(1);
    for (const depth of [65, 100_000]) {
      expect(() => read(nested(depth), [7, 1000])).toThrow('too complex');
    }
    const flat = (values: number) => Buffer.from(`[[${'1,'.repeat(values)}1],2]`);
    const bounds = { items: 10, itemBytes: 10_000_000 };
    expect(read(flat(200_000), [9000], bounds)).toHaveLength(2);
    expect(() => read(flat(260_000), [9000], bounds)).toThrow('too complex');
    // Each element has its own.
    const many = Buffer.from(`[${Array.from({ length: 4 }, () => `[${'1,'.repeat(99_999)}1]`)}]`);
    expect(read(many, [], bounds)).toHaveLength(4);
  });
});

function toJson(value: unknown): string {
  return JSON.stringify(value);
}
