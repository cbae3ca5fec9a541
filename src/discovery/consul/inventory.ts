// What the list of services doesn't tell: which of them a change of the catalog concerns, and which
// describe themselves by Meta alone. Both stand in the lists of the nodes (/v1/catalog/node/:node),
// where each instance has the index of its last change; these are read after each change, and no
// more often than their number allows.

import type { Timer } from '../../base/clock.ts';
import { messageOf } from '../../base/coded-error.ts';
import { encodeSegment } from '../../base/path-text.ts';
import { type Answer, ConsulError } from './answer.ts';
import type { ConsulContext } from './blocking-query.ts';
import { type FetchedInstance, type Standing, standingOf } from './listed-item.ts';
import { isAskable } from './service-query.ts';
import { listOf } from './translate.ts';

const DEADLINE_MS = 10_000;
/** Lists that are asked for at a time. */
const CONCURRENT_MAX = { alone: 4, behind: 1 };
/** A list read keeps the next reading away for so long: at most 100 lists a second, or 20. */
const COST_MS = { quick: 10, slow: 50 };
const PAUSE_MS_MIN = { quick: 100, slow: 500 };
/**
 * ... and for so many times as long as it took: long lists cost the agent and us alike. The longer
 * where a summary tells most changes before.
 */
const PAUSE_PER_MS = { alone: 2, behind: 12 };
const RETRY_MS = 5000;

/** Instance id -> its service and the index of its last change. */
type NodeItems = ReadonlyMap<string, { readonly name: string; readonly index: number }>;

/** What one reading has found. */
interface Reading {
  /** Names of all nodes, and the X-Consul-Index of their list. */
  readonly names: ReadonlySet<string>;
  readonly index: bigint;
  /** By name of the node: its instances, and the X-Consul-Index of their list. */
  readonly nodes: ReadonlyMap<string, { readonly items: NodeItems; readonly index: bigint }>;
}

export interface InventoryOptions {
  readonly context: ConsulContext;
  readonly scope: Readonly<Record<string, string>>;
  /** Meta keys that start so make a service describe itself. */
  readonly metaPrefix: string;
  /** Services that have changed since the reading before. */
  readonly onRead: (changed: ReadonlySet<string>) => void;
  readonly onError: (error: ConsulError | null) => void;
}

export class Inventory {
  private readonly options: InventoryOptions;
  private readonly stopped = new AbortController();
  /** Null before the first. */
  private reading: Reading | null = null;
  private isReading = false;
  private isWanted = false;
  private hasFailed = false;
  private timer: Timer | null = null;
  /** Names of services that describe themselves by Meta. */
  described: ReadonlySet<string> = new Set();
  /** Has been read, or at least tried. */
  isTried = false;
  /** Has been read, or can't be, for want of rights. */
  isKnown = false;
  /** Somebody waits for the changes: they are looked for more often. */
  isUrgent = false;
  /** Most changes are told by somebody else before. */
  isBehind = false;

  constructor(options: InventoryOptions) {
    this.options = options;
  }

  /** The catalog has changed: reads it, now or as soon as that may be. */
  refresh(): void {
    this.isWanted = true;
    if (!this.isReading && this.timer === null) void this.read();
  }

  stop(): void {
    this.stopped.abort();
    this.timer?.cancel();
  }

  private async read(): Promise<void> {
    const { onRead, onError } = this.options;
    this.isReading = true;
    this.isWanted = false;
    let pauseMs = RETRY_MS;
    const { clock } = this.options.context;
    const startMs = clock.nowMs();
    try {
      const { reading, described } = await this.readNodes();
      const pace = this.isUrgent ? 'quick' : 'slow';
      const tookMs = clock.nowMs() - startMs;
      const perMs = PAUSE_PER_MS[this.isBehind ? 'behind' : 'alone'];
      pauseMs = Math.max(PAUSE_MS_MIN[pace], reading.nodes.size * COST_MS[pace], tookMs * perMs);
      const changed = this.changedSince(reading);
      this.reading = reading;
      this.described = described;
      this.isTried = true;
      this.isKnown = true;
      onError(null);
      onRead(changed);
    } catch (error) {
      if (this.stopped.signal.aborted) return;
      this.isTried = true;
      this.isWanted = true;
      this.hasFailed = true;
      const failure =
        error instanceof ConsulError ? error : new ConsulError('failed', messageOf(error));
      if (failure.isRefusal) this.isKnown = true;
      onError(failure);
      onRead(new Set());
    }
    this.isReading = false;
    this.awaitNext(pauseMs);
  }

