// Which addresses are listened on, and what each leads to. Two that want the same address can't
// both have it. Routers come before services, and configured services before those that describe
// themselves; among equals the first in order has it. The other is told. Pure, and without memory:
// a restart comes to the same.
// A service that describes itself gets an address that overlaps nothing else of ours, that the
// rules allow, and that no other process has.
import {
  formatListen,
  type ListenAddress,
  type ListenRule,
  type ListenSpec,
  mayListen,
} from '../model/listener.ts';
import { type Route, routesInOrder } from '../model/route.ts';
import type { Service } from '../model/service.ts';
import type { RouterSettings } from '../model/settings.ts';
import type { ListenerSnapshot } from '../model/snapshot.ts';
import { sniRoutesInOrder } from '../model/sni-route.ts';

export interface ListenerWishes {
  readonly routers: readonly RouterSettings[];
  readonly configured: readonly Service[];
  /** Services that describe themselves, the one that did so first before the others. */
  readonly described: readonly Service[];
  /** Keys of what only the overlay in the registry listens on: as services that describe themselves. */
  readonly overlaid: ReadonlySet<string>;
  /** The stats port, which no service may have: with SO_REUSEPORT it would take half its requests. */
  readonly stats: ListenAddress | null;
  /** Where services may listen that describe themselves in this registry. */
  readonly allowed: (registry: string) => readonly ListenRule[];
  /** The addresses of the host names that the configuration listens on. */
  readonly names: ReadonlyMap<string, readonly string[]>;
  /** '' where nobody else has the address, null while that is being found out, else who has it. */
  readonly holderOf: (wish: ListenerSnapshot) => string | null;
}

export interface ListenerPlan {
  readonly listeners: readonly ListenerSnapshot[];
  /** By service ('' for routers): what became of addresses it wanted and did not get. */
  readonly conflicts: ReadonlyMap<string, readonly string[]>;
}

/** Which wish gets which address, and why others do not. */
export function planListeners(wishes: ListenerWishes): ListenerPlan {
  const { routers, configured, described, stats } = wishes;
  const places = new Places(wishes.names);
  const conflicts = new Map<string, string[]>();
  const refuse = (wish: ListenerSnapshot, why: string, name = wish.service): void => {
    const told = conflicts.get(name) ?? [];
    conflicts.set(name, [...told, `listener ${wish.key} ${why}`]);
  };
  const ours = [...routers.flatMap(routerWishes), ...configured.flatMap(wishesOf)];
  const isOverlaid = ({ key }: ListenerSnapshot) => wishes.overlaid.has(key);
  for (const wish of ours.filter((one) => !isOverlaid(one))) {
    const isStats = stats !== null && wish.service !== '' && places.doOverlap(stats, wish.address);
    const owner = isStats ? 'the stats port' : places.ownerOf(wish.key);
    if (owner === '') places.add(wish);
    else refuse(wish, `is taken by ${owner}`);
  }
  for (const wish of ours.filter(isOverlaid)) {
    const why = occupied(wish, { ...wishes, places });
    if (why === '') places.add(wish);
    else if (why !== null) refuse(wish, why);
  }
  const shared = new SharedRouters(places);
  for (const service of described) {
    // What describes itself has one source.
    const registry = service.from[0]!.source.registry;
    for (const wish of wishesOf(service)) {
      const why = objection(wish, { ...wishes, places, registry });
      if (why === '') places.add(wish);
      else if (why !== null) refuse(wish, why);
    }
    const wish = routeWishOf(service);
    if (wish === null) continue;
    const mayJoin = shared.has(wish) && isAllowed(wish, wishes.allowed(registry));
    const why = mayJoin ? '' : objection(wish, { ...wishes, places, registry });
    const taken = why === '' ? shared.add(wish) : '';
    if (taken !== '') refuse(wish, taken, service.name);
    else if (why !== '' && why !== null) refuse(wish, why, service.name);
  }
  return { listeners: shared.complete(places.all), conflicts };
}

