// What a request's target and Host say for routing.
import { type Head, Target } from '../../http1/head.ts';
import { normalisePath } from '../router.ts';

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
