// What a health check sends and expects, as people write it: text with escapes, `hex:` and pairs of
// digits, or `/pattern/`. Bytes are held as text with one character each.

import { z } from 'zod';
import { CodedError } from '../base/coded-error.ts';
import { LinearPattern } from '../base/linear-pattern.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { CheckExpectation } from '../model/service.ts';
import { anyForm, textForm } from './forms.ts';
import { parsed } from './values.ts';

const LENGTH_MAX = BOUNDS.checkExpect.max;
const ESCAPES: Readonly<Record<string, string>> = {
  r: '\r',
  n: '\n',
  t: '\t',
  '0': '\0',
  '\\': '\\',
};
const HEX = 'hex:\\s*(?:[0-9A-Fa-f]{2}\\s*)*';
const TEXT = '(?!hex:)(?:[^\\\\]|\\\\(?:[rnt0\\\\]|x[0-9A-Fa-f]{2}))*';
const EXPECTED =
  'a text in which \\r, \\n, \\t, \\0, \\xHH and \\\\ are escapes, or hex: and pairs of digits';

/** The bytes of a text, one character each; null where it is malformed or too long. */
function parseBytesText(text: string): string | null {
  const isHex = text.startsWith('hex:');
  if (!new RegExp(`^(?:${isHex ? HEX : TEXT})$`).test(text)) return null;
  const bytes = isHex
    ? Buffer.from(text.slice(4).replaceAll(/\s/g, ''), 'hex').toString('latin1')
    : unescaped(text);
  return bytes.length <= LENGTH_MAX ? bytes : null;
}

function unescaped(text: string): string {
  // A character beyond ASCII is the bytes of its UTF-8.
  const plain = Buffer.from(text, 'utf8').toString('latin1');
  return plain.replaceAll(/\\(?:x(..)|(.))/g, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? ESCAPES[letter]! : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

export const checkSend = parsed<string>({
  parse: parseBytesText,
  expected: `${EXPECTED}, of ${LENGTH_MAX} bytes at most`,
  form: anyForm({ type: 'number' }, textForm(`${HEX}|${TEXT}`)),
});

const PATTERN = '/[\\s\\S]+/i?';

function parseExpectation(text: string): { readonly expect: CheckExpectation } | null {
  const match = /^\/([\s\S]+)\/(i?)$/.exec(text);
  if (match === null) {
    const bytes = parseBytesText(text);
    return bytes === null || bytes === '' ? null : { expect: { kind: 'bytes', bytes } };
  }
  const [, source = '', flag] = match;
  try {
    new LinearPattern(source, flag === 'i');
  } catch (error) {
    if (error instanceof CodedError) return null;
    throw error;
  }
  return { expect: { kind: 'pattern', source, ignoreCase: flag === 'i' } };
}

/** What is wrong with a pattern; null where it is none, or a good one. */
function patternProblem(text: string): string | null {
  const match = /^\/([\s\S]+)\/(i?)$/.exec(text);
  if (match === null) return null;
  try {
    new LinearPattern(match[1]!);
    return null;
  } catch (error) {
    return error instanceof CodedError ? error.message : null;
  }
}

export const checkExpect = parsed<{ readonly expect: CheckExpectation }>({
  parse: parseExpectation,
  expected: `${EXPECTED}, or /pattern/ or /pattern/i without back references and look-around`,
  form: anyForm(
    { type: 'number' },
    textForm(`${PATTERN}|(?=[\\s\\S])(?:hex:\\s*(?:[0-9A-Fa-f]{2}\\s*)+|${TEXT})`),
  ),
  problem: patternProblem,
}).transform(({ expect }) => expect);

/** A user, database or password: protocols end them with NUL. */
export const checkText = z
  .string()
  .regex(/^[^\0]*$/, 'expected a text without NUL')
  .meta({ form: textForm('[^\\0]*') });

const LABEL = '[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';
const DNS_NAME = `(?:${LABEL}(?:\\.${LABEL})*\\.?)?`;

/** A name that DNS is asked for. */
export const dnsName = z
  .string()
  .max(253)
  .regex(new RegExp(`^${DNS_NAME}$`), 'expected a name of DNS such as example.com')
  .meta({ form: textForm(DNS_NAME) });
