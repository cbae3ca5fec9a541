// Who sent a request, as far as the endpoint is told, and what the client is told for how it came.
import type { TlsFacts } from '../network.ts';
import type { HeaderPolicy } from './header-policy.ts';

export interface ClientFacts {
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
}

/** A connection as it came in. */
export interface ClientOrigin {
  readonly address: string;
  readonly localPort: number;
  /** Null without TLS. */
  readonly tls: TlsFacts | null;
  /** The listener's, for responses over TLS. */
  readonly hstsLine: string;
}

/** The facts of a client, which a service's policy may trust. */
export function clientFacts(origin: ClientOrigin, policy: HeaderPolicy): ClientFacts {
  const { address, localPort, tls } = origin;
  const scheme = tls === null ? 'http' : 'https';
  const lines =
    `X-Forwarded-For: ${address === '' ? 'unknown' : address}\r\n` +
    `X-Forwarded-Proto: ${scheme}\r\nX-Forwarded-Port: ${localPort}\r\n`;
  const peer = tls?.peer ?? null;
  const certificateLines =
    peer === null
      ? ''
      : `X-Client-Cert-Subject: ${peer.subject}\r\nX-Client-Cert-Fingerprint: ${peer.fingerprint}\r\n`;
  const hstsLine = tls === null ? '' : origin.hstsLine;
  const isTrusted = policy.isTrusted(address);
  return { address, localPort, scheme, lines, certificateLines, hstsLine, isTrusted };
}
