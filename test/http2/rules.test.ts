// The table of rules in docs/http2.md: every row names tests, and those exist.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const HEADING = '## Every rule and its test';

/** Names of test files, without their ending, with their text. */
const texts = new Map<string, string>();
for (const folder of ['test/http2', 'test/proxy/http2']) {
  for (const name of readdirSync(join(root, folder))) {
    const text = readFileSync(join(root, folder, name), 'utf8').toLowerCase();
    texts.set(basename(name, '.test.ts'), text);
  }
}

const page = readFileSync(join(root, 'docs', 'http2.md'), 'utf8');
const rows = page
  .slice(page.indexOf(HEADING))
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (?:rule|---) /.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, rule = '', section = '', , tests = '']) => ({ rule, section, tests }));

describe('every rule of HTTP/2', () => {
  it('has a row', () => {
    expect(rows.length).toBeGreaterThan(40);
  });

  it.each(rows)('has tests that exist: $section $rule', ({ tests }) => {
    let file = '';
    for (const named of tests.split(';')) {
      const [, other = file, part = ''] = /^\s*(?:(\w+): )?(.*)$/.exec(named) ?? [];
      file = other;
      for (const words of part.split(/\.\.\.|,/).map((one) => one.trim().toLowerCase())) {
        expect(texts.get(file) ?? `there is no ${file}`, `${file}: ${words}`).toContain(words);
      }
    }
  });
});
