// What `npm run docs -- --check` finds in the documentation.
import { describe, expect, it } from 'vitest';
import { unknownIn } from '../scripts/docs-names.ts';

const known = {
  paths: new Set(['docs', 'docs/tls.md', 'src', 'src/base', 'src/base/clock.ts', 'README.md']),
  scripts: new Set(['check']),
};

describe('a page of the documentation', () => {
  it.each([
    ['a path from the root', '`src/base/clock.ts` and `src/base/`'],
    ['the end of a path', '`base/clock.ts`, `clock.ts`'],
    ['a pattern', '`base/cl*.ts`'],
    ['a name that the reader fills in', '`src/base/NAME.ts`'],
    ['a script', '`npm run check -- --fast`'],
    ['another page', '[tls](tls.md), [its part](tls.md#acme), [home](../README.md), [here](#part)'],
    ['another site', '[nginx](https://nginx.org/en/docs/)'],
    ['what is no path', '`services.NAME.listen`, `10.0.0.0/8`, `/api/v1/services`'],
  ])('may name %s', (_, text) => {
    expect(unknownIn('docs/page.md', text, known)).toEqual([]);
  });

  it.each([
    ['`src/base/clocks.ts`', 'there is no file or folder src/base/clocks.ts'],
    ['`lock.ts`', 'there is no file or folder lock.ts'],
    ['`src/basis/`', 'there is no file or folder src/basis/'],
    ['`npm run chek`', 'there is no script chek'],
    ['[tls](docs/tls.md)', 'the link docs/tls.md leads nowhere'],
  ])('may not name %s', (text, problem) => {
    expect(unknownIn('docs/page.md', `first line\n${text}`, known)).toEqual([
      `docs/page.md:2: ${problem}`,
    ]);
  });
});
