// Certificates and keys as workers use them. They go to workers by a message of their own, and stand
// in no snapshot, state file, event or answer of the API.
import type { AcmeStatus } from './acme.ts';
import type { ListenTls } from './listener.ts';
import type { UpstreamTls } from './service.ts';

/** One certificate with its key. */
export interface TlsCertificate {
  /** Names that it is for, lower case; `*.example.com` stands for one label. */
  readonly names: readonly string[];
  /** The chain, its own first (PEM). */
  readonly chain: string;
  /** PEM. */
  readonly privateKey: string;
}

/** What the listeners with one and the same ListenTls have. */
export interface TlsMaterial {
  /** materialKey of the ListenTls. */
  readonly key: string;
  /** The first is the default. */
  readonly certificates: readonly TlsCertificate[];
  readonly minVersion: ListenTls['minVersion'];
  readonly clientAuth: ListenTls['clientAuth'];
  /** Who may issue certificates of clients (PEM); '' where they are not asked. */
  readonly clientCa: string;
  /** Seals session tickets, for all workers; TICKET_KEY_BYTES long. */
  readonly ticketKey: Uint8Array;
}

/** A certificate as the stats port tells of it. */
export interface CertificateStatus {
  readonly file: string;
  /** Empty where none could be read. */
  readonly names: readonly string[];
  /** ms since the epoch; null where none could be read. */
  readonly untilMs: number | null;
  readonly fingerprint: string;
  /** Why what lies there now is not in use, or should not be; ''. */
  readonly problem: string;
  /** Where it is ordered from a certificate authority. */
  readonly acme?: AcmeStatus;
}

/** Files of UpstreamTls, read. */
export interface UpstreamMaterial {
  /** upstreamKey of the UpstreamTls. */
  readonly key: string;
  /** PEM; null: the public CAs; '': the file could not be read, and nobody is trusted. */
  readonly ca: string | null;
  /** PEM; '' for none. */
  readonly cert: string;
  readonly privateKey: string;
}

/** The same text for the same files. */
export function upstreamKey({ caFile, certFile, keyFile }: UpstreamTls): string {
  return JSON.stringify([caFile, certFile, keyFile]);
}

/** Name, HMAC key and AES key, as OpenSSL takes them. */
export const TICKET_KEY_BYTES = 48;

/** The same text for settings that are the same. */
export function materialKey(tls: ListenTls): string {
  return JSON.stringify([tls.certificates, tls.minVersion, tls.clientAuth, tls.clientCaFile]);
}

/** The certificate for the name that a client asks for ('': none): exact, by wildcard, the default. */
export function certificateFor(
  certificates: readonly TlsCertificate[],
  serverName: string,
): TlsCertificate | null {
  const name = serverName.toLowerCase().replace(/\.$/, '');
  const dot = name.indexOf('.');
  const wildcard = dot > 0 ? `*${name.slice(dot)}` : '';
  return (
    certificates.find(({ names }) => names.includes(name)) ??
    certificates.find(({ names }) => wildcard !== '' && names.includes(wildcard)) ??
    certificates[0] ??
    null
  );
}
