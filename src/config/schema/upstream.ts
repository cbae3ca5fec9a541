// What is spoken to the endpoints of a service: `upstream`.
import { z } from 'zod';
import type { UpstreamPolicy } from '../../model/service.ts';

export const upstreamSchema = z.strictObject({
  protocol: z.enum(['http1', 'h2c']).default('http1').meta({
    description:
      'http1, or h2c: HTTP/2 by prior knowledge, which gRPC needs. Requests share connections then.',
  }),
  send_proxy: z.enum(['off', 'v1', 'v2']).default('off').meta({
    description:
      'PROXY protocol header that tells endpoints who the client is; HTTP connections are not shared then.',
  }),
});

export function buildUpstream(upstream: z.output<typeof upstreamSchema>): UpstreamPolicy {
  return { protocol: upstream.protocol, sendProxy: upstream.send_proxy };
}
