// Foreign text (what a registry, an endpoint, a client or a file says) on its way out: one function
// per sink makes it harmless there, and this file holds them all. What could act where it is shown
// (escape sequences, line ends, direction marks, characters of no width) is written out as \u{...};
// what would be too long is cut, and ends with an ellipsis. Private keys are hidden from all of them.
import { hidePrivateKeys } from './private-keys.ts';

/**
 * Control characters (escape sequences and line ends among them), format characters (direction
 * marks, zero width, tags), line and paragraph separators, halves of surrogate pairs, private use,
 * and what shows nothing: fillers, variation selectors, the blank pattern of Braille.
 */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/u;
const INVISIBLE_ALL = new RegExp(INVISIBLE.source, 'gu');
/** The same as far as JSON leaves it as it is. */
const RAW_IN_JSON = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/u;
const RAW_IN_JSON_ALL = new RegExp(RAW_IN_JSON.source, 'gu');
/**
 * What makes a spreadsheet read a cell as a formula (also in full width, which some take for the same), and
 * a CSV reader a row as a comment.
 */
const FORMULA = /^[=+\-@#\uff1d\uff0b\uff0d\uff20]/;

/** Longest text shown, in UTF-16 units. */
const LENGTH_MAX = 1000;

/** One line without anything that acts, for terminals, human-readable logs and plain text. */
export function safeLine(text: string, lengthMax = LENGTH_MAX): string {
  const hidden = hidePrivateKeys(text);
  const cut = hidden.length > lengthMax ? `${hidden.slice(0, lengthMax)}…` : hidden;
  return INVISIBLE.test(cut) ? cut.replace(INVISIBLE_ALL, escaped) : cut;
}

/** Several lines: each after the first is set in, so that none can pass for one of ours. */
export function safeLines(text: string, lengthMax = 8 * LENGTH_MAX): string {
  return hidePrivateKeys(text)
    .slice(0, lengthMax)
    .split(/\r?\n/)
    .map((line) => safeLine(line))
    .join('\n    | ');
}

/** JSON that shows the same data and holds nothing that acts where it is looked at. */
export function safeJson(json: string): string {
  const hidden = hidePrivateKeys(json);
  return RAW_IN_JSON.test(hidden) ? hidden.replace(RAW_IN_JSON_ALL, inJson) : hidden;
}

/** Safe in HTML text and in quoted attributes. */
export function safeHtml(text: string): string {
  return safeLine(text).replace(/[&<>"']/g, (mark) => `&#${mark.charCodeAt(0)};`);
}

/** A cell of a CSV file: one line, quoted where that is needed (RFC 4180), never a formula. */
export function safeCell(text: string): string {
  const line = safeLine(text);
  const plain = FORMULA.test(line) && line !== '-' ? `'${line}` : line;
  return /[",]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

/** The value of a metric's label; the format's own escapes come on top. */
export function safeLabel(text: string): string {
  return safeLine(text);
}

/** A longer scheme is found by its end: the work does not grow with the square of a text. */
const USERINFO = /([a-z][a-z0-9+.-]{0,15}:\/\/)[^\s/?#"']*@/gi;
/** A parameter whose name says that its value is secret. */
const SECRET_PARAMETER =
  /([?&][^\s?&=#"']{0,64}(?:token|secret|passw|auth|credential|signature|key)[^\s?&=#"']{0,64}=)[^\s&#"'\\]+/gi;

/**
 * Asterisks for private keys, for the user and password of every URL in the text, and where there is a URL
 * for what its query calls a token, a key or the like.
 */
export function hideCredentials(text: string): string {
  return hideInUrls(hidePrivateKeys(text));
}

function hideInUrls(text: string): string {
  if (!text.includes('://')) return text;
  const hidden = text.includes('@') ? text.replace(USERINFO, '$1***@') : text;
  return hideInQuery(hidden);
}

/** Asterisks for what the query of a URL or a path calls a token, a key or the like. */
export function hideInQuery(text: string): string {
  return text.includes('?') ? text.replace(SECRET_PARAMETER, '$1***') : text;
}

/** All texts of JSON data as `safeLine` has them, also the names. */
export function safeData(json: string): unknown {
  return JSON.parse(json, (_, value: unknown) =>
    typeof value === 'string' ? safeLine(value) : value,
  );
}

function escaped(mark: string): string {
  switch (mark) {
    case '\n':
      return '\\n';
    case '\r':
      return '\\r';
    case '\t':
      return '\\t';
    default:
      return `\\u{${mark.codePointAt(0)!.toString(16)}}`;
  }
}

function inJson(mark: string): string {
  // A character beyond the first plane is two escapes.
  return Array.from({ length: mark.length }, (_, i) => mark.charCodeAt(i))
    .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
    .join('');
}
