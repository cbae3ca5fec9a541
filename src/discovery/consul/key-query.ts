// One key of Consul's KV store, asked for with a client of its own (Consul API, /v1/kv/:key). How well
// that goes is told as of a registry of its own: rights to keys are apart from those to services.

import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { encodeSegment } from '../../base/path-text.ts';
import type { Random } from '../../base/prng.ts';
import type { ConsulSettings } from '../../model/registries/consul.ts';
import { Contact } from '../contact.ts';
import type { ProviderStatus } from '../provider.ts';
import { BlockingQuery, type QueryAnswer } from './blocking-query.ts';
import { ConsulClient } from './client.ts';
import type { OpenConsul } from './transport.ts';

/** What asking takes. */
export interface KeyQueryParts {
  readonly settings: ConsulSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly open: OpenConsul;
}

export interface KeyQueryOptions<T> {
  /** Its name among the registries of status and metrics. */
  readonly name: string;
  readonly key: string;
  /** Reads the answer; null where the key does not exist. Throws ConsulError where it is none. */
  readonly decode: (body: unknown) => T;
  /** Returns whether the value is another one than before. */
  readonly onAnswer: (answer: QueryAnswer<T>) => boolean;
}

export class KeyQuery<T> {
  readonly client: ConsulClient;
  private readonly name: string;
  private readonly query: BlockingQuery<T>;
  private readonly contact: Contact;

  constructor(parts: KeyQueryParts, { name, key, decode, onAnswer }: KeyQueryOptions<T>) {
    const { settings, clock, random, log, open } = parts;
    this.name = name;
    const client = new ConsulClient(settings, clock, open);
    this.client = client;
    this.contact = new Contact({ registry: name, clock, log });
    const what = `key ${key}`;
    this.query = new BlockingQuery({
      context: { client, clock, random, log, waitMs: settings.waitMs },
      path: keyPath(key),
      query: {},
      // A missing key is 404 with an index, which is worth waiting on.
      mayBeMissing: true,
      decode,
      onAnswer: (answer) => {
        this.contact.answered(what, client.address);
        return onAnswer(answer);
      },
      onError: (error) => this.contact.failed(what, error, client.address),
    });
  }

  start(): void {
    this.query.start();
  }

  status(): ProviderStatus {
    const { lastSyncMs, errors, lastError } = this.contact;
    const { address } = this.client;
    const isSynced = lastSyncMs > 0;
    return { name: this.name, isSynced, lastSyncMs, errors, lastError, address, watches: 1 };
  }

  async stop(): Promise<void> {
    this.query.stop();
    await this.client.close();
  }
}

/** Slashes part folders of keys; all else is escaped. */
function keyPath(key: string): string {
  return `/v1/kv/${key.split('/').map(encodeSegment).join('/')}`;
}
