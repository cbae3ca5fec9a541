// `registries.consul.register_self`.
import { z } from 'zod';
import type { SelfSettings } from '../../model/registries/consul-self.ts';
import { count, duration, flag } from '../values.ts';

export const selfSchema = z.strictObject({
  enabled: flag.prefault(false).meta({
    description: 'Register this process in the catalog, so that DNS gives clients the fleet.',
  }),
  service: z
    .string()
    .regex(/^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/, 'expected a name that DNS takes')
    .default('upriver')
    .meta({ description: 'Name of the fleet. No service may take its endpoints from it.' }),
  address: z
    .string()
    .regex(/^[\w.:-]*$/, 'expected an IP address or a host name')
    .default('')
    .meta({ description: "Address that is registered; by default that of the agent's node." }),
  port: count(0, 65_535).prefault(0).meta({
    description: 'Port that is registered; 0 for that of the first listener.',
  }),
  tags: z.array(z.string().min(1)).default([]).meta({ description: 'Tags of the registration.' }),
  tag_services: flag.prefault(true).meta({
    description: 'A tag for each service that is exposed: web.upriver.service.consul.',
  }),
  check: z.enum(['http', 'ttl']).default('http').meta({
    description:
      'http: the agent asks for /readyz of the stats port; ttl: Upriver tells the agent, also where there is no stats port.',
  }),
  check_interval: duration(1000, 600_000).prefault('5s').meta({
    description: 'Interval of the check by the agent; with ttl the time to live.',
  }),
  deregister_after: duration(60_000, 604_800_000).prefault('30m').meta({
    description: 'Time in state critical after which the agent deregisters this process.',
  }),
  leave_wait: duration(0, 300_000).prefault('5s').meta({
    description:
      'Time from leaving the catalog to closing listeners: what clients and DNS servers may remember.',
  }),
});

/** Null where it is off. */
export function buildSelf(input: z.output<typeof selfSchema>): SelfSettings | null {
  if (!input.enabled) return null;
  return {
    service: input.service,
    address: input.address,
    port: input.port,
    tags: input.tags,
    tagServices: input.tag_services,
    check: input.check,
    checkIntervalMs: input.check_interval,
    deregisterAfterMs: input.deregister_after,
    leaveWaitMs: input.leave_wait,
  };
}
