// A service as Consul's agent takes it (PUT /v1/agent/service/register), field by field as Registrator
// sends it: its check from SERVICE_CHECK_*, everything else that SERVICE_* says as Meta. Pure.
import { formatHostPort } from '../base/host-text.ts';
import type { Registration } from './registry.ts';

export interface ConsulCheck {
  readonly HTTP?: string;
  readonly Method?: string;
  readonly Args?: readonly string[];
  readonly TTL?: string;
  readonly TCP?: string;
  readonly GRPC?: string;
  readonly GRPCUseTLS?: boolean;
  readonly TLSSkipVerify?: boolean;
  readonly Interval?: string;
  readonly Timeout?: string;
  readonly Status?: string;
  readonly DeregisterCriticalServiceAfter?: string;
}

export interface ConsulRegistration {
  readonly ID: string;
  readonly Name: string;
  readonly Tags: readonly string[];
  readonly Port: number;
  readonly Address: string;
  readonly Meta: Readonly<Record<string, string>>;
  readonly Check?: ConsulCheck;
}

const INTERVAL = '10s';
/** What Consul takes as Meta; one pair beyond that would have it refuse the whole service. */
const META = { pairs: 64, key: 128, value: 512 } as const;
const META_KEY = /^(?!consul-)[a-zA-Z0-9_-]+$/;

/** Without the attributes that Consul would not take as Meta. */
export function consulRegistration(service: Registration): ConsulRegistration {
  const check = checkOf(service);
  return {
    ID: service.id,
    Name: service.name,
    Tags: service.tags,
    Port: service.port,
    Address: service.ip,
    Meta: Object.fromEntries(metaOf(service).kept),
    ...(check === null ? {} : { Check: check }),
  };
}

/** Keys that Consul would not take as Meta. */
export function unfitMeta(service: Registration): readonly string[] {
  return metaOf(service).unfit;
}

function metaOf({ attributes }: Registration) {
  const kept: [string, string][] = [];
  const unfit: string[] = [];
  for (const [key, value] of Object.entries(attributes)) {
    const isFit = META_KEY.test(key) && key.length <= META.key && value.length <= META.value;
    if (isFit && kept.length < META.pairs) kept.push([key, value]);
    else unfit.push(key);
  }
  return { kept, unfit };
}

/** A path; what begins otherwise would make another host of the address before it. */
const PATH = /^\/[\x21-\x7e]*$/;

/** What is wrong with its check, which is left out then; '' for nothing. */
export function unfitCheck({ attributes: say }: Registration): string {
  const bad = (['check_http', 'check_https'] as const).find(
    (key) => say[key] && !PATH.test(say[key]),
  );
  return bad === undefined
    ? ''
    : `SERVICE_${bad.toUpperCase()}: expected a path that begins with a slash`;
}

/** Null where nothing is to be checked: such a service is always passing. */
function checkOf(service: Registration): ConsulCheck | null {
  const ask = askOf(service);
  if (ask === null) return null;
  const { attributes: say } = service;
  return {
    ...ask,
    // A TTL check is reported by us; the agent probes nothing.
    ...(ask.TTL === undefined ? { Interval: say.check_interval || INTERVAL } : {}),
    ...(say.check_initial_status ? { Status: say.check_initial_status } : {}),
    ...(say.check_deregister_after
      ? { DeregisterCriticalServiceAfter: say.check_deregister_after }
      : {}),
  };
}

/** What is asked; the first that is said counts. */
function askOf({ attributes: say, ip, port, containerId, exposedPort }: Registration) {
  const place = formatHostPort(ip, port);
  const timeout = say.check_timeout ? { Timeout: say.check_timeout } : {};
  const method = (text: string | undefined) => (text ? { Method: text } : {});
  if (say.check_http && PATH.test(say.check_http)) {
    const HTTP = `http://${place}${say.check_http}`;
    return { HTTP, ...timeout, ...method(say.check_http_method) };
  }
  if (say.check_https && PATH.test(say.check_https)) {
    const HTTP = `https://${place}${say.check_https}`;
    return { HTTP, ...timeout, ...method(say.check_https_method) };
  }
  if (say.check_cmd) {
    const words = ['check-cmd', containerId.slice(0, 12), String(exposedPort), say.check_cmd];
    return { Args: words };
  }
  if (say.check_script) {
    const script = say.check_script
      .replaceAll('$SERVICE_IP', ip)
      .replaceAll('$SERVICE_PORT', String(port));
    return { Args: [script] };
  }
  if (say.check_ttl) return { TTL: say.check_ttl };
  if (say.check_tcp) return { TCP: place, ...timeout };
  if (say.check_grpc) {
    const tls = say.check_grpc_use_tls
      ? { GRPCUseTLS: true, ...(say.check_tls_skip_verify ? { TLSSkipVerify: true } : {}) }
      : {};
    return { GRPC: place, ...timeout, ...tls };
  }
  return null;
}
