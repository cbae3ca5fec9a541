import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ListWalker, lengthOf, listHas } from '../../src/http1/field-values.ts';
import { bytesOf } from './reader.ts';

const elementsOf = (text: string): string[] => {
  const bytes = bytesOf(`,${text},`);
  const list = new ListWalker();
  list.begin(bytes, 1, 1 + text.length);
  const elements: string[] = [];
  while (list.step()) elements.push(bytes.toString('latin1', list.start, list.end));
  return elements;
};

describe('lengthOf', () => {
  const read = (text: string) => lengthOf(bytesOf(`9${text}9`), 1, 1 + text.length);

  it('reads every length that a double holds, and none beyond', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 54n }), (length) => {
        expect(read(String(length))).toBe(length < 2n ** 53n ? Number(length) : -1);
      }),
    );
    expect(read('9007199254740991')).toBe(Number.MAX_SAFE_INTEGER);
    expect(read('9007199254740992')).toBe(-1);
  });

  it('reads digits alone', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'019+-., \tex') }), (text) => {
        expect(read(text) >= 0).toBe(/^\d{1,16}$/.test(text) && Number(text) < 2 ** 53);
      }),
    );
  });
});

describe('ListWalker', () => {
  it.each([
    ['', ['']],
    ['a', ['a']],
    [' a\t,\t b c ', ['a', 'b c']],
    [',,a,', ['', '', 'a', '']],
  ])('takes %j apart', (text, elements) => {
    expect(elementsOf(text)).toEqual(elements);
  });

  it('gives what a split gives', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab, \t') }), (text) => {
        const trimmed = text.split(',').map((part) => part.replace(/^[ \t]+|[ \t]+$/g, ''));
        expect(elementsOf(text)).toEqual(trimmed);
      }),
    );
  });
});

describe('listHas', () => {
  it('looks for whole elements, ASCII case aside', () => {
    const has = (text: string) => listHas(bytesOf(text), 0, text.length, 'trailers');
    expect(['trailers', 'gzip, TRAILERS', ' trailers ,x'].map(has)).toEqual([true, true, true]);
    expect(['', 'trailer', 'trailersx', 'x trailers', 'trailers;q=1'].some(has)).toBe(false);
  });
});
