import { lengthOf } from '../../http1/field-values.ts';
import { FieldId } from '../../http1/fields.ts';
import type { Head } from '../../http1/head.ts';

/** The hops that Max-Forwards leaves (RFC 9110 section 7.6.2); -1 where it is no number. */
export function hopsOf(head: Head): number {
  const bytes = Buffer.from(head.valueOf(FieldId['max-forwards']) ?? '', 'latin1');
  return lengthOf(bytes, 0, bytes.length);
}
