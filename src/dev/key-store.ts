// The keys and values of /v1/kv (Consul API, "KV Store"). A key's answer has the index of its last
// change; a deleted one leaves a tombstone with an index, so that a blocking query on it returns.
import type { ChangeLog } from './change-log.ts';

export interface StoredKey {
  readonly key: string;
  readonly value: Buffer;
  readonly flags: number;
  readonly createIndex: number;
  readonly modifyIndex: number;
}

export class KeyStore {
  private readonly log: ChangeLog;
  private readonly keys = new Map<string, StoredKey>();
  private readonly tombstones = new Map<string, number>();
  /** 1 until something is written, as Consul says it. */
  private tableIndex = 1;

  constructor(log: ChangeLog) {
    this.log = log;
  }

  get(key: string): StoredKey | undefined {
    return this.keys.get(key);
  }

  /** Keys that begin with the prefix, sorted. */
  list(prefix: string): StoredKey[] {
    return [...this.keys.values()]
      .filter(({ key }) => key.startsWith(prefix))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** X-Consul-Index of one key; that of the table where there is no such key. */
  indexOf(key: string): number {
    return this.keys.get(key)?.modifyIndex ?? this.tableIndex;
  }

  /** X-Consul-Index of a prefix: of its last change, deletions included; that of the table without one. */
  listIndex(prefix: string): number {
    let index = 0;
    for (const [key, at] of this.tombstones) {
      if (key.startsWith(prefix)) index = Math.max(index, at);
    }
    for (const { modifyIndex } of this.list(prefix)) index = Math.max(index, modifyIndex);
    return index || this.tableIndex;
  }

  /** Within ChangeLog.write. The same value and flags again change nothing. */
  put(key: string, value: Buffer, flags: number): void {
    const before = this.keys.get(key);
    if (before?.value.equals(value) && before.flags === flags) return;
    const modifyIndex = this.log.touch();
    const createIndex = before?.createIndex ?? modifyIndex;
    this.keys.set(key, { key, value, flags, createIndex, modifyIndex });
    this.tombstones.delete(key);
    this.tableIndex = modifyIndex;
  }

  /** Within ChangeLog.write. */
  delete(key: string): void {
    if (!this.keys.delete(key)) return;
    this.tableIndex = this.log.touch();
    this.tombstones.set(key, this.tableIndex);
  }
}
