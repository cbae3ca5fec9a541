// The ZooKeeper provider: reads what is registered below a path and follows it by watches, in one session
// after the other, and provides of it the services that configuration names and those that describe
// themselves. It only reads. While there is no session the table stays as it is.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import { BOUNDS } from '../../model/bounds.ts';
import { type ZookeeperSettings, znodeNamesOf } from '../../model/registries/zookeeper.ts';
import type { ServiceSource } from '../../model/source.ts';
import { Secret } from '../../reach/secret.ts';
import { Contact } from '../contact.ts';
import { Doubts } from '../doubts.ts';
import type { Listed, Word } from '../followed-instances.ts';
import type { Resolve } from '../host-names.ts';
import { ListedServices } from '../listed-services.ts';
import type { Known, Provider, ProviderStatus, ServiceSettings, Update } from '../provider.ts';
import { type ClientEvents, ZookeeperClient } from './client.ts';
import { listedOf } from './content.ts';
import { ZookeeperError } from './error.ts';
import type { FolderPlace } from './folder.ts';
import type { WatchEvent } from './messages.ts';
import type { Session } from './session.ts';
import { Walk } from './walk.ts';
import type { OpenZookeeper } from './wire.ts';

/** A service without instances may get another one: its listener answers 503 for so long. */
const LINGER_MS = 30_000;
/** So many changes are handed on one by one, and then so many a second, each with what came meanwhile. */
const STEPS = { burst: 200, ratePerSecond: 50 };
/** There is one question, whatever is followed. */
const QUESTION = 'znodes';

export interface ZookeeperProviderOptions {
  readonly settings: ZookeeperSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly open: OpenZookeeper;
  readonly resolve: Resolve;
  /** Whether a setting that an instance gives its service may have this value. */
  readonly isGoodSetting?: (key: string, value: string) => boolean;
  /** What is served of a source before this provider has said anything of it. */
  readonly known?: (source: ServiceSource) => Known;
}

/** What a service said of itself while it had instances. */
interface Described {
  readonly settings: ServiceSettings;
  readonly order: number | null;
  /** Set while it has none. */
  absence: Timer | null;
}

export class ZookeeperProvider implements Provider, ClientEvents {
  readonly name = 'zookeeper';
  private readonly options: ZookeeperProviderOptions;
  private readonly services: ListedServices;
  private readonly contact: Contact;
  private readonly doubts: Doubts;
  private readonly client: ZookeeperClient;
  private readonly steps: TokenBucket;
  private configured: readonly ServiceSource[] = [];
  /** Of the session; its content counts once it was read whole. */
  private walk: Walk | null = null;
  private isWalked = false;
  /** Services that were read, in this session or an earlier one. */
  private readonly known = new Set<string>();
  /** What was said of each service last. */
  private readonly told = new Map<string, Listed>();
  private readonly described = new Map<string, Described>();
  /** Services whose change waits to be handed on. */
  private readonly changed = new Set<string>();
  private step: Timer | null = null;
  private hasListed = false;
  /** Instances in all. */
  private total = 0;
  /** The greatest that was seen. */
  private zxid = 0;
  /** Clock.nowMs() of the loss of the last good session; null while there is one. */
  private lostMs: number | null = null;
  private lastError = '';

  constructor(options: ZookeeperProviderOptions) {
    this.options = options;
    const { settings, clock, random, log, open, resolve, known } = options;
    const { password: text, passwordFile: file, selfDescribed } = settings;
    this.services = new ListedServices({
      provider: this.name,
      clock,
      log,
      resolve,
      isKnown: (service) => selfDescribed || this.known.has(canonical(service)),
      nameOf: canonical,
    });
    this.contact = new Contact({ registry: this.name, clock, log });
    this.doubts = new Doubts({
      clock,
      what: 'znode',
      known,
      onEnd: () => this.services.endDoubt(clock.nowMs()),
    });
    const secret = new Secret({ text, file, key: 'password_file' });
    const password = () => secret.read();
    this.client = new ZookeeperClient({ settings, clock, random, open, password, events: this });
    this.steps = new TokenBucket({ ...STEPS, nowMs: clock.nowMs() });
  }

