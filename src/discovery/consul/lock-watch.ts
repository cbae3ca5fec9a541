// Follows who holds a lock: a key of Consul's KV store with a session (Consul API, /v1/kv/:key and
// /v1/session/info/:uuid). The holder is named by the key's value and by the session's node. A
// registry that is away changes nothing: the last holder stays.
import type { Clock } from '../../base/clock.ts';
import { textOf } from '../../base/foreign.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import type { ConsulSettings } from '../../model/registries/consul.ts';
import { Exchanges } from '../exchanges.ts';
import type { ProviderStatus } from '../provider.ts';
import { BlockingQuery, type QueryAnswer } from './blocking-query.ts';
import { ConsulClient } from './client.ts';
import { keyPath } from './kv-watch.ts';
import { listOf } from './translate.ts';
import type { OpenConsul } from './transport.ts';

const INFO_MS_MAX = 5000;
/** Characters of a name; what is longer names no endpoint. */
const NAME_MAX = 512;

export interface LockWatchOptions {
  readonly settings: ConsulSettings;
  readonly key: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly open: OpenConsul;
  /** Names of who holds the lock; empty where nobody does. */
  readonly onHolder: (names: readonly string[]) => void;
}

interface Lock {
  readonly session: string;
  readonly value: string;
}

export class LockWatch {
  readonly name: string;
  private readonly options: LockWatchOptions;
  private readonly client: ConsulClient;
  private readonly query: BlockingQuery<Lock>;
  private readonly exchanges: Exchanges;
  private readonly closed = new AbortController();
  /** What the key said last; null before the first answer. */
  private last: Lock | null = null;

  constructor(options: LockWatchOptions) {
    const { settings, key, clock, random, log, open } = options;
    this.options = options;
    this.name = `consul-lock ${key}`;
    const client = new ConsulClient(settings, clock, open);
    this.client = client;
    this.exchanges = new Exchanges({ registry: this.name, clock, log });
    const what = `key ${key}`;
    this.query = new BlockingQuery({
      context: { client, clock, random, log, waitMs: settings.waitMs },
      path: keyPath(key),
      query: {},
      mayBeMissing: true,
      decode: lockOf,
      onAnswer: (answer) => {
        this.exchanges.answered(what, client.address);
        return this.take(answer);
      },
      onError: (error) => this.exchanges.failed(what, error, client.address),
    });
  }

  start(): void {
    this.query.start();
  }

  status(): ProviderStatus {
    const { lastSyncMs, errors, lastError } = this.exchanges;
    const { address } = this.client;
    const isSynced = lastSyncMs > 0;
    return { name: this.name, isSynced, lastSyncMs, errors, lastError, address, watches: 1 };
  }

  async stop(): Promise<void> {
    this.query.stop();
    this.closed.abort();
    await this.client.close();
  }

  private take({ value: lock }: QueryAnswer<Lock>): boolean {
    const { last } = this;
    if (last?.session === lock.session && last.value === lock.value) return false;
    this.last = lock;
    if (lock.session === '') this.options.onHolder([]);
    else void this.tellHolder(lock);
    return true;
  }

  /** The node is asked for; where that fails, the value has to do. */
  private async tellHolder(lock: Lock): Promise<void> {
    const node = await this.nodeOf(lock.session);
    if (this.last !== lock || this.closed.signal.aborted) return;
    this.options.onHolder([lock.value, node].filter((name) => name !== ''));
  }

  private async nodeOf(session: string): Promise<string> {
    const path = `/v1/session/info/${encodeURIComponent(session)}`;
    const question = { path, deadlineMs: INFO_MS_MAX, signal: this.closed.signal, query: {} };
    try {
      const { body } = await this.client.get(question);
      const [info] = listOf<{ Node?: unknown }>(body);
      return textOf(info?.Node);
    } catch (error) {
      this.options.log.warn(
        { registry: this.name, error: String(error) },
        'the session of a lock could not be read',
      );
      return '';
    }
  }
}

function lockOf(body: unknown): Lock {
  const [entry] = body === null ? [] : listOf<{ Value?: unknown; Session?: unknown }>(body);
  const value = Buffer.from(textOf(entry?.Value), 'base64').toString('utf8').trim();
  return { session: textOf(entry?.Session), value: value.length > NAME_MAX ? '' : value };
}
