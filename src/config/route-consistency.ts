// What routes of one router can get wrong together: two for the same host and path, a way to no
// service, redirects that lead back to themselves.
import { closest } from '../base/closest.ts';
import type { Route } from '../model/route.ts';
import type { Contradiction } from './consistency.ts';
import type { Draft, DraftRoute, DraftRouter } from './draft.ts';
import { redirectLoopsOf } from './redirect-loops.ts';

type Place = (path: readonly PropertyKey[]) => string;

/** Every contradiction in the routes of routers. `where`: file, line and column of a path, for messages. */
export function* routeContradictions(draft: Draft, where: Place): Generator<Contradiction, void> {
  for (const [i, router] of draft.routers.entries()) {
    const at = (j: number, key: string) => ['routers', i, 'routes', j, key];
    for (const [j, route] of router.routes.entries()) {
      const isPass = passes(router);
      for (const message of routeProblem(route, draft, isPass)) {
        yield { path: at(j, 'service'), message };
      }
      for (const [key, message] of misplaced(route, isPass)) yield { path: at(j, key), message };
    }
    yield* sameRoutes(router, at, where);
    yield* redirectLoops(router, at, where);
  }
}

/** Whether the router passes TLS on, and so knows no more than the ClientHello. */
function passes({ listen }: DraftRouter): boolean {
  return listen?.some(({ tls }) => tls === 'pass') === true;
}

const NOT_HTTP = 'is about HTTP, and tls: pass terminates nothing: expected sni';

/** Keys of a route that mean nothing where it stands. */
function misplaced(route: DraftRoute, isPass: boolean): [string, string][] {
  const { sni, alpn = [] } = route;
  if (!isPass) {
    const keys = [...(sni === undefined ? [] : ['sni']), ...(alpn.length > 0 ? ['alpn'] : [])];
    return keys.map((key) => [key, 'is for a router that listens with tls: pass']);
  }
  const { host = '', path = '/', strip = '', prefix = '', rewrite_host: rewrite = '' } = route;
  const texts = { host, strip, prefix, rewrite_host: rewrite, path: path === '/' ? '' : path };
  const found = Object.entries({ ...texts, redirect: route.isRedirect ? 'set' : '' })
    .filter(([, text]) => text !== '')
    .map(([key]): [string, string] => [key, NOT_HTTP]);
  if (sni === undefined && alpn.length > 0) found.push(['alpn', 'needs sni']);
  return found;
}

/** What is wrong with where a route leads. */
function routeProblem(route: DraftRoute, draft: Draft, isPass: boolean): string[] {
  const { service, isRedirect } = route;
  if (isRedirect) {
    return service === '' ? [] : ['a route leads to a service or redirects, not both'];
  }
  if (service === undefined) return [];
  if (service === '') return ['is missing: expected the name of a service, or a redirect'];
  const target = draft.services.get(service);
  if (target?.protocol === 'udp') return [`${service} is a udp service: routes need http`];
  if (target?.protocol === 'tcp' && !isPass)
    return [`${service} is a tcp service: routes need http`];
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
  for (const [j, { host, path, sni, alpn = [] }] of routes.entries()) {
    if (host === undefined || path === undefined) continue;
    const key = JSON.stringify([host, path, sni, alpn]);
    const owner = owners.get(key);
    if (owner === undefined) owners.set(key, j);
    else {
      const asked = host === '' ? `any host and ${path}` : `${host} and ${path}`;
      const what = sni ?? asked;
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
  const places = new Map(known.map((route, j) => [route, j]));
  const routable = known.filter((route) => route !== null);
  return redirectLoopsOf(routable, ports).map(({ way }) => {
    const [path = [], ...others] = way.map((route) => at(places.get(route)!, 'redirect'));
    const names = others.map((place) => `${place.join('.')} (${where(place)})`);
    const by = names.length === 0 ? '' : ` by way of ${names.join(', ')}`;
    const message = `the redirect leads back to its own route${by}: clients would loop`;
    return { path: [...path, 'location'], message };
  });
}

/** Null where what it matches is not known. */
function asRoute({ host, path, service, redirect, isRedirect }: DraftRoute): Route | null {
  if (host === undefined || path === undefined || service === undefined) return null;
  if (isRedirect && redirect === undefined) return null;
  return {
    host,
    path,
    service,
    redirect: redirect ?? null,
    stripPrefix: '',
    addPrefix: '',
    rewriteHost: '',
  };
}
