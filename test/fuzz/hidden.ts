// Fuzz target of what hides secrets: a private key within any text is hidden in each sink, and JSON stays
// JSON; a secret that is given back within any text is hidden.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { hideOwn } from '../../src/base/own-secrets.ts';
import { hideKeyLines, keyLinesOf } from '../../src/base/private-keys.ts';
import { safeJson, safeLine, safeLines } from '../../src/base/safe-text.ts';
import { pieceFinder } from '../support/private-keys.ts';
import type { FuzzTarget } from './target.ts';

const LINES = ['Kq7fPz2Rk9bTy4Wd8LxN3vJc6HsM1aGe5UoQ0iZpXrYtBwEnDuFhCgSjVmAl+/Kq', 'x8Zw4Q=='];
const FIRST = '-----BEGIN EC PRIVATE KEY-----';
const LAST = '-----END EC PRIVATE KEY-----';
const PEM = [FIRST, ...LINES, LAST].join('\n');
const SECRET = 's3cr3t "of" ours';
const find = pieceFinder([PEM]);

export const hiddenTarget: FuzzTarget = {
  name: 'hidden-text',
  // None of the key's own lines: without the marks around them they are no key.
  seeds: ['', 'a {"b": "c"} d', `${FIRST}\n${LAST}`, `key: |\n  ${FIRST}\n  `],
  morsels: [
    ...[FIRST, LAST, '-----END PRIVATE KEY', 'BEGIN ', 'PRIVATE KEY', '-----', '\\', '\\n', '"'],
    ...['\\"', '\n', '=', 's3cr3t', SECRET, '://', '@', '?token='],
  ],
  check: (input) => {
    const half = input.length >> 1;
    const text = `${input.slice(0, half)}${PEM}${input.slice(half)}`;
    for (const hide of [safeLine, safeLines]) equal(find(hide(text, 1e6)), '');
    const json = safeJson(JSON.stringify({ [text]: text, other: [1, 'kept', input.length] }));
    equal(find(json), '');
    deepEqual((JSON.parse(json) as { other: unknown }).other, [1, 'kept', input.length]);
    const known = new Set(keyLinesOf(text));
    for (const line of LINES) ok(!hideKeyLines(`'${line}'`, known).includes(line));
    const given = hideOwn(input.slice(0, half) + SECRET + input.slice(half), [SECRET]);
    ok(!given.includes(SECRET), given);
  },
};
