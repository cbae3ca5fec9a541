// The table of bounds, and that the documentation and the parts that have the same number agree.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SERVICE_SLOTS } from '../../src/ledger/ledger.ts';
import { BOUNDS, type Bound, formatBound } from '../../src/model/bounds.ts';

const limits = readFileSync(join(import.meta.dirname, '../../docs/limits.md'), 'utf8');

describe('every bound', () => {
  it.each(Object.entries(BOUNDS as Readonly<Record<string, Bound>>))(
    '%s is in docs/limits.md',
    (_, bound) => {
      const { input, what, beyond } = bound;
      expect(limits).toContain(`| ${input} | ${what} | ${formatBound(bound)} | ${beyond} |`);
    },
  );

  it('is there for as many services as the ledger has rows', () => {
    expect(BOUNDS.configServices.max).toBe(SERVICE_SLOTS);
  });

  it('is written as people read it', () => {
    expect(formatBound(BOUNDS.configFile)).toBe('4MiB');
    expect(formatBound(BOUNDS.consulInstances)).toBe('10,000');
    expect(formatBound(BOUNDS.configTime)).toBe('30s');
  });
});

/**
 * Bounds that no test exceeds, and why. A new bound has a test that exceeds it on the real path, and sees the error and
 * that what was there stays; it names the bound in code (`BOUNDS.name`) or in a comment (`Bounds: name, other`).
 */
const UNTESTED: Readonly<Record<string, string>> = {
  dnsAnswer: 'the two bytes of its length say no more',
  etcdError: 'read by the same function as consulError',
};

it('every bound has a test that names it, or a reason why not', () => {
  const tests = join(import.meta.dirname, '..');
  const named = new Set<string>();
  for (const file of globSync('**/*.test.ts', { cwd: tests })) {
    if (file === join('model', 'bounds.test.ts')) continue;
    const text = readFileSync(join(tests, file), 'utf8');
    for (const [, name = ''] of text.matchAll(/\bBOUNDS\.(\w+)/g)) named.add(name);
    for (const [, names = ''] of text.matchAll(/\/\/ Bounds: ([\w, ]+)/g)) {
      for (const name of names.split(', ')) named.add(name);
    }
  }
  const missing = Object.keys(BOUNDS).filter((name) => !named.has(name));
  expect(missing.sort()).toEqual(Object.keys(UNTESTED).sort());
  expect([...named].filter((name) => !(name in BOUNDS))).toEqual([]);
});
