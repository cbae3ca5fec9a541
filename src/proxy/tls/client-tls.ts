// TLS to one endpoint, worked out of its service's settings and the files that they name.
import type { EffectiveEndpoint } from '../../model/endpoint.ts';
import type { SendProxy, UpstreamPolicy } from '../../model/service.ts';
import { type UpstreamMaterial, upstreamKey } from '../../model/tls.ts';
import { givenServerName } from '../../model/upstream-host.ts';
import type { ClientTls } from '../network.ts';

const HTTP1: readonly string[] = ['http/1.1'];
const HTTP2: readonly string[] = ['h2'];
const EITHER: readonly string[] = ['h2', 'http/1.1'];

/** The public CAs, where no file is named. */
const PUBLIC: UpstreamMaterial = { key: '', ca: null, cert: '', privateKey: '' };
/** Until the files are read nobody is trusted. */
const UNREAD: UpstreamMaterial = { key: '', ca: '', cert: '', privateKey: '' };

/** Null where endpoints are spoken to in plain. */
export function clientTls(
  upstream: UpstreamPolicy,
  { address, hostName = '' }: EffectiveEndpoint,
  materials: ReadonlyMap<string, UpstreamMaterial>,
): ClientTls | null {
  const { tls, protocol, sendProxy } = upstream;
  if (tls === null) return null;
  const hasFiles = tls.caFile !== '' || tls.certFile !== '';
  return {
    material: materials.get(upstreamKey(tls)) ?? (hasFiles ? UNREAD : PUBLIC),
    serverName: givenServerName(upstream) || hostName || address,
    verify: tls.verify,
    protocols: offered(protocol, sendProxy),
    session: null,
    sessionUntilMs: 0,
  };
}

/** By ALPN. A connection that speaks for one client is not shared, as those of HTTP/2 are. */
function offered(protocol: UpstreamPolicy['protocol'], sendProxy: SendProxy): readonly string[] {
  if (protocol === 'auto') return sendProxy === 'off' ? EITHER : HTTP1;
  return protocol === 'http1' ? HTTP1 : HTTP2;
}

/** TLS for what HTTP/2 does not have, where the endpoint has the choice; null where it has none. */
export function http1Alone(tls: ClientTls | null): ClientTls | null {
  return tls === null || tls.protocols !== EITHER
    ? null
    : { ...tls, protocols: HTTP1, session: null, sessionUntilMs: 0 };
}

/** Whether connections and sessions that were begun with `a` are as good for `b`. */
export function isSameTls(a: ClientTls | null, b: ClientTls | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.material === b.material &&
    a.serverName === b.serverName &&
    a.verify === b.verify &&
    a.protocols.join() === b.protocols.join()
  );
}
