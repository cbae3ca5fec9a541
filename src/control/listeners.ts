// Which addresses are listened on, and what each leads to. Two that want the same address can't
// both have it. Routers come before services, and configured services before those that describe
// themselves; among equals, the one that has it keeps it, or else the first gets it. The other is
// told. Pure.
import { formatListen, type ListenAddress } from '../model/listener.ts';
import { routesInOrder } from '../model/route.ts';
import type { Service } from '../model/service.ts';
import type { RouterSettings } from '../model/settings.ts';
import type { ListenerSnapshot } from '../model/snapshot.ts';

export interface ListenerWishes {
  readonly routers: readonly RouterSettings[];
  readonly configured: readonly Service[];
  /** Services that describe themselves. */
  readonly described: readonly Service[];
  /** The stats port, which no service may have: with SO_REUSEPORT it would take half its requests. */
  readonly stats: ListenAddress | null;
  /** The listeners that are open now. */
  readonly before: readonly ListenerSnapshot[];
}

export interface ListenerPlan {
  readonly listeners: readonly ListenerSnapshot[];
  /** By service ('' for routers): what became of addresses it wanted and did not get. */
  readonly conflicts: ReadonlyMap<string, readonly string[]>;
}

export function planListeners(wishes: ListenerWishes): ListenerPlan {
  const { stats } = wishes;
  const planned = new Map<string, ListenerSnapshot>();
  const conflicts = new Map<string, string[]>();
  for (const wish of byPrecedence(wishes)) {
    const owner = planned.get(wish.key);
    const isStats = stats !== null && wish.service !== '' && doOverlap(stats, wish.address);
    if (owner === undefined && !isStats) {
      planned.set(wish.key, wish);
      continue;
    }
    const by = isStats ? 'the stats port' : ownerName(owner!);
    const told = conflicts.get(wish.service) ?? [];
    conflicts.set(wish.service, [...told, `listener ${wish.key} is taken by ${by}`]);
  }
  return { listeners: [...planned.values()], conflicts };
}

/** Every listener that anyone wants, in the order in which they are served. */
function byPrecedence({ routers, configured, described, before }: ListenerWishes) {
  const owners = new Map(before.map((listener) => [listener.key, listener.service]));
  const ownersFirst = (services: readonly Service[]): ListenerSnapshot[] => {
    const wishes = services.flatMap(wishesOf);
    const isOwner = ({ key, service }: ListenerSnapshot) => owners.get(key) === service;
    return [...wishes.filter(isOwner), ...wishes.filter((wish) => !isOwner(wish))];
  };
  return [...routers.flatMap(routerWishes), ...ownersFirst(configured), ...ownersFirst(described)];
}

function wishesOf({ name, protocol, listen, limits, timeouts }: Service): ListenerSnapshot[] {
  const { headerBytes, headerCount, targetBytes, keepAliveRequests, pipelined } = limits;
  const { clientHeaderMs, keepAliveMs, idleBodyMs } = timeouts;
  // No more than these: a change of the others is none of the listeners.
  const policy = {
    limits: { headerBytes, headerCount, targetBytes, keepAliveRequests, pipelined },
    timeouts: { clientHeaderMs, keepAliveMs, idleBodyMs },
  };
  return listen.map((address) => {
    return { key: formatListen(address), address, protocol, service: name, routes: [], ...policy };
  });
}

function routerWishes(router: RouterSettings): ListenerSnapshot[] {
  const { limits, timeouts } = router;
  const policy = { routes: routesInOrder(router.routes), limits, timeouts };
  return router.listen.map((address) => {
    return { key: formatListen(address), address, protocol: 'http', service: '', ...policy };
  });
}

function ownerName({ service }: ListenerSnapshot): string {
  return service === '' ? 'a router' : `service ${service}`;
}

/** Whether a connection could come in at either address. */
function doOverlap(a: ListenAddress, b: ListenAddress): boolean {
  if (a.kind === 'unix' || b.kind === 'unix') return formatListen(a) === formatListen(b);
  return a.port === b.port && (a.host === '' || b.host === '' || a.host === b.host);
}
