// Redirect loops, by the definition that follows every redirect on its own, and by its cost.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redirectLoopsOf } from '../../src/config/redirect-loops.ts';
import { expandLocation, matchRoute, type Route, routesInOrder } from '../../src/model/route.ts';
import { makeRoute } from '../support/route.ts';

const PORTS = [8000];

/** From each route, one redirect after the other, until its own route answers or another twice. */
function loopsByFollowing(routes: readonly Route[], ports: readonly number[]): Route[][] {
  const ordered = routesInOrder(routes);
  return routes.flatMap((start, j) => {
    if (start.redirect === null) return [];
    const way = follow(start, ordered, ports);
    return way !== null && Math.min(...way.map((one) => routes.indexOf(one))) === j ? [way] : [];
  });
}

function follow(start: Route, ordered: Route[], ports: readonly number[]): Route[] | null {
  const way = [start];
  const name = start.host === '' ? 'any.invalid' : start.host.replace(/^\*/, 'any');
  let at = new URL(start.path, `http://${name}:${ports[0]}`);
  for (;;) {
    const { hostname, pathname, search } = at;
    const values = { host: hostname, path: pathname, request_uri: pathname + search };
    const { location } = way.at(-1)!.redirect!;
    const next = URL.parse(expandLocation(location, values), at.href);
    if (next === null || next.protocol !== 'http:') return null;
    if (!ports.includes(Number(next.port || 80)) && next.host !== at.host) return null;
    const route = matchRoute(ordered, next.hostname, next.pathname);
    if (route === null || route.redirect === null) return null;
    if (route === start) return way;
    if (way.includes(route)) return null;
    way.push(route);
    at = next;
  }
}

const host = fc.constantFrom('', 'a', 'b', '*.a');
const path = fc.constantFrom('/', '/p', '/p/q', '/q', '/r', '/r/s', '/t');
const location = fc.oneof(
  fc
    .tuple(fc.constantFrom('a', 'b', 'x.a', '$host', 'c'), path)
    .map(([to, on]) => `http://${to}:8000${on}`),
  fc.constantFrom(
    '/p$path',
    '/q$request_uri',
    '$path/s',
    '/r',
    '/',
    'q',
    '//b:8000/p',
    'https://a/p',
  ),
  fc.constantFrom('http://b:8000$path', 'http://x.$host:8000$path', 'http://a:9000/p', '/t?x=1'),
);
const route = fc
  .record({ host, path, location, isRedirect: fc.integer({ min: 0, max: 9 }) })
  .map(({ isRedirect, ...one }) =>
    makeRoute({
      ...{ host: one.host, path: one.path },
      redirect: isRedirect > 0 ? { status: 302, location: one.location } : null,
    }),
  );

describe('redirect loops', () => {
  it('are those that following each redirect finds', () => {
    fc.assert(
      fc.property(fc.array(route, { maxLength: 14 }), (routes) => {
        const found = redirectLoopsOf(routes, PORTS).map(({ way }) => way);
        expect(found).toEqual(loopsByFollowing(routes, PORTS));
      }),
      { numRuns: 1000 },
    );
  });

  it('are found where rings and ways into them are long', () => {
    const size = fc.integer({ min: 2, max: 40 });
    fc.assert(
      fc.property(size, fc.array(fc.nat(), { minLength: 40, maxLength: 40 }), (count, numbers) => {
        const routes = Array.from({ length: count }, (_, i) =>
          makeRoute({
            path: `/n${i}`,
            redirect: { status: 302, location: `/n${numbers[i]! % count}` },
          }),
        );
        const found = redirectLoopsOf(routes, PORTS).map(({ way }) => way);
        expect(found).toEqual(loopsByFollowing(routes, PORTS));
      }),
      { numRuns: 500 },
    );
  });

  it('cost a few looks a route, among as many as there may be', () => {
    const count = 2000;
    let looks = 0;
    const chainOf = (to: (i: number) => string): Route[] =>
      Array.from({ length: count }, (_, i) => {
        const one = makeRoute({ path: `/n${i}` });
        const redirect = { status: 302, location: to(i) };
        // Every redirect that is followed is looked at here.
        return Object.defineProperty({ ...one }, 'redirect', {
          get: () => {
            looks += 1;
            return redirect;
          },
        }) as Route;
      });
    const shapes: [(i: number) => string, number][] = [
      [(i) => `/n${i + 1}`, 0],
      [(i) => `/n${(i + 1) % count}`, 1],
      [(i) => `/n${(i + count - 1) % count}`, 1],
      [(i) => `/n${i ^ 1}`, count / 2],
      [(i) => `/n${i + 1}?$request_uri`, 0],
    ];
    for (const [to, loops] of shapes) {
      looks = 0;
      const routes = chainOf(to);
      expect(redirectLoopsOf(routes, PORTS).length).toBe(loops);
      expect(looks).toBeLessThan(60 * count);
    }
  });
});
