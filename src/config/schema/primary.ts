// Following the primary: `select` and `primary`.
import { z } from 'zod';
import type { HealthCheck, PrimaryPolicy } from '../../model/service.ts';

export const selectSchema = z.enum(['all', 'primary']);

export const primarySchema = z.strictObject({
  by: z.enum(['check', 'tag', 'lock']).optional().meta({
    description:
      'Who says which endpoint is the primary: check (http: a good status; redis, postgres: its role), tag, or lock; by default lock where one is given, check where health is set, else tag.',
  }),
  tag: z.string().min(1).default('primary').meta({ description: 'The tag that the primary has.' }),
  lock: z.string().default('').meta({
    description:
      "Key in Consul's KV store: its session's node, or its value, names the endpoint (node, id, address or address:port).",
  }),
});

interface Wanted {
  readonly select: z.output<typeof selectSchema>;
  readonly primary: z.output<typeof primarySchema>;
  readonly health: HealthCheck | null;
}

/** Null with `select: all`. */
export function buildPrimary({ select, primary, health }: Wanted): PrimaryPolicy | null {
  if (select === 'all') return null;
  const { tag, lock } = primary;
  const usual = lock !== '' ? 'lock' : health !== null ? 'check' : 'tag';
  return { by: primary.by ?? usual, tag, lock };
}

/** Kinds of checks that tell who is the primary. */
export const ROLE_CHECKS: readonly HealthCheck['type'][] = ['http', 'redis', 'postgres'];
