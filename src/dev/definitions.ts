// Reads what is sent to be registered: JSON as Consul's agent takes it, with field names in any case
// and with or without underscores (`Name`, `name`, `service_id`). Pure. Throws a Refusal that names
// the field (Consul API, /v1/agent/service/register and /v1/agent/check/register).
import { isIPv4, isIPv6 } from 'node:net';
import { parseDuration } from '../base/duration.ts';
import { Refusal } from './routes.ts';

export interface CheckDefinition {
  /** '' where none is given. */
  readonly id: string;
  readonly name: string;
  readonly notes: string;
  /** '' where none is given: it begins critical. */
  readonly status: string;
  readonly serviceId: string;
  readonly probe: CheckProbe;
  /** 0: never. */
  readonly deregisterAfterMs: number;
}

export type CheckProbe =
  | { readonly type: 'ttl'; readonly ttlMs: number }
  | (Paced & { readonly type: 'tcp'; readonly address: string })
  | (Paced & { readonly type: 'http' } & HttpProbe);

interface Paced {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Good and bad runs in a row, beyond the first, before the status follows. */
  readonly successBeforePassing: number;
  readonly failuresBeforeCritical: number;
}

export interface HttpProbe {
  readonly url: string;
  readonly method: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

export interface ServiceDefinition {
  readonly id: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly address: string;
  readonly port: number;
  readonly taggedAddresses: Readonly<Record<string, { Address: string; Port: number }>>;
  readonly meta: Readonly<Record<string, string>>;
  readonly weights: { readonly Passing: number; readonly Warning: number };
  readonly enableTagOverride: boolean;
  readonly checks: readonly CheckDefinition[];
}

const INTERVAL_MS_MIN = 1000;
const TIMEOUT_MS = 10_000;
const DEREGISTER_MS_MIN = 60_000;
export const STATUSES: readonly string[] = ['passing', 'warning', 'critical'];

const SERVICE_FIELDS =
  'ID Name Tags Address TaggedAddresses Port Meta Weights EnableTagOverride Check Checks Kind ' +
  'Token Proxy Connect Namespace Partition SocketPath Locality';
const CHECK_FIELDS =
  'ID CheckID Name Notes Status ServiceID HTTP Method Header Body TCP TTL Interval Timeout ' +
  'TLSSkipVerify TLSServerName DeregisterCriticalServiceAfter SuccessBeforePassing ' +
  'FailuresBeforeCritical Namespace Token';
/** Kinds of checks that a real agent runs and this one doesn't. */
const OTHER_CHECKS =
  'Args ScriptArgs Script Shell DockerContainerID GRPC GRPCUseTLS AliasNode ' +
  'AliasService UDP H2PING OSService';

/** The body as JSON. Throws a Refusal (400), worded as Consul words it. */
export function parseObject(body: Buffer): unknown {
  if (body.length === 0) throw new Refusal(400, 'Request decode failed: EOF');
  try {
    return JSON.parse(body.toString());
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Refusal(400, `Request decode failed: ${why}`);
  }
}

/** A service definition, as /v1/agent/service/register takes it. Throws a Refusal (400) with Consul's words. */
export function readService(value: unknown): ServiceDefinition {
  const fields = new Fields(value, SERVICE_FIELDS);
  const name = fields.text('Name');
  const checks = [fields.raw('Check'), ...fields.list('Checks')].filter(
    (check) => check !== undefined && check !== null,
  );
  const definitions = checks.map((check) => readCheck(check));
  if (name === '') throw new Refusal(400, 'Missing service name');
  const address = fields.text('Address');
  const port = fields.number('Port');
  return {
    id: fields.text('ID') || name,
    name,
    tags: fields.list('Tags').map(String),
    address,
    port,
    taggedAddresses: { ...ownAddresses(address, port), ...readAddresses(fields) },
    meta: readMeta(fields),
    weights: readWeights(fields.raw('Weights')),
    enableTagOverride: fields.flag('EnableTagOverride'),
    checks: definitions,
  };
}

/** `mustHaveName`: it is not part of a service. Throws a Refusal (400), also for a kind that this agent does not run. */
export function readCheck(value: unknown, options = { mustHaveName: false }): CheckDefinition {
  const fields = new Fields(value, `${CHECK_FIELDS} ${OTHER_CHECKS}`);
  const status = fields.text('Status');
  const name = fields.text('Name');
  if (options.mustHaveName && name === '') throw new Refusal(400, 'Missing check name');
  if (status !== '' && !STATUSES.includes(status)) {
    throw new Refusal(400, "Status for checks must 'passing', 'warning', 'critical'");
  }
  const deregisterAfterMs = fields.durationMs('DeregisterCriticalServiceAfter');
  return {
    id: fields.text('CheckID') || fields.text('ID'),
    name,
    notes: fields.text('Notes'),
    status,
    serviceId: fields.text('ServiceID'),
    probe: readProbe(fields),
    deregisterAfterMs: deregisterAfterMs && Math.max(DEREGISTER_MS_MIN, deregisterAfterMs),
  };
}

function readProbe(fields: Fields): CheckProbe {
  for (const kind of OTHER_CHECKS.split(' ')) {
    if (fields.raw(kind) !== undefined) {
      throw new Refusal(400, `Invalid check: ${kind} checks are not run by the embedded registry`);
    }
  }
  const url = fields.text('HTTP');
  const address = fields.text('TCP');
  const ttlMs = fields.durationMs('TTL');
  const intervalMs = fields.durationMs('Interval');
  if (url === '' && address === '') {
    if (ttlMs <= 0) throw new Refusal(400, 'Invalid check: TTL must be > 0 for TTL checks');
    return { type: 'ttl', ttlMs };
  }
  if (intervalMs <= 0) {
    throw new Refusal(400, 'Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks');
  }
  const pace: Paced = {
    intervalMs: Math.max(INTERVAL_MS_MIN, intervalMs),
    timeoutMs: fields.durationMs('Timeout') || TIMEOUT_MS,
    successBeforePassing: fields.number('SuccessBeforePassing'),
    failuresBeforeCritical: fields.number('FailuresBeforeCritical'),
  };
  if (url === '') return { type: 'tcp', address, ...pace };
  const header = (fields.raw('Header') ?? {}) as Readonly<Record<string, unknown>>;
  const headers = Object.entries(header).flatMap(([name, values]) =>
    (Array.isArray(values) ? values : [values]).map((one) => [name, String(one)] as const),
  );
  const method = fields.text('Method') || 'GET';
  return { type: 'http', url, method, headers, body: fields.text('Body'), ...pace };
}

/** 1 and 1 where nothing is given. Throws a Refusal (400). */
export function readWeights(value: unknown): { Passing: number; Warning: number } {
  if (value === undefined || value === null) return { Passing: 1, Warning: 1 };
  const fields = new Fields(value, 'Passing Warning');
  const weights = { Passing: fields.number('Passing'), Warning: fields.number('Warning') };
  if (weights.Passing < 1) {
    throw new Refusal(400, 'Invalid Weights: Passing must be greater than 0');
  }
  if (weights.Warning < 0) {
    throw new Refusal(400, 'Invalid Weights: Warning must be greater or equal than 0');
  }
  return weights;
}

function readMeta(fields: Fields): Readonly<Record<string, string>> {
  const meta = fields.texts('Meta');
  for (const [key, value] of Object.entries(meta)) {
    if (/^[\w-]+$/.test(key)) continue;
    const pair = `Couldn't load metadata pair ('${key}', '${value}')`;
    throw new Refusal(400, `Invalid Service Meta: ${pair}: Key contains invalid characters`);
  }
  return meta;
}

/** What an agent adds by itself for a service whose Address is an IP address. */
function ownAddresses(address: string, port: number) {
  const version = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : '';
  if (version === '') return {};
  const own = { Address: address, Port: port };
  return { [`lan_${version}`]: own, [`wan_${version}`]: own };
}

function readAddresses(fields: Fields): Record<string, { Address: string; Port: number }> {
  const given = fields.raw('TaggedAddresses');
  if (typeof given !== 'object' || given === null) return {};
  return Object.fromEntries(
    Object.entries(given).map(([tag, value]) => {
      const one = new Fields(value, 'Address Port');
      return [tag, { Address: one.text('Address'), Port: one.number('Port') }];
    }),
  );
}

/** A JSON object whose fields are found as Go's decoder finds them. */
export class Fields {
  private readonly values = new Map<string, unknown>();

