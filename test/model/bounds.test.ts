// The table of bounds, and that the documentation and the parts that have the same number agree.
import { readFileSync } from 'node:fs';
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
