// Follows who holds a lock: a key of Consul's KV store with a session (Consul API, /v1/kv/:key and
// /v1/session/info/:uuid). The holder is named by the key's value and by the session's node. A
// registry that is away changes nothing: the last holder stays. A session that can't be read is asked for
// again: the key alone need not name the holder.

import { Backoff } from '../../base/backoff.ts';
import type { Timer } from '../../base/clock.ts';
import { textOf } from '../../base/foreign.ts';
import { encodeSegment } from '../../base/path-text.ts';
import type { ProviderStatus } from '../provider.ts';
import type { QueryAnswer } from './blocking-query.ts';
import { KeyQuery, type KeyQueryParts } from './key-query.ts';
import { listOf } from './translate.ts';

const INFO_MS_MAX = 5000;
/** Characters of a name; what is longer names no endpoint. */
const NAME_MAX = 512;
const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 30_000;

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
  private readonly backoff: Backoff;
  /** Set while the session is to be asked for again. */
  private again: Timer | null = null;

  constructor(options: LockWatchOptions) {
    const { key, random } = options;
    this.options = options;
    this.backoff = new Backoff({ baseMs: BACKOFF_BASE_MS, capMs: BACKOFF_CAP_MS, random });
    this.name = `consul-lock ${key}`;
    this.query = new KeyQuery(options, {
      name: this.name,
      key,
      decode: lockOf,
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
    this.again?.cancel();
    return this.query.stop();
  }

  private take({ value: lock }: QueryAnswer<Lock>): boolean {
    const { last } = this;
    if (last?.session === lock.session && last.value === lock.value) return false;
    this.last = lock;
    this.again?.cancel();
    this.backoff.reset();
    if (lock.session === '') this.options.onHolder([]);
    else void this.tellHolder(lock);
    return true;
  }

  /** The node is asked for; where that fails, the value has to do until it is known. */
  private async tellHolder(lock: Lock, isAgain = false): Promise<void> {
    const node = await this.nodeOf(lock.session, isAgain);
    if (this.last !== lock || this.closed.signal.aborted) return;
    const names = [lock.value, node ?? ''].filter((name) => name !== '');
    // It is held all the same: its session names no endpoint.
    this.options.onHolder(names.length > 0 ? names : [lock.session]);
    if (node !== null) return;
    this.again = this.options.clock.setTimer(this.backoff.nextMs(), () => {
      void this.tellHolder(lock, true);
    });
  }

  /** Null where it could not be read. */
  private async nodeOf(session: string, isAgain: boolean): Promise<string | null> {
    const path = `/v1/session/info/${encodeSegment(session)}`;
    const question = { path, deadlineMs: INFO_MS_MAX, signal: this.closed.signal, query: {} };
    try {
      const { body } = await this.query.client.get(question);
      const [info] = listOf<{ Node?: unknown }>(body);
      return textOf(info?.Node);
    } catch (error) {
      const fields = { registry: this.name, error: String(error) };
      const text = 'the session of a lock could not be read';
      if (isAgain) this.options.log.debug(fields, text);
      else this.options.log.warn(fields, `${text}: trying again`);
      return null;
    }
  }
}

function lockOf(body: unknown): Lock {
  const [entry] = body === null ? [] : listOf<{ Value?: unknown; Session?: unknown }>(body);
  const value = Buffer.from(textOf(entry?.Value), 'base64').toString('utf8').trim();
  return { session: textOf(entry?.Session), value: value.length > NAME_MAX ? '' : value };
}