  /** Throws a Refusal for what is no object, or has a field that is not in `known`. */
  constructor(value: unknown, known: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new Refusal(400, 'Request decode failed: json: expected an object');
    }
    const names = new Set(known.split(' ').map(plain));
    for (const [name, one] of Object.entries(value)) {
      if (!names.has(plain(name))) {
        throw new Refusal(400, `Request decode failed: json: unknown field "${name}"`);
      }
      this.values.set(plain(name), one);
    }
  }

  /**
   * Of any type; undefined where there is none. The others then yield '', 0, false or [], and throw a Refusal (400) for
   * a wrong type.
   */
  raw(name: string): unknown {
    return this.values.get(plain(name));
  }

  text(name: string): string {
    return this.read(name, 'string', (value) => (typeof value === 'string' ? value : null)) ?? '';
  }

  number(name: string): number {
    return this.read(name, 'int', (value) => (Number.isInteger(value) ? Number(value) : null)) ?? 0;
  }

  flag(name: string): boolean {
    return this.read(name, 'bool', (value) => (typeof value === 'boolean' ? value : null)) ?? false;
  }

  list(name: string): readonly unknown[] {
    return this.read(name, 'array', (value) => (Array.isArray(value) ? value : null)) ?? [];
  }

  /** A map of texts, as Meta is. */
  texts(name: string): Readonly<Record<string, string>> {
    const read = (value: unknown): Record<string, string> | null => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
      const isText = Object.values(value).every((one) => typeof one === 'string');
      // Every value was looked at.
      return isText ? (value as Record<string, string>) : null;
    };
    return this.read(name, 'map[string]string', read) ?? {};
  }

  /** A duration such as "10s", or nanoseconds as a number; 0 where there is none. */
  durationMs(name: string): number {
    const read = (value: unknown): number | null => {
      if (typeof value === 'number') return value / 1e6;
      if (value === '') return 0;
      return typeof value === 'string' ? parseDuration(value) : null;
    };
    return this.read(name, 'duration', read) ?? 0;
  }

  private read<T>(name: string, type: string, take: (value: unknown) => T | null): T | undefined {
    const value = this.raw(name);
    if (value === undefined || value === null) return undefined;
    const taken = take(value);
    if (taken !== null) return taken;
    throw new Refusal(
      400,
      `Request decode failed: ${name}: ${JSON.stringify(value)} is no ${type}`,
    );
  }
}

function plain(name: string): string {
  return name.replaceAll('_', '').toLowerCase();
}
