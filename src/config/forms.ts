// What the units of configuration look like as JSON Schema, for editors: the same that the parsers of
// values.ts take, as far as a pattern can say it. How large a duration or size may be, whether a
// range is the right way round and whether an IPv6 address is one, only the parsers know.

/** A JSON Schema (draft 2020-12) of one value. */
export type Form = Readonly<Record<string, unknown>>;

/** A text that is wholly of this pattern. */
export function textForm(pattern: string): Form {
  return { type: 'string', pattern: `^(?:${pattern})$` };
}

/** What is of one of these forms. */
export function anyForm(...forms: readonly Form[]): Form {
  return { anyOf: forms };
}

/** A number from `min` to `max`, both included; `type` is one of JSON Schema. */
export function numberForm(min: number, max: number, type = 'integer'): Form {
  return { type, minimum: min, maximum: max };
}

/** One text with commas between elements of this pattern. */
export function listForm(element: string): Form {
  return textForm(`\\s*(?:${element})\\s*(?:,\\s*(?:${element})\\s*)*`);
}

/** Decimal digits of a whole number from `min` to `max`, without leading zeros. */
export function digitsPattern(min: number, max: number): string {
  const parts = min === 0 ? ['0'] : [];
  for (let low = Math.max(min, 1); low <= max; ) {
    let size = 1;
    while (low % (size * 10) === 0 && low + size * 10 - 1 <= max) size *= 10;
    const digit = Math.floor(low / size) % 10;
    const last = Math.min(9, digit + Math.floor((max - low + 1) / size) - 1);
    const prefix = Math.floor(low / size / 10);
    const zeros = String(size).length - 1;
    const rest = zeros === 0 ? '' : `\\d{${zeros}}`;
    parts.push(`${prefix === 0 ? '' : prefix}[${digit}-${last}]${rest}`);
    low += (last - digit + 1) * size;
  }
  return parts.join('|');
}

/** Digits of a whole number in bounds; zeros may lead. */
export function wholePattern(min: number, max: number): string {
  return `0*(?:${digitsPattern(min, max)})`;
}

export const DURATION = '(?:\\d+(?:\\.\\d+)?(?:ms|s|m|h|d))+';
/** One that is not 0. */
export const SOME_DURATION = `(?=.*[1-9])${DURATION}`;

export const SIZE = '\\d+(?:\\.0+)?B?|\\d+(?:\\.\\d+)?(?:kB|KiB|MB|MiB|GB|GiB)';

const FRACTION = '(?:\\.\\d+)?';
export const SHARE = `0*(?:\\d{1,2}${FRACTION}|100(?:\\.0+)?)%|` + `0*(?:0${FRACTION}|1(?:\\.0+)?)`;

const PORT = `(?=\\d{1,5}(?!\\d))${wholePattern(1, 65535)}`;
const BRACKETED = '\\[[0-9a-fA-F:.]+\\]';
export const LISTEN = `/[^\\u0000-\\u001f\\u007f-\\u009f]{0,106}|(?:(?:${BRACKETED}|[0-9A-Za-z.-]*):)?${PORT}`;
export const HOST_PORT = `(?:${BRACKETED}|[^\\s:[\\]]+):${PORT}`;
/** A member of ZooKeeper, with the path that may end a connect string; digits alone are a port without a host. */
export const ENSEMBLE_MEMBER = `(?:${BRACKETED}|(?!\\d+(?:[:/,\\s]|$))[^\\s:[\\]/,]+)(?::${PORT})?(?:/(?!\\.{1,2}(?:[/,\\s]|$))[^\\s,/\\u0000-\\u001f\\u007f-\\u009f]*)*`;

const STATUS_RANGE = '[1-5]\\d\\d(?:-[1-5]\\d\\d)?';
export const STATUS_RANGES = `\\s*${STATUS_RANGE}\\s*(?:,\\s*${STATUS_RANGE}\\s*)*`;

const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const IPV4 = `(?:${OCTET}\\.){3}${OCTET}`;
const bits = (max: number) => `(?:/(?=\\d{1,3}(?!\\d))${wholePattern(0, max)})?`;
export const NETWORK = `${IPV4}${bits(32)}|(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]+${bits(128)}`;

export const READER = `any|loopback|token|${NETWORK}`;

/** Whether a range is the right way round, only the parser knows. */
export const LISTEN_RULE =
  '(?![\\s\\S]*/\\.{0,2}/)/(?:[\\s\\S]*/)?|' +
  `(?:(?:\\*|${IPV4}${bits(32)}|${BRACKETED}${bits(128)})?:)?${PORT}(?:-${PORT})?`;

export const AGENT = `unix://.+|https?://[^\\s/?#]+/?|[^\\s/@?#]+:${wholePattern(0, 65535)}`;

/** Where a container engine answers. */
export const ENGINE = `unix://.+|/.+|(?:tcp|https?)://[^\\s/@?#]+/?|[^\\s/@?#]+:${wholePattern(0, 65535)}`;

/** A name that the stats port is served under. */
export const SERVED_NAME = '(?:\\*\\.)?[A-Za-z0-9_-]+(?:\\.[A-Za-z0-9_-]+)*';

const HOST = `[0-9A-Za-z._~-]+|${BRACKETED}`;
export const HOST_NAME = `(?:(?:${HOST})(?::\\d{1,5})?)?`;
export const HOST_PATTERN = `\\*?|(?:\\*\\.)?(?:${HOST})\\.?`;

/**
 * A text that goes out, as it stands in the file: `$$` is one dollar sign there, and two of those are
 * one that is no variable.
 */
export function outgoingForm(pattern: string, known: readonly string[] = []): Form {
  const isKnown = known.length === 0 ? '' : `(?!(?:${known.join('|')})(?!\\w))`;
  const dollars = `(?:^|[^$])\\$(?:\\$?${isKnown}[A-Za-z_]|\\$\\{)`;
  const others = '%[[{]|%[A-Z_]+\\(|\\{[a-z][\\w.]*\\}';
  return { type: 'string', pattern: `^(?![\\s\\S]*(?:${dollars}|${others}))(?:${pattern})$` };
}

/** Any letter of the word in either case. */
export function anyCase(word: string): string {
  return word.replace(/[a-z]/g, (letter) => `[${letter.toUpperCase()}${letter}]`);
}

export const SNI_PATTERN = `\\*|${SERVED_NAME}`;
export const ALPN_NAME = '[!-+\\--~]{1,255}';

/** Members in one text, or a list of such texts. */
export const ENSEMBLE: Form = anyForm(
  { type: 'array', items: listForm(ENSEMBLE_MEMBER) },
  listForm(ENSEMBLE_MEMBER),
);
