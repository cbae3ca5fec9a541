// What a field of HTTP/2 is, judged once: a pseudo-field, one that HTTP/2 does not have, or one that
// goes on (RFC 9113 sections 8.2 and 8.3).
import { HTAB, SP, TOKEN_LOWER, VALUE } from '../http1/chars.ts';
import { FieldId, LOOKALIKE, lookUp } from '../http1/fields.ts';

export const Kind = {
  /** Goes on as it is. */
  plain: 0,
  host: 1,
  cookie: 2,
  contentLength: 3,
  method: 4,
  scheme: 5,
  authority: 6,
  path: 7,
  status: 8,
  protocol: 9,
  /** A pseudo-field that nobody has defined, or of which the value is malformed. */
  badPseudo: 10,
  /** A name with capitals or what is no token, or a value with bytes that may not stand there. */
  malformed: 11,
  /** What belongs to a connection of HTTP/1.1 (section 8.2.2). */
  connectionSpecific: 12,
} as const;

/** Where a field lies in a buffer; its value ends at `end`. */
export interface FieldPlace {
  readonly start: number;
  readonly nameEnd: number;
  readonly valueStart: number;
  readonly end: number;
}

const COLON = 58;
const PSEUDO: Readonly<Record<string, number>> = {
  ':method': Kind.method,
  ':scheme': Kind.scheme,
  ':authority': Kind.authority,
  ':path': Kind.path,
  ':status': Kind.status,
  ':protocol': Kind.protocol,
};

/** One of `Kind`. */
export function classify(bytes: Buffer, place: FieldPlace): number {
  const { start, nameEnd, valueStart, end } = place;
  if (!isValue(bytes, valueStart, end)) return Kind.malformed;
  if (nameEnd > start && bytes[start] === COLON) {
    return PSEUDO[bytes.toString('latin1', start, nameEnd)] ?? Kind.badPseudo;
  }
  if (!isLowerToken(bytes, start, nameEnd)) return Kind.malformed;
  switch (lookUp(bytes, start, nameEnd)) {
    case 0:
    case LOOKALIKE:
      return Kind.plain;
    case FieldId.host:
      return Kind.host;
    case FieldId.cookie:
      return Kind.cookie;
    case FieldId['content-length']:
      return Kind.contentLength;
    case FieldId.connection:
    case FieldId['transfer-encoding']:
    case FieldId.upgrade:
    case FieldId['keep-alive']:
    case FieldId['proxy-connection']:
      return Kind.connectionSpecific;
    case FieldId.te:
      return isTrailers(bytes, valueStart, end) ? Kind.plain : Kind.connectionSpecific;
    default:
      return Kind.plain;
  }
}

/** Section 8.2.2: TE may say this and nothing else. */
function isTrailers(bytes: Buffer, start: number, end: number): boolean {
  return bytes.toString('latin1', start, end) === 'trailers';
}

// Section 8.2.1: a token without capitals.
function isLowerToken(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    if (TOKEN_LOWER[bytes[at]!] !== bytes[at]) return false;
  }
  return end > start;
}

// Section 8.2.1, and of RFC 9110 section 5.5 all controls but HTAB: no NUL, CR or LF anywhere, and no
// white space at either end.
function isValue(bytes: Buffer, start: number, end: number): boolean {
  if (start === end) return true;
  for (let at = start; at < end; at += 1) {
    if (VALUE[bytes[at]!] === 0) return false;
  }
  return !isBlank(bytes[start]!) && !isBlank(bytes[end - 1]!);
}

function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}
