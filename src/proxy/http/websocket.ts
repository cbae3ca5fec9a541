// The handshake of WebSocket where one side speaks HTTP/2: an extended CONNECT (RFC 8441) has neither
// Sec-WebSocket-Key nor its answer, so that the balancer makes them for the side that speaks HTTP/1.1
// (RFC 6455 section 4).
import { createHash } from 'node:crypto';
import type { Head } from '../../http1/head.ts';

export const WEBSOCKET = 'websocket';

const KEY_BYTES = 16;
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const KEYS = /\r\nsec-websocket-key:([^\r]*)/gi;
const ACCEPTS = /\r\nsec-websocket-accept:[^\r]*/gi;
const ACCEPT_NAME = 'sec-websocket-accept:';

/** A Sec-WebSocket-Key. It proves who answers, and is no secret. */
export function makeKey(random: () => number): string {
  const bytes = Buffer.alloc(KEY_BYTES);
  for (let at = 0; at < KEY_BYTES; at += 1) bytes[at] = Math.floor(random() * 256);
  return bytes.toString('base64');
}

/** Sec-WebSocket-Accept for a key (RFC 6455 section 4.2.2). */
function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}${GUID}`).digest('base64');
}

/** Whether the head of a 101 accepts the key, once (RFC 6455 section 4.1). */
export function accepts(head: Head, key: string): boolean {
  const found: string[] = [];
  head.forEachField((_id, name, start, end) => {
    const isIt = head.text(name, name + ACCEPT_NAME.length).toLowerCase() === ACCEPT_NAME;
    if (isIt) found.push(head.text(start, end));
  });
  return found.length === 1 && found[0] === acceptOf(key);
}

/** The head of an upgrade to WebSocket without its key, and the key; '' for none. */
export function withoutKey(head: Buffer): { readonly bytes: Buffer; readonly key: string } {
  const text = head.toString('latin1');
  const [key = ''] = [...text.matchAll(KEYS)].map(([, value = '']) => value.trim());
  return { bytes: Buffer.from(text.replaceAll(KEYS, ''), 'latin1'), key };
}

/** The head of a response that has opened a tunnel by HTTP/2, as the 101 that it is in HTTP/1.1. */
export function switchingHead(head: Buffer, key: string): Buffer {
  const text = head.toString('latin1');
  const lines = text.slice(text.indexOf('\r\n')).replaceAll(ACCEPTS, '');
  const accept = key === '' ? '' : `\r\nsec-websocket-accept: ${acceptOf(key)}`;
  const start = `HTTP/1.1 101 \r\nconnection: upgrade\r\nupgrade: ${WEBSOCKET}${accept}`;
  return Buffer.from(start + lines, 'latin1');
}
