// Follows a service whose instances are keys in Consul's KV store, as Registrator writes them with
// `consulkv://host/PREFIX`: PREFIX/<service>/<id> = ip:port (docs/etcd.md has all forms of values).
import { encodeSegment } from '../../base/path-text.ts';
import { safeLine } from '../../base/safe-text.ts';
import type { ServiceSource } from '../../model/source.ts';
import type { Contact } from '../contact.ts';
import { FollowedInstances } from '../followed-instances.ts';
import type { Resolve } from '../host-names.ts';
import { type KeyRecord, type ReadingRules, readingsOf, readRecord } from '../key-record.ts';
import type { Update } from '../provider.ts';
import { BlockingQuery, type ConsulContext } from './blocking-query.ts';
import { isAskable, scopeOf } from './service-query.ts';
import { listOf } from './translate.ts';

export interface KeyWatchOptions {
  readonly context: ConsulContext;
  readonly contact: Contact;
  readonly source: ServiceSource;
  readonly tagPrefix: string;
  readonly resolve: Resolve;
  readonly onUpdate: (update: Update) => void;
}

type Records = ReadonlyMap<string, KeyRecord>;

/** One key (Consul API, /v1/kv/:key); every field is foreign. */
interface Pair {
  readonly Key?: unknown;
  readonly Value?: unknown;
  readonly CreateIndex?: unknown;
}

export class KeyWatch {
  readonly source: ServiceSource;
  readonly label: string;
  private readonly contact: Contact;
  private readonly service: FollowedInstances;
  private readonly query: BlockingQuery<Records> | null;

  constructor(options: KeyWatchOptions) {
    const { context, contact, source, tagPrefix, resolve, onUpdate } = options;
    const { clock, log, client } = context;
    const path = keyOf(source);
    this.source = source;
    this.contact = contact;
    this.label = `keys ${path}`;
    const provider = source.registry;
    this.service = new FollowedInstances({ provider, clock, log, source, resolve, onUpdate });
    const query = (): BlockingQuery<Records> =>
      new BlockingQuery({
        context,
        path: `/v1/kv/${path.split('/').map(encodeSegment).join('/')}/`,
        query: { ...scopeOf(source), recurse: '' },
        // Before the first instance there is no key.
        mayBeMissing: true,
        decode: (body) => recordsOf(body, `${path}/`, { layout: 'backends', tagPrefix }),
        onAnswer: ({ value: records, doubt, change, receivedMs }) => {
          contact.answered(this.label, client.address);
          const listed = { ...readingsOf(records), settings: null, order: null };
          return this.service.take(listed, { doubt, change, receivedMs });
        },
        onError: (error) => contact.failed(this.label, error, client.address),
      });
    this.query = isAskable(path) ? query() : null;
    // What follows it learns so once this turn is over.
    if (this.query === null) void Promise.resolve().then(() => this.refuse(clock.nowMs()));
  }

  /** Answered at least once, host names too. */
  get isSynced(): boolean {
    return this.service.isSynced;
  }

  start(): void {
    this.query?.start();
  }

  stop(): void {
    this.query?.stop();
    this.service.close();
    this.contact.forget(this.label);
  }

  private refuse(receivedMs: number): void {
    const text = `Consul can't be asked for the keys of '${safeLine(keyOf(this.source), 100)}'`;
    const listed = { instances: [], problems: [text], settings: null, order: null };
    this.service.take(listed, { doubt: '', change: text, receivedMs });
  }
}

function keyOf({ kv, service }: ServiceSource): string {
  return `${kv}/${service}`.replace(/^\/+|\/+$/g, '');
}

/** By the last part of the key. What lies deeper is of other services. */
function recordsOf(body: unknown, prefix: string, rules: ReadingRules): Records {
  const records = new Map<string, KeyRecord>();
  if (body === null) return records;
  for (const { Key, Value, CreateIndex } of listOf<Pair>(body)) {
    if (typeof Key !== 'string' || !Key.startsWith(prefix)) continue;
    const leaf = Key.slice(prefix.length);
    if (leaf === '' || leaf.includes('/') || typeof Value !== 'string') continue;
    const reading = readRecord(leaf, Buffer.from(Value, 'base64').toString('utf8'), rules);
    records.set(leaf, { reading, created: typeof CreateIndex === 'number' ? CreateIndex : 0 });
  }
  return records;
}
