// uri-host [ ":" port ] (RFC 9110 section 7.2, RFC 3986 section 3.2.2), without userinfo.
import { COLON, HEX, HOST_NAME } from './chars.ts';

const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const PERCENT = 37;
const DOT = 46;
const PORT_MAX = 65535;

/** Whether bytes[start,end) are a host with an optional port; an empty host is none. */
export function isHost(bytes: Uint8Array, start: number, end: number): boolean {
  if (start >= end) return false;
  const hostEnd =
    bytes[start] === OPEN_BRACKET ? literalEnd(bytes, start, end) : nameEnd(bytes, start, end);
  if (hostEnd <= start) return false;
  if (hostEnd === end) return true;
  return bytes[hostEnd] === COLON && isPort(bytes, hostEnd + 1, end);
}

/** The offset after `[...]`, or -1. Only the characters are checked: no name comes of it. */
function literalEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start + 1;
  while (at < end && (HEX[bytes[at]!] !== 255 || bytes[at] === COLON || bytes[at] === DOT)) at += 1;
  return at > start + 1 && bytes[at] === CLOSE_BRACKET && at < end ? at + 1 : -1;
}

/** The offset after the name, or -1 where a percent sign does not begin two hexadecimal digits. */
function nameEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && HOST_NAME[bytes[at]!] === 1) {
    if (bytes[at] === PERCENT) {
      if (at + 2 >= end || HEX[bytes[at + 1]!] === 255 || HEX[bytes[at + 2]!] === 255) return -1;
    }
    at += 1;
  }
  return at;
}

/** Digits up to 65535; none at all is allowed (RFC 3986: port = *DIGIT). */
function isPort(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > 5) return false;
  let port = 0;
  for (let at = start; at < end; at += 1) {
    const digit = bytes[at]! - 48;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port <= PORT_MAX;
}
