// What is tried again: `retry`.
import { z } from 'zod';
import type { RetryPolicy } from '../../model/service.ts';
import { statusOrKind } from '../http-values.ts';
import { count, duration, hedge, orList, share, size } from '../values.ts';

const RETRY_ON = ['connect', 'reset', 'timeout', 'bad-response'] as const;

/** Kinds of failure and status codes in one list. */
const retryOn = z
  .union([
    z.array(z.union([z.string(), z.number()])),
    z.union([z.string(), z.number()]).transform((text) =>
      String(text)
        .split(',')
        .map((word) => word.trim()),
    ),
  ])
  .transform((list, context) => {
    const kinds: (typeof RETRY_ON)[number][] = [];
    const statuses: number[] = [];
    for (const item of list) {
      const kind = RETRY_ON.find((known) => known === item);
      if (kind !== undefined) kinds.push(kind);
      else if (/^[45]\d\d$/.test(String(item))) statuses.push(Number(item));
      else {
        context.addIssue({
          code: 'custom',
          message: `'${item}': expected ${orList([...RETRY_ON, 'a status from 400 to 599'])}`,
        });
        return z.NEVER;
      }
    }
    return { kinds, statuses };
  })
  .meta({ form: statusOrKind(RETRY_ON) });

export const retrySchema = z.strictObject({
  attempts: count(1, 20).prefault(3).meta({ description: 'Attempts in all; 1 turns retries off.' }),
  connect_attempts: count(1, 1000).prefault(32).meta({
    description: 'Maximum number of endpoints that are tried while none has received the request.',
  }),
  connect_time: duration(1).prefault('15s').meta({
    description: 'How long after its first attempt a request may be tried on another endpoint.',
  }),
  on: retryOn.prefault(['connect', 'reset', 'timeout', 'bad-response', 502, 503, 504]).meta({
    description:
      'Failures that are tried again: connect, reset, timeout, bad-response, and statuses. Only what is safe to repeat is repeated.',
  }),
  budget: share
    .prefault('20%')
    .meta({ description: 'Share of the requests of this process that may be retries.' }),
  budget_min: count(0, 100_000)
    .prefault(10)
    .meta({ description: 'Retries per second that are always allowed, per process.' }),
  body: size
    .prefault('64KiB')
    .meta({ description: 'Largest request body that is kept for another attempt.' }),
  hedge: hedge.prefault('off').meta({
    description:
      'A second try on another endpoint when the first is slow, for what is safe to repeat: off, a time, or p95 for the time in which 95% of the responses come.',
  }),
});

export function buildRetry(retry: z.output<typeof retrySchema>): RetryPolicy {
  return {
    attempts: retry.attempts,
    connectAttempts: retry.connect_attempts,
    connectTimeMs: retry.connect_time,
    on: new Set(retry.on.kinds),
    onStatus: new Set(retry.on.statuses),
    budgetShare: retry.budget,
    budgetMinPerSecond: retry.budget_min,
    bodyBytesMax: retry.body,
    hedge: retry.hedge,
  };
}
