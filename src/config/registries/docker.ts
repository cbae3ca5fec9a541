// `registries.docker`.
import { z } from 'zod';
import { DEFAULT_SOCKETS, parseEngineAddress } from '../../model/engine-address.ts';
import type { DockerSettings } from '../../model/registries/docker.ts';
import { engineAddress, listenAddress } from '../address-values.ts';
import { ENGINE } from '../forms.ts';
import type { Tree } from '../tree.ts';
import { flag, listOf } from '../values.ts';
import { buildTls, tlsSchema } from './tls.ts';
import { trustKeys } from './trust.ts';

const HOST = /^[0-9A-Za-z.:_-]*$/;

export const dockerSchema = z.strictObject({
  address: listOf(engineAddress, ENGINE)
    .prefault([...DEFAULT_SOCKETS])
    .meta({
      description:
        "The engine's socket, or tcp://host:port; of several the first whose socket is there is used. Podman's socket works as well.",
    }),
  tls: tlsSchema.prefault({}).meta({
    description: 'For https:// addresses, and for tcp:// once a file is named.',
  }),
  endpoints: z.enum(['auto', 'published', 'container']).default('auto').meta({
    description:
      'What is connected to: published ports of the host, addresses of containers, or (auto) published ports, and addresses where none is published and the container asks to be served, or where Upriver is a container of this engine itself.',
  }),
  host: z.string().regex(HOST, 'expected an IP address or a host name').default('').meta({
    description:
      'Address of the host on which ports are published; by default that of tcp://, or 127.0.0.1.',
  }),
  network: z.string().default('').meta({
    description: 'The network whose addresses are taken where a container is in several.',
  }),
  declared_checks: flag.prefault(true).meta({
    description:
      "Check containers as they say by Registrator's variables and labels (SERVICE_CHECK_HTTP, SERVICE_CHECK_TCP, SERVICE_CHECK_INTERVAL, ...) where their service has no health.",
  }),
  self_described: flag
    .prefault(true)
    .meta({ description: 'Serve containers with our labels, or with VIRTUAL_HOST.' }),
  label_prefix: z
    .string()
    .min(1)
    .default('upriver')
    .meta({ description: 'Labels PREFIX.key=value, and tags of SERVICE_TAGS like them.' }),
  virtual_hosts: z
    .union([listenAddress, z.literal('off').transform(() => null)], {
      error: 'expected a port, address:port, or off',
    })
    .prefault('80')
    .meta({ description: 'Where containers with VIRTUAL_HOST are served, by host and path.' }),
  ...trustKeys,
});

export function buildDocker(input: z.output<typeof dockerSchema>): DockerSettings {
  const tls = buildTls(input.tls);
  const isTls = [tls.caFile, tls.certFile, tls.keyFile].some((file) => file !== '');
  return {
    addresses: input.address.map((text) => parseEngineAddress(text, isTls)),
    tls,
    place: input.endpoints,
    host: input.host,
    network: input.network,
    declaredChecks: input.declared_checks,
    selfDescribed: input.self_described,
    labelPrefix: input.label_prefix,
    virtualHosts: input.virtual_hosts,
    listenAllow: input.listen_allow,
    endpointDeny: input.endpoint_deny,
  };
}

/** Whether containers may have themselves served by these settings. */
export function dockerDescribes({ self_described: value }: Tree): boolean {
  const { data } = dockerSchema.shape.self_described.safeParse(value);
  return data === true;
}