/**
 * Routers to which services that describe themselves add their routes: those of the configuration,
 * where they leave hosts for that, and others that are made for it. Who names a host and path first
 * has it; a host that the configuration names belongs to the operator, and so do all where it has a
 * route without a host.
 */
class SharedRouters {
  private readonly places: Places;
  private readonly added = new Map<string, Route[]>();

  constructor(places: Places) {
    this.places = places;
  }

  /** There is a router at exactly this address. */
  has({ key }: ListenerSnapshot): boolean {
    return this.places.at(key)?.service === '';
  }

  /** Adds the route of the wish; what is against that, or ''. */
  add(wish: ListenerSnapshot): string {
    const [route] = wish.routes;
    const there = this.places.at(wish.key);
    if (there === null) this.places.add({ ...wish, routes: [] });
    const owned = there?.routes.some(({ host }) => covers(host, route!.host));
    const shown = `${route!.host || '*'}${route!.path}`;
    if (owned === true) return `has a route for ${shown} in the configuration`;
    const others = this.added.get(wish.key) ?? [];
    const same = others.find(({ host, path }) => host === route!.host && path === route!.path);
    if (same !== undefined) return `has a route for ${shown} already: service ${same.service}`;
    this.added.set(wish.key, [...others, route!]);
    return '';
  }

  /** The listeners with all their routes. */
  complete(listeners: readonly ListenerSnapshot[]): readonly ListenerSnapshot[] {
    if (this.added.size === 0) return listeners;
    return listeners.map((one) => {
      const added = this.added.get(one.key);
      return added === undefined
        ? one
        : { ...one, routes: routesInOrder([...one.routes, ...added]) };
    });
  }
}

/** Whether the pattern of a route is this host, has it below, or takes every host. */
function covers(pattern: string, host: string): boolean {
  return (
    pattern === '' ||
    pattern === host ||
    (pattern.startsWith('*.') && host.endsWith(pattern.slice(1)))
  );
}

function isAllowed({ address }: ListenerSnapshot, allowed: readonly ListenRule[]): boolean {
  return mayListen(allowed, address);
}

interface Occupation extends Pick<ListenerWishes, 'stats' | 'holderOf'> {
  readonly places: Places;
}

interface Rules extends Occupation, Pick<ListenerWishes, 'allowed'> {
  readonly registry: string;
}

/** Why a service that describes itself does not get its address; null while that is not known. */
function objection(wish: ListenerSnapshot, rules: Rules): string | null {
  const { allowed, registry } = rules;
  const { address } = wish;
  if (!mayListen(allowed(registry), address)) {
    return `is not allowed by registries.${registry}.listen_allow`;
  }
  return occupied(wish, rules);
}

/** Who of ours, or which other process, has an address; '' for nobody, null while that is not known. */
function occupied(wish: ListenerSnapshot, { stats, holderOf, places }: Occupation): string | null {
  const { address } = wish;
  if (stats !== null && places.doOverlap(stats, address)) return 'is taken by the stats port';
  const owner = places.overlapping(address);
  if (owner !== null) return `is taken by ${ownerName(owner)}`;
  const holder = holderOf(wish);
  return holder === '' || holder === null ? holder : `is taken by ${holder}`;
}

/** The listeners that were given away, by their ports. */
class Places {
  readonly all: ListenerSnapshot[] = [];
  private readonly byKey = new Map<string, ListenerSnapshot>();
  private readonly byPort = new Map<number | string, ListenerSnapshot[]>();
  private readonly names: ReadonlyMap<string, readonly string[]>;

  constructor(names: ReadonlyMap<string, readonly string[]>) {
    this.names = names;
  }

  add(listener: ListenerSnapshot): void {
    const place = placeOf(listener.address);
    this.all.push(listener);
    this.byKey.set(listener.key, listener);
    const near = this.byPort.get(place);
    if (near === undefined) this.byPort.set(place, [listener]);
    else near.push(listener);
  }

