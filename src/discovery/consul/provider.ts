// The Consul provider: follows every service that configuration wants or that describes itself in
// the catalog, each by a blocking query of its own while connections allow, the rest by few wide
// questions; and knows how well that goes.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import type { ConsulSettings } from '../../model/registries/consul.ts';
import type { GuardSettings } from '../../model/settings.ts';
import { plainSource, type ServiceSource, sourceKey } from '../../model/source.ts';
import { Contact } from '../contact.ts';
import { arrange, removal } from '../following.ts';
import type { Resolve } from '../host-names.ts';
import type { Known, Provider, ProviderStatus, Update } from '../provider.ts';
import { reportMissingRights } from './access.ts';
import type { Answer } from './answer.ts';
import type { ConsulContext } from './blocking-query.ts';
import { Catalog } from './catalog.ts';
import { ConsulClient } from './client.ts';
import { DirectWatch } from './direct-watch.ts';
import { FollowedService } from './followed-service.ts';
import { KeyWatch } from './key-watch.ts';
import { askQuery, QueryWatch } from './query-watch.ts';
import { consistentQuery, healthPath, isAskable, scopeOf } from './service-query.ts';
import type { OpenConsul } from './transport.ts';
import { WideWatch } from './wide-watch.ts';

/**
 * Blocking queries of single services over plain HTTP. An agent allows 200 connections per client
 * address (limits.http_max_conns_per_client), and other programs of the host count too.
 */
const DIRECT_MAX = 96;
/** So many more may be those with a filter: wide queries don't see all that a filter can look at. */
const FILTERED_MORE = 32;
/** A service that describes itself and is gone from the catalog may be back soon. */
const LINGER_MS = 5_000;
/** What the first catalog lacks of a predecessor's: the server that was asked may be so far behind. */
const HANDOVER_LINGER_MS = 20_000;
/** After an outage its instances may take a registrar's while to register again. */
const DOUBTFUL_LINGER_MS = 120_000;
/** A second read waits no longer: what it is about is held meanwhile, and longer without it. */
const SECOND_READ_MS = 1000;

export interface ConsulProviderOptions {
  readonly settings: ConsulSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly open: OpenConsul;
  /** The guard's settings as they are now. */
  readonly guard: () => GuardSettings;
  /** Whether a setting that a service gives itself may have this value. */
  readonly isGoodSetting?: (key: string, value: string) => boolean;
  readonly resolve: Resolve;
  /** What is served of a source before this provider has said anything of it. */
  readonly known?: (source: ServiceSource) => Known;
  /** Services that are followed each by a query of its own; less in tests. */
  readonly directMax?: number;
}

/** What is known of each that is followed. */
type Followed = Pick<FollowedService, 'source' | 'label' | 'isSynced'> & {
  /** Its instances describe it, by the last answer about them. */
  readonly isDescribed?: boolean;
};

interface Following {
  readonly service: Followed;
  readonly stop: () => void;
  readonly isDirect: boolean;
}

export class ConsulProvider implements Provider {
  readonly name = 'consul';
  private readonly options: ConsulProviderOptions;
  private readonly client: ConsulClient;
  private readonly context: ConsulContext;
  private readonly contact: Contact;
  private readonly stopped = new AbortController();
  private readonly following = new Map<string, Following>();
  private readonly catalogs = new Map<string, Catalog>();
  private readonly wides = new Map<string, WideWatch>();
  private configured: readonly ServiceSource[] = [];
  /** Services that describe themselves; with a timer when they are gone from the catalog. */
  private readonly described = new Map<string, Timer | null>();
  /** Until then what the catalog lacks may be yet to register again, clock.nowMs(). */
  private doubtfulUntilMs = 0;
  /** When the catalog was had for the first time, clock.nowMs(). */
  private listedMs = Number.POSITIVE_INFINITY;
  private onUpdate: ((update: Update) => void) | null = null;

