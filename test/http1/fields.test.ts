import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FieldId,
  type FieldName,
  HOP_BY_HOP,
  LOOKALIKE,
  lookUp,
  NOMINATED,
  PROTECTED,
} from '../../src/http1/fields.ts';
import { token } from './arbitraries.ts';

const names = Object.keys(FieldId) as FieldName[];

const idOf = (name: string): number => {
  const bytes = Buffer.from(`::${name}::`);
  return lookUp(bytes, 2, 2 + name.length);
};

describe('lookUp', () => {
  it.each(names)('knows %s in any case of letters', (name) => {
    expect(idOf(name)).toBe(FieldId[name]);
    expect(idOf(name.toUpperCase())).toBe(FieldId[name]);
    if (name.includes('-')) expect(idOf(name.replace('-', '_'))).toBe(LOOKALIKE);
  });

  it('knows no other name', () => {
    fc.assert(
      fc.property(token, (name) => {
        const known = names.find((known) => known === name.toLowerCase());
        if (known === undefined) expect([0, LOOKALIKE]).toContain(idOf(name));
      }),
    );
    for (const name of names) {
      expect(idOf(`${name}x`)).toBe(0);
      expect(idOf(name.slice(0, -1)), name).not.toBe(FieldId[name]);
      expect(idOf(`${name.slice(0, 1)}!${name.slice(2)}`), name).toBe(0);
    }
  });
});

describe('what becomes of a field', () => {
  it('is one thing only', () => {
    for (const name of names) {
      expect(HOP_BY_HOP[FieldId[name]]! + PROTECTED[FieldId[name]]!).toBeLessThan(2);
    }
    expect([HOP_BY_HOP[NOMINATED], PROTECTED[NOMINATED]]).toEqual([1, 0]);
    expect([HOP_BY_HOP[0], PROTECTED[0]]).toEqual([0, 0]);
  });
});
