// Follows who holds a lock: a key of Consul's KV store with a session (Consul API, /v1/kv/:key and
// /v1/session/info/:uuid). The holder is named by the key's value and by the session's node. A
// registry that is away changes nothing: the last holder stays.

import { textOf } from '../../base/foreign.ts';
import { encodeSegment } from '../../base/path-text.ts';
import type { ProviderStatus } from '../provider.ts';
import type { QueryAnswer } from './blocking-query.ts';
import { KeyQuery, type KeyQueryParts } from './key-query.ts';
import { listOf } from './translate.ts';

const INFO_MS_MAX = 5000;
/** Characters of a name; what is longer names no endpoint. */
const NAME_MAX = 512;

export interface LockWatchOptions extends KeyQueryParts {
  readonly key: string;
  /** Names of who holds the lock; empty where nobody does. */
  readonly onHolder: (names: readonly string[]) => void;
}

interface Lock {
  readonly session: string;
  readonly value: string;
}

export class LockWatch {
  private readonly name: string;
  private readonly options: LockWatchOptions;
  private readonly query: KeyQuery<Lock>;
  private readonly closed = new AbortController();
  /** What the key said last; null before the first answer. */
  private last: Lock | null = null;

  constructor(options: LockWatchOptions) {
    const { key } = options;
    this.options = options;
    this.name = `consul-lock ${key}`;
    this.query = new KeyQuery(options, {
      ...{ name: this.name, key, decode: lockOf },
      onAnswer: (answer) => this.take(answer),
    });
  }

  start(): void {
    this.query.start();
  }

  status(): ProviderStatus {
    return this.query.status();
  }

  stop(): Promise<void> {
    this.closed.abort();
    return this.query.stop();
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
    const path = `/v1/session/info/${encodeSegment(session)}`;
    const question = { path, deadlineMs: INFO_MS_MAX, signal: this.closed.signal, query: {} };
    try {
      const { body } = await this.query.client.get(question);
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
