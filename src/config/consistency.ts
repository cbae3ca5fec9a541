// What no single value can get wrong: listeners that two want, policies that don't fit the
// protocol, keys of a listener where there is none, routes that lead nowhere.
import { BOUNDS } from '../model/bounds.ts';
import { formatListen, type ListenAddress } from '../model/listener.ts';
import { dnsQuestionOf } from '../model/registries/dns.ts';
import { znodeNamesOf } from '../model/registries/zookeeper.ts';
import { SOURCE_KEYS, type SourceKey } from '../model/source.ts';
import {
  type Claim,
  claimsOf,
  type Draft,
  type DraftService,
  type DraftSource,
  draftOf,
} from './draft.ts';
import type { Problem } from './problem.ts';
import { REGISTRIES } from './registries/table.ts';
import { routeContradictions } from './route-consistency.ts';
import { LISTENER_KEYS } from './schema/limits.ts';
import { ROLE_CHECKS } from './schema/primary.ts';
import { tlsContradictions } from './tls-consistency.ts';
import { hasPath, isGiven, isTree, type Tree, withoutPath } from './tree.ts';
import { orList } from './values.ts';

const OWN_FLEET =
  'is the name under which this process registers itself (registries.consul.register_self.service), which leads in a circle: expected another service';
const ZNODE_NAME = 'is no path of znodes: expected names with slashes between them';
const DNS_NAME =
  'is no name of DNS: expected a name of SRV records, or name:port for its addresses';

type Path = readonly PropertyKey[];
type Where = (path: Path) => string;

export interface Contradiction {
  readonly path: Path;
  readonly message: string;
}

/** Every contradiction in a configuration, as far as its values are right by themselves. */
export function contradictions(tree: Tree, where: Where): Problem[] {
  const first = [...allContradictions(draftOf(tree), where).take(BOUNDS.configProblems.max + 1)];
  return first.map(({ path, message }) => {
    return { where: where(path), key: path.map(String).join('.'), message };
  });
}

/** One after the other: looking for what was meant takes a while, and only the first are reported. */
function* allContradictions(draft: Draft, where: Where): Generator<Contradiction, void> {
  yield* duplicateListeners(draft, where);
  yield* tlsContradictions(draft);
  yield* unreadable(draft);
  for (const service of draft.services.values()) yield* misfits(service, draft);
  yield* routeContradictions(draft, where);
}

/** A stats port that asks for a token, where none is set. */
function unreadable({ readers, hasToken }: Draft): Contradiction[] {
  if (readers?.includes('token') !== true || hasToken) return [];
  const message = 'there is no token: expected stats.read_token or stats.admin_token';
  return [{ path: ['stats', 'read'], message }];
}

/** What a service says that can't apply to it. */
function misfits(service: DraftService, draft: Draft): Contradiction[] {
  const { name, protocol, balance } = service;
  const found: Contradiction[] = [];
  const tell = (key: readonly string[], message: string) =>
    found.push({ path: ['services', name, ...key], message });
  const isHttp = protocol === undefined || protocol === 'http';
  if (!isHttp && balance?.hash != null && balance.hash.on !== 'source') {
    tell(['balance'], `a ${protocol} service has no ${balance.hash.on}: expected hash(source)`);
  }
  for (const source of service.sources) {
    const problem = registryProblem(source, draft);
    if (problem !== '') tell([...source.path, 'registry'], problem);
    const isFleet = draft.fleet !== '' && (source.source ?? name) === draft.fleet;
    if (isFleet && source.registry === 'consul' && !hasPath(source.tree, ['query'])) {
      tell([...source.path, 'service'], OWN_FLEET);
    }
    if (source.registry === 'dns' && dnsQuestionOf(source.source ?? name) === null) {
      tell([...source.path, 'service'], DNS_NAME);
    }
    if (source.registry === 'zookeeper' && znodeNamesOf(source.source ?? name) === null) {
      tell([...source.path, 'service'], ZNODE_NAME);
    }
  }
  for (const { path, message } of sameSources(service)) tell(path, message);
  for (const [key, message] of primaryMisfits(service)) tell(['primary', key], message);
  if (sharesIntroductions(service.tree.upstream)) {
    const message = 'speaks for one client, and connections by HTTP/2 are shared: expected off';
    tell(['upstream', 'send_proxy'], message);
  }
  for (const [key, message] of checkMisfits(service.tree.health)) tell(['health', key], message);
  for (const key of deadKeys(service)) {
    if (hasPath(service.tree, key)) tell(key, whyDead(key, service, draft));
  }
  return found;
}

