// The settings of each registry: what they may be, and what is made of them.
import type { z } from 'zod';
import type { FollowedRegistry, RegistrySettings } from '../../model/registries/table.ts';
import { isTree, type Tree } from '../tree.ts';
import { buildConsul, consulDescribes, consulSchema } from './consul.ts';
import { buildDns, dnsSchema } from './dns.ts';
import { buildDocker, dockerDescribes, dockerSchema } from './docker.ts';
import { buildEtcd, etcdDescribes, etcdSchema } from './etcd.ts';
import { buildFile, fileSchema } from './file.ts';
import { buildHttpRegistry, httpRegistrySchema } from './http.ts';
import { buildZookeeper, zookeeperDescribes, zookeeperSchema } from './zookeeper.ts';

interface RegistrySchema<S extends z.ZodType, T> {
  /** What `registries.NAME` may hold. */
  readonly schema: S;
  readonly description: string;
  readonly build: (input: z.output<S>) => T;
  /** Whether services may come by these settings that no configuration names. */
  readonly describes: (settings: Tree) => boolean;
}

function row<S extends z.ZodType, T>(schema: RegistrySchema<S, T>): RegistrySchema<S, T> {
  return schema;
}

const ROWS = {
  consul: row({
    schema: consulSchema,
    description: 'Follow Consul.',
    build: buildConsul,
    describes: consulDescribes,
  }),
  etcd: row({
    schema: etcdSchema,
    description: 'Follow etcd.',
    build: buildEtcd,
    describes: etcdDescribes,
  }),
  docker: row({
    schema: dockerSchema,
    description: 'Follow the containers of Docker or Podman.',
    build: buildDocker,
    describes: dockerDescribes,
  }),
  file: row({
    schema: fileSchema,
    description: 'Follow files with target groups.',
    build: buildFile,
    describes: () => true,
  }),
  http: row({
    schema: httpRegistrySchema,
    description: 'Follow URLs with target groups.',
    build: buildHttpRegistry,
    describes: () => true,
  }),
  dns: row({
    schema: dnsSchema,
    description: 'Follow records of DNS.',
    build: buildDns,
    describes: () => false,
  }),
  zookeeper: row({
    schema: zookeeperSchema,
    description: 'Follow ZooKeeper.',
    build: buildZookeeper,
    describes: zookeeperDescribes,
  }),
} satisfies { [N in FollowedRegistry]: RegistrySchema<z.ZodType, RegistrySettings[N]> };

type Rows = typeof ROWS;
type Shape = { [N in keyof Rows]: z.ZodOptional<Rows[N]['schema']> };

const entries = Object.entries(ROWS);

/** The keys of `registries`. */
export const registryShape = Object.fromEntries(
  entries.map(([name, { schema, description }]) => [name, schema.optional().meta({ description })]),
  // One key for each row.
) as Shape;

export type RegistriesInput = z.output<z.ZodObject<Shape>>;

/** The settings of the registries that are followed. */
export function buildRegistries(input: RegistriesInput): Partial<RegistrySettings> {
  const built = entries.flatMap(([name, { build }]) => {
    const given = input[name as keyof Rows];
    // What its own schema made of it.
    return given === undefined ? [] : [[name, build(given as never)]];
  });
  return Object.fromEntries(built);
}

/** Whether services may come from a registry that no configuration names. */
export function isSelfDescribed(registries: Tree): boolean {
  return entries.some(([name, { describes }]) => {
    const settings = registries[name];
    return settings === null ? describes({}) : isTree(settings) && describes(settings);
  });
}
