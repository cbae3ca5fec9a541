// Nodes, services and checks, and the index of each answer about them. The rules of the indexes are
// Consul's: a service has one of its own, raised by its instances, their checks and their nodes; one
// that has no instance shares the index of the last service that vanished, or else of the tables.
import { isDeepStrictEqual } from 'node:util';
import type { ChangeLog } from './change-log.ts';
import type { ServiceDefinition } from './definitions.ts';

interface Indexed {
  readonly createIndex: number;
  readonly modifyIndex: number;
}

/** What a caller gives: the indexes are the catalog's to set. */
export type Unindexed<T extends Indexed> = Omit<T, 'createIndex' | 'modifyIndex'>;

export interface StoredNode extends Indexed {
  readonly node: string;
  readonly id: string;
  readonly address: string;
  /** Null for nodes that were registered through the catalog without them. */
  readonly taggedAddresses: Readonly<Record<string, string>> | null;
  readonly meta: Readonly<Record<string, string>> | null;
}

/** What was registered, but for its checks. */
export interface StoredService extends Indexed, Omit<ServiceDefinition, 'checks'> {
  readonly node: string;
}

export interface StoredCheck extends Indexed {
  readonly node: string;
  readonly id: string;
  readonly name: string;
  /** passing, warning or critical; through the catalog anything can be written. */
  readonly status: string;
  readonly notes: string;
  readonly output: string;
  /** '' for a check of the node. */
  readonly serviceId: string;
  readonly serviceName: string;
  readonly type: string;
}

export class Catalog {
  private readonly log: ChangeLog;
  private readonly nodesByName = new Map<string, StoredNode>();
  private readonly servicesByKey = new Map<string, StoredService>();
  private readonly checksByKey = new Map<string, StoredCheck>();
  private readonly indexByService = new Map<string, number>();
  private readonly tableIndex = { nodes: 1, services: 1, checks: 1 };
  private extinctionIndex = 0;

  constructor(log: ChangeLog) {
    this.log = log;
  }

  // Reading; lists are sorted by node and id, as Consul's are.

  nodes(): StoredNode[] {
    return sorted(this.nodesByName, () => true);
  }

  node(name: string): StoredNode | undefined {
    return this.nodesByName.get(name);
  }

  services(isWanted: (service: StoredService) => boolean = () => true): StoredService[] {
    return sorted(this.servicesByKey, isWanted);
  }

  service(node: string, id: string): StoredService | undefined {
    return this.servicesByKey.get(keyOf(node, id));
  }

  checks(isWanted: (check: StoredCheck) => boolean = () => true): StoredCheck[] {
    return sorted(this.checksByKey, isWanted);
  }

  check(node: string, id: string): StoredCheck | undefined {
    return this.checksByKey.get(keyOf(node, id));
  }

  /** The checks that count for an instance: those of its node, then its own. */
  checksOf({ node, id }: StoredService): StoredCheck[] {
    const ofNode = this.checks((check) => check.node === node && check.serviceId === '');
    return [...ofNode, ...this.checks((check) => check.node === node && check.serviceId === id)];
  }

  get nodesIndex(): number {
    return this.tableIndex.nodes;
  }

  get servicesIndex(): number {
    return this.tableIndex.services;
  }

  get checksIndex(): number {
    return this.tableIndex.checks;
  }

  /**
   * X-Consul-Index of a service. One without instances has that of the last service that lost all of its own, else the
   * highest of the tables.
   */
  serviceIndex(name: string): number {
    const { nodes, services, checks } = this.tableIndex;
    const own = this.indexByService.get(name.toLowerCase());
    return own ?? (this.extinctionIndex || Math.max(nodes, services, checks));
  }

  // Writing: within ChangeLog.write. What changes nothing raises no index.

  putNode(node: Unindexed<StoredNode>): void {
    const before = this.nodesByName.get(node.node);
    if (before !== undefined && isSame(before, node)) return;
    const index = this.log.touch();
    this.nodesByName.set(node.node, indexed(node, before, index));
    this.tableIndex.nodes = index;
    this.raiseNode(node.node, index);
  }

