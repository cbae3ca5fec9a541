// What is spoken to the endpoints of an HTTP service: `upstream`.
import { z } from 'zod';
import type { UpstreamPolicy } from '../../model/service.ts';

export const upstreamSchema = z.strictObject({
  protocol: z.enum(['http1', 'h2c']).default('http1').meta({
    description:
      'http1, or h2c: HTTP/2 by prior knowledge, which gRPC needs. Requests share connections then.',
  }),
});

export function buildUpstream(upstream: z.output<typeof upstreamSchema>): UpstreamPolicy {
  return { protocol: upstream.protocol };
}
