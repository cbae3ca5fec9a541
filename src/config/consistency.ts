// What no single value can get wrong: listeners that two want, policies that don't fit the
// protocol, routes that lead nowhere.
import { closest } from '../base/closest.ts';
import { BOUNDS } from '../model/bounds.ts';
import { formatListen, type ListenAddress } from '../model/listener.ts';
import type { Problem } from './problem.ts';
import type { ConfigInput } from './schema.ts';

type Where = (path: readonly PropertyKey[]) => string;
type Path = readonly PropertyKey[];

/** Every contradiction in a configuration whose values are right by themselves. */
export function contradictions(input: ConfigInput, where: Where): Problem[] {
  const found = [...duplicateListeners(input, where)];
  const tell = (path: Path, message: string) =>
    found.push({ where: where(path), key: path.map(String).join('.'), message });
  for (const [name, { protocol, balance, from }] of Object.entries(input.services)) {
    if (protocol === 'tcp' && balance.hash !== null && balance.hash.on !== 'source') {
      const message = `a tcp service has no ${balance.hash.on}: expected hash(source)`;
      tell(['services', name, 'balance'], message);
    }
    const fixed = from.service ?? name;
    if (from.registry === 'static' && !Object.hasOwn(input.static, fixed)) {
      const message = `there are no static endpoints of that name: expected static.${fixed}`;
      tell(['services', name, 'from', 'registry'], message);
    }
  }
  for (const [i, { routes }] of input.routers.entries()) {
    for (const [j, route] of routes.entries()) {
      // Looking for what was meant takes a while; no more are reported.
      if (found.length > BOUNDS.configProblems.max) return found;
      const message = routeProblem(route, input);
      if (message !== '') tell(['routers', i, 'routes', j, 'service'], message);
    }
  }
  return found;
}

/** What is wrong with where a route leads; '' when nothing is. */
function routeProblem(
  { service, redirect }: ConfigInput['routers'][number]['routes'][number],
  input: ConfigInput,
): string {
  if (redirect !== undefined) {
    return service === '' ? '' : 'a route leads to a service or redirects, not both';
  }
  if (service === '') return 'is missing: expected the name of a service, or a redirect';
  const target = Object.hasOwn(input.services, service) ? input.services[service] : undefined;
  if (target?.protocol === 'tcp') return `${service} is a tcp service: routes need http`;
  // A service that describes itself in the registry may come later.
  const mayCome = input.registries.consul?.self_described === true;
  if (target !== undefined || mayCome) return '';
  const meant = closest(service, Object.keys(input.services));
  const hint = meant === null ? '' : `; did you mean ${meant}?`;
  return `there is no service ${service}${hint}`;
}

interface Claim {
  readonly address: ListenAddress;
  /** `service web`, for people. */
  readonly owner: string;
  readonly path: Path;
}

/** Two that want the same address: both places are named. */
function duplicateListeners(input: ConfigInput, where: Where): Problem[] {
  const { listen } = input.stats;
  const claims: Claim[] = [
    ...input.routers.flatMap((router, i) =>
      router.listen.map((address) => ({
        ...{ address, owner: `router ${i}`, path: ['routers', i, 'listen'] },
      })),
    ),
    ...Object.entries(input.services).flatMap(([name, service]) =>
      service.listen.map((address) => ({
        ...{ address, owner: `service ${name}`, path: ['services', name, 'listen'] },
      })),
    ),
  ];
  const problems: Problem[] = [];
  const tell = (claim: Claim, owner: Claim) => {
    const text = formatListen(claim.address);
    const message = `${text} is already the listener of ${owner.owner} (${where(owner.path)})`;
    problems.push({ where: where(claim.path), key: claim.path.map(String).join('.'), message });
  };
  const owners = new Map<string, Claim>();
  for (const claim of claims) {
    const key = canonical(claim.address);
    const owner = owners.get(key);
    if (owner === undefined) owners.set(key, claim);
    else tell(claim, owner);
  }
  // The stats port is opened without sharing: also an address within it, or around it, is taken.
  const stats = listen && { address: listen, owner: 'the stats port', path: ['stats', 'listen'] };
  const taken = stats && claims.find(({ address }) => doOverlap(address, stats.address));
  if (stats && taken) tell(stats, taken);
  return problems;
}

/** The same text for the same address: all addresses are one, and IPv6 has many spellings. */
function canonical(address: ListenAddress): string {
  if (address.kind === 'unix') return address.path;
  const isV6 = address.host.includes(':');
  const host = isV6 ? (URL.parse(`http://[${address.host}]`)?.hostname ?? '') : address.host;
  return `${host === '[::]' ? '' : host}:${address.port}`;
}

/** Whether a connection could come in at either address. */
function doOverlap(a: ListenAddress, b: ListenAddress): boolean {
  const [one, other] = [canonical(a), canonical(b)];
  if (one === other) return true;
  if (a.kind === 'unix' || b.kind === 'unix') return false;
  return a.port === b.port && (one.startsWith(':') || other.startsWith(':'));
}
