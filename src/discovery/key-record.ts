// What the value of a key says, in the key stores of registries (etcd, Consul's KV): pure. A value that
// is wrong spoils itself alone, and says so.
import { safeLine } from '../base/safe-text.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { Instance, Listed } from './followed-instances.ts';
import { isHost, portOf, readHostPort } from './host-port.ts';

export type Reading =
  | {
      readonly kind: 'instance';
      /** An IP address or a host name. */
      readonly host: string;
      readonly port: number;
      readonly weight: number;
    }
  /** Where the service wants to be served. */
  | { readonly kind: 'port'; readonly port: number }
  | { readonly kind: 'setting'; readonly key: string; readonly value: string }
  | { readonly kind: 'problem'; readonly text: string };

/** A key of a service, read. */
export interface KeyRecord {
  readonly reading: Reading;
  /** When it was made, by the registry's own count. */
  readonly created: number;
}

/** That of docker-register and its like, or SkyDNS': docs/etcd.md. */
export type KeyLayout = 'backends' | 'skydns';

export interface ReadingRules {
  readonly layout: KeyLayout;
  /** Keys `PREFIX.key` are settings. */
  readonly tagPrefix: string;
}

const WEIGHT_MAX = 1_000_000;
const SHOWN_CHARS = 100;
const ADDRESS = 'expected IP:PORT, [IPv6]:PORT, HOST:PORT, or JSON with host and port';

/** What the record `leaf` of a service says. */
export function readRecord(leaf: string, value: string, rules: ReadingRules): Reading {
  const problem = (text: string): Reading => {
    return { kind: 'problem', text: `key ${shown(leaf)}: ${text}` };
  };
  if (value.length > BOUNDS.etcdValue.max) {
    return problem(`longer than ${BOUNDS.etcdValue.max} characters`);
  }
  if (rules.layout === 'backends') {
    if (leaf === 'port') return readPort(value) ?? problem(`${shown(value)}: expected a port`);
    const start = `${rules.tagPrefix}.`;
    if (leaf.startsWith(start) && leaf.length > start.length) {
      return { kind: 'setting', key: leaf.slice(start.length), value: value.trim() };
    }
  }
  const text = value.trim();
  const read = text.startsWith('{') ? readJson(text, rules.layout) : readAddress(text);
  return typeof read === 'string' ? problem(`${shown(value)}: ${read}`) : read;
}

function readPort(value: string): Reading | null {
  const port = portOf(value.trim());
  return port === null ? null : { kind: 'port', port };
}

/** Returns what is wrong as text. */
function readAddress(text: string): Reading | string {
  const read = readHostPort(text);
  return read === null ? ADDRESS : { kind: 'instance', ...read, weight: 1 };
}

/** {"host": ..., "port": ..., "weight": ...}, as SkyDNS, Registrator's skydns2 and nerve have it. */
function readJson(text: string, layout: KeyLayout): Reading | string {
  // What begins with a brace is a map.
  let parsed: Readonly<Record<string, unknown>>;
  try {
    parsed = JSON.parse(text) as typeof parsed;
  } catch {
    return 'is no JSON';
  }
  const { host, port, weight } = parsed;
  const bare = typeof host === 'string' ? host.replace(/^\[(.*)\]$/, '$1') : '';
  const number = portOf(port);
  if (!isHost(bare)) return 'host: expected an IP address or a host name';
  if (number === null) return 'port: expected a number from 1 to 65535';
  const share = weightOf(weight, layout);
  if (share === null) return `weight: expected a number from 0 to ${WEIGHT_MAX}`;
  return { kind: 'instance', host: bare.toLowerCase(), port: number, weight: share };
}

function weightOf(value: unknown, layout: KeyLayout): number | null {
  if (value === undefined || value === null) return 1;
  if (typeof value !== 'number' || !(value >= 0 && value <= WEIGHT_MAX)) return null;
  // To SkyDNS 0 is a record that says nothing of its weight.
  return layout === 'skydns' && value === 0 ? 1 : value;
}

function shown(text: string): string {
  return `'${safeLine(text, SHOWN_CHARS)}'`;
}

/** The instances of a service, and what is wrong with its keys: by their names, in order. */
export function readingsOf(
  records: ReadonlyMap<string, KeyRecord>,
): Pick<Listed, 'instances' | 'problems'> {
  const instances: Instance[] = [];
  const problems: string[] = [];
  for (const [id, { reading }] of [...records].sort(byName)) {
    if (reading.kind === 'instance') {
      // HOST:CONTAINER:PORT:udp, as Registrator names its keys.
      const isUdp = id.endsWith(':udp');
      instances.push({ ...reading, id, ...(isUdp ? { transport: 'udp' } : {}) });
    } else if (reading.kind === 'problem') problems.push(reading.text);
  }
  return { instances, problems };
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
