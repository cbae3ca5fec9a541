// The etcd provider: follows everything below a prefix by one watch per API, and provides of it the
// services that configuration names and those that say themselves where they want to be served.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { EtcdSettings } from '../../model/registries/etcd.ts';
import { plainSource, type ServiceSource } from '../../model/source.ts';
import { Secret } from '../../reach/secret.ts';
import { Contact } from '../contact.ts';
import { Doubts } from '../doubts.ts';
import type { Word } from '../followed-instances.ts';
import { arrange, removal } from '../following.ts';
import type { Resolve } from '../host-names.ts';
import type { Known, Provider, ProviderStatus, Update } from '../provider.ts';
import { ApiSet } from './api-set.ts';
import { EtcdClient } from './client.ts';
import type { EtcdError } from './error.ts';
import { FollowedService, wantsPort } from './followed-service.ts';
import { canonicalName } from './layout.ts';
import { type Api, Stock } from './stock.ts';
import type { OpenEtcd } from './transport.ts';
import type { Listing, Step, WatchEvents } from './watch.ts';

/** A service whose port key is gone may have it back soon: its registrar may be late. */
const LINGER_MS = 5000;
/** So many changes are handed on one by one, and then so many a second, each with what came meanwhile. */
const STEPS = { burst: 200, ratePerSecond: 50 };

export interface EtcdProviderOptions {
  readonly settings: EtcdSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly open: OpenEtcd;
  readonly resolve: Resolve;
  /** What is served of a source before this provider has said anything of it. */
  readonly known?: (source: ServiceSource) => Known;
}

export class EtcdProvider implements Provider, WatchEvents {
  readonly name = 'etcd';
  private readonly options: EtcdProviderOptions;
  private readonly client: EtcdClient;
  private readonly stock: Stock;
  private readonly contact: Contact;
  private readonly doubts: Doubts;
  private readonly apis: ApiSet;
  private readonly following = new Map<string, FollowedService>();
  private configured: readonly ServiceSource[] = [];
  /** Services that say where they want to be served; with a timer once they do not any more. */
  private readonly described = new Map<string, Timer | null>();
  private readonly steps: TokenBucket;
  /** What waits to be handed on together. */
  private gathered: { readonly changed: Set<string>; word: Word; readonly timer: Timer } | null =
    null;
  private lastError = '';
  private onUpdate: ((update: Update) => void) | null = null;

  constructor(options: EtcdProviderOptions) {
    this.options = options;
    const { settings, clock, random, log, open, known } = options;
    const { layout, tagPrefix, password: text, passwordFile: file } = settings;
    const secret = new Secret({ text, file, key: 'password_file' });
    this.client = new EtcdClient({ settings, clock, open, password: () => secret.read() });
    this.stock = new Stock({ layout, tagPrefix });
    this.steps = new TokenBucket({ ...STEPS, nowMs: clock.nowMs() });
    this.contact = new Contact({ registry: this.name, clock, log });
    this.doubts = new Doubts({
      clock,
      what: 'key',
      known,
      onEnd: () => {
        const nowMs = clock.nowMs();
        for (const service of this.following.values()) service.endDoubt(nowMs);
      },
    });
    const ways = { client: this.client, clock, random };
    this.apis = new ApiSet({ ...ways, log, settings, events: this });
  }

  follow(sources: readonly ServiceSource[]): void {
    this.configured = sources;
    if (this.onUpdate !== null) this.arrange(this.standing());
  }

  inherit(sources: readonly ServiceSource[], before: Provider | null = null): void {
    this.doubts.inherit(sources);
    if (before instanceof EtcdProvider) this.apis.inherit(before.apis.marks);
  }

  /** In doubt a service that described itself may be yet to be written again. */
  hasNamedAll(): boolean {
    return this.status().isSynced && this.doubts.now === '';
  }

  start(onUpdate: (update: Update) => void): void {
    this.onUpdate = onUpdate;
    this.apis.start();
  }

  isFailing(): boolean {
    return this.contact.lastError !== '';
  }

