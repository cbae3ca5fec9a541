// Follows one key of Consul's KV store (Consul API, /v1/kv/:key).
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import type { ConsulSettings } from '../../model/registries/consul.ts';
import { Exchanges } from '../exchanges.ts';
import type { ProviderStatus } from '../provider.ts';
import { BlockingQuery, type QueryAnswer } from './blocking-query.ts';
import { ConsulClient } from './client.ts';
import { listOf } from './translate.ts';
import type { OpenConsul } from './transport.ts';

export interface KvWatchOptions {
  readonly settings: ConsulSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly open: OpenConsul;
  /** The value that is in force: what another watch told last. Null for none. */
  readonly known?: string | null;
  /** The value as text, or null where the key does not exist; only when it has changed. */
  readonly onValue: (text: string | null) => void;
}

/** Watches `settings.kvKey`; `stop` ends it. A registry that is away changes nothing. */
export class KvWatch {
  /** Its name among the registries of status and metrics. */
  readonly name = 'consul-kv';
  private readonly onValue: KvWatchOptions['onValue'];
  private readonly client: ConsulClient;
  private readonly query: BlockingQuery<string | null>;
  private readonly exchanges: Exchanges;
  private last: string | null;

  constructor({ settings, clock, random, log, open, onValue, known = null }: KvWatchOptions) {
    this.onValue = onValue;
    this.last = known;
    const client = new ConsulClient(settings, clock, open);
    this.client = client;
    this.exchanges = new Exchanges({ registry: this.name, clock, log });
    const what = `key ${settings.kvKey}`;
    this.query = new BlockingQuery({
      context: { client, clock, random, log, waitMs: settings.waitMs },
      path: keyPath(settings.kvKey),
      query: {},
      // A missing key is 404 with an index, which is worth waiting on.
      mayBeMissing: true,
      decode: (body) => (body === null ? null : keyText(body)),
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

  /** How well it goes, as of a registry of its own: rights to keys are apart from those to services. */
  status(): ProviderStatus {
    const { lastSyncMs, errors, lastError } = this.exchanges;
    const { address } = this.client;
    const isSynced = lastSyncMs > 0;
    return { name: this.name, isSynced, lastSyncMs, errors, lastError, address, watches: 1 };
  }

  async stop(): Promise<void> {
    this.query.stop();
    await this.client.close();
  }

  private take({ value, doubt }: QueryAnswer<string | null>): boolean {
    // A registry that came back empty takes no configuration away before it has been so for a while.
    if (value === this.last || (value === null && doubt !== '')) return false;
    this.last = value;
    this.onValue(value);
    return true;
  }
}

/** Slashes part folders of keys; all else is escaped. */
export function keyPath(key: string): string {
  return `/v1/kv/${key.split('/').map(encodeURIComponent).join('/')}`;
}

/** One entry, its value in base64; a key without a value is ''. Throws ConsulError for no list. */
export function keyText(body: unknown): string | null {
  const [entry] = listOf<{ Value?: string | null }>(body);
  if (entry === undefined) return null;
  return typeof entry.Value === 'string' ? Buffer.from(entry.Value, 'base64').toString('utf8') : '';
}
