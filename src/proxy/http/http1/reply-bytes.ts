// A reply of our own as it leaves on an HTTP/1.1 connection, always with a length, so that the client
// knows where it ends.
import { type OwnReply, type OwnReplyOptions, replyLines } from '../own-reply.ts';

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

export interface ReplyBytesOptions extends OwnReplyOptions {
  readonly isHead: boolean;
  readonly mayKeepAlive: boolean;
  /** The client speaks HTTP/1.0, where staying open is said. */
  readonly isOldClient: boolean;
}

/** The whole reply. */
export function replyBytes(reply: OwnReply, options: ReplyBytesOptions): Buffer {
  const staysOpen = options.isOldClient ? 'Connection: keep-alive\r\n' : '';
  const connection = options.mayKeepAlive ? staysOpen : 'Connection: close\r\n';
  const status = `HTTP/1.1 ${reply.status} ${PHRASES[reply.status] ?? ''}\r\n`;
  const head = `${status}${replyLines(reply, options)}${connection}\r\n`;
  return Buffer.from(options.isHead ? head : head + reply.body);
}
