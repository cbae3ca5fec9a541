// What is registered in truth: the state of the simulated Consul, version by version. A version is
// never changed, so that a server that is behind can answer from an old one. Indexes rise as in
// Consul: one per write; each service, the catalog, the checks and each key have that of their last
// change.

export type CheckStatus = 'passing' | 'warning' | 'critical';

export interface Instance {
  readonly node: string;
  readonly id: string;
  readonly service: string;
  /** '' means the node's. */
  readonly address: string;
  readonly port: number;
  readonly tags: readonly string[];
  readonly meta: Readonly<Record<string, string>>;
  readonly weight: number;
  readonly status: CheckStatus;
  readonly isInMaintenance: boolean;
  /** Index of the last change of the instance, and of its check. */
  readonly index: number;
  readonly checkIndex: number;
}

/** A key of the KV store; `session` is whose lock it is, '' for nobody's. */
export interface Key {
  readonly text: string;
  readonly index: number;
  readonly session: string;
}

export interface State {
  readonly atMs: number;
  readonly index: number;
  /** By `node/id`. */
  readonly instances: ReadonlyMap<string, Instance>;
  /** Nodes in maintenance. */
  readonly maintained: ReadonlySet<string>;
  readonly serviceIndexes: ReadonlyMap<string, number>;
  /** Of the last service that lost its last instance. */
  readonly extinctIndex: number;
  readonly catalogIndex: number;
  readonly checksIndex: number;
  readonly keys: ReadonlyMap<string, Key>;
  readonly keysIndex: number;
}

export const NODES: readonly string[] = ['n1', 'n2', 'n3'];

/** The address of a node. */
export function addressOf(node: string): string {
  return `10.0.0.${NODES.indexOf(node) + 1}`;
}

/** Whether it says of its service that it is one of Upriver's. */
export function describes({ tags, meta }: Pick<Instance, 'tags' | 'meta'>): boolean {
  return 'upriver-listen' in meta || tags.some((tag) => tag.startsWith('upriver.l'));
}

export function keyOf({ node, id }: Pick<Instance, 'node' | 'id'>): string {
  return `${node}/${id}`;
}

export function emptyState(atMs: number, index: number): State {
  return {
    atMs,
    index,
    instances: new Map(),
    maintained: new Set(),
    serviceIndexes: new Map(),
    extinctIndex: index,
    catalogIndex: index,
    checksIndex: index,
    keys: new Map(),
    keysIndex: index,
  };
}

/** The state after one write. `before` stays as it is; null where nothing would change. */
export function withInstance(before: State, atMs: number, instance: Instance): State {
  const index = before.index + 1;
  const known = before.instances.get(keyOf(instance));
  const placed = { ...instance, index, checkIndex: index };
  const instances = new Map(before.instances).set(keyOf(instance), placed);
  const serviceIndexes = new Map(before.serviceIndexes).set(instance.service, index);
  if (known !== undefined && known.service !== instance.service) {
    serviceIndexes.set(known.service, index);
  }
  return {
    ...before,
    ...{ atMs, index, instances, serviceIndexes, catalogIndex: index, checksIndex: index },
  };
}

export function withoutInstance(before: State, atMs: number, key: string): State | null {
  const known = before.instances.get(key);
  if (known === undefined) return null;
  const index = before.index + 1;
  const instances = new Map(before.instances);
  instances.delete(key);
  const serviceIndexes = new Map(before.serviceIndexes);
  const isExtinct = ![...instances.values()].some(({ service }) => service === known.service);
  if (isExtinct) serviceIndexes.delete(known.service);
  else serviceIndexes.set(known.service, index);
  const extinctIndex = isExtinct ? index : before.extinctIndex;
  return {
    ...before,
    ...{ atMs, index, instances, serviceIndexes, extinctIndex },
    ...{ catalogIndex: index, checksIndex: index },
  };
}

export function withStatus(
  before: State,
  atMs: number,
  change: { key: string } & Partial<Pick<Instance, 'status' | 'isInMaintenance'>>,
): State | null {
  const { key, ...parts } = change;
  const known = before.instances.get(key);
  if (known === undefined) return null;
  const index = before.index + 1;
  const instances = new Map(before.instances).set(key, { ...known, ...parts, checkIndex: index });
  const serviceIndexes = new Map(before.serviceIndexes).set(known.service, index);
  return { ...before, atMs, index, instances, serviceIndexes, checksIndex: index };
}

export function withNodeMaintenance(
  before: State,
  atMs: number,
  { node, isOn }: { node: string; isOn: boolean },
): State {
  const index = before.index + 1;
  const maintained = new Set(before.maintained);
  if (isOn) maintained.add(node);
  else maintained.delete(node);
  const serviceIndexes = new Map(before.serviceIndexes);
  for (const one of before.instances.values()) {
    if (one.node === node) serviceIndexes.set(one.service, index);
  }
  return { ...before, atMs, index, maintained, serviceIndexes, checksIndex: index };
}

/** `text` null removes the key. */
export function withKey(
  before: State,
  atMs: number,
  { name, text, session = '' }: { name: string; text: string | null; session?: string },
): State {
  const index = before.index + 1;
  const keys = new Map(before.keys);
  if (text === null) keys.delete(name);
  else keys.set(name, { text, index, session });
  return { ...before, atMs, index, keys, keysIndex: index };
}
