// Which trailer fields go on (RFC 9110 section 6.5.1). A trailer section is rare and bounded, so
// names are compared as text here.
import { COLON, NAME_FOLDED } from './chars.ts';

/**
 * What a recipient may act on before the body, or merge into the head: framing, routing, request
 * modifiers, authentication, response control and the description of the content. None of it may
 * come after the body, when every decision by the head has been made.
 */
const FORBIDDEN = new Set([
  // Framing and what belongs to the connection
  'transfer-encoding',
  'content-length',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'http2-settings',
  // Routing, and who the client is
  'host',
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-real-ip',
  'x-request-id',
  // Request modifiers
  'cache-control',
  'expect',
  'max-forwards',
  'pragma',
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  // Authentication
  'authorization',
  'proxy-authorization',
  'www-authenticate',
  'proxy-authenticate',
  'cookie',
  'set-cookie',
  // Response control
  'age',
  'date',
  'expires',
  'location',
  'retry-after',
  'vary',
  // The content
  'content-encoding',
  'content-range',
  'content-type',
]);

/** What becomes of a trailer line. */
export type TrailerFate = 'kept' | 'dropped' | 'malformed';

/** Judges the line bytes[start,end), without its CRLF; its value bytes are known to be allowed. */
export function trailerFate(bytes: Buffer, start: number, end: number): TrailerFate {
  let at = start;
  while (at < end && NAME_FOLDED[bytes[at]!] !== 0) at += 1;
  if (at === start || at >= end || bytes[at] !== COLON) return 'malformed';
  const name = bytes.toString('latin1', start, at).toLowerCase().replaceAll('_', '-');
  return FORBIDDEN.has(name) ? 'dropped' : 'kept';
}
