// Units of configuration, as zod types: numbers, switches, durations, sizes, lists, policies. Each takes the text
// (or number) of a file, tag or variable, yields what the model holds, and otherwise reports what was expected.
// Addresses: address-values.ts; parts of requests and responses: http-values.ts.

import { z } from 'zod';
import { parseBytes } from '../base/bytes.ts';
import { closest } from '../base/closest.ts';
import { formatDuration, parseDuration } from '../base/duration.ts';
import type { HashKey, Hedge } from '../model/service.ts';
import { policyMeant } from './foreign-keys.ts';
import {
  anyForm,
  DURATION,
  type Form,
  listForm,
  numberForm,
  SHARE,
  SIZE,
  SOME_DURATION,
  textForm,
  wholePattern,
} from './forms.ts';

interface Parsing<T> {
  /** Null for what it does not know. */
  readonly parse: (text: string) => T | null;
  readonly expected: string;
  /** The same for editors. */
  readonly form: Form;
  /** What a text that is none may have been meant to be. */
  readonly meant?: (text: string) => string | null;
  /** What is wrong with a text that is none, where more can be said. */
  readonly problem?: (text: string) => string | null;
}

/** Makes a type of text (or number) by a parser. */
export function parsed<T>(parsing: Parsing<T>) {
  const { parse, expected, form, meant = () => null, problem = () => null } = parsing;
  const error = `expected ${expected}`;
  return z
    .union([z.string(), z.number()], { error })
    .transform((value, context): T => {
      const result = parse(String(value));
      if (result !== null) return result;
      const hint = meant(String(value));
      const why = problem(String(value));
      const told = why === null ? error : `${why}; ${error}`;
      const message = hint === null ? told : `${told}; did you mean ${hint}?`;
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    })
    .meta({ form });
}

/** The longest that a timer of Node can wait. */
const DURATION_MS_MAX = 2 ** 31 - 1;
const A_DURATION = 'a duration such as 500ms, 10s or 1m30s';

/** A duration of `minMs` at least. */
export function duration(minMs = 0, maxMs = DURATION_MS_MAX) {
  const bounds = [
    minMs > 0 ? `${formatDuration(minMs)} at least` : '',
    maxMs < DURATION_MS_MAX ? `${formatDuration(maxMs)} at most` : '',
  ];
  return parsed({
    parse: (text) => {
      const ms = parseDuration(text);
      return ms !== null && ms >= minMs && ms <= maxMs ? ms : null;
    },
    expected: [A_DURATION, ...bounds].filter((part) => part !== '').join(', '),
    form: minMs > 0 ? textForm(SOME_DURATION) : anyForm({ enum: [0, '0'] }, textForm(DURATION)),
  });
}

/** What becomes of sessions: `keep` (null), `close` (0), or a duration in ms. */
export const fate = parsed<{ readonly ms: number | null }>({
  parse: (text) => {
    if (text === 'keep') return { ms: null };
    const ms = text === 'close' ? 0 : parseDuration(text);
    return ms !== null && ms <= DURATION_MS_MAX ? { ms } : null;
  },
  expected: `keep, close or ${A_DURATION}`,
  form: anyForm({ enum: ['keep', 'close', 0, '0'] }, textForm(DURATION)),
}).transform(({ ms }) => ms);

/** A whole number in bounds, also as text: tags and variables are text. */
export function count(min: number, max: number) {
  const error = `expected a whole number from ${min} to ${max}`;
  const digits = z.string().transform((text, context) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    context.addIssue({ code: 'custom', message: error });
    return z.NEVER;
  });
  const form = anyForm(numberForm(min, max), textForm(wholePattern(min, max)));
  const number = z.number().int({ error }).min(min, { error }).max(max, { error });
  return z.union([number, digits], { error }).meta({ form });
}

