// Via (RFC 9110 section 7.6.3): who passed a message on, and the loops that it shows.
import { hostname } from 'node:os';
import { hashText } from '../../balance/hash.ts';
import { FieldId } from '../../http1/fields.ts';
import type { Head } from '../../http1/head.ts';

/**
 * Our name there. All workers of a process have the same, other processes another: one balancer
 * behind another is no loop.
 */
export const VIA_NAME = `upriver-${hashText(`${hostname()} ${process.pid}`).toString(16)}`;

/** What Via says of the version that a message came in (RFC 9110 section 7.6.3). */
export function receivedVersion({ majorVersion, minorVersion }: Head): string {
  if (majorVersion === 2) return '2';
  return minorVersion === 1 ? '1.1' : '1.0';
}

/** Whether the request has passed through this process before. */
export function isLoop(head: Head): boolean {
  let hops = '';
  head.forEachField((id, _name, start, end) => {
    if (id === FieldId.via) hops += `${head.text(start, end)},`;
  });
  return hops.split(',').some((hop) => hop.trim().endsWith(` ${VIA_NAME}`));
}
