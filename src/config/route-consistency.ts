// What routes of one router can get wrong together: two for the same host and path, a way to no
// service, redirects that lead back to themselves.
import { closest } from '../base/closest.ts';
import { expandLocation, matchRoute, type Route, routesInOrder } from '../model/route.ts';
import type { Contradiction } from './consistency.ts';
import type { Draft, DraftRoute, DraftRouter } from './draft.ts';

type Place = (path: readonly PropertyKey[]) => string;

export function* routeContradictions(draft: Draft, where: Place): Generator<Contradiction, void> {
  for (const [i, router] of draft.routers.entries()) {
    const at = (j: number, key: string) => ['routers', i, 'routes', j, key];
    for (const [j, route] of router.routes.entries()) {
      for (const message of routeProblem(route, draft)) yield { path: at(j, 'service'), message };
    }
    yield* sameRoutes(router, at, where);
    yield* redirectLoops(router, at, where);
  }
}

/** What is wrong with where a route leads. */
function routeProblem({ service, isRedirect }: DraftRoute, draft: Draft): string[] {
  if (isRedirect) {
    return service === '' ? [] : ['a route leads to a service or redirects, not both'];
  }
  if (service === undefined) return [];
  if (service === '') return ['is missing: expected the name of a service, or a redirect'];
  const target = draft.services.get(service);
  if (target?.protocol === 'tcp') return [`${service} is a tcp service: routes need http`];
  // A service that describes itself in the registry may come later.
  if (target !== undefined || draft.isSelfDescribed) return [];
  const meant = closest(service, [...draft.services.keys()]);
  const hint = meant === null ? '' : `; did you mean ${meant}?`;
  return [`there is no service ${service}${hint}`];
}

type At = (route: number, key: string) => PropertyKey[];

function sameRoutes({ routes }: DraftRouter, at: At, where: Place): Contradiction[] {
  const found: Contradiction[] = [];
  const owners = new Map<string, number>();
  for (const [j, { host, path }] of routes.entries()) {
    if (host === undefined || path === undefined) continue;
    const key = JSON.stringify([host, path]);
    const owner = owners.get(key);
    if (owner === undefined) owners.set(key, j);
    else {
      const what = host === '' ? `any host and ${path}` : `${host} and ${path}`;
      const first = at(owner, '').slice(0, -1);
      const message = `there is a route for ${what} already: ${first.join('.')} (${where(first)})`;
      found.push({ path: at(j, '').slice(0, -1), message });
    }
  }
  return found;
}

/** A redirect whose location is answered by itself again, directly or by way of others. */
function redirectLoops(router: DraftRouter, at: At, where: Place): Contradiction[] {
  const { listen, routes } = router;
  if (listen === undefined) return [];
  const ports = listen.flatMap(({ address }) => (address.kind === 'tcp' ? [address.port] : []));
  const known = routes.map(asRoute);
  const ordered = routesInOrder(known.filter((route) => route !== null));
  return known.flatMap((start, j) => {
    if (start?.redirect == null) return [];
    const way = followRedirects(start, ordered, ports);
    if (way === null || Math.min(...way.map((one) => known.indexOf(one))) !== j) return [];
    const path = at(j, 'redirect');
    const others = way.slice(1).map((one) => {
      const place = at(known.indexOf(one), 'redirect');
      return `${place.join('.')} (${where(place)})`;
    });
    const by = others.length === 0 ? '' : ` by way of ${others.join(', ')}`;
    const message = `the redirect leads back to its own route${by}: clients would loop`;
    return [{ path: [...path, 'location'], message }];
  });
}

/** The redirects that lead from `start` back to it, `start` first; null where they end elsewhere. */
function followRedirects(start: Route, ordered: Route[], ports: number[]): Route[] | null {
  const way: Route[] = [start];
  let at = requestFor(start, ports);
  while (way.length <= ordered.length) {
    const next = destination(way.at(-1)!, at, ports);
    const route = next === null ? null : matchRoute(ordered, next.hostname, next.pathname);
    if (next === null || route === null || route.redirect === null) return null;
    if (route === start) return way;
    if (way.includes(route)) return null;
    way.push(route);
    at = next;
  }
  return null;
}

/** A request that this route answers, where no narrower one does. */
function requestFor({ host, path }: Route, ports: readonly number[]): URL {
  const name = host === '' ? 'any.invalid' : host.replace(/^\*/, 'any');
  const port = ports[0] ?? 80;
  return URL.parse(path, `http://${name}:${port}`) ?? new URL(`http://any.invalid:${port}/`);
}

/** Where a client that asked for `asked` goes; null where that is not this router. */
function destination(route: Route, asked: URL, ports: readonly number[]): URL | null {
  const { hostname: host, pathname: path, search } = asked;
  const values = { host, path, request_uri: path + search };
  const url = URL.parse(expandLocation(route.redirect?.location ?? '', values), asked.href);
  // A listener speaks http; what another port answers is not known here.
  if (url === null || url.protocol !== 'http:') return null;
  const isHere = ports.includes(Number(url.port || 80)) || url.host === asked.host;
  return isHere ? url : null;
}

/** Null where what it matches is not known. */
function asRoute({ host, path, service, redirect, isRedirect }: DraftRoute): Route | null {
  if (host === undefined || path === undefined || service === undefined) return null;
  if (isRedirect && redirect === undefined) return null;
  return {
    ...{ host, path, service, redirect: redirect ?? null },
    ...{ stripPrefix: '', addPrefix: '', rewriteHost: '' },
  };
}
