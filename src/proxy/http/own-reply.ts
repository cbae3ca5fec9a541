// Replies that we make ourselves: a status, the reason's code in X-Upriver-Reason, its sentence as
// text. How they are written is each protocol's own.
import { safeLine } from '../../base/safe-text.ts';
import type { Reason } from '../../model/reason.ts';
import type { OwnAnswer } from './judgement.ts';

export interface OwnReply {
  readonly status: number;
  /** Fields of this reply alone, one line each with its CRLF. */
  readonly lines: string;
  /** Text; it may be ''. */
  readonly body: string;
}

/** What every reply has beside. */
export interface OwnReplyOptions {
  /** For Date: ms since the Unix epoch. */
  readonly wallMs: number;
  /** Value of Server; '' for none. */
  readonly serverName: string;
  /** Strict-Transport-Security with its CRLF, or ''. */
  readonly hstsLine: string;
  /** Value of X-Request-Id; '' for none. */
  readonly requestId: string;
}

const ALLOW = 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n';

/** RFC 9110 section 10.2.3. What is missing now may be there in a moment: seconds. */
const RETRY_AFTER = 'Retry-After: 1\r\n';

/** The reply for a failure; `detail`: more after the reason's sentence, or ''. */
export function failureReply({ code, status, text }: Reason, detail: string): OwnReply {
  // It may name endpoints, by names that registrants chose.
  const body = detail === '' ? `${text}\n` : `${text.replace(/\.$/, '')}: ${safeLine(detail)}\n`;
  const more = status === 405 ? ALLOW : status === 503 ? RETRY_AFTER : '';
  return { status, lines: `X-Upriver-Reason: ${code}\r\n${more}`, body };
}

/** What we answer where nothing is wrong. */
export function replyOf(answer: Exclude<OwnAnswer, { kind: 'refuse' }>): OwnReply {
  if (answer.kind === 'redirect') return redirectReply(answer.status, answer.location);
  return answer.kind === 'challenge'
    ? { status: 200, lines: '', body: answer.text }
    : optionsReply();
}

/** A redirect to `location`. */
function redirectReply(status: number, location: string): OwnReply {
  return { status, lines: `Location: ${location}\r\n`, body: '' };
}

/** What OPTIONS with no hop left is told of us. */
function optionsReply(): OwnReply {
  return { status: 200, lines: ALLOW, body: '' };
}

/** The field lines of a reply, without those of its framing; always with a length of its body. */
export function replyLines({ lines, body }: OwnReply, options: OwnReplyOptions): string {
  const { serverName, requestId, wallMs, hstsLine } = options;
  const server = serverName === '' ? '' : `Server: ${serverName}\r\n`;
  const id = requestId === '' ? '' : `X-Request-Id: ${requestId}\r\n`;
  return (
    `Date: ${new Date(wallMs).toUTCString()}\r\n${server}${id}${hstsLine}${lines}` +
    `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
  );
}
