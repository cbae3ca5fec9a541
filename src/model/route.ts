/** One rule of a router: requests for this host and path go to this service. */
export interface Route {
  /** Lower case; `*.example.com` matches one label or more; '' matches any host. */
  readonly host: string;
  /** Path prefix, matched at segment borders; `/` matches any path. */
  readonly path: string;
  readonly service: string;
  /** Prefix taken off the path before it is forwarded; '' for none. */
  readonly stripPrefix: string;
  /** Prefix put before the path; '' for none. */
  readonly addPrefix: string;
  /** Host sent to the endpoint: a name, `endpoint` or `client`, as `upstream.host`; '' leaves it to that. */
  readonly rewriteHost: string;
  /** When set, the request is answered with this redirect instead. */
  readonly redirect: Redirect | null;
}

export interface Redirect {
  readonly status: number;
  /** Where to, with variables: see RedirectValues. */
  readonly location: string;
}

/** What the variables of a redirect's location stand for, by name. */
export interface RedirectValues {
  /** The host that was asked for, without its port. */
  readonly host: string;
  /** The path as it was received, without the query. */
  readonly path: string;
  /** Path and query as they were received. */
  readonly request_uri: string;
}

/** Names of the variables, as in `$host`. */
export const REDIRECT_VARIABLES: readonly (keyof RedirectValues)[] = [
  'host',
  'path',
  'request_uri',
];

/** The location with its variables replaced; `$$` is a dollar sign. */
export function expandLocation(location: string, values: RedirectValues): string {
  if (!location.includes('$')) return location;
  return location.replace(/\$(?:\$|([a-z_]+))/g, (whole, name: string | undefined, at: number) => {
    if (name === undefined) return '$';
    const isKnown = (REDIRECT_VARIABLES as readonly string[]).includes(name);
    // Checked by the configuration: the name is one of RedirectValues.
    const value = isKnown ? values[name as keyof RedirectValues] : whole;
    // At the start, two slashes would name another host.
    return at === 0 ? value.replace(/^[/\\]+/, '/') : value;
  });
}

/** In order of precedence: exact hosts before wildcards before any host; longer paths first. */
export function routesInOrder(routes: readonly Route[]): Route[] {
  const rank = (route: Route) => (route.host === '' ? 2 : route.host.startsWith('*') ? 1 : 0);
  return [...routes].sort(
    (a, b) => rank(a) - rank(b) || b.host.length - a.host.length || b.path.length - a.path.length,
  );
}

/** The first of `routes` for this lower-case host without port and this normalised path, or null. */
export function matchRoute(routes: readonly Route[], host: string, path: string): Route | null {
  for (const route of routes) {
    if (matchesHost(route.host, host) && matchesPath(route.path, path)) return route;
  }
  return null;
}

function matchesHost(pattern: string, name: string): boolean {
  if (pattern === '' || pattern === name) return true;
  return (
    pattern.startsWith('*.') && name.endsWith(pattern.slice(1)) && name.length >= pattern.length
  );
}

/** Prefixes match whole segments: /api is /api and /api/x, not /apix. */
function matchesPath(prefix: string, path: string): boolean {
  if (prefix === '/' || prefix === '') return true;
  if (!path.startsWith(prefix)) return false;
  return prefix.endsWith('/') || path.length === prefix.length || path[prefix.length] === '/';
}
