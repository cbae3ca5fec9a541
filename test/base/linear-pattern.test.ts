// The linear matcher agrees with JavaScript's own, and stays linear where that one does not.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LinearPattern } from '../../src/base/linear-pattern.ts';

function isFound(source: string, text: string, { ignoreCase = false, cut = 0 } = {}): boolean {
  const search = new LinearPattern(source, ignoreCase).search();
  const bytes = Buffer.from(text, 'latin1');
  search.push(bytes.subarray(0, cut));
  search.push(bytes.subarray(cut));
  return search.end();
}

/** Patterns of everything that is known, over few letters so that they match now and then. */
const pattern = fc.letrec<{ node: string; atom: string; leaf: string }>((tie) => ({
  leaf: fc.constantFrom(
    'a',
    'b',
    'ab',
    '.',
    '[ab]',
    '[^a]',
    '\\d',
    '\\w',
    '\\S',
    '1',
    '\\.',
    '\\x61',
  ),
  atom: fc.oneof(
    { weight: 3, arbitrary: tie('leaf') },
    tie('node').map((node) => `(${node})`),
    tie('node').map((node) => `(?:${node})`),
  ),
  node: fc.oneof(
    { depthSize: 'small' },
    tie('atom'),
    fc.tuple(tie('node'), tie('node')).map(([one, other]) => one + other),
    fc.tuple(tie('node'), tie('node')).map(([one, other]) => `${one}|${other}`),
    fc
      .tuple(tie('atom'), fc.constantFrom('*', '+', '?', '{2}', '{0,2}', '{1,}', '*?'))
      .map(([atom, count]) => `(?:${atom})${count}`),
    tie('node').map((node) => `^${node}`),
    tie('node').map((node) => `${node}$`),
  ),
})).node;

const text = fc.string({ unit: fc.constantFrom('a', 'b', '1', '.', '\n', 'A'), maxLength: 12 });

describe('a linear pattern', () => {
  it('finds what a regular expression finds, however the bytes come', () => {
    fc.assert(
      fc.property(pattern, text, fc.nat(12), fc.boolean(), (source, given, cut, ignoreCase) => {
        const expected = new RegExp(source, ignoreCase ? 'i' : '').test(given);
        expect(isFound(source, given, { ignoreCase, cut })).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });

  it.each(['(a*)*b', '(a|a)*b', '(a|aa)+$', 'a*a*a*a*a*a*b', '(x+x+)+y', '((a{1,9}){1,9}){1,9}b'])(
    'takes no longer for %s',
    (source) => {
      const before = process.cpuUsage();
      expect(isFound(source, `${'a'.repeat(16_000)}c`)).toBe(false);
      const { user, system } = process.cpuUsage(before);
      expect((user + system) / 1e6).toBeLessThan(10);
    },
  );

  it.each([
    ['a)', "')' without '('"],
    ['(a', "'(' without ')'"],
    ['[a', "'[' without ']'"],
    ['[b-a]', 'ends before it begins'],
    ['a{3,2}', 'ends before it begins'],
    ['*a', 'nothing to repeat'],
    ['a**', 'nothing to repeat'],
    ['^*', 'nothing to repeat'],
    ['a\\', 'backslash'],
    ['\\1', '\\1 is not known'],
    ['\\b', '\\b is not known'],
    ['\\xg0', 'hexadecimal'],
    ['(?=a)', 'groups that begin with (?'],
    ['(?<!a)', 'groups that begin with (?'],
    ['\u00fc', 'beyond ASCII'],
    ['((a{99}){99}){99}', 'too many repetitions'],
    ['(((((){999}){999}){999}){999}){999}a{999}{9}', 'nothing to repeat'],
    ['a'.repeat(600), 'longer than 512'],
  ])('refuses %s', (source, why) => {
    expect(() => new LinearPattern(source)).toThrow(why);
  });
});