  constructor(options: ConsulProviderOptions) {
    this.options = options;
    const { settings, clock, random, log, open } = options;
    this.client = new ConsulClient(settings, clock, open);
    this.context = { client: this.client, clock, random, log, waitMs: settings.waitMs };
    this.contact = new Contact({ clock, log });
  }

  follow(sources: readonly ServiceSource[]): void {
    this.configured = sources;
    if (this.onUpdate !== null) this.arrange();
  }

  /** What is held of it, its registry may be yet to name again. */
  inherit(sources: readonly ServiceSource[]): void {
    const { clock, known } = this.options;
    const isHeld = sources.some((source) => known?.(source).isHeld === true);
    if (isHeld) this.doubtfulUntilMs = clock.nowMs() + DOUBTFUL_LINGER_MS;
  }

  /** What the catalog lacks at first lingers, as what is gone from it later does. */
  hasNamedAll(): boolean {
    const { clock, settings } = this.options;
    const fromMs = Math.max(this.listedMs + HANDOVER_LINGER_MS, this.doubtfulUntilMs);
    if (!settings.selfDescribed) return this.status().isSynced;
    const isComplete = this.catalogs.get(keyOf({}))?.isComplete === true;
    return isComplete && this.status().isSynced && clock.nowMs() >= fromMs;
  }

  start(onUpdate: (update: Update) => void): void {
    this.onUpdate = onUpdate;
    const { log, clock } = this.options;
    const { signal } = this.stopped;
    const report = () => void reportMissingRights(this.client, { log, clock, signal });
    report();
    this.client.onTokenChange.add(report);
    this.client.onProtocol = () => this.rearrange();
    this.client.onExcess = (path, excess) => this.contact.tellExcess(path, excess);
    this.arrange();
    if (this.options.settings.selfDescribed) {
      const catalog = this.catalogOf({});
      catalog.subscribe(({ doubt }) => this.onCatalog(catalog, doubt), false);
    }
  }

  status(): ProviderStatus {
    const { selfDescribed } = this.options.settings;
    const catalog = this.catalogs.get(keyOf({}));
    const following = [...this.following.values()];
    const direct = following.filter((one) => one.isDirect).length;
    const wide = [...this.wides.values()].reduce((sum, { queries }) => sum + queries, 0);
    return {
      name: this.name,
      isSynced:
        following.every(({ service }) => this.isSettled(service)) &&
        (!selfDescribed || catalog?.isReady === true),
      lastSyncMs: this.contact.lastSyncMs,
      errors: this.contact.errors,
      lastError: this.contact.lastError,
      address: this.client.address,
      secondReads: this.contact.secondReads,
      isInDoubt: this.options.clock.nowMs() < this.doubtfulUntilMs,
      watches: direct + this.catalogs.size + wide,
    };
  }

  /**
   * Answered, or it fails alone: one service that can't be followed does not hold up the others. A
   * configured one is waited for longer, since its listener is open without it.
   */
  private isSettled(service: Followed): boolean {
    const key = sourceKey(service.source);
    const isConfigured = this.configured.some((source) => sourceKey(source) === key);
    return service.isSynced || this.contact.failsAlone(service.label, isConfigured);
  }

  isFailing(source: ServiceSource): boolean {
    const followed = this.following.get(sourceKey(source));
    return followed !== undefined && this.contact.isFailing(followed.service.label);
  }

  async stop(): Promise<void> {
    this.onUpdate = null;
    this.stopped.abort();
    for (const absence of this.described.values()) absence?.cancel();
    for (const { stop } of this.following.values()) stop();
    for (const wide of this.wides.values()) wide.stop();
    for (const catalog of this.catalogs.values()) catalog.stop();
    await this.client.close();
  }

  /** Starts to follow what is wanted and isn't followed, ends what is not wanted any more. */
  private arrange(): void {
    const described = [...this.described.keys()].map((service) => this.sourceOf(service));
    arrange({
      following: this.following,
      wanted: [...this.configured, ...described],
      begin: (source) => this.followOne(source),
      end: ({ service, stop }) => {
        stop();
        this.emitRemove(service.source);
      },
    });
  }

