// `registries.dns`.
import { z } from 'zod';
import type { DnsSettings } from '../../model/registries/dns.ts';
import { hostPort } from '../address-values.ts';
import { HOST_PORT } from '../forms.ts';
import { duration, listOf } from '../values.ts';
import { trustKeys } from './trust.ts';

export const dnsSchema = z.strictObject({
  address: listOf(hostPort, HOST_PORT)
    .prefault(['127.0.0.1:8600'])
    .meta({ description: 'DNS servers, in fail-over order.' }),
  transport: z.enum(['tcp', 'udp']).default('tcp').meta({
    description:
      'tcp, or udp with TCP where an answer is marked as cut. Consul cuts answers by UDP without the mark.',
  }),
  timeout: duration(100, 30_000)
    .prefault('2s')
    .meta({ description: 'Time for an answer of one server.' }),
  endpoint_deny: trustKeys.endpoint_deny,
});

export function buildDns(input: z.output<typeof dnsSchema>): DnsSettings {
  return {
    servers: input.address,
    transport: input.transport,
    timeoutMs: input.timeout,
    endpointDeny: input.endpoint_deny,
  };
}
