// The keys of a simulated etcd cluster, as its quorum has them: revisions, times to live, the events
// that are kept. Both APIs are served from it (sim-etcd.ts).
import type { Kernel } from '../kernel/kernel.ts';

export interface StoredKey {
  readonly value: string;
  readonly created: number;
  readonly modified: number;
  /** When it goes by itself; null: never. */
  readonly expiresMs: number | null;
}

export interface StoreEvent {
  readonly atMs: number;
  readonly revision: number;
  readonly key: string;
  readonly kind: 'put' | 'delete' | 'expire';
  readonly stored: StoredKey | null;
  /** What the key was before. */
  readonly before: StoredKey | null;
}

/** Times to live are looked at so often, by the leader. */
const SWEEP_MS = 500;

export class EtcdStore {
  readonly keys = new Map<string, StoredKey>();
  readonly events: StoreEvent[] = [];
  /** When the first key below each folder was made. */
  readonly folders = new Map<string, number>();
  clusterId: string;
  revision = 4;
  /** Counted by elections. */
  term = 2;
  /** Events up to this one are kept no more. */
  forgotten = 4;
  /** No key expires: there is no leader. */
  isLeaderless = false;
  /** Called after each change. */
  onChange: () => void = () => {};
  private readonly kernel: Kernel;
  private readonly historyMax: number;
  private clusters = 1;
  private isSweeping = false;

  /** `historyMax`: events that are kept. */
  constructor(kernel: Kernel, historyMax: number) {
    this.kernel = kernel;
    this.historyMax = historyMax;
    this.clusterId = 'c1';
  }

  put(key: string, value: string, ttlMs: number | null): void {
    const before = this.keys.get(key) ?? null;
    this.revision += 1;
    const expiresMs = ttlMs === null ? null : this.kernel.nowMs + ttlMs;
    const created = before?.created ?? this.revision;
    const stored = { value, created, modified: this.revision, expiresMs };
    this.keys.set(key, stored);
    const folder = key.slice(0, key.lastIndexOf('/'));
    if (!this.folders.has(folder)) this.folders.set(folder, this.revision);
    this.tell({ key, kind: 'put', stored, before });
    this.sweepLater();
  }

  /** Its time to live begins anew, and nobody hears of it. False where there is no such key. */
  refresh(key: string, ttlMs: number): boolean {
    const known = this.keys.get(key);
    if (known === undefined) return false;
    this.keys.set(key, { ...known, expiresMs: this.kernel.nowMs + ttlMs });
    return true;
  }

  remove(key: string, kind: 'delete' | 'expire' = 'delete'): void {
    const before = this.keys.get(key);
    if (before === undefined) return;
    this.keys.delete(key);
    this.revision += 1;
    this.tell({ key, kind, stored: null, before });
  }

  /** The keys begin anew, as those of another cluster. */
  beginAnew(): void {
    this.keys.clear();
    this.folders.clear();
    this.events.length = 0;
    this.clusters += 1;
    this.clusterId = `c${this.clusters}`;
    this.revision = 4;
    this.forgotten = 4;
    this.onChange();
  }

  /** What has happened so far is kept no more. */
  compact(): void {
    this.events.length = 0;
    this.forgotten = this.revision;
  }

  /** A leader is elected: leases of v3 have their whole time again. */
  extend(ttlMs: number): void {
    for (const [key, { expiresMs }] of this.keys) if (expiresMs !== null) this.refresh(key, ttlMs);
  }

  private tell(event: Pick<StoreEvent, 'key' | 'kind' | 'stored' | 'before'>): void {
    this.events.push({ atMs: this.kernel.nowMs, revision: this.revision, ...event });
    while (this.events.length > this.historyMax) this.forgotten = this.events.shift()!.revision;
    this.onChange();
  }

  private sweepLater(): void {
    if (this.isSweeping) return;
    this.isSweeping = true;
    this.kernel.after(SWEEP_MS, () => {
      this.isSweeping = false;
      this.sweep();
      if ([...this.keys.values()].some(({ expiresMs }) => expiresMs !== null)) this.sweepLater();
    });
  }

  private sweep(): void {
    if (this.isLeaderless) return;
    for (const [key, { expiresMs }] of [...this.keys]) {
      if (expiresMs !== null && expiresMs <= this.kernel.nowMs) this.remove(key, 'expire');
    }
  }
}
