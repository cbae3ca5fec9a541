// How the endpoints of a service are spoken to: `upstream`.
import { z } from 'zod';
import type { UpstreamPolicy } from '../../model/service.ts';
import { HOST_NAME, textForm } from '../forms.ts';
import { filePath, flag } from '../values.ts';

const upstreamTls = z.strictObject({
  enabled: flag.prefault(false).meta({ description: 'Speak TLS to endpoints.' }),
  ca_file: filePath
    .default('')
    .meta({ description: 'CA certificates (PEM) in place of the public ones.' }),
  server_name: z.string().default('').meta({
    description:
      'Name that is asked for, and that the certificate has to be for; by default the name that upstream.host gives, the host name that was registered, or the address.',
  }),
  verify: flag.prefault(true).meta({ description: "Check the endpoint's certificate." }),
  cert_file: filePath.default('').meta({ description: 'Our own certificate (PEM).' }),
  key_file: filePath.default('').meta({ description: 'Its key (PEM).' }),
});

const NAME = HOST_NAME;

export const upstreamSchema = z.strictObject({
  protocol: z.enum(['http1', 'h2c', 'h2', 'auto']).default('http1').meta({
    description:
      'http1; h2c: HTTP/2 by prior knowledge, or h2: over TLS, which gRPC needs, with connections that requests share; auto: over TLS HTTP/2 or HTTP/1.1, as each endpoint chooses, and HTTP/1.1 without.',
  }),
  send_proxy: z.enum(['off', 'v1', 'v2']).default('off').meta({
    description:
      'PROXY protocol header that tells endpoints who the client is, before TLS; connections are kept for the requests of one client connection then.',
  }),
  tls: upstreamTls.prefault({}).meta({ description: 'TLS to endpoints.' }),
  host: z
    .string()
    .regex(new RegExp(`^(?:${NAME})$`), 'expected client, endpoint, or a host or host:port')
    .min(1)
    .default('client')
    .meta({
      form: { ...textForm(NAME), minLength: 1 },
      description:
        "Host that endpoints get: client for the request's own, endpoint for the name or address of each, or a name.",
    }),
});

export type UpstreamInput = z.output<typeof upstreamSchema>;

/** `tls` is null where endpoints are reached without it. */
export function buildUpstream(input: UpstreamInput): UpstreamPolicy {
  const { protocol, tls, host } = input;
  return {
    protocol,
    sendProxy: input.send_proxy,
    host: host === 'client' || host === 'endpoint' ? host : { name: host },
    tls: tls.enabled
      ? {
          caFile: tls.ca_file,
          certFile: tls.cert_file,
          keyFile: tls.key_file,
          serverName: tls.server_name,
          verify: tls.verify,
        }
      : null,
  };
}
