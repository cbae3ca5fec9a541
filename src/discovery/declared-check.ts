// Registrator's check metadata: what it was told by SERVICE_CHECK_* and leaves in the Meta of an instance
// (check_http, check_https, check_tcp, check_script, check_interval, ...). It becomes the active check of
// that instance where its service has none. Pure. Whoever registers an instance writes this: a value
// that is wrong is named, and changes nothing else.
// Source of the rules: gliderlabs/registrator, consul/consul.go (buildCheck), and Consul's own
// meaning of an HTTP check: 2xx is good, and 429 is a warning, which gets traffic.
import { formatDuration, parseDuration } from '../base/duration.ts';
import type { HealthCheck, UpstreamTls } from '../model/service.ts';

export type Meta = Readonly<Record<string, unknown>>;

export interface DeclaredCheck {
  /** Null where nothing is declared that can be checked. */
  readonly check: HealthCheck | null;
  /** `check_interval 'soon': expected ...`. */
  readonly problems: readonly string[];
}

/** Registrator's default. */
const INTERVAL_MS = 10_000;
const INTERVAL_MS_MIN = 1000;
const INTERVAL_MS_MAX = 3_600_000;
/** Consul's default; a check is over before the next one begins. */
const TIMEOUT_MS = 10_000;
const PATH = /^\/[\x21-\x7e]{0,1023}$/;
const METHODS = ['GET', 'HEAD', 'OPTIONS'] as const;
/** In the order in which the first one that is there counts. */
const KINDS = { check_http: 'http', check_https: 'https', check_tcp: 'tcp' } as const;
/** Kinds that only an agent beside the instance can run. */
const FOREIGN = ['check_cmd', 'check_script', 'check_docker', 'check_grpc'] as const;
/** Whether it is to be believed is for traffic to say: `upstream.tls` of the service goes before it. */
const ANY_CERTIFICATE: UpstreamTls = {
  caFile: '',
  certFile: '',
  keyFile: '',
  serverName: '',
  verify: false,
};
const PLAIN: HealthCheck = {
  type: 'tcp',
  isUdp: false,
  path: '/',
  host: '',
  method: 'GET',
  port: 0,
  question: { name: '', type: 'NS' },
  intervalMs: INTERVAL_MS,
  timeoutMs: TIMEOUT_MS,
  rise: 2,
  fall: 3,
  send: '',
  expect: null,
  sendProxy: 'off',
  version: 'http1',
  grpcService: '',
  tls: null,
  headers: {},
  wantsRole: false,
  initial: 'down',
  login: { user: '', database: '', password: '', passwordFile: '', isCleartextAllowed: false },
  expectStatus: [
    { from: 200, to: 299 },
    { from: 429, to: 429 },
  ],
};

const NONE: DeclaredCheck = { check: null, problems: [] };

/** The check that this Meta declares, and what is wrong with it. */
export function declaredCheck(meta: Meta | null | undefined): DeclaredCheck {
  if (meta === null || typeof meta !== 'object') return NONE;
  // Most instances declare none.
  if (!Object.keys(meta).some((key) => key.startsWith('check_'))) return NONE;
  const reading = new Reading(meta);
  const check = reading.check();
  const foreign = FOREIGN.filter((key) => reading.text(key) !== '');
  if (check === null && foreign.length > 0) {
    reading.problems.push(`${foreign[0]} can't be run from here: no check is made of it`);
  }
  return { check, problems: reading.problems };
}

class Reading {
  readonly problems: string[] = [];
  private readonly meta: Meta;

  constructor(meta: Meta) {
    this.meta = meta;
  }

  text(key: string): string {
    const value = this.meta[key];
    return typeof value === 'string' ? value.trim() : '';
  }

  check(): HealthCheck | null {
    for (const [key, type] of Object.entries(KINDS)) {
      const value = this.text(key);
      if (value === '') continue;
      if (type === 'tcp' && !/^(true|1|yes|on)$/i.test(value)) {
        if (!/^(false|0|no|off)$/i.test(value)) this.refuse(key, 'true or false');
        continue;
      }
      if (type !== 'tcp' && !PATH.test(value)) {
        this.refuse(key, 'a path that begins with a slash');
        continue;
      }
      const times = this.times();
      if (type === 'tcp') return { ...PLAIN, ...times };
      const asked = { ...PLAIN, ...times, type: 'http' as const, ...this.http(key, value) };
      return type === 'http' ? asked : { ...asked, tls: ANY_CERTIFICATE };
    }
    return null;
  }

  private http(key: string, path: string): Partial<HealthCheck> {
    const name = `${key}_method`;
    const told = this.text(name).toUpperCase();
    const method = METHODS.find((one) => one === told);
    if (told !== '' && method === undefined) this.refuse(name, METHODS.join(' or '));
    return { path, method: method ?? 'GET' };
  }

  private times(): Partial<HealthCheck> {
    const intervalMs = this.duration('check_interval') ?? INTERVAL_MS;
    const timeoutMs = Math.min(this.duration('check_timeout') ?? TIMEOUT_MS, intervalMs);
    const told = this.text('check_initial_status');
    if (told !== '' && !/^(passing|warning|critical)$/.test(told)) {
      this.refuse('check_initial_status', 'passing, warning or critical');
    }
    const initial = told === 'passing' || told === 'warning' ? 'up' : 'down';
    return { intervalMs, timeoutMs, initial };
  }

  private duration(key: string): number | null {
    const value = this.text(key);
    if (value === '') return null;
    const ms = parseDuration(value);
    if (ms !== null && ms >= INTERVAL_MS_MIN && ms <= INTERVAL_MS_MAX) return ms;
    const [least, most] = [formatDuration(INTERVAL_MS_MIN), formatDuration(INTERVAL_MS_MAX)];
    this.refuse(key, `a duration such as 10s, from ${least} to ${most}`);
    return null;
  }

  private refuse(key: string, expected: string): void {
    const value = this.text(key);
    const shown = value.length > 100 ? `${value.slice(0, 100)}...` : value;
    this.problems.push(`${key} '${shown}': expected ${expected}`);
  }
}
