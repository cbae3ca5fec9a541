// One service of a registry that names instances by host and port: turns what is listed of it into
// updates. Host names are resolved here. What changes endpoints, settings, problems or the doubt becomes
// an update, and nothing else does.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { ServiceSource } from '../model/source.ts';
import { HostNames, type Resolve } from './host-names.ts';
import type { ServiceSettings, Update } from './provider.ts';

const PROBLEMS_MAX = 20;

export interface Instance {
  readonly id: string;
  /** An IP address or a host name. */
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  readonly transport?: 'udp';
}

/** What is listed of a service. */
export interface Listed {
  readonly instances: readonly Instance[];
  readonly problems: readonly string[];
  /** What it says of itself; null where it does not say that it wants to be served. */
  readonly settings: ServiceSettings | null;
  /** The lower, the earlier the service was there; null where that is not known. */
  readonly order: number | null;
}

/** What came with a change. */
export interface Word {
  /** Why what is missing may be there all the same; '' for what is to be believed. */
  readonly doubt: string;
  /** As ProvidedService.sinceMs. */
  readonly sinceMs?: number;
  /** Human-readable: "revision 41 -> 42". */
  readonly change: string;
  /** Clock.nowMs(). */
  readonly receivedMs: number;
}

export interface FollowedInstancesOptions {
  /** Name of the provider. */
  readonly provider: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly source: ServiceSource;
  readonly resolve: Resolve;
  readonly onUpdate: (update: Update) => void;
}

export class FollowedInstances {
  readonly source: ServiceSource;
  private readonly options: FollowedInstancesOptions;
  private readonly names: HostNames;
  private listed: Listed = { instances: [], problems: [], settings: null, order: null };
  private word: Word = { doubt: '', change: '', receivedMs: 0 };
  /** What was sent last, endpoints apart: there may be thousands. */
  private sent = '';
  private sentEndpoints: readonly Endpoint[] = [];
  private sentById = new Map<string, readonly Endpoint[]>();
  /** Some host name had no address when it was sent last. */
  private hadNoAddress = false;
  private hasAnswer = false;

  constructor(options: FollowedInstancesOptions) {
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

  /** What the service says of itself, as it was listed last; null where it says nothing. */
  get settings(): ServiceSettings | null {
    return this.listed.settings;
  }

  /** All that is listed of the service now; true where that made an update. */
  take(listed: Listed, word: Word): boolean {
    this.hasAnswer = true;
    const { max } = BOUNDS.listedInstances;
    const { instances, problems } = listed;
    const excess =
      instances.length > max ? [`more than ${max} instances: the others are left out`] : [];
    this.listed = {
      ...listed,
      instances: instances.slice(0, max),
      problems: [...excess, ...problems].slice(0, PROBLEMS_MAX),
      order: listed.order ?? this.listed.order,
    };
    this.names.keepOnly(new Set(this.listed.instances.map(({ host }) => host)));
    return this.emit(word);
  }

  /** It wants to be served no more. */
  forgetSettings(word: Word): void {
    this.listed = { ...this.listed, settings: null };
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

  private emit(word: Word): boolean {
    this.word = word;
    const { instances, settings, order } = this.listed;
    const byId = new Map(instances.map((one) => [one.id, this.endpointsOf(one)]));
    const endpoints = [...byId.values()].flat();
    const problems = [...this.listed.problems, ...this.unresolved()];
    // What a name that is not resolved leaves out must not be taken for gone.
    const unresolved = this.names.doubtAbout(instances.map(({ host }) => host));
    const doubt = word.doubt || unresolved;
    const sinceMs = word.doubt === '' ? 0 : (word.sinceMs ?? 0);
    const content = JSON.stringify([settings, order, problems, doubt !== '', sinceMs]);
    if (content === this.sent && areSame(endpoints, this.sentEndpoints)) return false;
    this.sent = content;
    this.sentEndpoints = endpoints;
    const isConfirmed = this.hadNoAddress && doubt === '';
    this.hadNoAddress = unresolved !== '';
    this.sentById = byId;
    const { provider } = this.options;
    this.options.onUpdate({
      kind: 'upsert',
      provider,
      service: {
        source: this.source,
        endpoints,
        settings,
        doubt,
        ...(order === null ? {} : { order }),
        ...(problems.length === 0 ? {} : { problems }),
        ...(isConfirmed ? { isConfirmed } : {}),
        ...(word.doubt === '' ? {} : { isLasting: true, ...(sinceMs > 0 ? { sinceMs } : {}) }),
      },
      cause: { kind: 'registry', text: `${provider}: ${word.change}` },
      receivedMs: word.receivedMs,
    });
    return true;
  }

  private unresolved(): string[] {
    const hosts = new Set(this.listed.instances.map(({ host }) => host));
    const problems = [...hosts].flatMap((host) => {
      const why = this.names.errorOf(host);
      return why === '' ? [] : [`host name ${host} can't be resolved: ${why}`];
    });
    return problems.slice(0, PROBLEMS_MAX);
  }

  /** One endpoint per address: a host name may have several. While it has none yet, the old ones. */
  private endpointsOf({ id, host, port, weight, transport }: Instance): readonly Endpoint[] {
    const addresses = this.names.addressesOf(host);
    if (addresses === null) return this.sentById.get(id) ?? [];
    const plain = { port, weight, status: 'passing' as const, statusText: '' };
    const fixed = transport === undefined ? plain : { ...plain, transport };
    if (addresses.length === 1 && addresses[0] === host) return [{ id, address: host, ...fixed }];
    return addresses.map((address) => ({
      id: `${id}@${address}`,
      address,
      hostName: host,
      ...fixed,
    }));
  }
}

/** Whether the same is said of the same endpoints, in the same order. */
function areSame(some: readonly Endpoint[], others: readonly Endpoint[]): boolean {
  if (some.length !== others.length) return false;
  return some.every((one, i) => {
    const other = others[i]!;
    return (
      one.id === other.id &&
      one.address === other.address &&
      one.port === other.port &&
      one.weight === other.weight &&
      one.hostName === other.hostName &&
      one.transport === other.transport
    );
  });
}
