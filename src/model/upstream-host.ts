// The names of an endpoint: what it gets as Host, and what a TLS handshake asks it for. Traffic and
// checks use the same ones.
import { formatHost, formatHostPort } from '../base/host-text.ts';
import type { UpstreamPolicy } from './service.ts';

/** Who is spoken to. */
export interface Named {
  readonly address: string;
  readonly port: number;
  /** The host name that was registered in place of the address. */
  readonly hostName?: string;
}

/** The Host of an endpoint: its name, or its address, with a port that is not the usual one. */
export function hostOf({ address, hostName, port }: Named, isTls: boolean): string {
  const host = hostName ?? address;
  return port === (isTls ? 443 : 80) ? formatHost(host) : formatHostPort(host, port);
}

/** The Host that `upstream.host` gives to all endpoints; '' where it gives none. */
export function givenHost(host: UpstreamPolicy['host']): string {
  return typeof host === 'string' ? '' : host.name;
}

/** The name that a handshake asks for in the place of the endpoint's own; '' for that one. */
export function givenServerName({ host, tls }: Pick<UpstreamPolicy, 'host' | 'tls'>): string {
  if (tls !== null && tls.serverName !== '') return tls.serverName;
  return givenHost(host).replace(/:\d+$/, '');
}
