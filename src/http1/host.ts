// uri-host [ ":" port ] (RFC 9110 section 7.2, RFC 3986 section 3.2.2), without userinfo.
import { COLON, HEX, HOST_NAME, isDigit } from './chars.ts';

const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const PERCENT = 37;
const DOT = 46;
const PORT_MAX = 65535;
const NOT_HEX = 255;
/** 16-bit groups of an IPv6 address; a dotted IPv4 address at its end counts for two. */
const GROUPS = 8;

/** Whether bytes[start,end) are a host with an optional port; an empty host is none. */
export function isHost(bytes: Uint8Array, start: number, end: number): boolean {
  if (start >= end) return false;
  const hostEnd =
    bytes[start] === OPEN_BRACKET ? literalEnd(bytes, start, end) : nameEnd(bytes, start, end);
  if (hostEnd <= start) return false;
  if (hostEnd === end) return true;
  return bytes[hostEnd] === COLON && isPort(bytes, hostEnd + 1, end);
}

/** The offset after `[IPv6 address]`, or -1. Zones and the IPvFuture form are refused. */
function literalEnd(bytes: Uint8Array, start: number, end: number): number {
  let close = start + 1;
  while (close < end && bytes[close] !== CLOSE_BRACKET) close += 1;
  return close < end && isIpv6(bytes, start + 1, close) ? close + 1 : -1;
}

// RFC 4291 section 2.2: eight groups of one to four digits, of which one run may be left out as
// `::`, and of which the last two may be written as IPv4.
function isIpv6(bytes: Uint8Array, start: number, end: number): boolean {
  let groups = 0;
  let hasGap = bytes[start] === COLON && bytes[start + 1] === COLON;
  let at = hasGap ? start + 2 : start;
  if (at === end) return hasGap;
  for (;;) {
    const groupStart = at;
    while (at < end && HEX[bytes[at]!] !== NOT_HEX) at += 1;
    if (at < end && bytes[at] === DOT) {
      groups += 2;
      if (!isIpv4(bytes, groupStart, end)) return false;
      break;
    }
    if (at === groupStart || at - groupStart > 4) return false;
    groups += 1;
    if (at === end) break;
    if (bytes[at] !== COLON) return false;
    at += 1;
    if (bytes[at] === COLON && at < end) {
      if (hasGap) return false;
      hasGap = true;
      at += 1;
      if (at === end) break;
    }
  }
  return hasGap ? groups < GROUPS : groups === GROUPS;
}

function isIpv4(bytes: Uint8Array, start: number, end: number): boolean {
  let parts = 0;
  let at = start;
  while (parts < 4) {
    let part = 0;
    const partStart = at;
    while (at < end && isDigit(bytes[at]!) && at - partStart < 3) {
      part = part * 10 + bytes[at]! - 48;
      at += 1;
    }
    // A leading zero means octal to some.
    const hasZero = bytes[partStart] === 48 && at - partStart > 1;
    if (at === partStart || hasZero || part > 255) return false;
    parts += 1;
    if (at === end) return parts === 4;
    if (bytes[at] !== DOT) return false;
    at += 1;
  }
  return false;
}

/** The offset after the name, or -1 where a percent sign does not begin two hexadecimal digits. */
function nameEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && HOST_NAME[bytes[at]!] === 1) {
    if (bytes[at] === PERCENT && !isEscape(bytes, at, end)) return -1;
    at += 1;
  }
  return at;
}

function isEscape(bytes: Uint8Array, at: number, end: number): boolean {
  return at + 2 < end && HEX[bytes[at + 1]!] !== NOT_HEX && HEX[bytes[at + 2]!] !== NOT_HEX;
}

/** Digits up to 65535; none at all is allowed (RFC 3986: port = *DIGIT). */
function isPort(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > 5) return false;
  let port = 0;
  for (let at = start; at < end; at += 1) {
    if (!isDigit(bytes[at]!)) return false;
    port = port * 10 + bytes[at]! - 48;
  }
  return port <= PORT_MAX;
}
