// `registries.consul`.
import { z } from 'zod';
import type { ConsulSettings } from '../../model/registries/consul.ts';
import { agentAddress } from '../address-values.ts';
import { AGENT } from '../forms.ts';
import type { Tree } from '../tree.ts';
import { duration, filePath, flag, listOf } from '../values.ts';
import { buildSelf, selfSchema } from './consul-self.ts';
import { buildTls, tlsSchema } from './tls.ts';
import { trustKeys } from './trust.ts';

export const consulSchema = z.strictObject({
  address: listOf(agentAddress, AGENT)
    .prefault(['http://127.0.0.1:8500'])
    .meta({ description: 'Agents, in fail-over order.' }),
  token: z.string().default('').meta({ description: 'ACL token.' }),
  token_file: filePath
    .default('')
    .meta({ description: 'File with the token, read again when it changes.' }),
  http_auth: z
    .string()
    .default('')
    .meta({ description: 'user:password for HTTP basic authentication.' }),
  datacenter: z
    .string()
    .default('')
    .meta({ description: "Datacenter to ask for; the agent's by default." }),
  namespace: z.string().default('').meta({ description: 'Consul Enterprise namespace.' }),
  partition: z.string().default('').meta({ description: 'Consul Enterprise partition.' }),
  stale: flag
    .prefault(true)
    .meta({ description: 'Let any server answer, also while there is no leader.' }),
  wait: duration(1000, 600_000)
    .prefault('1m')
    .meta({ description: 'How long a blocking query waits.' }),
  query_interval: duration(1000, 600_000).prefault('5s').meta({
    description: 'Time between two executions of a prepared query that gives no DNS TTL.',
  }),
  tls: tlsSchema.prefault({}).meta({ description: 'For https agents.' }),
  declared_checks: flag.prefault(true).meta({
    description:
      "Check instances as Registrator's metadata says (Meta check_http, check_tcp, check_interval, ...) where their service has no health.",
  }),
  self_described: flag.prefault(true).meta({ description: 'Serve services that carry our tags.' }),
  tag_prefix: z
    .string()
    .min(1)
    .default('upriver')
    .meta({ description: 'Tags PREFIX.key=value and Meta PREFIX-key.' }),
  ...trustKeys,
  kv_key: z
    .string()
    .regex(/^(?![\s\S]*(?:^|\/)\.{1,2}(?:\/|$))/, 'expected a key without segments . and ..')
    .default('upriver/config')
    .meta({ description: 'KV key with configuration laid over this file; empty turns it off.' }),
  register_self: selfSchema
    .prefault({})
    .meta({ description: 'This process in the catalog (docs/scaling.md).' }),
});

export function buildConsul(input: z.output<typeof consulSchema>): ConsulSettings {
  return {
    addresses: input.address.map((address) => agentOf(address).url),
    token: input.token,
    tokenFile: input.token_file,
    httpAuth: input.http_auth,
    addressAuth: Object.fromEntries(
      input.address.map(agentOf).flatMap(({ url, auth }) => (auth === '' ? [] : [[url, auth]])),
    ),
    datacenter: input.datacenter,
    namespace: input.namespace,
    partition: input.partition,
    stale: input.stale,
    waitMs: input.wait,
    queryIntervalMs: input.query_interval,
    tls: buildTls(input.tls),
    declaredChecks: input.declared_checks,
    selfDescribed: input.self_described,
    tagPrefix: input.tag_prefix,
    listenAllow: input.listen_allow,
    endpointDeny: input.endpoint_deny,
    kvKey: input.kv_key,
    registerSelf: buildSelf(input.register_self),
  };
}

/** An agent's URL, and the user:password that stood in it: they are sent, and never shown. */
function agentOf(address: string): { url: string; auth: string } {
  const whole = consulUrl(address);
  const url = whole.startsWith('unix:') ? null : URL.parse(whole);
  if (url === null || (url.username === '' && url.password === '')) return { url: whole, auth: '' };
  const auth = `${unescaped(url.username)}:${unescaped(url.password)}`;
  return { url: `${url.protocol}//${url.host}`, auth };
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A percent sign that stands for itself.
    return text;
  }
}

/** `host:port` as Consul's own CLI takes it, or a URL as it is. */
function consulUrl(address: string): string {
  return /^[a-z]+:\/\//.test(address) ? address : `http://${address}`;
}

/** Whether services may describe themselves by these settings. */
export function consulDescribes({ self_described: value }: Tree): boolean {
  const { data } = consulSchema.shape.self_described.safeParse(value);
  return data === true;
}