  at(key: string): ListenerSnapshot | null {
    return this.byKey.get(key) ?? null;
  }

  /** Who has exactly this address; '' for nobody. */
  ownerOf(key: string): string {
    const owner = this.byKey.get(key);
    return owner === undefined ? '' : ownerName(owner);
  }

  overlapping(address: ListenAddress): ListenerSnapshot | null {
    const near = this.byPort.get(placeOf(address)) ?? [];
    return near.find((one) => this.doOverlap(one.address, address)) ?? null;
  }

  /** Whether a connection could come in at either address. */
  doOverlap(a: ListenAddress, b: ListenAddress): boolean {
    if (a.kind === 'unix' || b.kind === 'unix') return formatListen(a) === formatListen(b);
    // A port of UDP and the same of TCP are different places.
    if (a.kind !== b.kind || a.port !== b.port) return false;
    if (a.host === '' || b.host === '') return true;
    const [one, other] = [this.hostsOf(a.host), this.hostsOf(b.host)];
    return one.some((host) => other.includes(host));
  }

  private hostsOf(host: string): readonly string[] {
    return [host, ...(this.names.get(host) ?? [])];
  }
}

/** Addresses with different ones can't overlap. */
function placeOf(address: ListenAddress): number | string {
  return address.kind === 'unix' ? address.path : address.port;
}

/** Services are immutable, and thousands are planned for again when one of them changes. */
const wishes = new WeakMap<Service, ListenerSnapshot[]>();

function wishesOf(service: Service): ListenerSnapshot[] {
  let known = wishes.get(service);
  if (known === undefined) {
    known = makeWishes(service);
    wishes.set(service, known);
  }
  return known;
}

function makeWishes({ name, protocol, listen, limits, timeouts }: Service): ListenerSnapshot[] {
  const { headerBytes, headerCount, targetBytes, keepAliveRequests, pipelined } = limits;
  const { clientHeaderMs, keepAliveMs, idleBodyMs } = timeouts;
  // No more than these: a change of the others is none of the listeners.
  const policy = {
    limits: { headerBytes, headerCount, targetBytes, keepAliveRequests, pipelined },
    timeouts: { clientHeaderMs, keepAliveMs, idleBodyMs },
  };
  return listen.map((spec) => {
    return { ...placed(spec), protocol, service: name, routes: [], ...policy };
  });
}

/** The router that a service asks for, with its own route alone. */
const routeWishes = new WeakMap<Service, ListenerSnapshot>();

function routeWishOf(service: Service): ListenerSnapshot | null {
  const { ownRoute, name } = service;
  if (ownRoute === undefined) return null;
  let known = routeWishes.get(service);
  if (known === undefined) {
    const [wish] = makeWishes({ ...service, listen: [ownRoute.listen] });
    known = {
      ...wish!,
      protocol: 'http',
      service: '',
      routes: [{ ...ownRoute.route, service: name }],
    };
    routeWishes.set(service, known);
  }
  return known;
}

function routerWishes(router: RouterSettings): ListenerSnapshot[] {
  const { limits, timeouts } = router;
  const { sniRoutes } = router;
  const isPass = sniRoutes !== undefined;
  const policy = {
    routes: routesInOrder(router.routes),
    limits,
    timeouts,
    ...(isPass ? { sniRoutes: sniRoutesInOrder(sniRoutes) } : {}),
  };
  return router.listen.map((spec) => {
    return { ...placed(spec), protocol: isPass ? 'tcp' : 'http', service: '', ...policy };
  });
}

function placed({ address, ...policy }: ListenSpec) {
  return { key: formatListen(address), address, policy };
}

function ownerName({ service }: ListenerSnapshot): string {
  return service === '' ? 'a router' : `service ${service}`;
}
