// Why an endpoint could not be connected to, by the code of the error that closed the connection.
import { safeLine } from '../base/safe-text.ts';
import { type Reason, reason } from '../model/reason.ts';

const CONNECT_REFUSED = reason('connect-refused');
const CONNECT_FAILED = reason('connect-failed');
const TLS_UNTRUSTED = reason('tls-untrusted');
const TLS_WRONG_NAME = reason('tls-wrong-name');
const TLS_PLAIN = reason('tls-plain');
const TLS_REFUSED = reason('tls-refused');

/** `code`: of the system (`ECONNREFUSED`), or of OpenSSL and our verification (`ERR_...`). */
export function connectFailure(code: string): Reason {
  if (code === 'ECONNREFUSED') return CONNECT_REFUSED;
  if (!code.startsWith('ERR_')) return CONNECT_FAILED;
  if (code === 'ERR_TLS_UNTRUSTED') return TLS_UNTRUSTED;
  if (code === 'ERR_TLS_WRONG_NAME') return TLS_WRONG_NAME;
  // What OpenSSL says of bytes that are no TLS at all.
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/.test(code)) return TLS_PLAIN;
  return TLS_REFUSED;
}

const DETAIL_MAX = 300;

/** For the log: the code, and why a certificate is not believed. Names in a certificate are foreign text. */
export function connectDetail(error: NodeJS.ErrnoException | null): string {
  const code = error?.code ?? '';
  const isJudged = code === 'ERR_TLS_UNTRUSTED' || code === 'ERR_TLS_WRONG_NAME';
  return isJudged ? safeLine(error?.message ?? code, DETAIL_MAX) : code;
}