  private unfollow(key: string): void {
    this.following.get(key)?.stop();
    this.following.delete(key);
  }

  /** Connections turned out not to be shared: what is too much for them goes to wide questions. */
  private rearrange(): void {
    let direct = 0;
    for (const [key, { isDirect, service }] of [...this.following]) {
      if (!isDirect) continue;
      if (direct < this.directMaxOf(service.source)) direct += 1;
      else this.unfollow(key);
    }
    if (this.onUpdate !== null) this.arrange();
  }

  /** A service is followed directly while fewer than so many are. */
  private directMaxOf({ filter, peer }: ServiceSource): number {
    const { directMax = DIRECT_MAX } = this.options;
    // The catalog of a peer can't be listed by every Consul; its services are followed one by one.
    if (this.client.isMultiplexed || peer !== '') return Number.POSITIVE_INFINITY;
    return filter === '' ? directMax : directMax + FILTERED_MORE;
  }

  private followKeys(source: ServiceSource): Following {
    const { resolve, settings } = this.options;
    const { context, contact } = this;
    const { tagPrefix } = settings;
    const onUpdate = (update: Update): void => this.onUpdate?.(update);
    const watch = new KeyWatch({ context, contact, source, tagPrefix, resolve, onUpdate });
    watch.start();
    return { service: watch, isDirect: true, stop: () => watch.stop() };
  }

  private followOne(source: ServiceSource): Following {
    if (source.kv !== '') return this.followKeys(source);
    const { clock, log, resolve, settings, isGoodSetting, known } = this.options;
    const service: FollowedService = new FollowedService({
      clock,
      log,
      source,
      tagPrefix: settings.tagPrefix,
      listenAllow: settings.listenAllow,
      hasDeclaredChecks: settings.declaredChecks,
      onUpdate: (update) => this.onUpdate?.(update),
      brake: {
        random: this.options.random,
        guard: this.options.guard,
        epoch: () => this.client.epoch,
        askAgain: () => this.askAgain(source),
        onSecondRead: (result, text) => this.contact.secondRead(service.label, result, text),
      },
      resolve,
      ...(known === undefined ? {} : { known: () => this.doubted(known(source)) }),
      ...(isGoodSetting === undefined ? {} : { isGood: isGoodSetting }),
    });
    if (source.query !== '') return this.followQuery(service);
    if (!isAskable(source.service)) return this.followNone(service);
    const direct = [...this.following.values()].filter(({ isDirect }) => isDirect).length;
    const isDirect = direct < this.directMaxOf(source);
    const stop = isDirect ? this.followDirectly(service) : this.followWidely(service);
    const stopAll = (): void => {
      stop();
      service.close();
    };
    return { service, isDirect, stop: stopAll };
  }

  /** While services may be yet to register again, the first answer about one may lack instances. */
  private doubted({ endpoints, isHeld }: Known): Known {
    const nowMs = this.options.clock.nowMs();
    const { brokenMs } = this.client;
    // The agent may have restarted before it was asked about this service, which is served.
    const mayLose = endpoints.length > 0 && brokenMs !== null;
    const hasBroken = mayLose && nowMs - brokenMs < DOUBTFUL_LINGER_MS;
    return { endpoints, isHeld: isHeld || hasBroken || nowMs < this.doubtfulUntilMs };
  }

  /** A service of this name can't be asked for; what follows it learns so once this turn is over. */
  private followNone(service: FollowedService): Following {
    const name = JSON.stringify(service.source.service);
    const why = `Consul can't be asked for a service named ${name}: its path would be another`;
    void Promise.resolve().then(() => service.refuse(why));
    return { service, isDirect: false, stop: () => service.close() };
  }

  /** Of the agent that answered before; no other knows more. */
  private askAgain(source: ServiceSource): Promise<Answer> {
    const asking = { deadlineMs: SECOND_READ_MS, signal: this.stopped.signal, isConsistent: true };
    if (source.query !== '') {
      return askQuery(this.client, this.client.address, { ...asking, source, fleet: this.fleet });
    }
    return this.client.get({
      path: healthPath(source),
      query: consistentQuery(source),
      ...asking,
    });
  }

