// Certificates by ACME (RFC 8555): what is ordered where, and how the CA may convince itself that a
// name is ours.

/** One certificate that is ordered and renewed. */
export interface AcmeSettings {
  /** URL of the CA's directory. */
  readonly directory: string;
  /** Where the CA writes to; '' for nowhere. */
  readonly email: string;
  /** The names of the certificate, lower case; the first one names its file. */
  readonly domains: readonly string[];
  /** The folder with account, certificates and lock. */
  readonly dir: string;
  readonly challenge: 'auto' | ChallengeType;
  /** CA certificates for the directory itself (PEM); '': the public ones. */
  readonly caFile: string;
  /** External account binding (section 7.3.4); null for none. */
  readonly binding: { readonly keyId: string; readonly keyFile: string } | null;
  /** The URL of the only terms of service that are agreed to; '': those that the CA names. */
  readonly terms: string;
}

export type ChallengeType = 'http-01' | 'tls-alpn-01';

/** A question of the CA that listeners answer for now. */
export type Challenge =
  | {
      readonly type: 'http-01';
      readonly domain: string;
      readonly token: string;
      /** The key authorization: what is answered. */
      readonly answer: string;
    }
  | {
      readonly type: 'tls-alpn-01';
      readonly domain: string;
      /** Self-signed, with the key authorization in it (PEM). */
      readonly chain: string;
      readonly privateKey: string;
    };

/** What listeners are to know of the names whose certificates are ordered. */
export interface ChallengeTable {
  /** Nobody else answers HTTP-01 for these. */
  readonly domains: readonly string[];
  readonly challenges: readonly Challenge[];
}

/** Before the token in the path of an HTTP-01 challenge (RFC 8555 section 8.3). */
export const CHALLENGE_PATH = '/.well-known/acme-challenge/';
/** The protocol that a TLS-ALPN-01 challenge is made by (RFC 8737 section 6.2). */
export const CHALLENGE_PROTOCOL = 'acme-tls/1';
/** base64url of 128 bits or more (RFC 8555 section 8). */
export const TOKEN_PATTERN = /^[A-Za-z0-9_-]{1,512}$/;

/** What becomes of an ordered certificate, for the stats port. */
export interface AcmeStatus {
  readonly directory: string;
  readonly domains: readonly string[];
  /**
   * `valid`: nothing to do until `nextMs`; `ordering`: an order is under way; `waiting`: for the next
   * attempt, at `nextMs`; `elsewhere`: another process has the lock and orders.
   */
  readonly state: 'valid' | 'ordering' | 'waiting' | 'elsewhere';
  /** When a certificate was last received by this process, ms since the epoch; null: none was. */
  readonly renewedMs: number | null;
  /** When it is looked after next, ms since the epoch. */
  readonly nextMs: number;
  readonly renewals: number;
  readonly failures: number;
  /** Why the last attempt failed; '' where it did not. */
  readonly error: string;
}
