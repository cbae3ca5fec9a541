// Checks plain data against the schema, and turns what zod says into human-readable problems.
import type { z } from 'zod';
import { closest } from '../base/closest.ts';
import { BOUNDS } from '../model/bounds.ts';
import { contradictions } from './consistency.ts';
import { counterpartOf } from './foreign-keys.ts';
import type { Problem, Where } from './problem.ts';
import { type ConfigInput, configSchema } from './schema/config.ts';
import { type Hiding, hideObvious, showValue } from './secrets.ts';
import { keysBelow, knownKeys } from './shape.ts';
import { isTree, type Tree } from './tree.ts';
import { orList } from './values.ts';

/** The configuration that `data` is, or every problem with it; `hide` is for values in these. */
export function validate(
  data: Tree,
  where: Where,
  hide: Hiding,
): { readonly input: ConfigInput | null; readonly problems: readonly Problem[] } {
  const { output, problems } = parse({ data, where, schema: configSchema, hide });
  const found = contradictions(data, (path) => where(path, 'value'));
  const lost = lostKeys(data, []).map((path) => {
    const message = `"${LOST}": expected another name`;
    return { where: where(path, 'key'), key: dotted(path), message };
  });
  // A value that is wrong by itself is told as that alone.
  const wrong = new Set(problems.map(({ key }) => key));
  const all = [...problems, ...[...found, ...lost].filter(({ key }) => !wrong.has(key))];
  return { input: all.length > 0 ? null : output, problems: all };
}

/** Zod's maps leave out what has this key. */
const LOST = '__proto__';

/** Where the schema would leave something out; the data is no deeper than `configDepth`. */
function lostKeys(data: unknown, path: readonly PropertyKey[]): (readonly PropertyKey[])[] {
  if (typeof data !== 'object' || data === null) return [];
  if (Object.hasOwn(data, LOST)) return [[...path, LOST]];
  return Object.entries(data).flatMap(([key, value]) =>
    lostKeys(value, [...path, Array.isArray(data) ? Number(key) : key]),
  );
}

/** What is parsed, by which schema, where its parts stand, and what of it is not shown. */
export interface Parsed<T extends z.ZodType = z.ZodType> {
  readonly data: unknown;
  readonly schema: T;
  readonly where: Where;
  /** `hideObvious` unless given. */
  readonly hide?: Hiding;
}

/**
 * What the schema makes of the data, or everything that is wrong with it, up to one more problem than
 * are reported.
 */
export function parse<T extends z.ZodType>(
  parsed: Parsed<T>,
): { readonly output: z.output<T> | null; readonly problems: readonly Problem[] } {
  const result = parsed.schema.safeParse(parsed.data, { error: wording });
  if (result.success) return { output: result.data, problems: [] };
  const { max } = BOUNDS.configProblems;
  const problems: Problem[] = [];
  for (const issue of result.error.issues) {
    if (problems.length > max) break;
    problems.push(...problemsOf(issue, parsed));
  }
  return { output: null, problems: problems.slice(0, max + 1).map(shortened(parsed.hide)) };
}

/** As many problems as are reported, each no longer than that is of use, and that there are more. */
export function firstOf(problems: readonly Problem[], hide: Hiding): readonly Problem[] {
  const { max } = BOUNDS.configProblems;
  const first = problems.slice(0, max).map(shortened(hide));
  if (problems.length <= max) return first;
  const message = `more than ${max} problems; the others are not listed`;
  return [...first, { where: 'configuration', key: '', message }];
}

/** Values and keys may be long, and stand in a problem more than once. What is hidden is hidden before it is cut. */
function shortened(hide: Hiding = hideObvious): (problem: Problem) => Problem {
  const cut = (text: string): string => {
    const { max } = BOUNDS.configProblem;
    const hidden = hide(text);
    return hidden.length > max ? `${hidden.slice(0, max)}...` : hidden;
  };
  return ({ where, key, message }) => ({ where: cut(where), key: cut(key), message: cut(message) });
}

