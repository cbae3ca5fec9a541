// Registers in etcd, by v2 or v3: keys with a time to live, or without one. By v2 each key has its own,
// by v3 all keys of a registrar hang on one lease. Renewing a lease is no event for watchers. What is
// out of service has no key.

import { codeOf, messageOf } from '../base/coded-error.ts';
import { fieldsOf, listOf, textOf } from '../base/foreign.ts';
import { encodeSegment } from '../base/path-text.ts';
import { findApis } from '../discovery/etcd/apis.ts';
import type { Asking, EtcdClient } from '../discovery/etcd/client.ts';
import { EtcdError, NO_API } from '../discovery/etcd/error.ts';
import type { KeyLayout } from '../model/register.ts';
import { unfitKey, unfitService } from './fitness.ts';
import { entriesOf, type KeyEntry, keyOf, registeredIn } from './key-layout.ts';
import type { Registered, Registration, Registry } from './registry.ts';

const ANSWER_MS_MAX = 5000;

export interface EtcdRegistryOptions {
  readonly client: EtcdClient;
  readonly api: 'auto' | 'v2' | 'v3';
  readonly layout: KeyLayout;
  /** Without a slash at its end. */
  readonly prefix: string;
  /** 0 for keys that stay. */
  readonly ttlMs: number;
}

/** What each API does with keys. */
interface Store {
  put(entry: KeyEntry): Promise<void>;
  remove(key: string): Promise<void>;
  /** Puts off the end of these; resolves with the keys that are gone. */
  refresh(keys: readonly KeyEntry[]): Promise<readonly string[]>;
  keys(prefix: string): Promise<readonly string[]>;
}

export class EtcdRegistry implements Registry {
  private readonly options: EtcdRegistryOptions;
  private api: 'v2' | 'v3' | null;
  /** Of v3; '' while there is none. */
  private lease = '';
  private leasing: Promise<string> | null = null;

  constructor(options: EtcdRegistryOptions) {
    this.options = options;
    this.api = options.api === 'auto' ? null : options.api;
  }

  get label(): string {
    return `etcd ${this.options.client.address}`;
  }

  unfit(service: Registration): string {
    return unfitService(service) || unfitKey(service);
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.ask(signal, (asking) => this.options.client.get('/version', asking));
  }

  async register(service: Registration, signal: AbortSignal): Promise<void> {
    for (const entry of this.entriesOf(service)) {
      await this.withStore(signal, (store) => store.put(entry));
    }
  }

  async deregister(service: Pick<Registration, 'id' | 'name'>, signal: AbortSignal): Promise<void> {
    // What it shares with others of its name goes with their time to live.
    const key = keyOf(this.options.prefix, service);
    await this.withStore(signal, (store) => store.remove(key));
  }

  suspend(service: Registration, _reason: string, signal: AbortSignal): Promise<void> {
    return this.deregister(service, signal);
  }

  async refresh(services: readonly Registration[], signal: AbortSignal): Promise<string[]> {
    if (this.options.ttlMs === 0) return [];
    const entries = services.flatMap((service) =>
      this.entriesOf(service).map((entry) => ({ ...entry, id: service.id })),
    );
    const gone = new Set(await this.withStore(signal, (store) => store.refresh(entries)));
    return [...new Set(entries.flatMap(({ key, id }) => (gone.has(key) ? [id] : [])))];
  }

  async list(signal: AbortSignal): Promise<Registered[]> {
    const { prefix } = this.options;
    return registeredIn(prefix, await this.withStore(signal, (store) => store.keys(prefix)));
  }

  close(): Promise<void> {
    return this.options.client.close();
  }

  private entriesOf(service: Registration): KeyEntry[] {
    const { layout, prefix } = this.options;
    return entriesOf(layout, prefix, service);
  }

  /** Asks one member after the other, each once. */
  private async ask<T>(signal: AbortSignal, run: (asking: Asking) => Promise<T>): Promise<T> {
    const { client } = this.options;
    for (let left = client.members; ; left -= 1) {
      const { address } = client;
      try {
        return await run({ address, deadlineMs: ANSWER_MS_MAX, signal });
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        client.failOver(address, error);
        if (error.isRefusal || left <= 1 || signal.aborted)
          throw new Error(`${address}: ${messageOf(error)}`, { cause: error });
      }
    }
  }

