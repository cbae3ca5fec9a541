// The configuration as far as it can be read: every field by itself, so that one bad value hides no
// contradiction between others. What is wrong with a value is said by the schema; here it is
// undefined.
import type { z } from 'zod';
import type { ListenAddress } from '../model/listener.ts';
import type { FollowedRegistry, RegistryName } from '../model/registries/table.ts';
import type { Protocol } from '../model/service.ts';
import { selfSchema } from './registries/consul-self.ts';
import { isSelfDescribed } from './registries/schemas.ts';
import { FOLLOWED_NAMES } from './registries/table.ts';
import { addressFor, type ListenInput, type TlsInput, tlsMapping } from './schema/listen.ts';
import { routerSchema, routeSchema } from './schema/router.ts';
import { serviceSchema } from './schema/service.ts';
import { sourceShape } from './schema/source.ts';
import { statsSchema } from './schema/stats.ts';
import { isTree, type Tree } from './tree.ts';

export interface DraftService {
  readonly name: string;
  readonly tree: Tree;
  readonly listen: readonly ListenInput[] | undefined;
  readonly protocol: Protocol | undefined;
  readonly balance: z.output<typeof serviceSchema.shape.balance> | undefined;
  readonly sources: readonly DraftSource[];
}

export interface DraftSource {
  readonly registry: RegistryName | undefined;
  /** Nobody says which of several registries is meant. */
  readonly isUnsaid: boolean;
  /** The name that the service has in its registry. */
  readonly source: string | undefined;
  /** Where it stands below the service: `from`, or one of a list there. */
  readonly path: readonly string[];
  readonly tree: Tree;
}

export interface DraftRoute extends Partial<z.output<typeof routeSchema>> {
  /** It says something of a redirect, right or wrong. */
  readonly isRedirect: boolean;
}

export interface DraftRouter {
  readonly listen: readonly ListenInput[] | undefined;
  readonly routes: readonly DraftRoute[];
}

export type StatsInput = NonNullable<z.output<typeof statsSchema.shape.listen>>;

export interface Draft {
  readonly services: ReadonlyMap<string, DraftService>;
  readonly routers: readonly DraftRouter[];
  /** Names with fixed endpoints. */
  readonly fixed: ReadonlySet<string>;
  /** What listeners with TLS have in common. */
  readonly tls: TlsInput | undefined;
  /** The stats port; null where it is off. */
  readonly stats: StatsInput | null | undefined;
  /** Who may read the stats port. */
  readonly readers: readonly string[] | undefined;
  /** A token for the stats port is set. */
  readonly hasToken: boolean;
  /** The registries that are configured, rightly or not. */
  readonly followed: readonly FollowedRegistry[];
  /** Services may come that no layer names. */
  readonly isSelfDescribed: boolean;
  /** The name under which this process registers itself in Consul; '' where it does not. */
  readonly fleet: string;
}

/** Reads a tree that may be wrong: what does not fit the schema is as if it were not given. */
export function draftOf(tree: Tree): Draft {
  const services = Object.entries(treeOf(tree.services)).map(
    ([name, service]) => [name, draftService(name, treeOf(service))] as const,
  );
  const stats = treeOf(tree.stats);
  const registries = treeOf(tree.registries);
  return {
    services: new Map(services),
    routers: list(tree.routers).map((router) => draftRouter(treeOf(router))),
    fixed: new Set(Object.keys(treeOf(tree.static))),
    tls: tree.tls === undefined ? undefined : field(tlsMapping, tree.tls),
    stats: field(statsSchema.shape.listen, stats.listen),
    readers: field(statsSchema.shape.read, stats.read),
    hasToken: [stats.read_token, stats.admin_token].some((one) => one !== undefined && one !== ''),
    followed: FOLLOWED_NAMES.filter((name) => Object.hasOwn(registries, name)),
    isSelfDescribed: isSelfDescribed(registries),
    fleet: fleetOf(treeOf(registries.consul)),
  };
}

function fleetOf({ register_self }: Tree): string {
  const { data } = selfSchema.safeParse(treeOf(register_self));
  return data?.enabled === true ? data.service : '';
}

/** A listener that somebody wants. */
export interface Claim {
  readonly address: ListenAddress;
  readonly listen: ListenInput;
  /** `service web`, human-readable. */
  readonly owner: string;
  readonly path: readonly (string | number)[];
}

/** Every listener in a configuration, routers first. */
export function claimsOf({ routers, services }: Draft): Claim[] {
  return [
    ...routers.flatMap((router, i) =>
      (router.listen ?? []).map((listen) => ({
        listen,
        owner: `router ${i}`,
        path: ['routers', i, 'listen'],
        address: listen.address,
      })),
    ),
    ...[...services].flatMap(([name, service]) =>
      (service.listen ?? []).map((listen) => ({
        listen,
        owner: `service ${name}`,
        path: ['services', name, 'listen'],
        address: addressFor(service.protocol, listen.address),
      })),
    ),
  ];
}

function draftService(name: string, tree: Tree): DraftService {
  const { shape } = serviceSchema;
  return {
    name,
    tree,
    listen: field(shape.listen, tree.listen),
    protocol: field(shape.protocol, tree.protocol),
    balance: field(shape.balance, tree.balance),
    sources: Array.isArray(tree.from)
      ? tree.from.map((one, i) => draftSource(name, treeOf(one), ['from', String(i)]))
      : [draftSource(name, treeOf(tree.from), ['from'])],
  };
}

function draftSource(name: string, tree: Tree, path: readonly string[]): DraftSource {
  const { registry, service } = tree;
  return {
    path,
    tree,
    registry: field(sourceShape.registry, registry),
    isUnsaid: registry === undefined,
    source: service === undefined ? name : field(sourceShape.service, service),
  };
}

function draftRouter(tree: Tree): DraftRouter {
  return {
    listen: field(routerSchema.shape.listen, tree.listen),
    routes: list(tree.routes).map((route) => draftRoute(treeOf(route))),
  };
}

function draftRoute(tree: Tree): DraftRoute {
  const fields = Object.entries(routeSchema.shape).map(([key, schema]) => [
    key,
    field<unknown>(schema, tree[key]),
  ]);
  const isRedirect = tree.redirect != null;
  // Each value is what its own schema made of it.
  return { ...(Object.fromEntries(fields) as Omit<DraftRoute, 'isRedirect'>), isRedirect };
}

function field<T>(schema: z.ZodType<T>, value: unknown): T | undefined {
  const result = schema.safeParse(value);
  return result.success ? result.data : undefined;
}

function treeOf(value: unknown): Tree {
  return isTree(value) ? value : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
