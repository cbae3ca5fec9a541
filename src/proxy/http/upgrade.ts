// Which upgrades are passed on, and the 101 that begins a tunnel (RFC 9110 section 7.8).
import { FieldId } from '../../http1/fields.ts';
import type { Head } from '../../http1/head.ts';
import type { HeadWriter } from '../../http1/head-writer.ts';
import type { HeaderPolicy } from './header-policy.ts';
import { writeResponseHead } from './response-head.ts';

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

function protocolsOf(list: string): string[] {
  return list
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
