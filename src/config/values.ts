// The units of configuration, as zod types: durations, sizes, shares, addresses, status ranges. Each
// takes what people write and yields what the model holds, and says what was expected otherwise.
import { z } from 'zod';
import { formatBytes, parseBytes } from '../base/bytes.ts';
import { formatDuration, parseDuration } from '../base/duration.ts';
import { formatListen, type ListenAddress, parseListen } from '../model/listener.ts';
import type { HashKey, StatusRange } from '../model/service.ts';

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

export const duration = parsed(parseDuration, 'a duration such as 500ms, 10s or 1m30s');
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

/** A CIDR network or a single address. */
export const network = parsed((text) => {
  const match = /^([0-9a-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(text);
  const isV6 = text.includes(':');
  const bits = match?.[2] === undefined ? 0 : Number(match[2]);
  return match !== null && bits <= (isV6 ? 128 : 32) ? text : null;
}, 'an address or a network such as 10.0.0.0/8');

export { formatBytes, formatDuration, formatListen };
