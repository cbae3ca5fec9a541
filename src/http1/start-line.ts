// The first line of a message (RFC 9112 sections 3 and 4): single spaces, capitals, nothing else.
// Each function takes a whole line without its CRLF, writes what it found into the head and returns
// a fault, or '' for none.
import { equalsLower, isDigit, SP, TARGET, TOKEN_LOWER } from './chars.ts';
import { type Head, type HeadFault, Target } from './head.ts';
import { isHost } from './host.ts';

const SLASH = 47;
const ASTERISK = 42;
const QUESTION = 63;
const DIGIT_0 = 48;
/** HTTP/1.1 */
const VERSION_BYTES = 8;

/** method SP request-target SP HTTP-version; `targetBytesMax` bounds the target. */
export function readRequestLine(
  head: Head,
  start: number,
  end: number,
  targetBytesMax: number,
): HeadFault | '' {
  const { bytes } = head;
  let at = start;
  while (at < end && TOKEN_LOWER[bytes[at]!] !== 0) at += 1;
  if (at === start || at >= end || bytes[at] !== SP) return 'bad-request-line';
  head.method = methodOf(bytes, start, at);
  const targetStart = at + 1;
  at = targetStart;
  while (at < end && TARGET[bytes[at]!] === 1) at += 1;
  if (at - targetStart > targetBytesMax) return 'target-too-long';
  if (at === targetStart || at >= end || bytes[at] !== SP) return 'bad-request-line';
  head.targetStart = targetStart;
  head.targetEnd = at;
  // What does not even look like a version, or has something behind it, is no request line.
  if (end !== at + 1 + VERSION_BYTES || !isVersion(bytes, at + 1)) return 'bad-request-line';
  if (!readVersion(head, at + 1)) return 'bad-version';
  return readTargetForm(head);
}

/** HTTP-version SP 3DIGIT [ SP reason-phrase ]: many servers leave out the SP before no reason. */
export function readStatusLine(head: Head, start: number, end: number): HeadFault | '' {
  const { bytes } = head;
  const codeStart = start + VERSION_BYTES + 1;
  const codeEnd = codeStart + 3;
  if (end < codeEnd || !isVersion(bytes, start)) return 'bad-status-line';
  if (!readVersion(head, start)) return 'bad-version';
  const hundreds = bytes[codeStart]! - DIGIT_0;
  const tens = bytes[codeStart + 1]!;
  const units = bytes[codeStart + 2]!;
  const isWellFormed =
    bytes[codeStart - 1] === SP &&
    // RFC 9110 section 15: there are five classes.
    hundreds >= 1 &&
    hundreds <= 5 &&
    isDigit(tens) &&
    isDigit(units) &&
    (end === codeEnd || bytes[codeEnd] === SP);
  if (!isWellFormed) return 'bad-status-line';
  head.status = hundreds * 100 + (tens - DIGIT_0) * 10 + units - DIGIT_0;
  head.reasonStart = Math.min(end, codeEnd + 1);
  head.reasonEnd = end;
  return '';
}

/** HTTP/ DIGIT . DIGIT at `at`, where VERSION_BYTES bytes are. */
function isVersion(bytes: Buffer, at: number): boolean {
  return (
    bytes[at] === 72 &&
    bytes[at + 1] === 84 &&
    bytes[at + 2] === 84 &&
    bytes[at + 3] === 80 &&
    bytes[at + 4] === SLASH &&
    isDigit(bytes[at + 5]!) &&
    bytes[at + 6] === 46 &&
    isDigit(bytes[at + 7]!)
  );
}

/** False for another version than 1.0 and 1.1. */
function readVersion(head: Head, at: number): boolean {
  const minor = head.bytes[at + 7]! - DIGIT_0;
  if (head.bytes[at + 5] !== DIGIT_0 + 1 || minor > 1) return false;
  head.minorVersion = minor === 1 ? 1 : 0;
  return true;
}

// RFC 9112 section 3.2: two of the forms belong to one method each; absolute form names the host.
function readTargetForm(head: Head): HeadFault | '' {
  const { bytes, method, targetStart, targetEnd } = head;
  const first = bytes[targetStart]!;
  if (method === 'CONNECT') return readAuthorityForm(head);
  if (first === SLASH) return '';
  if (first === ASTERISK && targetEnd === targetStart + 1) {
    head.target = Target.asterisk;
    return method === 'OPTIONS' ? '' : 'bad-request-line';
  }
  const authorityStart = targetStart + schemeLength(bytes, targetStart, targetEnd);
  if (authorityStart === targetStart) return 'bad-request-line';
  let at = authorityStart;
  while (at < targetEnd && bytes[at] !== SLASH && bytes[at] !== QUESTION) at += 1;
  head.target = Target.absolute;
  head.authorityStart = authorityStart;
  head.authorityEnd = at;
  // An empty authority and userinfo are no host.
  return isHost(bytes, authorityStart, at) ? '' : 'bad-host';
}

/** host:port, both needed (RFC 9112 section 3.2.3). */
function readAuthorityForm(head: Head): HeadFault | '' {
  const { bytes, targetStart, targetEnd } = head;
  head.target = Target.authority;
  head.authorityStart = targetStart;
  head.authorityEnd = targetEnd;
  let at = targetEnd;
  while (at > targetStart && isDigit(bytes[at - 1]!)) at -= 1;
  const hasPort = at < targetEnd && at > targetStart && bytes[at - 1] === 58;
  return hasPort && isHost(bytes, targetStart, targetEnd) ? '' : 'bad-request-line';
}

/** The length of `http://` or `https://` at `start`, or 0. */
function schemeLength(bytes: Buffer, start: number, end: number): number {
  if (end - start > 7 && equalsLower(bytes, start, start + 7, 'http://')) return 7;
  return end - start > 8 && equalsLower(bytes, start, start + 8, 'https://') ? 8 : 0;
}

const METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT'];

/** The method as a string, which is made anew for uncommon ones alone. Methods have case. */
function methodOf(bytes: Buffer, start: number, end: number): string {
  for (const method of METHODS) {
    if (method.length !== end - start) continue;
    let i = 0;
    while (i < method.length && bytes[start + i] === method.charCodeAt(i)) i += 1;
    if (i === method.length) return method;
  }
  return bytes.toString('latin1', start, end);
}