  status(): ProviderStatus {
    const following = [...this.following.values()];
    const { lastSyncMs, errors, lastError } = this.contact;
    return {
      name: this.name,
      isSynced: this.apis.isListed && following.every(({ isSynced }) => isSynced),
      lastSyncMs,
      errors,
      lastError,
      address: this.client.address,
      watches: this.apis.watches,
      isInDoubt: this.doubts.now !== '',
    };
  }

  async stop(): Promise<void> {
    this.onUpdate = null;
    this.apis.stop();
    this.doubts.close();
    this.gathered?.timer.cancel();
    for (const absence of this.described.values()) absence?.cancel();
    for (const service of this.following.values()) service.close();
    await this.client.close();
  }

  // What the watches report

  onListing(api: Api, { entries, dirs, doubt, change, receivedMs }: Listing): void {
    const wasEmpty = this.stock.isEmpty;
    const wasListed = this.apis.isListed;
    const changed = this.stock.reset(api, entries, dirs);
    if (!wasListed) this.doubts.listedFirst(this.configured);
    if (doubt !== '') this.doubts.open(doubt);
    this.noteFilling(wasEmpty, false);
    this.apis.listed(api);
    const word = this.word(change, receivedMs);
    if (wasListed) this.spread(changed, word);
    else this.tellAll(word);
  }

  /** All is known for the first time. */
  private tellAll(word: Word): void {
    if (!this.apis.isListed) return;
    this.spread(this.stock.services(), word);
    const unanswered = [...this.following.values()].filter((service) => !service.isAnswered);
    for (const service of unanswered) this.tell(service, word);
  }

  onStep(api: Api, step: Step): void {
    const { puts, removals, lostDirs, dirs, isMeant, doubt, change, receivedMs } = step;
    if (doubt !== '') this.doubts.open(doubt);
    const { stock } = this;
    const wasEmpty = stock.isEmpty;
    const paths = [...removals, ...lostDirs.flatMap((dir) => stock.clearDir(dir))];
    const { entries, changed } = stock.remove(api, paths);
    for (const [path, entry] of puts) stock.put(api, path, entry, changed);
    for (const [dir, created] of dirs) stock.noteDirs(dir, created);
    const wasTakenOut = isMeant ?? entries.every((entry) => !entry.isMortal);
    this.noteFilling(wasEmpty, wasTakenOut);
    const word = this.word(change, receivedMs);
    // What somebody took out is gone, whatever else is in doubt.
    const isCertain = entries.length > 0 && puts.size === 0 && wasTakenOut;
    this.spread(changed, isCertain ? { ...word, doubt: '' } : word);
  }

  onAnswer(api: Api, address: string, outageMs: number): void {
    this.contact.answered(whatOf(api), address);
    if (outageMs > 0) this.apis.recovered();
    if (this.doubts.recovered(outageMs, this.lastError)) this.tellHeld();
    this.lastError = '';
  }

  /** Those of which something is held begin to be held again. */
  private tellHeld(): void {
    const { known } = this.options;
    const word = this.standing('answers after an outage');
    for (const service of this.following.values())
      if (service.isAnswered && known?.(service.source).isHeld === true) this.tell(service, word);
  }

  onError(api: Api, error: EtcdError, address: string): void {
    this.lastError = error.message;
    this.contact.failed(whatOf(api), error, address);
    const wasListed = this.apis.isListed;
    this.apis.failed(api, error);
    if (!wasListed) this.tellAll(this.standing());
  }

  onEnd(api: Api): void {
    this.contact.forget(whatOf(api));
  }

  count(api: Api): number {
    return this.stock.count(api);
  }

  private noteFilling(wasEmpty: boolean, isMeant: boolean): void {
    const { isEmpty } = this.stock;
    if (!isEmpty) this.doubts.filled();
    else if (!wasEmpty) this.doubts.emptied(isMeant);
  }

  private word(change: string, receivedMs: number): Word {
    return { doubt: this.doubts.now, sinceMs: this.doubts.sinceMs, change, receivedMs };
  }

