// The keys below the prefix as etcd last had them, by the services whose records they are. The two
// APIs of etcd are two stores that know nothing of each other: both may be followed (a move from one
// to the other), and a record that both have is the one of v3.
// Each change returns the services that are concerned: what was written again with the same value
// concerns none, so that a registrar's refresh costs nothing further on.

import { type KeyLayout, type KeyRecord, type ReadingRules, readRecord } from '../key-record.ts';
import { placesOf } from './layout.ts';

export type Api = 'v2' | 'v3';

/** A key as etcd has it. */
export interface Entry {
  readonly value: string;
  /** createdIndex, or create_revision. */
  readonly created: number;
  /** It goes by itself when it is not renewed. */
  readonly isMortal: boolean;
}

type Shelf = Map<string, Map<string, KeyRecord>>;

interface Store {
  /** By what follows the prefix. */
  entries: Map<string, Entry>;
  /** Service -> leaf -> record. */
  shelf: Shelf;
  /** When directories were made (v2 alone has them). */
  dirs: Map<string, number>;
}

export class Stock {
  private readonly rules: ReadingRules;
  private readonly stores: Readonly<Record<Api, Store>> = { v2: newStore(), v3: newStore() };

  constructor(rules: ReadingRules) {
    this.rules = rules;
  }

  private get layout(): KeyLayout {
    return this.rules.layout;
  }

  /** How many keys there are. */
  count(api: Api): number {
    return this.stores[api].entries.size;
  }

  get isEmpty(): boolean {
    return this.count('v2') + this.count('v3') === 0;
  }

  /** Names of all services that have a record. */
  services(): Set<string> {
    return new Set([...this.stores.v2.shelf.keys(), ...this.stores.v3.shelf.keys()]);
  }

  /** By leaf. Where both APIs have records, v3's replace those of v2. */
  recordsOf(service: string): ReadonlyMap<string, KeyRecord> {
    const older = this.stores.v2.shelf.get(service);
    const newer = this.stores.v3.shelf.get(service);
    if (older === undefined || newer === undefined) return newer ?? older ?? new Map();
    return new Map([...older, ...newer]);
  }

  /** The lower, the earlier the service was there; null where that is not known. */
  orderOf(service: string): number | null {
    // A v2 key that is set again is created again, its directory is not.
    const made = this.stores.v2.dirs.get(service);
    const port = this.recordsOf(service).get('port');
    return this.stores.v3.shelf.has(service) || made === undefined ? (port?.created ?? null) : made;
  }

  /** The whole content, as listed. */
  reset(
    api: Api,
    entries: Map<string, Entry>,
    dirs: ReadonlyMap<string, number> = new Map(),
  ): Set<string> {
    const store = this.stores[api];
    const changed = new Set<string>();
    for (const path of store.entries.keys()) {
      if (!entries.has(path)) this.take(store, path, changed);
    }
    for (const [path, entry] of entries) this.put(api, path, entry, changed);
    store.dirs = new Map(dirs);
    return changed;
  }

  /** One key. Returns `changed` with the services added that it concerns. */
  put(api: Api, path: string, entry: Entry, changed = new Set<string>()): Set<string> {
    const { entries, shelf } = this.stores[api];
    const before = entries.get(path);
    entries.set(path, entry);
    if (before?.value === entry.value) return changed;
    for (const { service, leaf } of placesOf(path, this.layout)) {
      const records = shelf.get(service) ?? new Map<string, KeyRecord>();
      const reading = readRecord(leaf, entry.value, this.rules);
      shelf.set(service, records.set(leaf, { reading, created: entry.created }));
      changed.add(service);
    }
    return changed;
  }

  /** A directory was made, by itself or with a key in it. */
  noteDirs(path: string, created: number): void {
    const { dirs } = this.stores.v2;
    for (let at = path.length; at > 0; at = path.lastIndexOf('/', at - 1)) {
      const dir = path.slice(0, at);
      if (!dirs.has(dir)) dirs.set(dir, created);
    }
  }

  /** What was there of these paths; `changed` are the services. */
  remove(api: Api, paths: Iterable<string>): { entries: Entry[]; changed: Set<string> } {
    const store = this.stores[api];
    const changed = new Set<string>();
    const entries = [...paths].flatMap((path) => this.take(store, path, changed) ?? []);
    return { entries, changed };
  }

  /** The paths of keys in a directory, at any depth; of all with ''. A directory goes with them. */
  clearDir(dir: string): string[] {
    const { entries, dirs } = this.stores.v2;
    const isIn = (path: string) => dir === '' || path === dir || path.startsWith(`${dir}/`);
    for (const path of dirs.keys()) if (isIn(path)) dirs.delete(path);
    return [...entries.keys()].filter(isIn);
  }

  private take(store: Store, path: string, changed: Set<string>): Entry | null {
    const entry = store.entries.get(path);
    if (entry === undefined) return null;
    store.entries.delete(path);
    for (const { service, leaf } of placesOf(path, this.layout)) {
      const records = store.shelf.get(service);
      records?.delete(leaf);
      if (records?.size === 0) store.shelf.delete(service);
      changed.add(service);
    }
    return entry;
  }
}

function newStore(): Store {
  return { entries: new Map(), shelf: new Map(), dirs: new Map() };
}
