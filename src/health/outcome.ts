// What a single check is about and how it went: the words that the kinds of checks share.

export interface CheckTarget {
  /** An IP address. */
  readonly address: string;
  readonly port: number;
  /** The host name that was registered in place of the address. */
  readonly hostName?: string;
}

/** What an endpoint says that it is, among those that copy each other. */
export type Role = 'primary' | 'replica';

export interface CheckOutcome {
  readonly isGood: boolean;
  /** Human-readable. */
  readonly text: string;
  /** Given where the check asks for it (`HealthCheck.wantsRole`). */
  readonly role?: Role;
}

/** Thrown by what speaks a protocol: the endpoint is not good, for this reason. */
export class CheckFailure extends Error {}

/** The outcome of a check that ended in this error. */
export function failed(error: unknown): CheckOutcome {
  // Node's own errors carry a code; what it says of them is for programmers.
  const { code, message } = error as NodeJS.ErrnoException;
  // This one names the names that the certificate is for.
  const known = code === 'ERR_TLS_CERT_ALTNAME_INVALID' ? message : TEXTS[code ?? ''];
  const text = known ?? code ?? message;
  return { isGood: false, text };
}

const TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'no route to network',
  ETIMEDOUT: 'connecting timed out',
  ERR_HTTP2_ERROR: 'no HTTP/2 is spoken there',
  ERR_HTTP2_STREAM_ERROR: 'HTTP/2 stream reset',
};
