// What a request's target and Host say for routing.
import { type Head, Target } from '../../http1/head.ts';
import { expandLocation } from '../../model/route.ts';
import { hostName, normalisePath } from '../router.ts';

const SLASH = 47;
const QUESTION = 63;
const HASH = 35;

/** Host and port: the authority of an absolute target wins (RFC 9112 section 3.2.2). */
export function hostOf(head: Head): string {
  if (head.target === Target.absolute) return head.text(head.authorityStart, head.authorityEnd);
  return head.hostStart < 0 ? '' : head.text(head.hostStart, head.hostEnd);
}

/** The path without its query, as received. */
export function pathOf(head: Head): string {
  const start = head.target === Target.absolute ? head.authorityEnd : head.targetStart;
  let end = start;
  while (end < head.targetEnd && !endsPath(head.bytes[end]!)) end += 1;
  return end === start ? '/' : head.text(start, end);
}

/**
 * A redirect's location with its variables replaced, safe for a field. Null where it wants the host
 * and the request has none, as an HTTP/1.0 one may.
 */
export function locationOf(head: Head, location: string): string | null {
  if (!location.includes('$')) return location;
  const host = hostName(hostOf(head));
  if (host === '' && location.includes('$host')) return null;
  const path = pathOf(head);
  const start = head.target === Target.absolute ? head.authorityEnd : head.targetStart;
  const rest = head.text(start, head.targetEnd);
  const isRooted = rest.startsWith('/');
  // `*`, and an absolute target without a path, ask for no path.
  const values = { host, path: isRooted ? path : '/', request_uri: isRooted ? rest : '/' };
  return expandLocation(location, values).replace(/[^\x21-\x7e]/g, encodeByte);
}

/** A character of a head's text, which is a byte, in percent-encoding. */
export function encodeByte(byte: string): string {
  return `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

/** Whether `byte` ends a segment or the path; 0 stands for the end of the target. */
export function endsSegment(byte: number): boolean {
  return byte === 0 || byte === SLASH || endsPath(byte);
}

function endsPath(byte: number): boolean {
  return byte === QUESTION || byte === HASH;
}

/** Whether only the normalised path has this prefix: it can't be taken off what was received. */
export function hidesPrefix(path: string, prefix: string): boolean {
  return !path.startsWith(prefix) && (normalisePath(path)?.startsWith(prefix) ?? false);
}
