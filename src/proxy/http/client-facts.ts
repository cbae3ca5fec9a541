// Who sent a request, as far as the endpoint is told, and what the client is told for how it came.
import { formatHostPort } from '../../base/host-text.ts';
import type { LiveListener } from '../listener.ts';
import type { Wire } from '../network.ts';
import type { HeaderPolicy } from './header-policy.ts';

export interface ClientFacts {
  /** Which may trust the client, or not. */
  readonly policy: HeaderPolicy;
  readonly address: string;
  readonly localPort: number;
  readonly scheme: 'http' | 'https';
  /** X-Forwarded-For, -Proto and -Port as they are for everyone but a trusted proxy. */
  readonly lines: string;
  /** What its certificate says of it; '' where it has none. */
  readonly certificateLines: string;
  /** Strict-Transport-Security for its responses, one line with its CRLF, or ''. */
  readonly hstsLine: string;
  /** A proxy of ours in front: what it says of its client is believed and extended. */
  readonly isTrusted: boolean;
  /** The connection itself, for what is seldom asked. */
  readonly wire: Wire;
}

/** The facts of the client that came in by `wire`, for this policy: `known`, where those are. */
export function clientFacts(
  known: ClientFacts | null,
  wire: Wire,
  listener: LiveListener,
  policy: HeaderPolicy,
): ClientFacts {
  if (known?.policy === policy) return known;
  const { localPort, tls } = wire;
  const address = known?.address ?? wire.remoteAddress;
  const scheme = tls === null ? 'http' : 'https';
  const lines =
    `X-Forwarded-For: ${shownAddress(address)}\r\n` +
    `X-Forwarded-Proto: ${scheme}\r\n${portLine(localPort)}`;
  const peer = tls?.peer ?? null;
  const certificateLines =
    peer === null
      ? ''
      : `X-Client-Cert-Subject: ${peer.subject}\r\nX-Client-Cert-Fingerprint: ${peer.fingerprint}\r\n`;
  const hstsLine = tls === null ? '' : listener.hstsLine;
  const isTrusted = policy.isTrusted(address);
  return { policy, address, localPort, scheme, lines, certificateLines, hstsLine, isTrusted, wire };
}

/** The client's address for X-Forwarded-For and Forwarded: by a unix socket it has none (RFC 7239 section 6.2). */
export function shownAddress(address: string): string {
  return address === '' ? 'unknown' : address;
}

/** X-Forwarded-Port for the port that the client connected to; '' for a unix socket, which has none. */
export function portLine(port: number): string {
  return port === 0 ? '' : `X-Forwarded-Port: ${port}\r\n`;
}

/** Where the client has connected to, as a Host says it. */
export function authorityOf({ wire }: ClientFacts): string {
  const { destination } = wire;
  if (destination === null) return 'localhost';
  return formatHostPort(destination.address, destination.port);
}