  private get fleet(): string {
    return this.options.settings.registerSelf?.service ?? '';
  }

  private followQuery(service: FollowedService): Following {
    const { context, contact } = this;
    const intervalMs = this.options.settings.queryIntervalMs;
    const watch = new QueryWatch({ context, contact, service, intervalMs, fleet: this.fleet });
    watch.start();
    const stop = (): void => {
      watch.stop();
      service.close();
    };
    // No connection is held between two questions.
    return { service, isDirect: false, stop };
  }

  private followDirectly(service: FollowedService): () => void {
    const { context, contact } = this;
    const watch = new DirectWatch({ context, contact, service });
    watch.start();
    return () => watch.stop();
  }

  private followWidely(service: FollowedService): () => void {
    const { context, contact } = this;
    const scope = scopeOf(service.source);
    let wide = this.wides.get(keyOf(scope));
    if (wide === undefined) {
      const directly = this.options.directMax ?? DIRECT_MAX;
      const fields = { registry: this.name, directly };
      const text =
        'many services over plain HTTP: past a bound they are followed by few wide queries; ' +
        'with https every one has its own, on one connection';
      this.options.log.info(fields, text);
      wide = new WideWatch({ context, contact, scope, catalog: this.catalogOf(scope) });
      this.wides.set(keyOf(scope), wide);
      wide.start();
    }
    wide.add(service);
    return () => wide.remove(service);
  }

  private catalogOf(scope: Readonly<Record<string, string>>): Catalog {
    let catalog = this.catalogs.get(keyOf(scope));
    if (catalog === undefined) {
      const { context, contact } = this;
      const { tagPrefix } = this.options.settings;
      catalog = new Catalog({ context, contact, scope, tagPrefix });
      this.catalogs.set(keyOf(scope), catalog);
      catalog.start();
    }
    return catalog;
  }

  private emitRemove(source: ServiceSource): void {
    const change = `${source.service} is not followed any more`;
    const receivedMs = this.options.clock.nowMs();
    this.onUpdate?.(removal(this.name, source, { change, receivedMs }));
  }

  /** Services that describe themselves are followed like configured ones. */
  private onCatalog(catalog: Catalog, doubt: string): void {
    const { clock } = this.options;
    const now = catalog.described;
    const nowMs = clock.nowMs();
    this.listedMs = Math.min(this.listedMs, nowMs);
    if (doubt !== '') this.doubtfulUntilMs = nowMs + DOUBTFUL_LINGER_MS;
    const lingerMs = Math.max(LINGER_MS, this.doubtfulUntilMs - nowMs);
    for (const name of now) {
      this.described.get(name)?.cancel();
      this.described.set(name, null);
    }
    for (const [name, absence] of this.described) {
      if (!now.has(name) && absence === null) this.awaitEnd(name, lingerMs);
    }
    this.arrange();
  }

  /**
   * Ends following what the catalog lacks, in a while; not as long as its own answers describe it, nor in a
   * doubt that has come meanwhile: the registry may have restarted before the catalog noticed.
   */
  private awaitEnd(name: string, lingerMs: number): void {
    const { clock } = this.options;
    const timer = clock.setTimer(lingerMs, () => {
      const doubtfulMs = this.doubtfulUntilMs - clock.nowMs();
      if (doubtfulMs > 0) return this.awaitEnd(name, doubtfulMs);
      if (this.following.get(sourceKey(this.sourceOf(name)))?.service.isDescribed === true) {
        this.awaitEnd(name, LINGER_MS);
        return;
      }
      this.described.delete(name);
      this.arrange();
    });
    this.described.set(name, timer);
  }

  /** Where configuration follows the service by its plain name already, that serves both. */
  private sourceOf(service: string): ServiceSource {
    return plainSource(this.name, service);
  }
}

function keyOf(scope: Readonly<Record<string, string>>): string {
  return JSON.stringify(scope);
}
