// One service of etcd: turns its records into updates. What changes endpoints, settings, problems or
// the doubt becomes an update, and nothing else does.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { ServiceSource } from '../../model/source.ts';
import { HostNames, type Resolve } from '../host-names.ts';
import type { ServiceSettings, Update } from '../provider.ts';
import type { Reading } from './record.ts';
import type { StockedRecord } from './stock.ts';

/** What a service with a key `port` is, as docker-discover served it: TCP, with TCP checks. */
const DEFAULTS: ServiceSettings = {
  protocol: 'tcp',
  'health.type': 'tcp',
  'health.interval': '2s',
  'health.rise': '3',
  'health.fall': '2',
};
const PROBLEMS_MAX = 20;

/** What came with a change. */
export interface Word {
  /** Why what is missing may be there all the same; '' for what is to be believed. */
  readonly doubt: string;
  /** For people: "revision 41 -> 42". */
  readonly change: string;
  /** Clock.nowMs(). */
  readonly receivedMs: number;
}

export interface Records {
  readonly records: ReadonlyMap<string, StockedRecord>;
  readonly order: number | null;
}

export interface FollowedServiceOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly source: ServiceSource;
  readonly resolve: Resolve;
  readonly onUpdate: (update: Update) => void;
}

type Instance = Extract<Reading, { kind: 'instance' }> & { readonly id: string };

export class FollowedService {
  readonly source: ServiceSource;
  private readonly options: FollowedServiceOptions;
  private readonly names: HostNames;
  private instances: readonly Instance[] = [];
  private settings: ServiceSettings | null = null;
  private problems: readonly string[] = [];
  private order: number | null = null;
  private word: Word = { doubt: '', change: '', receivedMs: 0 };
  private sent = '';
  private sentById = new Map<string, readonly Endpoint[]>();
  /** Some host name had no address when it was sent last. */
  private hadNoAddress = false;
  private hasAnswer = false;

  constructor(options: FollowedServiceOptions) {
    this.options = options;
    const { clock, log, resolve, source } = options;
    this.source = source;
    this.names = new HostNames({
      clock,
      onChange: () => {
        const change = 'a host name resolves differently';
        this.emit({ ...this.word, change, receivedMs: clock.nowMs() });
      },
      onError: (name, why) =>
        log.warn({ service: source.service, name }, `host name can't be resolved: ${why}`),
      resolve,
    });
  }

  get isAnswered(): boolean {
    return this.hasAnswer;
  }

  /** Answered at least once, host names too. */
  get isSynced(): boolean {
    return this.hasAnswer && this.names.isSettled;
  }

  take({ records, order }: Records, word: Word): void {
    this.hasAnswer = true;
    const instances: Instance[] = [];
    const problems: string[] = [];
    for (const [id, { reading }] of [...records].sort(byName)) {
      if (reading.kind === 'instance') instances.push({ id, ...reading });
      else if (reading.kind === 'problem') problems.push(reading.text);
    }
    const { max } = BOUNDS.etcdInstances;
    if (instances.length > max) {
      problems.unshift(`more than ${max} instances: the others are left out`);
    }
    this.instances = instances.slice(0, max);
    this.problems = problems.slice(0, PROBLEMS_MAX);
    // Without its port the service keeps the last one for a while (provider.ts).
    const settings = settingsOf(records);
    if (settings !== null) this.settings = settings;
    this.order = order ?? this.order;
    this.names.keepOnly(new Set(this.instances.map(({ host }) => host)));
    this.emit(word);
  }

  /** It wants to be served no more. */
  forgetSettings(word: Word): void {
    this.settings = null;
    this.emit(word);
  }

  /** What was in doubt is in doubt no more. */
  endDoubt(nowMs: number): void {
    if (this.word.doubt === '') return;
    this.emit({ doubt: '', change: 'nothing is in doubt any more', receivedMs: nowMs });
  }

  close(): void {
    this.names.close();
  }

  private emit(word: Word): void {
    this.word = word;
    const byId = new Map(this.instances.map((one) => [one.id, this.endpointsOf(one)]));
    const endpoints = [...byId.values()].flat();
    const problems = [...this.problems, ...this.unresolved()];
    // What a name that is not resolved leaves out must not be taken for gone.
    const unresolved = this.names.doubtAbout(this.instances.map(({ host }) => host));
    const doubt = word.doubt || unresolved;
    const { settings, order } = this;
    const content = JSON.stringify([endpoints, settings, order, problems, doubt !== '']);
    if (content === this.sent) return;
    this.sent = content;
    const isConfirmed = this.hadNoAddress && doubt === '';
    this.hadNoAddress = unresolved !== '';
    this.sentById = byId;
    this.options.onUpdate({
      kind: 'upsert',
      provider: 'etcd',
      service: {
        ...{ source: this.source, endpoints, settings, doubt },
        ...(order === null ? {} : { order }),
        ...(problems.length === 0 ? {} : { problems }),
        ...(isConfirmed ? { isConfirmed } : {}),
        ...(word.doubt === '' ? {} : { isLasting: true }),
      },
      cause: { kind: 'registry', text: `etcd: ${word.change}` },
      receivedMs: word.receivedMs,
    });
  }

  private unresolved(): string[] {
    const hosts = new Set(this.instances.map(({ host }) => host));
    const problems = [...hosts].flatMap((host) => {
      const why = this.names.errorOf(host);
      return why === '' ? [] : [`host name ${host} can't be resolved: ${why}`];
    });
    return problems.slice(0, PROBLEMS_MAX);
  }

  /** One endpoint per address: a host name may have several. While it has none yet, the old ones. */
  private endpointsOf({ id, host, port, weight }: Instance): readonly Endpoint[] {
    const addresses = this.names.addressesOf(host);
    if (addresses === null) return this.sentById.get(id) ?? [];
    const fixed = { port, weight, status: 'passing' as const, statusText: '' };
    if (addresses.length === 1 && addresses[0] === host) return [{ id, address: host, ...fixed }];
    return addresses.map((address) => ({ id: `${id}@${address}`, address, ...fixed }));
  }
}

/** Whether the service says where it wants to be served, rightly or not: what is wrong is to be told. */
export function wantsPort(records: Records['records']): boolean {
  return records.has('port') || settingsOf(records) !== null;
}

/** What the service says of itself; null where it does not say where it wants to be served. */
function settingsOf(records: Records['records']): ServiceSettings | null {
  const own: Record<string, string> = {};
  for (const { reading } of records.values()) {
    if (reading.kind === 'port') own.listen ??= String(reading.port);
    else if (reading.kind === 'setting') own[reading.key] = reading.value;
  }
  return own.listen === undefined ? null : { ...DEFAULTS, ...own };
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
