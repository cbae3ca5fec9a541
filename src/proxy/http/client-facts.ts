// Who sent a request, as far as the endpoint is told.
import type { HeaderPolicy } from './header-policy.ts';

export interface ClientFacts {
  readonly address: string;
  readonly localPort: number;
  /** X-Forwarded-For, -Proto and -Port as they are for everyone but a trusted proxy. */
  readonly lines: string;
  /** A proxy of ours in front: what it says of its client is believed and extended. */
  readonly isTrusted: boolean;
}

/** The facts of a client that came in by `localPort` from `address`, which a service's policy may trust. */
export function clientFacts(address: string, localPort: number, policy: HeaderPolicy): ClientFacts {
  const lines =
    `X-Forwarded-For: ${address === '' ? 'unknown' : address}\r\n` +
    `X-Forwarded-Proto: http\r\nX-Forwarded-Port: ${localPort}\r\n`;
  return { address, localPort, lines, isTrusted: policy.isTrusted(address) };
}