  putService(service: Unindexed<StoredService>): void {
    const key = keyOf(service.node, service.id);
    const before = this.servicesByKey.get(key);
    if (before !== undefined && isSame(before, service)) return;
    const index = this.log.touch();
    this.servicesByKey.set(key, indexed(service, before, index));
    this.tableIndex.services = index;
    this.indexByService.set(service.name.toLowerCase(), index);
    if (before !== undefined && before.name !== service.name) this.raiseOrEnd(before.name, index);
  }

  /** Removes an instance and its checks; false where there is none. */
  removeService(node: string, id: string): boolean {
    const service = this.service(node, id);
    if (service === undefined) return false;
    const index = this.log.touch();
    for (const check of this.checks((one) => one.node === node && one.serviceId === id)) {
      this.checksByKey.delete(keyOf(node, check.id));
      this.tableIndex.checks = index;
    }
    this.servicesByKey.delete(keyOf(node, id));
    this.tableIndex.services = index;
    this.raiseOrEnd(service.name, index);
    return true;
  }

  putCheck(check: Unindexed<StoredCheck>): void {
    const key = keyOf(check.node, check.id);
    const before = this.checksByKey.get(key);
    if (before !== undefined && isSame(before, check)) return;
    const index = this.log.touch();
    this.checksByKey.set(key, indexed(check, before, index));
    this.raiseCheck(check, index);
  }

  /** A check has run. Output alone wakes nobody: Consul holds it back for minutes. */
  setResult(node: string, id: string, result: { status: string; output: string }): void {
    const check = this.check(node, id);
    if (check === undefined) return;
    if (check.status !== result.status) this.putCheck({ ...withoutIndexes(check), ...result });
    else this.checksByKey.set(keyOf(node, id), { ...check, output: result.output });
  }

  /** False where there is none. */
  removeCheck(node: string, id: string): boolean {
    const check = this.check(node, id);
    if (check === undefined) return false;
    this.checksByKey.delete(keyOf(node, id));
    this.raiseCheck(check, this.log.touch());
    return true;
  }

  /** Removes a node with all that is on it; false where there is none. */
  removeNode(name: string): boolean {
    if (!this.nodesByName.has(name)) return false;
    for (const { id } of this.services((one) => one.node === name)) this.removeService(name, id);
    for (const { id } of this.checks((one) => one.node === name)) this.removeCheck(name, id);
    this.nodesByName.delete(name);
    this.tableIndex.nodes = this.log.touch();
    return true;
  }

  private raiseCheck({ node, serviceName }: Unindexed<StoredCheck>, index: number): void {
    this.tableIndex.checks = index;
    if (serviceName === '') this.raiseNode(node, index);
    else this.indexByService.set(serviceName.toLowerCase(), index);
  }

  /** A node and its checks concern every service that is on it. */
  private raiseNode(node: string, index: number): void {
    for (const { name } of this.services((one) => one.node === node)) {
      this.indexByService.set(name.toLowerCase(), index);
    }
  }

  private raiseOrEnd(name: string, index: number): void {
    const lower = name.toLowerCase();
    const isLeft = this.services((one) => one.name.toLowerCase() === lower).length > 0;
    if (isLeft) {
      this.indexByService.set(lower, index);
    } else {
      this.indexByService.delete(lower);
      this.extinctionIndex = index;
    }
  }
}

/** Names of services hold no NUL, so no two pairs share a key. */
function keyOf(node: string, id: string): string {
  return `${node}\0${id}`;
}

function sorted<T>(map: ReadonlyMap<string, T>, isWanted: (one: T) => boolean): T[] {
  return [...map]
    .filter(([, one]) => isWanted(one))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, one]) => one);
}

function indexed<T extends object>(
  one: T,
  before: Indexed | undefined,
  index: number,
): T & Indexed {
  return { ...one, createIndex: before?.createIndex ?? index, modifyIndex: index };
}

function withoutIndexes<T extends Indexed>(one: T): Unindexed<T> {
  const { createIndex: _, modifyIndex: __, ...rest } = one;
  return rest;
}

function isSame<T extends Indexed>(before: T, after: Unindexed<T>): boolean {
  return isDeepStrictEqual(withoutIndexes(before), after);
}
