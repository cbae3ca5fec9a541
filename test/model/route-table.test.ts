import fc from 'fast-check';
import { expect, it } from 'vitest';
import { matchRoute, type Route } from '../../src/model/route.ts';
import { RouteTable } from '../../src/model/route-table.ts';
import { makeRoute } from '../support/route.ts';

const host = fc.constantFrom('', 'a.b', 'b', 'x.a.b', '*.b', '*.a.b', '*.x.a.b', '*', '.b');
const asked = fc.constantFrom('', 'a.b', 'b', 'x.a.b', 'y.x.a.b', '.b', '..b', '*.b', 'c');
const segments = fc.array(fc.constantFrom('p', 'q', 'pq', ''), { maxLength: 4 });
const path = segments.map((all) => `/${all.join('/')}`);
const routes: fc.Arbitrary<Route[]> = fc.array(
  fc.record({ host, path: fc.oneof(path, fc.constant('')) }).map((one) => makeRoute(one)),
  { minLength: 0, maxLength: 60 },
);

it('finds what a look at one route after the other finds', () => {
  fc.assert(
    fc.property(routes, fc.array(fc.tuple(asked, path), { minLength: 1 }), (list, requests) => {
      const table = new RouteTable(list);
      for (const [name, wanted] of requests) {
        expect(table.match(name, wanted)).toBe(matchRoute(list, name, wanted));
      }
    }),
    { numRuns: 500 },
  );
});