  // Who is followed

  /** Hands what has changed on, at once or (where much happens) with what follows. */
  private spread(changed: ReadonlySet<string>, word: Word): void {
    if (!this.apis.isListed) return;
    const { clock } = this.options;
    const { gathered } = this;
    if (gathered !== null) {
      const doubt = gathered.word.doubt || word.doubt;
      for (const service of changed) gathered.changed.add(service);
      gathered.word = { ...word, doubt, receivedMs: gathered.word.receivedMs };
      return;
    }
    const waitMs = changed.size === 0 ? 0 : this.steps.take(clock.nowMs());
    if (waitMs <= 0) return this.hand(changed, word);
    const timer = clock.setTimer(waitMs, () => this.handGathered());
    this.gathered = { changed: new Set(changed), word, timer };
  }

  private handGathered(): void {
    const { gathered } = this;
    this.gathered = null;
    if (gathered !== null) this.hand(gathered.changed, gathered.word);
  }

  /** Hands what has changed to those whom it concerns. */
  private hand(changed: ReadonlySet<string>, word: Word): void {
    for (const service of changed) this.noteDescribed(service);
    this.arrange(word);
    for (const service of this.following.values()) {
      if (changed.has(this.nameOf(service.source))) this.tell(service, word);
    }
  }

  private tell(service: FollowedService, word: Word): void {
    const name = this.nameOf(service.source);
    const records = this.stock.recordsOf(name);
    const order = this.stock.orderOf(name);
    service.takeRecords({ records, order, mayDescribe: this.mayDescribe }, word);
  }

  /** In SkyDNS no key says where a service wants to be served. */
  private get mayDescribe(): boolean {
    const { layout, selfDescribed } = this.options.settings;
    return selfDescribed && layout !== 'skydns';
  }

  private noteDescribed(service: string): void {
    if (!this.mayDescribe) return;
    const isDescribed = wantsPort(this.stock.recordsOf(service));
    const absence = this.described.get(service);
    if (isDescribed && this.described.size < BOUNDS.configServices.max) {
      absence?.cancel();
      this.described.set(service, null);
    } else if (absence === null) this.described.set(service, this.awaitAbsence(service));
  }

  /** In doubt a service stays for as long as its endpoints may. */
  private awaitAbsence(service: string): Timer {
    const { clock } = this.options;
    return clock.setTimer(LINGER_MS, () => {
      if (this.doubts.now !== '') {
        this.described.set(service, this.awaitAbsence(service));
        return;
      }
      this.described.delete(service);
      const word = this.standing(`${service} has no port any more`);
      this.arrange(word);
      for (const one of this.following.values()) {
        if (this.nameOf(one.source) === service) one.forgetSettings(word);
      }
    });
  }

  /** Starts to follow what is wanted and isn't followed, ends what is not wanted any more. */
  private arrange(word: Word): void {
    const described = [...this.described.keys()].map((service) => plainSource(this.name, service));
    arrange({
      following: this.following,
      wanted: [...this.configured, ...described],
      begin: (source) => this.followOne(source),
      begun: (service) => {
        if (this.apis.isListed) this.tell(service, word);
      },
      end: (service) => {
        service.close();
        this.onUpdate?.(removal(this.name, service.source, word));
      },
    });
  }

  private followOne(source: ServiceSource): FollowedService {
    const { clock, log, resolve } = this.options;
    const onUpdate = (update: Update): void => this.onUpdate?.(update);
    const provider = this.name;
    return new FollowedService({ provider, clock, log, resolve, source, onUpdate });
  }

  /** What is said of what is known already. */
  private standing(change = 'as known'): Word {
    const nowMs = this.options.clock.nowMs();
    return { doubt: this.doubts.now, sinceMs: this.doubts.sinceMs, change, receivedMs: nowMs };
  }

  private nameOf({ service }: ServiceSource): string {
    return canonicalName(service, this.options.settings.layout);
  }
}

/** There is one question for each API, whatever is followed. */
function whatOf(api: Api): string {
  return `keys by ${api}`;
}
