// The PROXY protocol header of a connection that is our own: an endpoint that expects headers must get
// one from a check too (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt, section 2).
import type { HealthCheck } from '../model/service.ts';

const V1_UNKNOWN = Buffer.from('PROXY UNKNOWN\r\n', 'latin1');
/** Signature, version 2 with the command LOCAL, no family, no bytes that follow. */
const V2_LOCAL = Buffer.from('\r\n\r\n\0\r\nQUIT\n\x20\0\0\0', 'latin1');

/** Null where endpoints expect no header. */
export function ownHeader({ sendProxy }: Pick<HealthCheck, 'sendProxy'>): Buffer | null {
  if (sendProxy === 'off') return null;
  return sendProxy === 'v1' ? V1_UNKNOWN : V2_LOCAL;
}