  follow(sources: readonly ServiceSource[]): void {
    this.configured = sources;
    const wanted = new Set(sources.map(({ service }) => canonical(service)));
    for (const name of this.known) {
      if (this.options.settings.selfDescribed || wanted.has(name)) continue;
      this.known.delete(name);
      this.note(name, null);
    }
    this.services.follow(sources);
    void this.walk?.want(this.places());
  }

  inherit(sources: readonly ServiceSource[], before: Provider | null = null): void {
    this.doubts.inherit(sources);
    if (before instanceof ZookeeperProvider) this.zxid = before.zxid;
  }

  /** In doubt a service that described itself may be yet to register again. */
  hasNamedAll(): boolean {
    return this.status().isSynced && this.doubts.now === '';
  }

  start(onUpdate: (update: Update) => void): void {
    this.services.start(onUpdate);
    this.client.start();
  }

  isFailing(): boolean {
    return this.contact.lastError !== '';
  }

  status(): ProviderStatus {
    const { lastSyncMs, errors, lastError } = this.contact;
    return {
      name: this.name,
      isSynced: this.hasListed && this.services.isSynced,
      lastSyncMs,
      errors,
      lastError,
      address: this.client.address,
      watches: this.walk?.watches ?? 0,
      isInDoubt: this.doubts.now !== '',
    };
  }

  stop(): Promise<void> {
    this.services.close();
    this.dropWalk();
    this.client.stop();
    this.doubts.close();
    for (const { absence } of this.described.values()) absence?.cancel();
    return Promise.resolve();
  }

  // What the client reports

  onSession(session: Session): void {
    const { clock } = this.options;
    this.walk = new Walk({
      session,
      clock,
      onChange: (service) => this.onChange(service),
      onRead: (service) => {
        if (this.isWalked) this.onChange(service);
      },
      onFailure: (error) => this.client.giveUp(session, error),
    });
    void this.readAll(session, this.walk);
  }

  onEvent(event: WatchEvent): void {
    this.walk?.onEvent(event);
  }

  onHeard(): void {
    if (this.isWalked) this.contact.answered(QUESTION, this.client.address);
  }

  onLost(error: ZookeeperError, address: string): void {
    this.lostMs ??= this.options.clock.nowMs();
    this.lastError = error.message;
    this.dropWalk();
    this.contact.failed(QUESTION, error, address);
  }

  /** A member may be behind: it answers `sync` when it has caught up with the leader. */
  private async readAll(session: Session, walk: Walk): Promise<void> {
    const { path } = this.options.settings;
    try {
      walk.zxid = (await session.ask({ op: 'sync', path })).zxid;
    } catch (error) {
      // What is not there, or may not be read, is read below.
      if (!(error instanceof ZookeeperError) || error.answered === 0) return;
    }
    await walk.want(this.places());
    if (this.walk === walk) this.onListed(walk);
  }

  /** All was read in a new session: what is missing is gone, or in doubt. */
  private onListed(walk: Walk): void {
    const { clock } = this.options;
    const nowMs = clock.nowMs();
    if (!this.hasListed) this.doubts.listedFirst(this.configured);
    if (this.lostMs !== null) this.doubts.recovered(nowMs - this.lostMs, this.lastError);
    if (walk.zxid < this.zxid) this.doubts.open('ZooKeeper answers with an older state');
    this.zxid = walk.zxid;
    this.lostMs = null;
    this.isWalked = true;
    this.hasListed = true;
    this.client.settled();
    this.contact.answered(QUESTION, this.client.address);
    const wanted = this.configured
      .map(({ service }) => canonical(service))
      .filter((name) => walk.hasRead(name));
    const names = new Set([...walk.services, ...this.told.keys(), ...wanted]);
    names.delete('');
    this.lookAt(names);
    const word = this.word(`listed at ${this.client.address}`);
    this.services.take(this.told, word);
  }

  private onChange(service: string): void {
    if (!this.isWalked || service === '') return;
    const { clock } = this.options;
    this.changed.add(service);
    if (this.step !== null) return;
    const waitMs = this.steps.take(clock.nowMs());
    if (waitMs <= 0) return this.hand();
    this.step = clock.setTimer(waitMs, () => this.hand());
  }

