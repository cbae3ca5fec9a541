// What an engine of fake TLS is made of and what it tells: options, events, the alerts of RFC 8446 section 6 and the types
// of its messages.

export type TlsEvent =
  | { readonly kind: 'data'; readonly bytes: Buffer }
  /** A server has to `choose`, and says nothing before. */
  | { readonly kind: 'hello'; readonly serverName: string }
  | { readonly kind: 'established' }
  /** Of a client: it may resume by this. */
  | { readonly kind: 'ticket'; readonly ticket: Buffer }
  /** close_notify. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly error: NodeJS.ErrnoException };

export interface EngineOptions {
  readonly isServer: boolean;
  /** Names the connection: no other has it. */
  readonly random: number;
  /** Offered or taken by ALPN, the preferred first; empty leaves it out. */
  readonly protocols: readonly string[];
  /** The own chain; '' for none. A server may get it by `choose`. */
  readonly chain: string;
  /** Of a client. */
  readonly serverName?: string;
  /** A session that a `ticket` event gave. */
  readonly ticket?: Buffer | null;
  /** It knows nothing above TLS 1.2. */
  readonly isOld?: boolean;
  readonly isLarge?: boolean;
  /** The ClientHello lies in as many records. */
  readonly helloRecords?: number;
  /** Records of content are no longer. */
  readonly recordBytes?: number;
  /** Of a client: the alert that the server's chain deserves; 0: none. Without, all are taken. */
  readonly judge?: (chain: string) => number;
  /** Of a server: who reads its tickets, and what a session is good for; '' gives none. */
  readonly ticketKey?: string;
  /** Its tickets come before its Finished, as those of TLS 1.2. */
  readonly ticketsFirst?: boolean;
  readonly asksPeer?: boolean;
  readonly needsPeer?: boolean;
}

export const Alert = {
  closeNotify: 0,
  unexpected: 10,
  badMac: 20,
  overflow: 22,
  badCertificate: 42,
  unknownCa: 48,
  decode: 50,
  decrypt: 51,
  version: 70,
  internal: 80,
  certificateRequired: 116,
  noProtocol: 120,
} as const;

/** What OpenSSL says of an alert that came. */
export const CAME: Readonly<Record<number, string>> = {
  [Alert.unexpected]: 'ERR_SSL_SSL/TLS_ALERT_UNEXPECTED_MESSAGE',
  [Alert.badMac]: 'ERR_SSL_SSL/TLS_ALERT_BAD_RECORD_MAC',
  [Alert.badCertificate]: 'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE',
  [Alert.unknownCa]: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
  [Alert.version]: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
  [Alert.certificateRequired]: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
  [Alert.noProtocol]: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
};

export const Type = {
  hello: 1,
  serverHello: 2,
  ticket: 4,
  extensions: 8,
  certificate: 11,
  request: 13,
  verify: 15,
  keyExchange: 12,
  done: 14,
  clientKeyExchange: 16,
  finished: 20,
  keyUpdate: 24,
} as const;

/** The first byte of what a server says of its extensions; the protocol follows. */
export const RESUMED = 'r';
export const ANEW = 'n';
