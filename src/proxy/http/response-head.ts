// The response head as it goes to the client, written from what was decided about the received one.
import { FIELD_IDS, FieldId } from '../../http1/fields.ts';
import type { Head } from '../../http1/head.ts';
import { copyFields, type HeadWriter } from '../../http1/head-writer.ts';
import type { HeaderPolicy } from './header-policy.ts';
import { receivedVersion, VIA_NAME } from './via.ts';

const STATUS_OFFSET = 'HTTP/1.1 '.length;
const DROP_NOTHING = new Uint8Array(FIELD_IDS);
const DROP_LENGTH = new Uint8Array(FIELD_IDS);
DROP_LENGTH[FieldId['content-length']] = 1;
/** The request's id is ours to say: what an endpoint echoes would be a second one. */
const DROP_ID = new Uint8Array(FIELD_IDS);
const DROP_LENGTH_ID = DROP_LENGTH.slice();
for (const drop of [DROP_ID, DROP_LENGTH_ID]) drop[FieldId['x-request-id']] = 1;

export interface ResponseHeadOptions {
  readonly head: Head;
  readonly policy: HeaderPolicy;
  /** The body goes to the client in chunks. */
  readonly isChunked: boolean;
  /** What becomes of the client's connection: '' says nothing, the default of its version. */
  readonly connection: '' | 'close' | 'keep-alive';
  /** The protocol that a 101 switches to, or ''. */
  readonly upgrade: string;
  /** Strict-Transport-Security with its CRLF, in place of the endpoint's; '' for none. */
  readonly hstsLine: string;
  /** What the client is told that the request goes by; '' for nothing. */
  readonly requestId: string;
}

/** Writes the whole head, empty line included. */
export function writeResponseHead(out: HeadWriter, options: ResponseHeadOptions): void {
  const { head, policy } = options;
  const renamed = head.status >= 200 ? policy.response.takeFrom(head) : '';
  const hstsLine = head.status >= 200 ? options.hstsLine : '';
  if (hstsLine !== '') head.dropNamed('strict-transport-security');
  out.reset();
  out.text('HTTP/1.1 ');
  out.copy(head.bytes, head.start + STATUS_OFFSET, head.reasonEnd);
  // RFC 9112 section 4: the space after the status stands even without a reason phrase.
  out.text(head.reasonEnd === head.start + STATUS_OFFSET + 3 ? ' \r\n' : '\r\n');
  // RFC 9110 section 8.6: no Content-Length in 1xx and 204.
  const hasNoLength = head.status < 200 || head.status === 204;
  const isFinal = head.status >= 200 || options.upgrade !== '';
  const requestId = isFinal ? options.requestId : '';
  if (requestId === '') copyFields(out, head, hasNoLength ? DROP_LENGTH : DROP_NOTHING);
  else {
    copyFields(out, head, hasNoLength ? DROP_LENGTH_ID : DROP_ID);
    out.text(`X-Request-Id: ${requestId}\r\n`);
  }
  if (hstsLine !== '') out.text(hstsLine);
  if (options.isChunked) out.text('Transfer-Encoding: chunked\r\n');
  if (options.upgrade !== '') {
    out.text(`Connection: upgrade\r\nUpgrade: ${options.upgrade}\r\n`);
  } else if (options.connection !== '') {
    out.text(
      options.connection === 'close' ? 'Connection: close\r\n' : 'Connection: keep-alive\r\n',
    );
  }
  if (head.status >= 200) {
    if (policy.via) out.text(`Via: ${receivedVersion(head)} ${VIA_NAME}\r\n`);
    if (renamed !== '') out.text(renamed);
    out.text(policy.response.lines);
  }
  out.text('\r\n');
}
