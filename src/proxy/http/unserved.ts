// What is counted and logged of a request that no exchange was begun for, whatever its client speaks.
import type { Head } from '../../http1/head.ts';
import type { Reason } from '../../model/reason.ts';
import type { WorkerContext } from '../context.ts';
import type { LiveService } from '../live-service.ts';
import { askedOf } from './asked.ts';
import { hostOf } from './target.ts';

/** The connection that the request came by. */
export interface Origin {
  readonly address: string;
  readonly listenerKey: string;
  /** The service that it counts among, or null. */
  readonly service: LiveService | null;
}

/** Counts and logs an answer of our own; `code`: its reason, or ''. `head`: the request, where it is known. */
export function recordUnserved(
  { accessLog, ledger }: WorkerContext,
  { address, listenerKey, service }: Origin,
  { status, code, head }: { status: number; code: string; head: Head | null },
): void {
  if (service !== null) ledger.addExchange(service.slot, status, 0);
  accessLog?.add({
    client: address,
    listener: listenerKey,
    service: service?.name ?? '',
    endpoint: '',
    method: head === null ? '' : head.method,
    target: head === null ? '' : head.text(head.targetStart, head.targetEnd),
    host: head === null ? '' : hostOf(head),
    requestId: '',
    status,
    reason: code,
    attempts: 0,
    bytesIn: 0,
    bytesOut: 0,
    totalMs: 0,
  });
}

/**
 * Counts and logs a refusal. Returns what the client is told beside the reason: where there is a
 * `detail`, which is for the log, what it asked for; or ''.
 */
export function recordRefusal(
  context: WorkerContext,
  origin: Origin,
  { why, head, detail }: { why: Reason; head: Head | null; detail: string },
): string {
  const { ledger, log } = context;
  if (origin.service !== null) ledger.addReason(origin.service.slot, why.index);
  recordUnserved(context, origin, { status: why.status, code: why.code, head });
  const asked = head === null ? null : askedOf(head);
  const where = { client: origin.address, listener: origin.listenerKey, ...asked };
  const fields = { ...where, status: why.status, reason: why.code, detail };
  if (why.side === 'client') log.info(fields, why.text);
  else log.warn(fields, why.text);
  return detail === '' || asked === null ? '' : `${asked.host}${asked.path}`;
}
