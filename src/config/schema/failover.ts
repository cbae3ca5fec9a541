// Between the priorities of a service's sources: `failover`.
import { z } from 'zod';
import type { FailoverPolicy } from '../../model/service.ts';
import { duration } from '../values.ts';

export const failoverSchema = z.strictObject({
  after: duration().prefault('0s').meta({
    description:
      'How long no endpoint of a priority works before the next priority gets the traffic; meanwhile requests wait (limits.park) or get 503.',
  }),
  return_after: duration().prefault('30s').meta({
    description:
      'How long an endpoint of a priority that failed has to work again before the traffic returns.',
  }),
});

export function buildFailover(input: z.output<typeof failoverSchema>): FailoverPolicy {
  return { afterMs: input.after, returnAfterMs: input.return_after };
}
