// What is known of one service of Consul, however it was asked for: turns health answers into
// updates. Every change of the endpoints or settings becomes an update, and nothing else does (an
// index may rise without a change that concerns us).
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { ListenRule } from '../../model/listener.ts';
import type { ServiceSource } from '../../model/source.ts';
import { HostNames, type Resolve } from '../host-names.ts';
import type { Known, Update } from '../provider.ts';
import { describeEntries, type SelfDescription } from '../self-description.ts';
import { Brake, type BrakeOptions, type Health, type Verdict } from './brake.ts';
import { checkProblems, type Instance, instancesOf, unfitEntries, unfitness } from './translate.ts';

/**
 * An answer that says what the one before the last did is a flap. So many in a row are followed as
 * fast as they come, and then so many a second.
 */
const FLAPS = { burst: 200, ratePerSecond: 5 };
/** Host names that can't be resolved: so many are shown. */
const UNRESOLVED_MAX = 10;

const FIRST = 'first answer while endpoints are held';

/** An answer without its instances. */
type Word = Omit<Verdict, 'entries'>;

export interface FollowedServiceOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly source: ServiceSource;
  readonly tagPrefix: string;
  readonly onUpdate: (update: Update) => void;
  /** Whether a setting may have this value. */
  readonly isGood?: (key: string, value: string) => boolean;
  /** Instances may declare active checks by their Meta; true unless given. */
  readonly hasDeclaredChecks?: boolean;
  /** Where services of this registry may listen. */
  readonly listenAllow?: readonly ListenRule[];
  readonly resolve: Resolve;
  /** What is served of it before its first answer; nothing unless given. */
  readonly known?: () => Known;
  /** How a second read is made, and who hears of it; without, every answer is taken as it is. */
  readonly brake?: Pick<BrakeOptions, 'random' | 'guard' | 'epoch' | 'askAgain' | 'onSecondRead'>;
}

export class FollowedService {
  private readonly options: FollowedServiceOptions;
  private readonly names: HostNames;
  private instances: readonly Instance[] = [];
  /** Why entries are no instances, and what is wrong with the checks that they declare. */
  private unfit: readonly string[] = [];
  private described: SelfDescription = { settings: null, order: 0, problems: [] };
  /** What came with the instances. */
  private word: Word = { doubt: '', change: '', receivedMs: 0 };
  /** What was sent last, whole, and by instance. */
  private sent = '';
  /** What was sent before that. */
  private sentBefore = '';
  private readonly flaps: TokenBucket;
  private sentById = new Map<string, readonly Endpoint[]>();
  /** Some host name had no address when it was sent last. */
  private hadNoAddress = false;
  private isAnswered = false;
  /** Why it can't be asked for any more, while that is so. */
  private trouble = '';
  private readonly brake: Brake | null;

  constructor(options: FollowedServiceOptions) {
    this.options = options;
    const { clock, resolve, source, log } = options;
    this.flaps = new TokenBucket({ ...FLAPS, nowMs: clock.nowMs() });
    this.names = new HostNames({
      clock,
      onChange: () => {
        const change = 'a host name resolves differently';
        const { doubt, doubtKind = 'answer' } = this.word;
        this.emit({ change, doubt, doubtKind, receivedMs: clock.nowMs() });
      },
      onError: (name, why) =>
        log.warn({ service: source.service, name }, `host name can't be resolved: ${why}`),
      resolve,
    });
    this.brake = options.brake === undefined ? null : this.makeBrake(options.brake);
  }

  get source(): ServiceSource {
    return this.options.source;
  }

  /** For log and status; another source of the same service has another. */
  get label(): string {
    const { service, tag, datacenter, filter, query } = this.options.source;
    const more = [tag, datacenter, filter, query === '' ? '' : `query ${query}`].filter(
      (part) => part !== '',
    );
    return `service ${service}${more.length === 0 ? '' : ` (${more.join(', ')})`}`;
  }

  /** Answered at least once, host names too. */
  get isSynced(): boolean {
    return this.isAnswered && this.names.isSettled;
  }

  /** Its instances describe it, by the last answer about them. */
  get isDescribed(): boolean {
    return this.instances.length > 0 && this.described.settings !== null;
  }

  /**
   * Takes an answer; true where it made an update that is worth asking on at once, or may when the
   * registry was asked again.
   */
  take(health: Health): boolean {
    if (this.brake === null) return this.accept(health);
    // What a provider before this one held, for want of a registry that knows, is held on.
    const isFirst = !this.isAnswered;
    const isHeld = isFirst && this.options.known?.().isHeld === true;
    const doubted: Health = { ...health, doubt: health.doubt || FIRST, doubtKind: 'outage' };
    return this.brake.take(isHeld ? doubted : { ...health, isFirst });
  }

  /** It can't be asked for, and never will: it has no instances, and the reason is its problem. */
  refuse(why: string): void {
    this.isAnswered = true;
    this.described = { settings: null, order: 0, problems: [why] };
    this.emit({ doubt: '', change: why, receivedMs: this.options.clock.nowMs() });
  }

  /** There is nothing that could answer for it: what is known stays, and the reason is its problem. */
  lose(why: string): void {
    if (this.trouble === why) return;
    this.isAnswered = true;
    this.trouble = why;
    this.emit({
      doubt: why,
      doubtKind: 'outage',
      change: why,
      receivedMs: this.options.clock.nowMs(),
    });
  }

