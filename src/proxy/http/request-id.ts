// The id that a request goes by: in X-Request-Id to the endpoint and back to the client, and in the
// logs. A client's own is taken only from a trusted proxy, or where the policy keeps everyone's.
import { FieldId } from '../../http1/fields.ts';
import { type Head, HeadFlag } from '../../http1/head.ts';
import type { RequestIdPolicy } from '../../model/service.ts';

/** What goes into logs and heads as it is: one value, without white space, of bounded length. */
const USABLE = /^[\x21-\x7e]{1,200}$/;

export interface RequestIdOptions {
  readonly policy: Exclude<RequestIdPolicy, 'off'>;
  /** A proxy of ours in front: its id is believed. */
  readonly isTrusted: boolean;
  /** Makes a new one. */
  readonly make: () => string;
}

/** The id of a request: the client's where it may choose one, or else a new one. */
export function requestIdOf(head: Head, { policy, isTrusted, make }: RequestIdOptions): string {
  const mayKeep = (isTrusted || policy === 'keep') && head.has(HeadFlag.requestId);
  return (mayKeep ? clientsId(head) : null) ?? make();
}

function clientsId(head: Head): string | null {
  const value = head.valueOf(FieldId['x-request-id']);
  if (value === null || !USABLE.test(value)) return null;
  // Two ids would be one for us and another for the endpoint.
  return head.valuesOfName('x-request-id').length === 1 ? value : null;
}
