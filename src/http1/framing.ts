// How long a body is (RFC 9112 section 6.3). The parser has rejected what is ambiguous.
import { type Head, HeadFlag } from './head.ts';

export const Body = { none: 0, length: 1, chunked: 2, untilClose: 3 } as const;
export type BodyKind = 0 | 1 | 2 | 3;

/** The body of a request: without a length it has none. */
export function requestBody(head: Head): BodyKind {
  if (head.isChunked) return Body.chunked;
  return head.contentLength > 0 ? Body.length : Body.none;
}

/** The body of a response to a request with this method; a response that isn't 1xx. */
export function responseBody(head: Head, requestMethod: string): BodyKind {
  const { status } = head;
  if (requestMethod === 'HEAD' || status < 200 || status === 204 || status === 304) {
    return Body.none;
  }
  if (requestMethod === 'CONNECT' && status < 300) return Body.none;
  if (head.isChunked) return Body.chunked;
  if (head.contentLength >= 0) return head.contentLength === 0 ? Body.none : Body.length;
  return Body.untilClose;
}

/** Whether the sender of this head keeps the connection open afterwards (RFC 9112 section 9.3). */
export function isPersistent(head: Head): boolean {
  if (head.has(HeadFlag.close)) return false;
  return head.minorVersion === 1 || head.has(HeadFlag.keepAlive);
}
