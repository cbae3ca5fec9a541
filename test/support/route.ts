import type { Route } from '../../src/model/route.ts';

/** A route of any host and path to the service `web`; `parts` replaces whole keys. */
export function makeRoute(parts: Partial<Route> = {}): Route {
  return {
    host: '',
    path: '/',
    service: 'web',
    stripPrefix: '',
    addPrefix: '',
    rewriteHost: '',
    redirect: null,
    ...parts,
  };
}
