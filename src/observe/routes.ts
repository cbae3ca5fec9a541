// What is served on which path of the stats port, by which methods.
import type { Asset } from './page.ts';
import type { StatsPort } from './port.ts';
import { type Call, sendAsset, sendError } from './reply.ts';

interface Route {
  readonly method: 'GET' | 'POST';
  /** A health check: open to everyone, and served from the places that are kept back. */
  readonly isCheck?: true;
  readonly run: (port: StatsPort, call: Call, names: readonly string[]) => Promise<void> | void;
}

const get = (run: Route['run']): Route => ({ method: 'GET', run });
const check = (run: Route['run']): Route => ({ method: 'GET', isCheck: true, run });

const exact: Readonly<Record<string, Route>> = {
  '/': get((port, call) => port.redirect(call)),
  '/stats': get((port, call) => port.page(call)),
  '/stats/live': get((port, call) => port.live(call)),
  '/metrics': get((port, call) => port.metrics(call)),
  '/healthz': check((port, call) => port.health(call)),
  '/livez': check((port, call) => port.health(call)),
  '/readyz': check((port, call) => port.ready(call)),
  '/api/v1/status': get((port, call) => port.status(call)),
  '/api/v1/takeover': get((port, call) => port.succession.show(call)),
  '/api/v1/services': get((port, call) => port.services(call)),
  '/api/v1/events': get((port, call) => port.events(call)),
};

const posts: Readonly<Record<string, Route>> = {
  '/api/v1/takeover': { method: 'POST', run: (port, call) => port.succession.wait(call) },
};

const patterns: readonly (readonly [RegExp, Route])[] = [
  [/^\/api\/v1\/services\/([^/]+)$/, get((port, call, names) => port.service(call, names))],
  [
    /^\/api\/v1\/services\/([^/]+)\/endpoints\/([^/]+)\/(drain|ready|maint|weight)$/,
    { method: 'POST', run: (port, call, names) => port.change(call, names) },
  ],
];

const NO_PLACE = { status: 503, error: 'all connections of the stats port are in use' } as const;
/** A browser then asks for a password: the token. */
const ASK_FOR_TOKEN = 'Basic realm="upriver", charset="UTF-8"';

/** HAProxy's addresses of its page; `;csv` after any of them is the CSV. */
const haproxyPages = new Set(['/', '/stats', '/haproxy', '/haproxy?stats', '/haproxy_stats']);
const csv = get((port, call) => port.csv(call));
const page = get((port, call) => port.page(call));

/** Answers the request; rejects where the answer could not be made. */
export async function serve(
  port: StatsPort,
  assets: ReadonlyMap<string, Asset>,
  call: Call,
): Promise<void> {
  const { path, request } = call;
  const asset = assets.get(path);
  const found = asset === undefined ? routeOf(call) : { route: assetRoute(asset), names: [] };
  const why = mayNot(port, call, found?.route ?? null);
  if (why !== null) {
    if (why.status === 401) call.response.setHeader('www-authenticate', ASK_FOR_TOKEN);
    return sendError(call, why.status, why.error);
  }
  if (found === null) return sendError(call, 404, `nothing is served on ${path}`);
  if (found.names === null)
    return sendError(call, 400, `${path} is not escaped as a path should be`);
  const { route, names } = found;
  const { method } = request;
  if (method !== route.method && !(method === 'HEAD' && route.method === 'GET')) {
    call.response.setHeader('allow', route.method === 'GET' ? 'GET, HEAD' : route.method);
    return sendError(call, 405, `method ${method} is not served on ${path}`);
  }
  const untrusted = route.isCheck === true ? null : await port.viaOurselves(call);
  if (untrusted !== null) return sendError(call, untrusted.status, untrusted.error);
  return route.run(port, call, names);
}

/** Why this call is not served to whom it comes from, or null. */
function mayNot(port: StatsPort, { request, connection }: Call, route: Route | null) {
  if (route?.isCheck === true) return null;
  if (connection.isReserved && !connection.isLocal) return NO_PLACE;
  // Who may change something is asked there.
  return route?.method === 'POST' ? null : port.readRefusal(request);
}

/** Takes the request apart. */
export function callOf(parts: Omit<Call, 'request' | 'path' | 'query'>): Call {
  const { req: request } = parts.response;
  // A proxy may send the absolute form (RFC 9112 section 3.2.2).
  const target = (request.url ?? '/').replace(/^https?:\/\/[^/?]*/, '') || '/';
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1));
  return { ...parts, request, path, query };
}

function assetRoute(asset: Asset): Route {
  return get((_, call) => sendAsset(call, asset));
}

interface Found {
  readonly route: Route;
  /** The unescaped names in the path; null where they can't be unescaped. */
  readonly names: readonly string[] | null;
}

function routeOf({ path, request }: Call): Found | null {
  if (request.method === 'POST' && Object.hasOwn(posts, path)) {
    return { route: posts[path]!, names: [] };
  }
  if (Object.hasOwn(exact, path)) return { route: exact[path]!, names: [] };
  for (const [pattern, route] of patterns) {
    const match = pattern.exec(path);
    if (match !== null) return { route, names: unescaped(match.slice(1)) };
  }
  const [place = '', ...options] = (request.url ?? '').split(';');
  if (!haproxyPages.has(place)) return null;
  return { route: options.includes('csv') ? csv : page, names: [] };
}

function unescaped(names: readonly string[]): string[] | null {
  try {
    return names.map(decodeURIComponent);
  } catch {
    return null;
  }
}
