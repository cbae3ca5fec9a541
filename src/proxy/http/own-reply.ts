// Replies that we make ourselves: a status, the reason's code in X-Upriver-Reason, its sentence as
// text. Always with a length, so that the client knows where they end.
import type { Reason } from '../../model/reason.ts';

const PHRASES: Readonly<Record<number, string>> = {
  200: 'OK',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  414: 'URI Too Long',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  508: 'Loop Detected',
};

const ALLOW = 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n';

/** RFC 9110 section 10.2.3. What is missing now may be there in a moment: seconds. */
const RETRY_AFTER = 'Retry-After: 1\r\n';

export interface OwnReplyOptions {
  /** More for people after the reason's sentence; ''. */
  readonly detail: string;
  readonly isHead: boolean;
  readonly mayKeepAlive: boolean;
  /** The client speaks HTTP/1.0, where staying open is said. */
  readonly isOldClient: boolean;
  /** For Date: ms since the Unix epoch. */
  readonly wallMs: number;
  /** Value of Server; '' for none. */
  readonly serverName: string;
  /** Value of X-Request-Id; '' for none. */
  readonly requestId: string;
}

/** The whole reply for a failure. */
export function ownReply(reason: Reason, options: OwnReplyOptions): Buffer {
  const { detail } = options;
  const body =
    detail === '' ? `${reason.text}\n` : `${reason.text.replace(/\.$/, '')}: ${detail}\n`;
  const more = reason.status === 405 ? ALLOW : reason.status === 503 ? RETRY_AFTER : '';
  return reply(reason.status, `X-Upriver-Reason: ${reason.code}\r\n${more}`, body, options);
}

/** A redirect to `location`. */
export function redirectReply(status: number, location: string, options: OwnReplyOptions): Buffer {
  return reply(status, `Location: ${location}\r\n`, '', options);
}

/** What OPTIONS with no hop left is told of us. */
export function optionsReply(options: OwnReplyOptions): Buffer {
  return reply(200, ALLOW, '', options);
}

function reply(status: number, fields: string, body: string, options: OwnReplyOptions): Buffer {
  const server = options.serverName === '' ? '' : `Server: ${options.serverName}\r\n`;
  const id = options.requestId === '' ? '' : `X-Request-Id: ${options.requestId}\r\n`;
  const staysOpen = options.isOldClient ? 'Connection: keep-alive\r\n' : '';
  const connection = options.mayKeepAlive ? staysOpen : 'Connection: close\r\n';
  const head =
    `HTTP/1.1 ${status} ${PHRASES[status] ?? ''}\r\n` +
    `Date: ${new Date(options.wallMs).toUTCString()}\r\n${server}${id}${fields}${connection}` +
    `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return Buffer.from(options.isHead ? head : head + body);
}