/** A header that speaks for one client, on connections that several share. */
function sharesIntroductions(upstream: unknown): boolean {
  if (!isTree(upstream) || (upstream.protocol !== 'h2c' && upstream.protocol !== 'h2'))
    return false;
  return upstream.send_proxy === 'v1' || upstream.send_proxy === 'v2';
}

/** A way to know the primary that leads nowhere. */
function primaryMisfits({ tree, protocol }: DraftService): [string, string][] {
  if (tree.select !== 'primary' || protocol === undefined) return [];
  const primary = isTree(tree.primary) ? tree.primary : {};
  const health = isTree(tree.health) ? tree.health : null;
  const { by } = primary;
  const lock = primary.lock ?? '';
  if (by === 'lock' && lock === '') return [['lock', 'is missing: expected a key of Consul']];
  if (by === 'check' && health === null) {
    return [['by', `there is no check: expected health of type ${orList(ROLE_CHECKS)}`]];
  }
  const isByCheck = by === 'check' || (by === undefined && lock === '' && health !== null);
  const type = health?.type ?? protocol;
  const isTold = ROLE_CHECKS.some((one) => one === type) || health?.path !== undefined;
  if (!isByCheck || isTold) return [];
  return [['by', `a check by ${type} tells no role: expected ${orList(ROLE_CHECKS)}`]];
}

/** Which kinds of checks a key is about. */
const CHECK_KEYS: Readonly<Record<string, readonly string[]>> = {
  send: ['send_expect', 'udp'],
  query: ['dns'],
  query_type: ['dns'],
  grpc_service: ['grpc'],
  expect: ['send_expect', 'udp', 'http'],
  user: ['redis', 'postgres', 'mysql'],
  database: ['postgres', 'mysql'],
  password: ['redis', 'postgres', 'mysql'],
  password_file: ['redis', 'postgres', 'mysql'],
  password_cleartext: ['postgres', 'mysql'],
};

/** Keys of a check of another kind, where the kind is given. */
function checkMisfits(health: unknown): [string, string][] {
  const type = isTree(health) ? health.type : undefined;
  if (!isTree(health) || typeof type !== 'string') return [];
  return Object.entries(CHECK_KEYS)
    .filter(([key, types]) => isGiven(health[key]) && !types.includes(type))
    .map(([key, types]) => [
      key,
      `is about checks by ${orList(types)}, and this is one by ${type}`,
    ]);
}

/** A registry that is not there. */
function registryProblem({ registry, source, isUnsaid }: DraftSource, draft: Draft): string {
  if (registry === undefined) return '';
  if (registry === 'static') {
    if (source === undefined || draft.fixed.has(source)) return '';
    return `there are no static endpoints of that name: expected static.${source}`;
  }
  if (draft.followed.includes(registry)) return '';
  return isUnsaid
    ? `is missing, and several registries are configured: expected ${orList(draft.followed)}`
    : `the registry ${registry} is not configured: expected registries.${registry}`;
}

/** The same question to the same registry twice: which priority it has would be a guess. */
function sameSources({ sources }: DraftService) {
  const first = new Map<string, readonly string[]>();
  return sources.flatMap(({ registry, source, tree, path }) => {
    const rest = SOURCE_KEYS.map((key) => tree[key] ?? '');
    const key = JSON.stringify([registry, source, rest]);
    const known = first.get(key);
    if (known === undefined) first.set(key, path);
    return known === undefined ? [] : [{ path, message: `is the same as ${known.join('.')}` }];
  });
}

/** What of `upstream` is about HTTP. */
const UPSTREAM_HTTP = [
  ['upstream', 'protocol'],
  ['upstream', 'host'],
];

/** Keys that mean nothing for this service. */
function deadKeys(service: DraftService): readonly (readonly string[])[] {
  const { protocol, listen, sources } = service;
  const dead = sources.flatMap((one) => untaken(one).map((key) => [...one.path, key]));
  if (protocol === 'udp') {
    return [
      ...dead,
      ['http'],
      ['tunnels'],
      ['tcp'],
      ['upstream'],
      ['timeouts', 'connect'],
      ...LISTENER_KEYS,
    ];
  }
  dead.push(['udp']);
  if (protocol === 'tcp')
    return [...dead, ['http'], ['tunnels'], ...UPSTREAM_HTTP, ...LISTENER_KEYS];
  return protocol === 'http' && listen?.length === 0 ? [...dead, ...LISTENER_KEYS] : dead;
}

/** Keys of `from` that this source does not take. */
function untaken({ registry, tree }: DraftSource): SourceKey[] {
  if (registry === undefined) return [];
  const { from } = REGISTRIES[registry];
  const ofCatalog = special(tree);
  const foreign: readonly SourceKey[] = ofCatalog === null ? [] : CATALOG_KEYS[ofCatalog];
  return SOURCE_KEYS.filter((key) => !from.includes(key) || foreign.includes(key));
}

