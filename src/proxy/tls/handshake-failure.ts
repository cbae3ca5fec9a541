// Why TLS handshakes fail, told apart by the codes of OpenSSL, the system and our own wire.
import type { WorkerCounter } from '../../ledger/layout.ts';

export interface HandshakeFailure {
  /** The label of the metric. */
  readonly reason: string;
  readonly column: WorkerCounter;
}

const failure = (reason: string, column: WorkerCounter): HandshakeFailure => ({ reason, column });

const CLOSED = failure('closed', 'tlsClosed');
const PLAIN = failure('plain', 'tlsPlain');
const VERSION = failure('version', 'tlsVersion');
const CIPHER = failure('cipher', 'tlsCipher');
const PEER = failure('client-certificate', 'tlsPeer');
const REFUSED = failure('refused-by-client', 'tlsRefused');
const TIMEOUT = failure('timeout', 'tlsTimeout');
const MALFORMED = failure('malformed', 'tlsMalformed');

/** Each code, or what it contains; the first that fits. */
const rules: readonly (readonly [RegExp, HandshakeFailure])[] = [
  [/^$|^ECONNRESET$|^EPIPE$|^ERR_TLS_TRUNCATED$|SOCKET_CLOSED/, CLOSED],
  [/^ETIMEDOUT$|^ERR_TLS_CROWDED_OUT$/, TIMEOUT],
  [/HTTP_REQUEST|HTTPS_PROXY_REQUEST/, PLAIN],
  [/UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|PROTOCOL_VERSION|UNKNOWN_PROTOCOL/, VERSION],
  [/NO_SHARED_CIPHER|NO_SUITABLE|NO_SHARED_GROUP|NO_APPLICATION_PROTOCOL/, CIPHER],
  [/PEER_DID_NOT_RETURN|ERR_TLS_PEER_CERTIFICATE|CERTIFICATE_VERIFY_FAILED/, PEER],
  [/ALERT/, REFUSED],
];

/** `code`: of the error that closed the connection, '' where there was none. */
export function failureOf(code: string): HandshakeFailure {
  return rules.find(([pattern]) => pattern.test(code))?.[1] ?? MALFORMED;
}
