// `registries.zookeeper`.
import { z } from 'zod';
import type { ZookeeperSettings } from '../../model/registries/zookeeper.ts';
import { ensembleMember } from '../address-values.ts';
import { ENSEMBLE, ENSEMBLE_MEMBER } from '../forms.ts';
import type { Tree } from '../tree.ts';
import { duration, filePath, flag, listOf } from '../values.ts';
import { buildTls, tlsSchema } from './tls.ts';
import { trustKeys } from './trust.ts';

export const zookeeperSchema = z.strictObject({
  address: z
    // A connect string of several members may be one of several values, as by a flag.
    .preprocess(
      (value) => (Array.isArray(value) ? value.flatMap(commaParts) : value),
      listOf(ensembleMember, ENSEMBLE_MEMBER),
    )
    .prefault(['127.0.0.1:2181'])
    .meta({
      description:
        "Members, or ZooKeeper's connect string: a path at its end (host:2181/chroot) goes before `path`. A random one is asked first.",
      form: ENSEMBLE,
    }),
  path: z
    .string()
    // No name is . or .., and none has what isZnodeName refuses.
    .regex(
      /^(?![\s\S]*\/\.{1,2}(?:\/|$))\/[ -~\u00a0-\ud7ff\uf900-\uffef]*$/,
      'expected a path of znodes, /services',
    )
    .default('/services')
    .meta({ description: 'The znode below which services are registered.' }),
  username: z.string().default('').meta({
    description: 'User of the scheme digest; empty for no authentication.',
  }),
  password: z.string().default('').meta({ description: 'Its password.' }),
  password_file: filePath
    .default('')
    .meta({ description: 'File with the password, read again when it changes.' }),
  session_timeout: duration(1000, 120_000).prefault('10s').meta({
    description:
      'Session timeout that is asked for; the members decide. A member that is silent for two thirds of it is left.',
  }),
  tls: tlsSchema
    .extend({
      enabled: flag
        .prefault(false)
        .meta({ description: 'Speak TLS; on where a CA or a certificate is given.' }),
    })
    .prefault({})
    .meta({ description: "Towards the members' secure port." }),
  self_described: flag.prefault(true).meta({
    description:
      'Read everything below the path, and serve services whose instances have our labels.',
  }),
  tag_prefix: z
    .string()
    .min(1)
    .default('upriver')
    .meta({ description: 'Labels PREFIX.key are settings of the service.' }),
  ...trustKeys,
});

export function buildZookeeper(input: z.output<typeof zookeeperSchema>): ZookeeperSettings {
  const { enabled, ...files } = input.tls;
  const tls = buildTls(files);
  const isTls = enabled || tls.caFile !== '' || tls.certFile !== '';
  // The one that ends the connect string has it.
  const chroot = input.address.find((member) => member.chroot !== '')?.chroot ?? '';
  return {
    servers: input.address.map(({ address, port }) => ({ address, port })),
    path: `/${[...partsOf(chroot), ...partsOf(input.path)].join('/')}`,
    username: input.username,
    password: input.password,
    passwordFile: input.password_file,
    sessionTimeoutMs: input.session_timeout,
    tls: isTls ? tls : null,
    selfDescribed: input.self_described,
    tagPrefix: input.tag_prefix,
    listenAllow: input.listen_allow,
    endpointDeny: input.endpoint_deny,
  };
}

/** Whether services may describe themselves by these settings. */
export function zookeeperDescribes({ self_described: value }: Tree): boolean {
  return zookeeperSchema.shape.self_described.safeParse(value).data === true;
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '');
}

function commaParts(value: unknown): unknown {
  return typeof value === 'string' ? value.split(',').map((part) => part.trim()) : [value];
}