/** The key by which a source of Consul is not about the catalog. */
function special(tree: Tree): keyof typeof CATALOG_KEYS | null {
  const isSet = (key: SourceKey) => (tree[key] ?? '') !== '';
  return isSet('query') ? 'query' : isSet('kv') ? 'kv' : null;
}

/** What the catalog has: the keys of the KV store have it not, and a query says it itself. */
const CATALOG_KEYS = {
  kv: ['tag', 'filter', 'peer', 'accept'],
  query: ['tag', 'filter', 'namespace', 'partition', 'peer', 'kv'],
} satisfies Record<string, SourceKey[]>;

function whyDead(path: readonly string[], service: DraftService, draft: Draft): string {
  const { name, protocol, sources } = service;
  if (path[0] === 'from') {
    const whose = sources.find((one) => one.path.join() === path.slice(0, -1).join());
    const registry = whose?.registry ?? 'consul';
    const isTaken = REGISTRIES[registry].from.some((key) => key === path.at(-1));
    const key = whose === undefined ? null : special(whose.tree);
    const what = isTaken ? `a service of from.${key ?? 'kv'}` : `registry ${registry}`;
    return `${what} has no ${path.at(-1)}: take it out`;
  }
  if (path[0] === 'udp')
    return `is about datagrams, and this is a ${protocol} service: take it out`;
  if (protocol === 'udp') {
    const what = path[0] === 'tcp' || path[1] === 'connect' ? 'connections' : 'HTTP';
    return `is about ${path[0] === 'upstream' ? 'connections' : what}, and this is a udp service: take it out`;
  }
  if (protocol === 'tcp') return 'is about HTTP, and this is a tcp service: take it out';
  const by = draft.routers.flatMap(({ routes }, i) =>
    routes.some(({ service }) => service === name) ? [i] : [],
  );
  const where = by.length === 0 ? ['routers.N'] : by.map((i) => `routers.${i}`);
  const there = where.map((router) => `${router}.${path.join('.')}`).join(' and ');
  return `is about a listener, and ${name} has none of its own: set ${there} instead`;
}

/** The configuration without what means nothing in it, as its defaults may be that are shown. */
export function withoutDead(tree: Tree): Tree {
  const services = [...draftOf(tree).services.values()].map((service) => {
    const kept = deadKeys(service).reduce((under, key) => withoutPath(under, key), service.tree);
    return [service.name, kept] as const;
  });
  return isTree(tree.services) ? { ...tree, services: Object.fromEntries(services) } : tree;
}

type Place = Omit<Claim, 'listen'>;

/** Two that want the same address: both places are named. */
function duplicateListeners(draft: Draft, where: Where) {
  const { stats: listen } = draft;
  const claims = claimsOf(draft);
  const problems: Contradiction[] = [];
  const tell = ({ address, path }: Place, owner: Place) => {
    const place = `${owner.owner} (${where(owner.path)})`;
    problems.push({
      path,
      message: `${formatListen(address)} is already the listener of ${place}`,
    });
  };
  const owners = new Map<string, Claim>();
  for (const claim of claims) {
    const key = canonical(claim.address);
    const owner = owners.get(key);
    if (owner === undefined) owners.set(key, claim);
    else tell(claim, owner);
  }
  // The stats port is opened without sharing: also an address within it, or around it, is taken.
  const stats = listen && {
    address: listen.address,
    owner: 'the stats port',
    path: ['stats', 'listen'],
  };
  const taken = stats && claims.find(({ address }) => doOverlap(address, stats.address));
  if (stats && taken) tell(stats, taken);
  return problems;
}

/** The same text for the same address: all addresses are one, and IPv6 has many spellings. */
function canonical(address: ListenAddress): string {
  if (address.kind === 'unix') return address.path;
  const isV6 = address.host.includes(':');
  const host = isV6 ? (URL.parse(`http://[${address.host}]`)?.hostname ?? '') : address.host;
  return `${host === '[::]' ? '' : host}:${address.port}${address.kind === 'udp' ? '/udp' : ''}`;
}

/** Whether a connection could come in at either address. */
function doOverlap(a: ListenAddress, b: ListenAddress): boolean {
  const [one, other] = [canonical(a), canonical(b)];
  if (one === other) return true;
  if (a.kind === 'unix' || b.kind === 'unix') return false;
  if (a.kind !== b.kind) return false;
  return a.port === b.port && (one.startsWith(':') || other.startsWith(':'));
}
