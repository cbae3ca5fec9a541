// What the overlay in the registry may change. A writer of its KV key must not reach further
// than services and routers: no registry, no file or unix socket, no secret, nothing of the
// environment. A key of the schema may be set there only when it is listed here; a new key is not.
import { BOUNDS } from '../model/bounds.ts';
import { parseListen } from '../model/listener.ts';
import type { Problem, Where } from './problem.ts';
import { configSchema } from './schema/config.ts';
import { knownKeys } from './shape.ts';
import { isTree, type Tree } from './tree.ts';

/** Keys without children, by the place of their map; NAME is any name, [] any element. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  'services.NAME': ['listen', 'protocol', 'balance', 'slow_start', 'select'],
  'services.NAME.from': [
    ...['registry', 'service', 'tag', 'datacenter', 'filter', 'namespace', 'partition', 'peer'],
    ...['accept', 'priority'],
  ],
  'services.NAME.failover': ['after', 'return_after'],
  'services.NAME.health': [
    ...['type', 'path', 'host', 'method', 'port', 'interval', 'timeout', 'rise', 'fall', 'status'],
    ...['initial', 'send', 'expect', 'user', 'database', 'grpc_service', 'headers'],
    ...['query', 'query_type'],
  ],
  'services.NAME.passive': [
    ...['consecutive_failures', 'connect_failures', 'resets', 'timeouts', 'gateway_errors'],
    ...['server_errors', 'ejection', 'max_ejected'],
  ],
  'services.NAME.passive.success_rate': ['enabled', 'window', 'min_requests', 'min_endpoints'],
  'services.NAME.upstream': ['protocol', 'host', 'send_proxy'],
  'services.NAME.panic': ['threshold', 'spread'],
  'services.NAME.retry': [
    ...['attempts', 'on', 'budget', 'budget_min', 'body', 'hedge', 'connect_attempts'],
    ...['connect_time'],
  ],
  'services.NAME.timeouts': [
    ...['connect', 'response', 'idle', 'client_header', 'keep_alive', 'request'],
    ...['idle_body', 'idle_tunnel', 'idle_tcp', 'idle_udp'],
  ],
  'services.NAME.primary': ['by', 'tag'],
  'services.NAME.tcp': [
    ...['early_failure', 'on_down', 'on_drain'],
    ...['keep_alive', 'keep_alive_interval', 'keep_alive_count'],
  ],
  'services.NAME.tunnels': ['on_down', 'on_drain'],
  'services.NAME.udp': ['responses', 'amplification', 'rate_per_client', 'on_down', 'on_drain'],
  'services.NAME.limits': [
    ...[
      'connections',
      'connections_per_client',
      'per_endpoint',
      'queue',
      'queue_timeout',
      'park',
      'requests',
      'adaptive',
    ],
    ...['header_bytes', 'header_count', 'target_bytes', 'body', 'keep_alive_requests', 'pipelined'],
    ...['idle_upstream', 'idle_upstream_time', 'upstream_age'],
  ],
  'services.NAME.http': [
    ...['forwarded', 'via', 'request_id', 'server', 'request_headers', 'response_headers'],
    ...['rename_request_headers', 'rename_response_headers'],
  ],
  'routers[]': ['listen'],
  'routers[].limits': [
    ...['header_bytes', 'header_count', 'target_bytes', 'keep_alive_requests', 'pipelined'],
  ],
  'routers[].timeouts': ['client_header', 'keep_alive', 'idle_body'],
  'routers[].routes[]': [
    ...['host', 'path', 'service', 'strip', 'prefix', 'rewrite_host', 'sni', 'alpn'],
  ],
  'routers[].routes[].redirect': ['status', 'location'],
};

/** Every key that the overlay may set, as docs/reference/config.md writes it. */
export const OVERLAY_KEYS: ReadonlySet<string> = new Set(
  Object.entries(ALLOWED).flatMap(([map, keys]) => keys.map((key) => `${map}.${key}`)),
);
const MAPS = new Set([...OVERLAY_KEYS].flatMap(ancestors));

type Path = readonly PropertyKey[];

/** Everything in the tree of an overlay that an overlay may not set; `where` finds its place. */
export function overlayProblems(tree: Tree, where: Where) {
  const problems: Problem[] = [];
  const refuse = (path: Path, value: unknown, why: string): void => {
    // Only the kind of the value is shown: what a stranger wrote there need not be repeated.
    const message = `${kindOf(value)}: ${why}`;
    problems.push({ where: where(path, 'key'), key: path.map(String).join('.'), message });
  };
  const walk = (value: unknown, path: Path, pattern: string): void => {
    // Each place is looked for; no more are reported.
    if (problems.length > BOUNDS.configProblems.max) return;
    if (OVERLAY_KEYS.has(pattern)) {
      if (pattern.endsWith('.listen')) {
        for (const why of listenObjections(value)) refuse(path, value, why);
      }
    } else if (!MAPS.has(pattern)) {
      // What the schema does not know either, it refuses itself, and guesses what was meant.
      if (isKnown(path)) refuse(path, value, NOT_ALLOWED);
    } else if (Array.isArray(value)) {
      // Of what may be written as a list or without one, the elements have the keys of the map.
      const element = MAPS.has(`${pattern}[]`) ? `${pattern}[]` : pattern;
      for (const [i, item] of value.entries()) walk(item, [...path, i], element);
    } else if (isTree(value)) {
      for (const [key, item] of Object.entries(value)) {
        walk(item, [...path, key], childOf(pattern, key));
      }
    }
  };
  walk(tree, [], '');
  return problems;
}

const NOT_ALLOWED =
  'must not be set by the overlay; expected settings of services and routers (docs/reference/overlay.md)';
const NO_FILES =
  'must not name certificates or trusted networks in the overlay; expected tls: true or false';
const NO_SOCKET = 'must not be a unix socket in the overlay; expected a port or address:port';

function childOf(pattern: string, key: string): string {
  const named = pattern === 'services' ? 'NAME' : key;
  return pattern === '' ? named : `${pattern}.${named}`;
}

/** `a.b[].c` -> '', `a`, `a.b`, `a.b[]`. */
function ancestors(key: string): string[] {
  const parents = [''];
  for (const match of key.matchAll(/\.|\[\]/g)) {
    parents.push(key.slice(0, match.index));
  }
  return parents;
}

function isKnown(path: Path): boolean {
  const key = path.at(-1);
  return typeof key === 'string' && knownKeys(path.slice(0, -1), configSchema).includes(key);
}

/** What an overlay says of listeners that it may not: it names no file, and trusts no network. */
function listenObjections(value: unknown): string[] {
  const items = [value].flat();
  const isSocket = items.some((item) => {
    const address = isTree(item) ? item.address : item;
    return typeof address === 'string' && parseListen(address)?.kind === 'unix';
  });
  const hasKeys = items.some(
    (item) => isTree(item) && (isTree(item.tls) || 'accept_proxy' in item),
  );
  return [...(isSocket ? [NO_SOCKET] : []), ...(hasKeys ? [NO_FILES] : [])];
}

function kindOf(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return 'a text';
  return typeof value === 'object' ? 'a map' : `a ${typeof value}`;
}