  close(): void {
    this.brake?.close();
    this.names.close();
  }

  private makeBrake(how: NonNullable<FollowedServiceOptions['brake']>): Brake {
    return new Brake({
      ...how,
      clock: this.options.clock,
      present: () => this.present(),
      isHolding: () => this.options.known?.().isHeld === true,
      pass: (verdict) => this.accept(verdict),
    });
  }

  /** Ids of the instances that are served now: also those of a provider before this one. */
  private present(): readonly string[] {
    if (this.isAnswered) return this.instances.map(({ id }) => id);
    return [...new Set((this.options.known?.().endpoints ?? []).map(instanceOf))];
  }

  private accept({ entries, ...verdict }: Verdict): boolean {
    this.isAnswered = true;
    this.trouble = '';
    this.instances = instancesOf(entries, this.options.tagPrefix);
    // The last instance takes no settings along: the listener stays open and answers 503.
    if (this.instances.length > 0 || this.described.settings === null) {
      const { tagPrefix: prefix, isGood, listenAllow } = this.options;
      const reading = { prefix, isGood, listenAllow };
      // What can't get a request has no word in how the others get theirs.
      const real = entries.filter((entry) => unfitness(entry) === '');
      this.described = describeEntries(real.length > 0 ? real : entries, reading);
    }
    const { hasDeclaredChecks = true } = this.options;
    this.unfit = [...unfitEntries(entries), ...(hasDeclaredChecks ? checkProblems(entries) : [])];
    this.names.keepOnly(new Set(this.instances.map((instance) => instance.host)));
    this.word = verdict;
    return this.emit(verdict);
  }

  private emit(word: Word): boolean {
    const byId = new Map(this.instances.map((one) => [one.id, this.endpointsOf(one)]));
    const endpoints = [...byId.values()].flat();
    const { hadNoAddress } = this;
    const { settings, order } = this.described;
    const problems = this.problems();
    const { change, receivedMs, isForced = false } = word;
    // What a name that is not resolved leaves out must not be taken for gone.
    const unresolved = this.names.doubtAbout(this.instances.map(({ host }) => host));
    const doubt = word.doubt || unresolved;
    // Before all names are resolved a second read knows instances, and no endpoints.
    const isConfirmed = doubt === '' && (word.isConfirmed === true || hadNoAddress);
    const kept = new Map([...(word.kept ?? [])].flatMap(([id, why]) => withWhy(byId.get(id), why)));
    const content = JSON.stringify([endpoints, settings, order, problems, [...kept]]);
    if (content === this.sent && !isForced) return false;
    const isFlap = content === this.sentBefore;
    this.sentBefore = this.sent;
    this.sent = content;
    this.hadNoAddress = unresolved !== '';
    this.sentById = byId;
    const { source, onUpdate } = this.options;
    onUpdate({
      kind: 'upsert',
      provider: 'consul',
      service: {
        source,
        endpoints,
        settings,
        doubt,
        ...(order === 0 ? {} : { order }),
        ...(problems.length === 0 ? {} : { problems }),
        ...(kept.size === 0 ? {} : { kept }),
        ...(isConfirmed ? { isConfirmed } : {}),
        ...(word.doubt !== '' && word.doubtKind === 'outage' ? { isLasting: true } : {}),
      },
      cause: { kind: 'registry', text: `consul: ${change}` },
      receivedMs,
    });
    // Too many flaps are told, and are no reason to ask again at once.
    return !isFlap || this.flaps.take(this.options.clock.nowMs()) === 0;
  }

  private problems(): string[] {
    const hosts = new Set(this.instances.map(({ host }) => host));
    const unresolved = [...hosts].flatMap((host) => {
      const why = this.names.errorOf(host);
      return why === '' ? [] : [`host name ${host} can't be resolved: ${why}`];
    });
    const trouble = this.trouble === '' ? [] : [this.trouble];
    return [
      ...trouble,
      ...this.described.problems,
      ...this.unfit,
      ...unresolved.slice(0, UNRESOLVED_MAX),
    ];
  }

  /** One endpoint per address: a host name may have several. While it has none yet, the old ones. */
  private endpointsOf({ id, host, check, ...plain }: Instance): readonly Endpoint[] {
    const { hasDeclaredChecks = true } = this.options;
    const rest = check === undefined || !hasDeclaredChecks ? plain : { ...plain, check };
    const addresses = this.names.addressesOf(host);
    if (addresses === null) return this.sentById.get(id) ?? [];
    if (addresses.length === 1 && addresses[0] === host) return [{ id, address: host, ...rest }];
    return addresses.map((address) => ({
      id: `${id}@${address}`,
      address,
      hostName: host,
      ...rest,
    }));
  }
}

/** The id of the endpoint's instance; those of host names have their address in it. */
function instanceOf({ id, address }: Endpoint): string {
  return id.endsWith(`@${address}`) ? id.slice(0, -address.length - 1) : id;
}

function withWhy(endpoints: readonly Endpoint[] = [], why: string): [string, string][] {
  return endpoints.map(({ id }) => [id, why]);
}