function problemsOf(issue: z.core.$ZodIssue, parsed: Parsed): Problem[] {
  const { path } = issue;
  const { data, where, hide = hideObvious } = parsed;
  if (issue.code === 'unrecognized_keys') {
    const at = writtenPath(data, path);
    return issue.keys.slice(0, BOUNDS.configProblems.max + 1).map((key) => {
      const full = [...at, key];
      const message = unknownKey(key, path, parsed.schema);
      return { where: where(full, 'key'), key: dotted(full), message };
    });
  }
  // A union says what each of its members wants; the one that got furthest is the one that was
  // meant.
  if (issue.code === 'invalid_union' && issue.message === '') {
    const within = issue.errors.find((issues) =>
      issues.some(({ code, path: below }) => code === 'unrecognized_keys' || below.length > 0),
    );
    const branches = issue.errors.map((issues) =>
      issues.filter(({ code }) => code !== 'invalid_type'),
    );
    const meant =
      within ?? branches.find((issues) => issues.length > 0) ?? issue.errors.at(-1) ?? [];
    return meant.flatMap((one) =>
      problemsOf({ ...one, path: [...path, ...one.path] } as z.core.$ZodIssue, parsed),
    );
  }
  // A bad key of a map: the key is what is wrong, not its value.
  if (issue.code === 'invalid_key') {
    const message = `${showValue([], path.at(-1), hide)}: ${issue.issues[0]?.message ?? ''}`;
    return [{ where: where(path, 'key'), key: dotted(path), message }];
  }
  const place = writtenPath(data, path);
  const value = valueAt(data, place);
  const shown = value === undefined ? 'is missing' : showValue(place, value, hide);
  const message = `${shown}: ${issue.message}`;
  return [{ where: where(place, 'value'), key: dotted(place), message }];
}

/** What is said of a value by those parts of the schema that don't say it themselves. */
function wording(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${typeName(issue)}`;
    case 'invalid_value':
      return `expected ${orList(issue.values.map(String))}`;
    case 'invalid_format':
      return issue.format === 'starts_with'
        ? `expected a text that starts with ${String(issue.prefix)}`
        : 'expected another form';
    case 'too_small':
      return 'expected a text that is not empty';
    default:
      return '';
  }
}

function typeName({ expected, input }: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidType>): string {
  if (expected === 'array') return 'a list';
  if (expected === 'object' || expected === 'record') return 'a map';
  // YAML reads 5 and true as something else than text.
  const isScalar = typeof input === 'number' || typeof input === 'boolean';
  return isScalar ? 'a text: put it in quotes' : 'a text';
}

/** Says what the key may have been meant to be: written otherwise, another program's, or elsewhere. */
function unknownKey(key: string, path: readonly PropertyKey[], schema: unknown): string {
  const known = knownKeys(path, schema);
  const foreign = counterpartOf(key);
  const spelt = known.find((one) => plain(one) === plain(key));
  const meant = spelt ?? (foreign === null ? closest(key, known) : null);
  if (meant !== null) return `unknown key; did you mean ${meant}?`;
  if (foreign === '') return 'unknown key; this version has nothing of the kind';
  if (foreign !== null) return `unknown key; its counterpart is ${foreign}`;
  const [below] = keysBelow(path, key, schema);
  return below === undefined
    ? `unknown key; known are ${known.join(', ')}`
    : `unknown key; did you mean ${below}?`;
}

function plain(key: string): string {
  return key.toLowerCase().replace(/[_-]/g, '');
}

/**
 * Where a part stands as it was written: of a list or map that was written as one text the text, and
 * of a list of one that was written without the list the element.
 */
function writtenPath(data: unknown, path: readonly PropertyKey[]): PropertyKey[] {
  const written: PropertyKey[] = [];
  let value = data;
  for (const key of path) {
    if (key === 0 && isTree(value)) continue;
    if (typeof value !== 'object' || value === null) break;
    written.push(key);
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return written;
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map(String).join('.');
}

function valueAt(data: unknown, path: readonly PropertyKey[]): unknown {
  let value = data;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}