  private hand(): void {
    this.step = null;
    const names = [...this.changed];
    this.changed.clear();
    this.zxid = Math.max(this.zxid, this.walk?.zxid ?? 0);
    this.lookAt(names);
    for (const name of names) this.tell(name, `${this.pathOf(name)} changed`);
  }

  private tell(name: string, change: string): void {
    this.services.takeOne(name, this.told.get(name) ?? null, this.word(change));
  }

  /** Brings what is told of these up to what was read. All that changed at once is looked at together. */
  private lookAt(names: Iterable<string>): void {
    const wasEmpty = this.total === 0;
    for (const name of names) this.look(name);
    if (this.total > 0) this.doubts.filled();
    else if (!wasEmpty) this.doubts.emptied(false);
  }

  /** Brings what is told of a service up to what was read. */
  private look(name: string): void {
    const content = this.walk?.contentOf(name) ?? null;
    this.known.add(name);
    const { tagPrefix: prefix, listenAllow, selfDescribed } = this.options.settings;
    const isGood = this.options.isGoodSetting;
    const read = content === null ? null : listedOf(content, { prefix, listenAllow, isGood });
    const isRefused = content !== null && content.problem !== '' && content.znodes.size === 0;
    // What may not be read is as it was.
    const instances = isRefused ? (this.told.get(name)?.instances ?? []) : (read?.instances ?? []);
    const problems = read?.problems ?? [];
    const has = instances.length > 0;
    const settings = has && !isRefused ? (read?.settings ?? null) : null;
    const own = { settings: selfDescribed ? settings : null, order: read?.order ?? null };
    const said = has && !isRefused ? this.describe(name, own) : this.lingering(name);
    const isNothing = !has && problems.length === 0 && said.settings === null;
    this.note(name, isNothing ? null : { instances, problems, ...said });
  }

  private note(name: string, listed: Listed | null): void {
    const before = this.told.get(name)?.instances.length ?? 0;
    this.total += (listed?.instances.length ?? 0) - before;
    if (listed === null) this.told.delete(name);
    else this.told.set(name, listed);
  }

  private describe(name: string, said: Pick<Listed, 'settings' | 'order'>) {
    this.described.get(name)?.absence?.cancel();
    const { settings, order } = said;
    if (settings === null) this.described.delete(name);
    else this.described.set(name, { settings, order, absence: null });
    return said;
  }

  /** What a service without instances said of itself: for a while, and for as long as there is doubt. */
  private lingering(name: string): Pick<Listed, 'settings' | 'order'> {
    const described = this.described.get(name);
    if (described === undefined) return { settings: null, order: null };
    described.absence ??= this.options.clock.setTimer(LINGER_MS, () => this.endLinger(name));
    return { settings: described.settings, order: described.order };
  }

  private endLinger(name: string): void {
    const described = this.described.get(name);
    if (described === undefined) return;
    described.absence = null;
    // Without a session nothing is known.
    if (this.doubts.now !== '' || !this.isWalked) return void this.lingering(name);
    this.described.delete(name);
    this.lookAt([name]);
    this.tell(name, `${this.pathOf(name)} has no instances any more`);
  }

  private dropWalk(): void {
    this.walk?.stop();
    this.walk = null;
    this.isWalked = false;
    this.changed.clear();
    this.step?.cancel();
    this.step = null;
  }

  /** What is to be read: everything, or the services of the configuration. */
  private places(): FolderPlace[] {
    const { path, selfDescribed } = this.options.settings;
    if (selfDescribed) return [{ path, service: '', depth: BOUNDS.zookeeperDepth.max - 1 }];
    const names = new Set(this.configured.map(({ service }) => canonical(service)));
    return [...names].flatMap((service) => {
      // The configuration was checked for that.
      if (znodeNamesOf(service) === null) return [];
      return [{ path: this.pathOf(service), service, depth: 0 }];
    });
  }

  private pathOf(service: string): string {
    const { path } = this.options.settings;
    return path === '/' ? `/${service}` : `${path}/${service}`;
  }

  private word(change: string): Word {
    const receivedMs = this.options.clock.nowMs();
    return { doubt: this.doubts.now, sinceMs: this.doubts.sinceMs, change, receivedMs };
  }
}

/** The name of a service as its path has it. */
function canonical(service: string): string {
  return znodeNamesOf(service)?.join('/') ?? service;
}
