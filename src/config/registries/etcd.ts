// `registries.etcd`.
import { z } from 'zod';
import type { EtcdSettings } from '../../model/registries/etcd.ts';
import { agentAddress } from '../address-values.ts';
import { AGENT } from '../forms.ts';
import type { Tree } from '../tree.ts';
import { filePath, flag, listOf } from '../values.ts';
import { buildTls, tlsSchema } from './tls.ts';
import { trustKeys } from './trust.ts';

export const etcdSchema = z.strictObject({
  address: listOf(agentAddress, AGENT)
    .prefault(['http://127.0.0.1:2379'])
    .meta({ description: 'Members, in fail-over order.' }),
  api: z.enum(['auto', 'v2', 'v3']).default('auto').meta({
    description:
      'v2, v3 (its JSON gateway, etcd 3.4 or later), or auto for each that the members speak.',
  }),
  prefix: z
    .string()
    .regex(
      /^(?![\s\S]*(?:^|\/)\.{1,2}(?:\/|$))[\s\S]{0,512}$/,
      'expected a key of at most 512 characters without segments . and ..',
    )
    .default('/backends')
    .meta({ description: 'The key below which services are registered.' }),
  layout: z.enum(['backends', 'skydns']).default('backends').meta({
    description:
      'backends: PREFIX/SERVICE/ID, of docker-register, Registrator and nerve; skydns: PREFIX and the reversed domain.',
  }),
  username: z.string().default('').meta({ description: 'User; empty for no authentication.' }),
  password: z.string().default('').meta({ description: 'Its password.' }),
  password_file: filePath
    .default('')
    .meta({ description: 'File with the password, read again when it changes.' }),
  tls: tlsSchema.prefault({}).meta({ description: 'For https members.' }),
  self_described: flag
    .prefault(true)
    .meta({ description: 'Serve each service on the port that its key `port` names.' }),
  tag_prefix: z
    .string()
    .min(1)
    .default('upriver')
    .meta({ description: 'Keys PREFIX.key beside the instances are settings of the service.' }),
  ...trustKeys,
});

export function buildEtcd(input: z.output<typeof etcdSchema>): EtcdSettings {
  const isTls = [input.tls.ca_file, input.tls.cert_file].some((file) => file !== '');
  const members = input.address.map((address) => memberOf(address, isTls));
  const [named] = members.filter(({ username }) => username !== '');
  return {
    addresses: members.map(({ url }) => url),
    api: input.api,
    prefix: input.prefix.replace(/\/+$/, ''),
    layout: input.layout,
    username: input.username || (named?.username ?? ''),
    password: input.password || (named?.password ?? ''),
    passwordFile: input.password_file,
    tls: buildTls(input.tls),
    selfDescribed: input.self_described,
    tagPrefix: input.tag_prefix,
    listenAllow: input.listen_allow,
    endpointDeny: input.endpoint_deny,
  };
}

/** A member's URL, and the user:password that stood in it: they are sent, and never shown. */
function memberOf(address: string, isTls: boolean) {
  const isUrl = /^[a-z]+:\/\//.test(address);
  const whole = isUrl ? address : `${isTls ? 'https' : 'http'}://${address}`;
  const url = whole.startsWith('unix:') ? null : URL.parse(whole);
  if (url === null) return { url: whole, username: '', password: '' };
  const [username, password] = [unescaped(url.username), unescaped(url.password)];
  return { url: `${url.protocol}//${url.host}`, username, password };
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A percent sign that stands for itself.
    return text;
  }
}

/** Whether services may describe themselves by these settings. */
export function etcdDescribes({ self_described: value }: Tree): boolean {
  return etcdSchema.shape.self_described.safeParse(value).data === true;
}
