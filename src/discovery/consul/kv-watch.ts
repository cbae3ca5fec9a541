// Follows one key of Consul's KV store (Consul API, /v1/kv/:key).
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import type { ConsulSettings } from '../../model/settings.ts';
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
  /** The value as text, or null where the key does not exist; only when it has changed. */
  readonly onValue: (text: string | null) => void;
}

/** Watches `settings.kvKey`; `stop` ends it. A registry that is away changes nothing. */
export class KvWatch {
  private readonly onValue: KvWatchOptions['onValue'];
  private readonly client: ConsulClient;
  private readonly query: BlockingQuery<string | null>;
  private last: string | null = null;

  constructor({ settings, clock, random, log, open, onValue }: KvWatchOptions) {
    this.onValue = onValue;
    const client = new ConsulClient(settings, clock, open);
    this.client = client;
    this.query = new BlockingQuery({
      context: { client, clock, random, log, waitMs: settings.waitMs },
      path: `/v1/kv/${settings.kvKey.split('/').map(encodeURIComponent).join('/')}`,
      query: {},
      // A missing key is 404 with an index, which is worth waiting on.
      mayBeMissing: true,
      decode: (body) => (body === null ? null : textOf(body)),
      onAnswer: (answer) => this.take(answer),
      onError: () => {},
    });
  }

  start(): void {
    this.query.start();
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

/** One entry, its value in base64; a key without a value is ''. */
function textOf(body: unknown): string | null {
  const [entry] = listOf<{ Value?: string | null }>(body);
  if (entry === undefined) return null;
  return typeof entry.Value === 'string' ? Buffer.from(entry.Value, 'base64').toString('utf8') : '';
}
