// The units of configuration, as zod types: durations, sizes, shares, addresses, status ranges. Each
// takes what people write and yields what the model holds, and says what was expected otherwise.
import { isIP } from 'node:net';
import { z } from 'zod';
import { parseBytes } from '../base/bytes.ts';
import { formatDuration, parseDuration } from '../base/duration.ts';
import { type ListenAddress, parseListen } from '../model/listener.ts';
import type { HashKey, Hedge, StatusRange } from '../model/service.ts';

/** Makes a type of text (or number) by a parser that returns null for what it does not know. */
function parsed<T>(parse: (text: string) => T | null, expected: string) {
  const error = `expected ${expected}`;
  return z.union([z.string(), z.number()], { error }).transform((value, context): T => {
    const result = parse(String(value));
    if (result !== null) return result;
    context.addIssue({ code: 'custom', message: error });
    return z.NEVER;
  });
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
  return parsed(
    (text) => {
      const ms = parseDuration(text);
      return ms !== null && ms >= minMs && ms <= maxMs ? ms : null;
    },
    [A_DURATION, ...bounds].filter((part) => part !== '').join(', '),
  );
}

/** A whole number in bounds, also as text: tags and variables are text. */
export function count(min: number, max: number) {
  const error = `expected a whole number from ${min} to ${max}`;
  const digits = z.string().transform((text, context) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    context.addIssue({ code: 'custom', message: error });
    return z.NEVER;
  });
  return z.union([z.number().int({ error }).min(min, { error }).max(max, { error }), digits], {
    error,
  });
}

/** A switch, also as text. */
export const flag = z.union(
  [z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')],
  { error: 'expected true or false' },
);

/** A switch whose default depends on other settings. */
export const autoFlag = z.union([z.literal('auto'), flag], {
  error: 'expected auto, true or false',
});

/** One of these numbers. */
export function oneOf<T extends number>(values: readonly T[]) {
  return parsed<T>(
    (text) => values.find((value) => String(value) === text) ?? null,
    orList(values.map(String)),
  );
}

/** A list whose elements may be written as one text with commas, or a single one. */
export function listOf<T extends z.ZodType>(element: T) {
  // Any text may be asked of the elements: they say themselves which they take.
  const elements = z.array(element) as unknown as z.ZodType<z.output<T>[], string[]>;
  const split = z.string().transform((text) => text.split(',').map((part) => part.trim()));
  return z.union([z.array(element), split.pipe(elements)]);
}

/** `a, b or c` */
export function orList(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`;
}

/** `off`, `p95` (0 ms), or a duration. */
export const hedge = parsed<{ readonly hedge: Hedge | null }>((text) => {
  if (text === 'off') return { hedge: null };
  if (text === 'p95') return { hedge: { afterMs: 0 } };
  const afterMs = parseDuration(text);
  return afterMs !== null && afterMs > 0 && afterMs <= DURATION_MS_MAX
    ? { hedge: { afterMs } }
    : null;
}, `off, p95 or ${A_DURATION}`).transform((value) => value.hedge);

export const size = parsed(parseBytes, 'a size such as 512, 32KiB or 2MB');
export const listenAddress = parsed<ListenAddress>(
  parseListen,
  'a port, address:port or the path of a unix socket',
);

/** A share of one: 20% or 0.2. */
export const share = parsed((text) => {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text);
  if (match === null) return null;
  const value = Number(match[1]) / (match[2] === '%' ? 100 : 1);
  return value <= 1 ? value : null;
}, 'a share such as 20% or 0.2');

/** `200-399`, `200`, or several by commas. */
export const statusRanges = parsed<readonly StatusRange[]>((text) => {
  const ranges = text.split(',').map((part) => {
    const match = /^\s*([1-5]\d\d)(?:-([1-5]\d\d))?\s*$/.exec(part);
    return match === null ? null : { from: Number(match[1]), to: Number(match[2] ?? match[1]) };
  });
  return ranges.every((range) => range !== null && range.from <= range.to)
    ? (ranges as StatusRange[])
    : null;
}, "status codes such as 200, 200-399 or '200,204'");

export interface ParsedBalance {
  readonly policy: 'least-conn' | 'round-robin' | 'random' | 'p2c' | 'ewma' | 'hash';
  readonly hash: HashKey | null;
}

const PLAIN_POLICIES = ['least-conn', 'round-robin', 'random', 'p2c', 'ewma'] as const;

export const balance = parsed<ParsedBalance>((text) => {
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
}, 'least-conn, round-robin, random, p2c, ewma, hash(source), hash(header:NAME) or hash(cookie:NAME)');

/** `host:port`, an IPv6 host in brackets. */
export const hostPort = parsed((text) => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65535) return null;
  return { address: match[1] ?? match[2]!, port };
}, 'host:port');

/** A fixed endpoint: `host:port`, or `host:port weight=5`. */
export const staticEndpoint = parsed((text) => {
  const match = /^(\S+)(?: +weight=(\d{1,6}))?$/.exec(text);
  const at = hostPort.safeParse(match?.[1]);
  return at.success ? { ...at.data, weight: Number(match?.[2] ?? 1) } : null;
}, 'host:port or host:port weight=N');

/** A CIDR network or a single address. */
export const network = parsed((text) => {
  const [address = '', bits, ...others] = text.split('/');
  const bitsMax = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  const isBits = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax);
  return bitsMax > 0 && isBits && others.length === 0 ? text : null;
}, 'an address or a network such as 10.0.0.0/8');

/** Where an agent answers: `host:port`, a URL without a path, or a unix socket. */
export const agentAddress = parsed((text) => {
  if (text.startsWith('unix://')) return text.length > 'unix://'.length ? text : null;
  const isUrl = /^https?:\/\//.test(text);
  if (!isUrl && !/^[^/@?#]+:\d+$/.test(text)) return null;
  const url = URL.parse(isUrl ? text : `http://${text}`);
  return url !== null && url.pathname === '/' && url.search === '' && url.hash === ''
    ? text.replace(/\/$/, '')
    : null;
}, 'host:port, http://host:port, https://host:port or unix:///path');
