// Follows the overlay of the configuration: a key of Consul's KV store.
import type { ProviderStatus } from '../provider.ts';
import type { QueryAnswer } from './blocking-query.ts';
import { KeyQuery, type KeyQueryParts } from './key-query.ts';
import { listOf } from './translate.ts';

export interface KvWatchOptions extends KeyQueryParts {
  /** The value that is in force: what another watch told last. Null for none. */
  readonly known?: string | null;
  /** The value as text, or null where the key does not exist; only when it has changed. */
  readonly onValue: (text: string | null) => void;
}

/** Watches `settings.kvKey`; `stop` ends it. A registry that is away changes nothing. */
export class KvWatch {
  private readonly onValue: KvWatchOptions['onValue'];
  private readonly query: KeyQuery<string | null>;
  private last: string | null;

  constructor({ onValue, known = null, ...parts }: KvWatchOptions) {
    this.onValue = onValue;
    this.last = known;
    this.query = new KeyQuery(parts, {
      name: 'consul-kv',
      key: parts.settings.kvKey,
      decode: (body) => (body === null ? null : keyText(body)),
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
    return this.query.stop();
  }

  private take({ value, doubt }: QueryAnswer<string | null>): boolean {
    // A registry that came back empty takes no configuration away before it has been so for a while.
    if (value === this.last || (value === null && doubt !== '')) return false;
    this.last = value;
    this.onValue(value);
    return true;
  }
}

/** One entry, its value in base64; a key without a value is ''. Throws ConsulError for no list. */
export function keyText(body: unknown): string | null {
  const [entry] = listOf<{ Value?: string | null }>(body);
  if (entry === undefined) return null;
  return typeof entry.Value === 'string' ? Buffer.from(entry.Value, 'base64').toString('utf8') : '';
}