  private withStore<T>(signal: AbortSignal, run: (store: Store) => Promise<T>): Promise<T> {
    return this.ask(signal, async (asking) => {
      // docker-discover and other readers of old know v2 alone: where it is spoken, it is meant.
      const { client } = this.options;
      this.api ??= (await findApis(client, asking)).includes('v2') ? 'v2' : 'v3';
      try {
        return await run(this.api === 'v2' ? this.v2(asking) : this.v3(asking));
      } catch (error) {
        // v2 ends with etcd 3.6: what is spoken is asked again.
        if (codeOf(error) === NO_API && this.options.api === 'auto') this.api = null;
        throw error;
      }
    });
  }

  private v2(asking: Asking): Store {
    const { client, ttlMs } = this.options;
    const ttl = String(Math.ceil(ttlMs / 1000));
    const mortal = ttlMs === 0 ? {} : { ttl };
    return {
      put: async ({ key, value }) => {
        await client.write('PUT', v2Path(key), asking, { value, ...mortal });
      },
      remove: async (key) => {
        await client.write('DELETE', v2Path(key), { ...asking, mayBeMissing: true });
      },
      refresh: async (entries) => {
        const gone: string[] = [];
        for (const { key } of entries) {
          const form = { ttl, refresh: 'true', prevExist: 'true' };
          const known = { ...asking, mayBeMissing: true };
          const { body } = await client.write('PUT', v2Path(key), known, form);
          if (body === null) gone.push(key);
        }
        return gone;
      },
      keys: async (prefix) => {
        const path = `${v2Path(prefix)}?recursive=true`;
        const { body } = await client.get(path, { ...asking, mayBeMissing: true });
        return body === null ? [] : leavesOf(fieldsOf(body).node);
      },
    };
  }

  private v3(asking: Asking): Store {
    const { client } = this.options;
    return {
      put: async ({ key, value }) => {
        const lease = await this.leaseOf(asking);
        const message = { key: base64(key), value: base64(value) };
        const kept = lease === '' ? message : { ...message, lease };
        try {
          await client.post('/v3/kv/put', kept, asking);
        } catch (error) {
          // It has expired, while it could not be renewed: the next try asks for another one.
          if (messageOf(error).includes('lease not found')) this.lease = '';
          throw error;
        }
      },
      remove: async (key) => {
        await client.post('/v3/kv/deleterange', { key: base64(key) }, asking);
      },
      refresh: async (entries) => {
        if (this.lease === '') return entries.map(({ key }) => key);
        const answer = await client.post('/v3/lease/keepalive', { ID: this.lease }, asking);
        const left = Number(fieldsOf(fieldsOf(answer).result).TTL ?? 0);
        if (left > 0) return [];
        this.lease = '';
        return entries.map(({ key }) => key);
      },
      keys: async (prefix) => {
        const range = { key: base64(`${prefix}/`), range_end: base64(`${prefix}0`) };
        const answer = await client.post('/v3/kv/range', { ...range, keys_only: true }, asking);
        return listOf(fieldsOf(answer).kvs).map((one) =>
          Buffer.from(textOf(fieldsOf(one).key), 'base64').toString(),
        );
      },
    };
  }

  /** The lease of all keys; '' where they stay. */
  private leaseOf(asking: Asking): Promise<string> {
    if (this.options.ttlMs === 0 || this.lease !== '') return Promise.resolve(this.lease);
    this.leasing ??= this.grant(asking).finally(() => {
      this.leasing = null;
    });
    return this.leasing;
  }

  private async grant(asking: Asking): Promise<string> {
    const TTL = String(Math.ceil(this.options.ttlMs / 1000));
    const answer = await this.options.client.post('/v3/lease/grant', { TTL }, asking);
    this.lease = textOf(fieldsOf(answer).ID);
    return this.lease;
  }
}

/** A key of v2 is a path. */
function v2Path(key: string): string {
  const path = key.startsWith('/') ? key : `/${key}`;
  return `/v2/keys${path.split('/').map(encodeSegment).join('/')}`;
}

/** The keys of all leaves below a node of v2. */
function leavesOf(root: unknown): string[] {
  const leaves: string[] = [];
  const open = [root];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    const { key, dir, nodes } = fieldsOf(node);
    if (dir === true) open.push(...listOf(nodes));
    else if (textOf(key) !== '') leaves.push(textOf(key));
  }
  return leaves;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
