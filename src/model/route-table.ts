// Routes by host and path, so that finding one among thousands costs a few look-ups. It finds exactly
// what matchRoute finds in the same list.
import { matchRoute, type Route } from './route.ts';

/** Up to so many are compared one by one: that is quicker, and most routers have no more. */
const FEW = 16;

/** Routes of one host pattern by their path; values are their places in the list. */
class Paths {
  private readonly places = new Map<string, number>();
  private readonly longest: number;
  /** The first route for any path; Infinity for none. */
  private readonly any: number;

  constructor(routes: readonly Route[], members: readonly number[]) {
    let [any, longest] = [Number.POSITIVE_INFINITY, 0];
    for (const place of members) {
      const { path } = routes[place]!;
      if (path === '' || path === '/') any = Math.min(any, place);
      else if (!this.places.has(path)) this.places.set(path, place);
      longest = Math.max(longest, path.length);
    }
    this.any = any;
    this.longest = longest;
  }

  /** The first that matches: prefixes end where a segment does, or with a slash of their own. */
  find(path: string): number {
    const { places, longest } = this;
    let first = this.any;
    if (places.size === 0) return first;
    const look = (prefix: string): void => {
      const place = places.get(prefix);
      if (place !== undefined && place < first) first = place;
    };
    for (let at = path.indexOf('/', 1); at > 0 && at <= longest; at = path.indexOf('/', at + 1)) {
      look(path.slice(0, at));
      look(path.slice(0, at + 1));
    }
    look(path);
    return first;
  }
}

export class RouteTable {
  private readonly routes: readonly Route[];
  private readonly exact = new Map<string, Paths>();
  /** By what follows the asterisk. */
  private readonly wildcards = new Map<string, Paths>();
  private readonly any: Paths | null = null;

  constructor(routes: readonly Route[]) {
    this.routes = routes;
    if (routes.length <= FEW) return;
    const hosts = Map.groupBy(routes.keys(), (place) => routes[place]!.host);
    for (const [host, places] of hosts) {
      const paths = new Paths(routes, places);
      if (host === '') this.any = paths;
      else if (host.startsWith('*.')) this.wildcards.set(host.slice(1), paths);
      else this.exact.set(host, paths);
    }
  }

  /** As matchRoute: the first for this lower-case host without port and normalised path, or null. */
  match(host: string, path: string): Route | null {
    if (this.routes.length <= FEW) return matchRoute(this.routes, host, path);
    let first = Math.min(
      this.exact.get(host)?.find(path) ?? Number.POSITIVE_INFINITY,
      this.any?.find(path) ?? Number.POSITIVE_INFINITY,
    );
    if (this.wildcards.size > 0) {
      // An asterisk stands for one character at least.
      for (let dot = host.indexOf('.', 1); dot > 0; dot = host.indexOf('.', dot + 1)) {
        const place = this.wildcards.get(host.slice(dot))?.find(path);
        if (place !== undefined && place < first) first = place;
      }
    }
    return this.routes[first] ?? null;
  }
}
