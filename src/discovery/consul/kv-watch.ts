// Follows one key of Consul's KV store (Consul API, /v1/kv/:key).
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/prng.ts';
import type { ConsulSettings } from '../../model/settings.ts';
import { BlockingQuery } from './blocking-query.ts';
import { ConsulClient } from './client.ts';

export interface KvWatchOptions {
  readonly settings: ConsulSettings;
  readonly clock: Clock;
  readonly random: Random;
  /** The value as text, or null where the key does not exist; only when it has changed. */
  readonly onValue: (text: string | null) => void;
}

/** Watches `settings.kvKey`; `stop` ends it. A registry that is away changes nothing. */
export class KvWatch {
  private readonly client: ConsulClient;
  private readonly query: BlockingQuery;
  private last: string | null = null;

  constructor({ settings, clock, random, onValue }: KvWatchOptions) {
    this.client = new ConsulClient(settings, clock);
    this.query = new BlockingQuery({
      client: this.client,
      clock,
      random,
      path: `/v1/kv/${settings.kvKey.split('/').map(encodeURIComponent).join('/')}`,
      query: {},
      waitMs: settings.waitMs,
      // A missing key is 404 with an index, which is worth waiting on.
      mayBeMissing: true,
      onAnswer: ({ body, doubt }) => {
        const text = textOf(body);
        if (text === this.last || (text === null && doubt !== '')) return;
        this.last = text;
        onValue(text);
      },
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
}

function textOf(body: unknown): string | null {
  if (!Array.isArray(body)) return null;
  // Consul's own shape: one entry, its value in base64.
  const value = (body[0] as { Value?: string | null } | undefined)?.Value;
  return typeof value === 'string' ? Buffer.from(value, 'base64').toString('utf8') : '';
}
