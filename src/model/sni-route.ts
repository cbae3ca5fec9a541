/** One rule of a router that passes TLS on: connections for this name go to this service. */
export interface SniRoute {
  /** Lower case; `*.example.com` matches one label or more; '*' any name, and none. '' is not TLS. */
  readonly sni: string;
  /** One of these must be offered by ALPN; empty: any. */
  readonly alpn: readonly string[];
  readonly service: string;
}

/** In order of precedence: exact names, longer wildcards, any name; with ALPN before without. */
export function sniRoutesInOrder(routes: readonly SniRoute[]): SniRoute[] {
  const rank = ({ sni }: SniRoute) => (sni === '*' ? 2 : sni.startsWith('*') ? 1 : 0);
  const anyLast = ({ alpn }: SniRoute) => (alpn.length === 0 ? 1 : 0);
  return [...routes].sort(
    (a, b) => rank(a) - rank(b) || b.sni.length - a.sni.length || anyLast(a) - anyLast(b),
  );
}

/** The first of `routes` for what a TLS client asked for, or null. */
export function matchSni(
  routes: readonly SniRoute[],
  { serverName, protocols }: { readonly serverName: string; readonly protocols: readonly string[] },
): SniRoute | null {
  const isMatch = ({ sni, alpn }: SniRoute): boolean => {
    if (sni === '' || (alpn.length > 0 && !alpn.some((one) => protocols.includes(one))))
      return false;
    if (sni === '*' || sni === serverName) return true;
    return (
      sni.startsWith('*.') && serverName.endsWith(sni.slice(1)) && serverName.length >= sni.length
    );
  };
  return routes.find(isMatch) ?? null;
}

/** Where connections go that are not TLS, or null. */
export function plainRoute(routes: readonly SniRoute[]): SniRoute | null {
  return routes.find(({ sni }) => sni === '') ?? null;
}
