// A second reading of the same rules, as plain and as unlike src/http1 as can be: whole text,
// regular expressions, strings. Slow, with no limits, and it says only what a complete head comes
// to or that it is none; the fuzzer holds the parser against it.
import { isIPv6 } from 'node:net';

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21\\x22\\x24-\\x7e]+) HTTP/1\\.([01])$`);
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
const FIELD_LINE = new RegExp(`^(${TOKEN}):([\\t\\x20-\\x7e\\x80-\\xff]*)$`);
const IS_TOKEN = new RegExp(`^${TOKEN}$`);
const HEAD = /^((?:[^\r\n]+\r\n)+)\r\n/;

const HOP = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding'],
  ...['upgrade', 'proxy-authorization', 'http2-settings'],
]);
const PROTECTED = new Set([
  ...['host', 'content-length', 'expect', 'via', 'max-forwards', 'forwarded', 'x-forwarded-for'],
  ...['x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port', 'x-real-ip', 'x-request-id'],
  ...['authorization', 'cookie', 'set-cookie'],
]);
const OPTIONS = new Set(['close', 'keep-alive', 'upgrade']);

export interface ReferenceHead {
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly body: string;
  /** The lines that go on, with CRLF between them. */
  readonly on: string;
  readonly rest: string;
}

interface Field {
  readonly name: string;
  readonly value: string;
  readonly line: string;
}

/** `open`: the head is not complete; `refused`: it is, and breaks a rule. */
export type ReferenceVerdict = 'open' | 'refused' | ReferenceHead;

export function readRequestHead(text: string): ReferenceVerdict {
  const start = text.startsWith('\r\n') ? 2 : 0;
  const parts = partsOf(text.slice(start));
  if (parts === 'open' || parts === 'refused') return parts;
  const [, method = '', target = '', minor = ''] = REQUEST_LINE.exec(parts.first) ?? [];
  if (method === '' || !isTarget(method, target)) return 'refused';
  const { fields } = parts;
  const hosts = valuesOf(fields, 'host');
  if (hosts.length > 1 || !hosts.every(isHost)) return 'refused';
  if (hosts.length === 0 && minor === '1') return 'refused';
  if (valuesOf(fields, 'expect').some((value) => value.toLowerCase() !== '100-continue')) {
    return 'refused';
  }
  const options = optionsOf(fields);
  if (options === null || options.some((option) => PROTECTED.has(option))) return 'refused';
  const body = lengthOf(fields, minor);
  if (body === null) return 'refused';
  const isIgnored = ({ name }: Field) => minor === '0' && name === 'expect';
  const on = keptOf(fields, options).filter((field) => !isIgnored(field));
  const none = body === 'length 0' || body === '' ? 'none' : body;
  return { method, target, status: 0, body: none, on: joined(on), rest: parts.rest };
}

/** The head of an answer to GET. */
export function readResponseHead(text: string): ReferenceVerdict {
  const parts = partsOf(text);
  if (parts === 'open' || parts === 'refused') return parts;
  const [, minor = '', digits = ''] = STATUS_LINE.exec(parts.first) ?? [];
  const options = optionsOf(parts.fields);
  const length = lengthOf(parts.fields, minor);
  if (digits === '' || options === null || length === null) return 'refused';
  const status = Number(digits);
  const hasNoBody = status < 200 || status === 204 || status === 304 || length === 'length 0';
  const body = hasNoBody ? 'none' : length === '' ? 'until close' : length;
  const on = joined(keptOf(parts.fields, options));
  return { method: '', target: '', status, body, on, rest: parts.rest };
}

function partsOf(
  text: string,
): 'open' | 'refused' | { first: string; fields: Field[]; rest: string } {
  const head = HEAD.exec(text);
  if (head === null) return 'open';
  const [first = '', ...lines] = head[1]!.split('\r\n').slice(0, -1);
  const fields: Field[] = [];
  for (const line of lines) {
    const [, name, value] = FIELD_LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) return 'refused';
    fields.push({ name: name.toLowerCase(), value: trimmed(value), line });
  }
  return { first, fields, rest: text.slice(head[0].length) };
}

/** Without white space at its ends, which in HTTP is SP and HTAB alone. */
const trimmed = (text: string): string => text.replace(/^[ \t]+/, '').replace(/[ \t]+$/, '');

const valuesOf = (fields: readonly Field[], wanted: string): string[] =>
  fields.flatMap(({ name, value }) => (name === wanted ? [value] : []));

function isTarget(method: string, target: string): boolean {
  if (method === 'CONNECT') return /:\d+$/.test(target) && isHost(target);
  if (target.startsWith('/')) return true;
  if (target === '*') return method === 'OPTIONS';
  const authority = /^https?:\/\/([^/?]*)/i.exec(target)?.[1];
  return authority !== undefined && isHost(authority);
}

function isHost(text: string): boolean {
  const [, literal, name, port] =
    /^(?:\[([^\]]*)\]|((?:[-._~!$&'()*+;=0-9A-Za-z]|%[0-9A-Fa-f]{2})+))(?::(\d{0,5}))?$/.exec(
      text,
    ) ?? [];
  if (literal === undefined && name === undefined) return false;
  if (literal !== undefined && (literal.includes('%') || !isIPv6(literal))) return false;
  return Number(port ?? 0) <= 65535;
}

/** What Connection names beside its own three options; null where that is malformed or too much. */
function optionsOf(fields: readonly Field[]): string[] | null {
  const options = valuesOf(fields, 'connection')
    .flatMap((value) => value.split(','))
    .map((option) => trimmed(option).toLowerCase())
    .filter((option) => option !== '' && !OPTIONS.has(option));
  return options.length > 32 || !options.every((option) => IS_TOKEN.test(option)) ? null : options;
}

/** '' for neither length, null for a fault. */
function lengthOf(fields: readonly Field[], minor: string): string | null {
  const lengths = valuesOf(fields, 'content-length');
  const codings = fields.filter(({ name }) => name === 'transfer-encoding');
  if (lengths.length + codings.length > 1) return null;
  if (codings.length === 1) {
    return minor === '1' && /^[^:]+:[ \t]*chunked[ \t]*$/i.test(codings[0]!.line)
      ? 'chunked'
      : null;
  }
  const [length] = lengths;
  if (length === undefined) return '';
  if (!/^\d{1,16}$/.test(length) || BigInt(length) >= 2n ** 53n) return null;
  return `length ${BigInt(length)}`;
}

const keptOf = (fields: readonly Field[], options: readonly string[]): Field[] =>
  fields.filter(({ name }) => !HOP.has(name) && (PROTECTED.has(name) || !options.includes(name)));

const joined = (fields: readonly Field[]): string => fields.map(({ line }) => line).join('\r\n');

/** The chunked coding: data and what follows the body, or that it is none. */
export function readChunkedBody(text: string): 'open' | { data: string; rest: string } {
  const line =
    /^([0-9A-Fa-f]{1,16})((?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"))?)*)\r\n/;
  let data = '';
  let rest = text;
  for (;;) {
    const found = line.exec(rest);
    if (found === null) return 'open';
    const size = BigInt(`0x${found[1]}`);
    rest = rest.slice(found[0].length);
    if (size === 0n) break;
    if (size > BigInt(rest.length) || rest.slice(Number(size), Number(size) + 2) !== '\r\n') {
      return 'open';
    }
    data += rest.slice(0, Number(size));
    rest = rest.slice(Number(size) + 2);
  }
  const trailers = /^((?:[^\r\n]+\r\n)*)\r\n/.exec(rest);
  if (trailers === null) return 'open';
  const lines = trailers[1]!.split('\r\n').slice(0, -1);
  if (!lines.every((trailer) => FIELD_LINE.test(trailer))) return 'open';
  return { data, rest: rest.slice(trailers[0].length) };
}