  private awaitNext(pauseMs: number): void {
    if (this.stopped.signal.aborted) return;
    this.timer = this.options.context.clock.setTimer(pauseMs, () => {
      this.timer = null;
      if (this.isWanted) void this.read();
    });
  }

  private async readNodes() {
    const list = await this.get('/v1/catalog/nodes');
    const names = new Set(
      listOf<{ Node?: string }>(list.body).flatMap(({ Node }) =>
        typeof Node === 'string' ? [Node] : [],
      ),
    );
    const nodes = new Map<string, { items: NodeItems; index: bigint }>();
    const described = new Set<string>();
    const left = [...names].filter(isAskable);
    const readNext = async (): Promise<void> => {
      for (let name = left.pop(); name !== undefined; name = left.pop()) {
        const { body, index } = await this.get(`/v1/catalog/node/${encodeSegment(name)}`);
        nodes.set(name, { items: itemsOf(body, this.options.metaPrefix, described), index });
      }
    };
    const length = CONCURRENT_MAX[this.isBehind ? 'behind' : 'alone'];
    await Promise.all(Array.from({ length }, readNext));
    return { reading: { names, index: list.index, nodes }, described };
  }

  private get(path: string): Promise<Answer> {
    const { context, scope } = this.options;
    const { signal } = this.stopped;
    // The leader is asked: another server may not yet know the change that we come for.
    const question = { path, query: scope, deadlineMs: DEADLINE_MS, signal, isConsistent: true };
    return context.client.get(question);
  }

  /** What the last reading says of an instance that was fetched. Without one nothing can be told. */
  standingOf({ node, id, index, nodeIndex }: FetchedInstance): Standing {
    if (this.reading === null) return this.isKnown ? 'listed' : 'ahead';
    const { names, nodes } = this.reading;
    const list = nodes.get(node);
    if (list !== undefined) {
      return standingOf(index, { index: list.index, hasItem: list.items.has(id) });
    }
    return standingOf(nodeIndex, { index: this.reading.index, hasItem: names.has(node) });
  }

  /**
   * Nothing the first time, when it is only learnt what there is; but everything when it should
   * have been learnt before: changes may have been missed since.
   */
  private changedSince({ nodes }: Reading): Set<string> {
    const before = this.reading?.nodes ?? null;
    const changed = new Set<string>();
    if (before === null && !this.hasFailed) return changed;
    for (const node of new Set([...nodes.keys(), ...(before?.keys() ?? [])])) {
      const was: NodeItems = before?.get(node)?.items ?? new Map();
      const is: NodeItems = nodes.get(node)?.items ?? new Map();
      for (const id of new Set([...was.keys(), ...is.keys()])) {
        const [old, now] = [was.get(id), is.get(id)];
        if (old?.name === now?.name && old?.index === now?.index) continue;
        if (old !== undefined) changed.add(old.name);
        if (now !== undefined) changed.add(now.name);
      }
    }
    return changed;
  }
}

/** What a node has; puts names of services that describe themselves into `described`. */
export function itemsOf(body: unknown, metaPrefix: string, described: Set<string>): NodeItems {
  // Consul's own shape; every field is looked at before it is used. Null says that the node has gone.
  const { Services } = (body ?? {}) as { Services?: Record<string, CatalogService | null> | null };
  const items = new Map<string, { name: string; index: number }>();
  for (const [id, service] of Object.entries(Services ?? {})) {
    const { Service: name, ModifyIndex: index = 0, Meta } = service ?? {};
    if (typeof name !== 'string') continue;
    items.set(id, { name, index });
    if (Object.keys(Meta ?? {}).some((key) => key.startsWith(metaPrefix))) described.add(name);
  }
  return items;
}

interface CatalogService {
  readonly Service?: string;
  readonly ModifyIndex?: number;
  readonly Meta?: Readonly<Record<string, string>> | null;
}
