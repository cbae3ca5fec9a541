// Which service answers for a host and path. Routes are tried in the order they were given: control
// puts the most specific first. Matching works on a normalised copy of the path, so that an encoded
// slash or dot segment can't pass a rule and mean another path behind it; what is forwarded is what
// was received.
import type { Route } from '../model/route.ts';
import { RouteTable } from '../model/route-table.ts';

export class Router {
  private readonly table: RouteTable;

  constructor(routes: readonly Route[]) {
    this.table = new RouteTable(routes);
  }

  /**
   * The first route for this Host value and request path (without query), or null. A path that
   * can't be normalised without a doubt matches nothing.
   */
  match(host: string, path: string): Route | null {
    const normal = normalisePath(path);
    return normal === null ? null : this.table.match(hostName(host), normal);
  }
}

/** The host without its port, lower case, without a trailing dot. */
export function hostName(host: string): string {
  const end = host.startsWith('[') ? host.indexOf(']') + 1 : host.indexOf(':');
  const name = (end > 0 ? host.slice(0, end) : host).toLowerCase();
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

/**
 * The path as an endpoint would understand it: percent-encoding of unreserved characters undone,
 * empty and dot segments resolved (RFC 3986 section 6.2). Null where two readers could differ: an
 * encoded slash, backslash, dot segment or NUL, or a broken escape.
 */
export function normalisePath(path: string): string | null {
  if (!path.includes('%') && !path.includes('//') && !path.includes('/.') && !path.includes('\\')) {
    return path;
  }
  const segments: string[] = [];
  for (const segment of path.split('/').slice(1)) {
    const plain = decodeSegment(segment);
    if (plain === null) return null;
    if (plain === '..') segments.pop();
    else if (plain !== '.' && plain !== '') segments.push(plain);
  }
  const isFolder = /\/\.{0,2}$/.test(path);
  return `/${segments.join('/')}${isFolder && segments.length > 0 ? '/' : ''}`;
}

function decodeSegment(segment: string): string | null {
  if (segment.includes('\\')) return null;
  if (!segment.includes('%')) return segment;
  const plain = segment.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  const isBroken = /%(?![0-9A-Fa-f]{2})/.test(segment);
  const isAmbiguous = /[/\\\0]/.test(plain) || /^\.{1,2}$/.test(plain);
  return isBroken || isAmbiguous ? null : plain;
}
