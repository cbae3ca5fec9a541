// What the hash policy hashes of a request.
import { hashText } from '../../balance/hash.ts';
import { FieldId } from '../../http1/fields.ts';
import type { Head } from '../../http1/head.ts';
import type { HashKey } from '../../model/service.ts';

/** The key of this request; requests with the same key go to the same endpoint. */
export function hashOf(key: HashKey | null, head: Head, clientAddress: string): number {
  if (key === null) return 0;
  if (key.on === 'header') return hashText(head.valueOfName(key.name) ?? '');
  if (key.on === 'cookie') return hashText(cookieOf(head, key.name));
  return hashText(clientAddress);
}

function cookieOf(head: Head, name: string): string {
  const cookies = head.valueOf(FieldId.cookie) ?? '';
  for (const pair of cookies.split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
  return '';
}
