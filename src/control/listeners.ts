// Which addresses are listened on, and what each leads to. Two that want the same address can't
// both have it: the one that had it keeps it, or else the first by name; the other is told.
import { formatListen, type ListenAddress } from '../model/listener.ts';
import type { Route } from '../model/route.ts';
import type { Service } from '../model/service.ts';
import type { RouterSettings } from '../model/settings.ts';
import type { ListenerSnapshot } from '../model/snapshot.ts';

export interface ListenerPlan {
  readonly listeners: readonly ListenerSnapshot[];
  /** By service: addresses it wanted and did not get. */
  readonly conflicts: ReadonlyMap<string, readonly string[]>;
}

/**
 * Plans the listeners of services and routers; `before` are the ones that are open now. A service
 * may not have the address of the stats port: with SO_REUSEPORT it would take half its requests.
 */
export function planListeners(
  services: readonly Service[],
  routers: readonly RouterSettings[],
  before: readonly ListenerSnapshot[],
  stats: ListenAddress | null = null,
): ListenerPlan {
  const owners = new Map(before.map((listener) => [listener.key, listener.service]));
  const planned = new Map<string, ListenerSnapshot>();
  const conflicts = new Map<string, string[]>();
  for (const router of routers) {
    for (const address of router.listen) {
      const key = formatListen(address);
      const routes = byPrecedence(router.routes);
      planned.set(key, { key, address, protocol: 'http', service: '', routes });
    }
  }
  const wishes = services.flatMap((service) =>
    service.listen.map((address) => ({ service, address })),
  );
  const keeps = (wish: (typeof wishes)[number]) =>
    owners.get(formatListen(wish.address)) === wish.service.name;
  for (const wish of [...wishes.filter(keeps), ...wishes.filter((one) => !keeps(one))]) {
    const { service, address } = wish;
    const key = formatListen(address);
    const owner = planned.get(key);
    const isStats = stats !== null && doOverlap(stats, address);
    if (owner === undefined && !isStats) {
      const { name, protocol } = service;
      planned.set(key, { key, address, protocol, service: name, routes: [] });
    } else {
      const by = isStats ? 'the stats port' : ownerName(owner!);
      const problem = `listener ${key} is taken by ${by}`;
      conflicts.set(service.name, [...(conflicts.get(service.name) ?? []), problem]);
    }
  }
  return { listeners: [...planned.values()], conflicts };
}

function ownerName({ service }: ListenerSnapshot): string {
  return service === '' ? 'a router' : `service ${service}`;
}

/** Whether a connection could come in at either address. */
function doOverlap(a: ListenAddress, b: ListenAddress): boolean {
  if (a.kind === 'unix' || b.kind === 'unix') return formatListen(a) === formatListen(b);
  return a.port === b.port && (a.host === '' || b.host === '' || a.host === b.host);
}

/** Exact hosts before wildcards before any host; longer paths before shorter ones. */
function byPrecedence(routes: readonly Route[]): Route[] {
  const rank = (route: Route) => (route.host === '' ? 2 : route.host.startsWith('*') ? 1 : 0);
  return [...routes].sort(
    (a, b) => rank(a) - rank(b) || b.host.length - a.host.length || b.path.length - a.path.length,
  );
}