/** A switch, also as text. */
export const flag = z.union(
  [z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')],
  { error: 'expected true or false' },
);

export const SWITCH = [true, false, 'true', 'false'];

/** A switch whose default depends on other settings. */
export const autoFlag = z
  .union([z.literal('auto'), flag], { error: 'expected auto, true or false' })
  .meta({ form: { enum: [...SWITCH, 'auto'] } });

/** One of these numbers. */
export function oneOf<T extends number>(values: readonly T[]) {
  return parsed<T>({
    parse: (text) => values.find((value) => String(value) === text) ?? null,
    expected: orList(values.map(String)),
    form: { enum: [...values, ...values.map(String)] },
  });
}

/**
 * A list whose elements may be written as one text with commas, or a single one. `pattern` is that of
 * an element, for editors.
 */
export function listOf<T extends z.ZodType>(element: T, pattern: string) {
  // Any text may be asked of the elements: they say themselves which they take.
  const elements = z.array(element) as unknown as z.ZodType<z.output<T>[], string[]>;
  const split = z.string().transform((text) => text.split(',').map((part) => part.trim()));
  const text = split.pipe(elements).meta({ form: listForm(pattern) });
  return z.union([z.array(element), text]);
}

/** `a, b or c` */
export function orList(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`;
}

/** `off`, `p95` (0 ms), or a duration. */
export const hedge = parsed<{ readonly hedge: Hedge | null }>({
  parse: (text) => {
    if (text === 'off') return { hedge: null };
    if (text === 'p95') return { hedge: { afterMs: 0 } };
    const afterMs = parseDuration(text);
    return afterMs !== null && afterMs > 0 && afterMs <= DURATION_MS_MAX
      ? { hedge: { afterMs } }
      : null;
  },
  expected: `off, p95 or ${A_DURATION}`,
  form: anyForm({ enum: ['off', 'p95'] }, textForm(SOME_DURATION)),
}).transform((value) => value.hedge);

export const size = parsed({
  parse: parseBytes,
  expected: 'a size such as 512, 32KiB or 2MB',
  form: anyForm(numberForm(0, Number.MAX_SAFE_INTEGER), textForm(SIZE)),
});

/** A share of one: 20% or 0.2. */
export const share = parsed({
  parse: (text) => {
    const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text);
    if (match === null) return null;
    const value = Number(match[1]) / (match[2] === '%' ? 100 : 1);
    return value <= 1 ? value : null;
  },
  expected: 'a share such as 20% or 0.2',
  form: anyForm(numberForm(0, 1, 'number'), textForm(SHARE)),
});

export interface ParsedBalance {
  readonly policy: 'least-conn' | 'round-robin' | 'random' | 'p2c' | 'ewma' | 'hash';
  readonly hash: HashKey | null;
}

const PLAIN_POLICIES = ['least-conn', 'round-robin', 'random', 'p2c', 'ewma'] as const;

const BALANCE =
  'least-conn, round-robin, random, p2c, ewma, hash(source), hash(header:NAME) or hash(cookie:NAME)';

/** Also what other programs call a policy. */
const balanceMeant = (text: string) => policyMeant(text) ?? closest(text, PLAIN_POLICIES);

export const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";

export const balance = parsed<ParsedBalance>({
  parse: parseBalance,
  expected: BALANCE,
  form: anyForm(
    { enum: [...PLAIN_POLICIES, 'hash(source)'] },
    textForm(`hash\\((?:header|cookie):${TOKEN}\\)`),
  ),
  meant: balanceMeant,
});

function parseBalance(text: string): ParsedBalance | null {
  const plain = PLAIN_POLICIES.find((policy) => policy === text);
  if (plain !== undefined) return { policy: plain, hash: null };
  const match = /^hash\((?:(source)|(header|cookie):([!#$%&'*+.^_`|~0-9A-Za-z-]+))\)$/.exec(text);
  if (match === null) return null;
  if (match[1] !== undefined) return { policy: 'hash', hash: { on: 'source', name: '' } };
  const on = match[2] === 'header' ? 'header' : 'cookie';
  return {
    policy: 'hash',
    hash: { on, name: on === 'header' ? match[3]!.toLowerCase() : match[3]! },
  };
}

/** The path of a file, and not what is in one: a key would be shown where its file can't be read. */
export const filePath = z.string().refine((text) => !/^\s*-----BEGIN /.test(text), {
  error: 'expected the path of a file, not its content',
});

/** A secret that fits into an Authorization field (RFC 6750, section 2.1, and other printed ASCII). */
export const token = z.string().regex(/^[\x21-\x7e]*$/, {
  error: 'expected printed ASCII characters without white space: others do not fit into a field',
});
