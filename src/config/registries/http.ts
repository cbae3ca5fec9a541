// `registries.http`.
import { z } from 'zod';
import type { HttpSettings } from '../../model/registries/http.ts';
import { targetUrl } from '../address-values.ts';
import { duration, filePath, token } from '../values.ts';
import { tagPrefix } from './tag-prefix.ts';
import { buildTls, tlsSchema } from './tls.ts';
import { trustKeys } from './trust.ts';

const DAY_MS = 86_400_000;

export const httpRegistrySchema = z.strictObject({
  url: z
    .union([targetUrl.transform((url) => [url]), z.array(targetUrl)])
    .prefault('http://127.0.0.1:9000/sd')
    .meta({ description: "URLs of target groups, in the JSON of Prometheus' http_sd." }),
  interval: duration(1000, DAY_MS)
    .prefault('10s')
    .meta({ description: 'Poll interval, at least 1s.' }),
  service: z
    .string()
    .default('')
    .meta({ description: 'The service of groups without a label `service` or `job`.' }),
  token: token.default('').meta({ description: 'Sent as a bearer token.' }),
  token_file: filePath
    .default('')
    .meta({ description: 'File with the token, read again when it changes.' }),
  tls: tlsSchema.prefault({}).meta({ description: 'For https URLs.' }),
  tag_prefix: tagPrefix,
  ...trustKeys,
});

export function buildHttpRegistry(input: z.output<typeof httpRegistrySchema>): HttpSettings {
  return {
    urls: input.url,
    intervalMs: input.interval,
    service: input.service,
    token: input.token,
    tokenFile: input.token_file,
    tls: buildTls(input.tls),
    tagPrefix: input.tag_prefix,
    listenAllow: input.listen_allow,
    endpointDeny: input.endpoint_deny,
  };
}
