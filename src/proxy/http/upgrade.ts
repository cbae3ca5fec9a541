// Which upgrades are passed on, and the 101 that begins a tunnel (RFC 9110 section 7.8).
import { FIELD_IDS, FieldId } from '../../http1/fields.ts';
import type { Head } from '../../http1/head.ts';
import { copyFields, type HeadWriter } from '../../http1/head-writer.ts';
import type { HeaderPolicy } from './header-policy.ts';
import { writeResponseHead } from './response-head.ts';
import { accepts, WEBSOCKET } from './websocket.ts';

const DROP = new Uint8Array(FIELD_IDS);
DROP[FieldId['content-length']] = 1;

/**
 * What the request asks to switch to; '' where that is not passed on: HTTP/2 over cleartext was
 * dropped by RFC 9113, and would hide requests from us.
 */
export function acceptedProtocol(head: Head): string {
  const asked = head.text(head.upgradeStart, head.upgradeEnd);
  return protocolsOf(asked).some((name) => name.startsWith('h2c')) ? '' : asked;
}

export interface SwitchOptions {
  readonly policy: HeaderPolicy;
  /** What the client's Upgrade asked for. */
  readonly asked: string;
  /** What the request goes by; '' for none. */
  readonly requestId: string;
  /** As ResponseHeadOptions. */
  readonly hstsLine: string;
}

/** Writes the 101 for the client. False where it is none that was asked for. */
export function writeSwitch(
  out: HeadWriter,
  head: Head,
  { policy, asked, requestId, hstsLine }: SwitchOptions,
): boolean {
  const upgrade = head.valueOf(FieldId.upgrade) ?? '';
  const offered = protocolsOf(asked);
  const chosen = protocolsOf(upgrade);
  if (!chosen.some((name) => offered.includes(name))) return false;
  const plain = { isChunked: false, connection: '' } as const;
  writeResponseHead(out, { head, policy, ...plain, upgrade, requestId, hstsLine });
  return true;
}

/**
 * Writes the 200 that opens a tunnel by HTTP/2 (RFC 8441 section 5) for an endpoint's 101. False where that
 * is no answer to `key`.
 */
export function writeOpened(
  out: HeadWriter,
  head: Head,
  { key, requestId }: { readonly key: string; readonly requestId: string },
): boolean {
  const upgrade = head.valueOf(FieldId.upgrade) ?? '';
  if (!asksWebSocket(upgrade) || !accepts(head, key)) return false;
  head.dropNamed('sec-websocket-accept');
  if (requestId !== '') head.dropNamed('x-request-id');
  out.reset();
  out.text('HTTP/1.1 200 \r\n');
  copyFields(out, head, DROP);
  if (requestId !== '') out.text(`X-Request-Id: ${requestId}\r\n`);
  out.text('\r\n');
  return true;
}

/** Whether an Upgrade field names WebSocket. */
export function asksWebSocket(upgrade: string): boolean {
  return protocolsOf(upgrade).includes(WEBSOCKET);
}

function protocolsOf(list: string): string[] {
  return list
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
