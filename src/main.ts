// The composition root: makes the parts of the main thread and joins them. What a part does is
// its own; what is decided here is the order in which things begin, change and end:
//   starting -> ready -> draining -> stopped
// Listeners open after the first answer of the registries (or a few seconds without one), so that
// a process that is started beside an old one on the same ports answers no 503 in its place.
import { readFileSync } from 'node:fs';
import type { Clock, Timer } from './base/clock.ts';
import { CodedError, codeOf, messageOf } from './base/coded-error.ts';
import type { Logger } from './base/log.ts';
import type { Random } from './base/prng.ts';
import { Controller, type ControllerOptions } from './control/controller.ts';
import { KvWatch } from './discovery/consul/kv-watch.ts';
import { ConsulProvider } from './discovery/consul/provider.ts';
import { ProviderSet } from './discovery/provider-set.ts';
import { StaticProvider } from './discovery/static.ts';
import { type Doors, nodeDoors } from './doors.ts';
import { Checker } from './health/checker.ts';
import { Ledger } from './ledger/ledger.ts';
import type { Cause } from './model/cause.ts';
import { formatListen, type ListenError } from './model/listener.ts';
import type { ServiceSource } from './model/service.ts';
import type { ConsulSettings, Settings, StatsSettings } from './model/settings.ts';
import type { SnapshotDelta } from './model/snapshot.ts';
import { type StatsServer, startStatsServer } from './observe/server.ts';
import type { StatsSources } from './observe/sources.ts';
import { StateKeeper } from './state/state-keeper.ts';
import { MemoryGuard } from './supervisor/memory-guard.ts';
import { migrationHint } from './supervisor/migration.ts';
import { Supervisor } from './supervisor/supervisor.ts';

/** How long listeners wait for the registries before they open with what is known. */
const FIRST_SYNC_MS = 5000;
/** How long a reload waits for the registries' answers about what is new. */
const RELOAD_SYNC_MS = 2000;
const READY_LOOK_MS = 20;
const STATE_MS_MAX = 2000;
/** ... and when there is a table to serve from meanwhile. */
const WARM_SYNC_MS = 1000;
/** After the registry answers again, services may take a registrar's while to register again. */
const WARM_LINGER_MS = 120_000;

export interface UpriverOptions {
  readonly settings: Settings;
  readonly log: Logger;
  /** Takes complete lines of the access log; null when it is off. */
  readonly writeAccess: ((lines: string) => void) | null;
  /** Reads the settings that a service gives itself in the registry. */
  readonly describe: ControllerOptions['describe'];
  /** The overlay of the configuration in the registry is this text now; null when it is gone. */
  readonly onOverlay: (key: string, text: string | null) => void;
  /** What became of the last attempt to load the configuration. */
  readonly configStatus: () => { readonly error: string; readonly loadedMs: number };
  /** The ways to the outside; those of the program where none are given. */
  readonly doors?: Doors;
  /** Made where none is given. */
  readonly ledger?: Ledger;
  /** How many services Consul is asked for one by one; a simulation gives less. */
  readonly consulDirectMax?: number;
}

export class Upriver {
  readonly ledger: Ledger;
  readonly controller: Controller;
  readonly supervisor: Supervisor;
  readonly providers: ProviderSet;
  private readonly log: Logger;
  private readonly doors: Doors;
  private readonly directMax: { readonly directMax?: number };
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly staticProvider: StaticProvider;
  private readonly keeper: StateKeeper;
  private readonly memory: MemoryGuard;
  private readonly onOverlay: UpriverOptions['onOverlay'];
  private readonly configStatus: UpriverOptions['configStatus'];
  private overlay: KvWatch | null = null;
  private stats: StatsServer | null = null;
  private settings: Settings;
  private state: 'starting' | 'ready' | 'draining' | 'stopped' = 'starting';
  private appliedVersion = 0;
  private firstErrors: readonly ListenError[] = [];
  private reloading: Promise<void> = Promise.resolve();
  private awaiting: Timer | null = null;

  constructor(options: UpriverOptions) {
    const { settings, log, doors = nodeDoors, ledger = new Ledger() } = options;
    const { clock, random, probe, resolve } = doors;
    this.doors = doors;
    const { consulDirectMax: directMax } = options;
    this.directMax = directMax === undefined ? {} : { directMax };
    this.ledger = ledger;
    this.settings = settings;
    this.log = log;
    this.clock = clock;
    this.random = random;
    this.onOverlay = options.onOverlay;
    this.configStatus = options.configStatus;
    this.supervisor = this.makeSupervisor(options.writeAccess);
    this.memory = new MemoryGuard({
      clock,
      log,
      max: () => this.settings.memoryMaxBytes,
      resident: doors.residentBytes,
      onChange: (isShort) => {
        if (isShort) this.stats?.shed();
      },
    });
    this.controller = new Controller({
      clock,
      log,
      ledger: this.ledger,
      send: (delta) => this.send(delta),
      makeChecker: (onChange) => new Checker({ clock, random, log, probe, onChange }),
      describe: options.describe,
    });
    this.providers = new ProviderSet({
      clock,
      onUpdate: (update) => {
        this.controller.onUpdate(this.keeper.pass(update));
        this.keeper.touch();
      },
    });
    this.keeper = this.makeKeeper();
    this.staticProvider = new StaticProvider({ clock, endpoints: settings.static, log, resolve });
  }

  private makeSupervisor(writeAccess: UpriverOptions['writeAccess']): Supervisor {
    return new Supervisor({
      count: this.settings.workers,
      ledger: this.ledger,
      clock: this.clock,
      random: this.random,
      log: this.log,
      startThread: this.doors.startThread,
      writeAccess,
      memoryMax: this.settings.memoryMaxBytes,
      full: () => (this.controller.version === 0 ? null : this.controller.full()),
      onStreak: (streak) => this.controller.onStreak(streak),
      onSuspect: (slot) => this.controller.onSuspect(slot),
      onListenErrors: (errors) => this.controller.onListenErrors(errors),
    });
  }

  private makeKeeper(): StateKeeper {
    const { clock, log, controller, providers } = this;
    // What a check comes to, and what the guard lets go, are events.
    controller.events.subscribe(() => this.keeper.touch());
    return new StateKeeper({
      path: this.settings.state.file,
      clock,
      log,
      disk: this.doors.disk,
      settings: () => this.settings,
      kept: () => controller.kept(),
      isSynced: () => providers.unsynced === '',
    });
  }

  private async send(delta: SnapshotDelta): Promise<readonly ListenError[]> {
    const { listenErrors } = await this.supervisor.apply(delta);
    this.appliedVersion = Math.max(this.appliedVersion, delta.version);
    if (delta.version === 1) this.firstErrors = listenErrors;
    return listenErrors;
  }

  /**
   * Brings everything up; resolves when listeners are open. Rejects with a message for people when
   * a worker can't start or a configured listener can't be opened.
   */
  async start(): Promise<void> {
    const { settings } = this;
    await this.supervisor.start();
    this.memory.start();
    await this.keeper.read();
    await this.openStats(settings.stats);
    this.providers.follow(sourcesOf(settings));
    this.providers.add(this.staticProvider);
    if (settings.consul !== null) this.providers.add(this.makeConsul(settings.consul));
    if (!(await this.firstAnswers())) this.beginWithout(this.providers.unsynced);
    // It may have been asked to end meanwhile.
    if (this.state !== 'starting') return;
    this.controller.setSettings(settings, { kind: 'start', text: 'start' });
    await this.firstApplied();
    this.refuseConfigured(this.firstErrors);
    this.watchOverlay(settings.consul);
    this.awaitReady();
  }

  /** True when every registry has answered; with a table from before, none is waited for long. */
  private async firstAnswers(): Promise<boolean> {
    if (!this.keeper.hasTable) return this.providers.synced(FIRST_SYNC_MS);
    const untilMs = this.clock.nowMs() + WARM_SYNC_MS;
    while (!(await this.providers.synced(READY_LOOK_MS))) {
      const isFailing = this.providers.statuses().some((one) => !one.isSynced && one.errors > 0);
      if (isFailing || this.clock.nowMs() >= untilMs) return false;
    }
    // What it could not say may be in the table: services that describe themselves by Meta.
    return this.providers.statuses().every(({ lastError }) => lastError === '');
  }

  private beginWithout(registry: string): void {
    this.log.warn({ registry }, 'the registry has not answered yet; listeners open without it');
    const { updates, checks } = this.keeper.serve(sourcesOf(this.settings));
    this.controller.remember(checks);
    for (const update of updates) this.controller.onUpdate(update);
    this.providers.follow(this.followed());
    if (this.keeper.followed.length > 0) this.awaitRegistry();
  }

  /** What described itself before the restart is asked for until it had time to come back. */
  private awaitRegistry(): void {
    const isBack = this.providers.unsynced === '';
    this.awaiting = this.clock.setTimer(isBack ? WARM_LINGER_MS : WARM_SYNC_MS, () => {
      if (this.state !== 'starting' && this.state !== 'ready') return;
      if (!isBack) return this.awaitRegistry();
      this.keeper.endFollowing();
      this.providers.follow(this.followed());
    });
  }

  private followed(): ServiceSource[] {
    return [...sourcesOf(this.settings), ...this.keeper.followed];
  }

  private async openStats(settings: StatsSettings): Promise<void> {
    const { listen } = settings;
    if (listen === null) return;
    const { controller, ledger, clock, log, providers } = this;
    const sources: StatsSources = {
      view: controller,
      ledger,
      clock,
      log,
      version: programVersion(),
      workers: this.settings.workers,
      liveness: () => this.supervisor.liveness(),
      readiness: () => this.readiness(),
      providers: () => providers.statuses(),
      config: this.configStatus,
      state: () => this.keeper.status,
      memory: () => this.memory.status,
      operate: (service, endpoint, command) => controller.operate(service, endpoint, command),
    };
    try {
      this.stats = await startStatsServer({ listen, access: settings, sources });
    } catch (error) {
      const why = codeOf(error) === 'EADDRINUSE' ? 'the address is in use' : messageOf(error);
      const message = `stats can't listen on ${formatListen(listen)}: ${why}`;
      throw new CodedError('listen', message, { cause: error });
    }
    log.info({ stats: this.stats.address }, 'stats port open');
  }

  private makeConsul(settings: ConsulSettings): ConsulProvider {
    const { clock, random, log } = this;
    const { openConsul: open, resolve } = this.doors;
    const guard = () => this.settings.guard;
    const ways = { clock, random, log, open, resolve };
    // What a registry that fails now says first, it may say for want of knowing better.
    const isFailing = this.providers.statuses().some((one) => one.lastError !== '');
    const known = (source: ServiceSource) => {
      const { endpoints, isHeld } = this.controller.knownOf(source);
      return { endpoints, isHeld: isHeld || isFailing };
    };
    return new ConsulProvider({ settings, ...ways, guard, known, ...this.directMax });
  }

  private watchOverlay(settings: ConsulSettings | null): void {
    void this.overlay?.stop();
    this.overlay = null;
    if (settings === null || settings.kvKey === '') return;
    const { clock, random, log } = this;
    const { openConsul: open } = this.doors;
    const onValue = (text: string | null) => this.onOverlay(settings.kvKey, text);
    this.overlay = new KvWatch({ settings, clock, random, log, open, onValue });
    this.overlay.start();
  }

  /** The first version is live; at once when there is nothing to be made live. */
  private async firstApplied(): Promise<void> {
    // The controller publishes at the end of this turn.
    await new Promise<void>((resolve) => this.clock.nextTurn(resolve));
    while (this.appliedVersion < this.controller.version) {
      await new Promise<void>((resolve) => this.clock.setTimer(1, resolve));
    }
  }

  /** What the operator configured must be had at the start; what a registry wants is tried again. */
  private refuseConfigured(errors: readonly ListenError[]): void {
    const names = new Set(this.settings.services.map((service) => service.name));
    const ours = errors.filter((error) => error.service === '' || names.has(error.service));
    if (ours.length === 0) return;
    throw new CodedError('listen', ours.map((error) => error.message).join('; '));
  }

  // What is asked of it

  /** Whether traffic should come here. Once ready it stays so until it drains. */
  readiness(): { ready: boolean; reason: string } {
    if (this.state === 'ready') return { ready: true, reason: this.keeper.reason };
    if (this.state !== 'starting') return { ready: false, reason: 'draining' };
    const { unsynced } = this.providers;
    const reason = unsynced === '' ? 'starting' : `waiting for the first answer of ${unsynced}`;
    return { ready: false, reason };
  }

  private awaitReady(): void {
    if (this.state !== 'starting') return;
    const isLive = this.appliedVersion === this.controller.version;
    if ((this.providers.unsynced === '' || this.keeper.reason !== '') && isLive) {
      this.state = 'ready';
      const listeners = this.controller.full().listeners ?? [];
      const fields = { listeners: listeners.map(({ key }) => key), workers: this.settings.workers };
      this.log.info(fields, 'ready');
      return;
    }
    this.clock.setTimer(READY_LOOK_MS, () => this.awaitReady());
  }

  // Changes

  /**
   * Other settings from now on. Registries are asked about what is new first, so that a service
   * that gets another source is not without endpoints in between. Resolves when they are in force.
   */
  apply(settings: Settings, cause: Cause): Promise<void> {
    this.reloading = this.reloading.then(() => this.applyNow(settings, cause));
    return this.reloading;
  }

  private async applyNow(settings: Settings, cause: Cause): Promise<void> {
    if (this.state !== 'ready' && this.state !== 'starting') return;
    const before = this.settings;
    this.settings = settings;
    this.supervisor.setMemoryMax(settings.memoryMaxBytes);
    this.warnOfRestart(before, settings);
    this.staticProvider.setEndpoints(settings.static);
    this.providers.follow([...sourcesOf(before), ...this.followed()]);
    if (JSON.stringify(before.consul) !== JSON.stringify(settings.consul)) {
      const { consul } = settings;
      this.providers.replace('consul', consul === null ? null : this.makeConsul(consul));
      this.watchOverlay(consul);
    }
    await this.providers.synced(RELOAD_SYNC_MS);
    // It may have been asked to end meanwhile.
    if (this.hasEnded) return;
    this.controller.setSettings(settings, cause);
    this.providers.follow(this.followed());
  }

  private get hasEnded(): boolean {
    return this.state === 'draining' || this.state === 'stopped';
  }

  private warnOfRestart(before: Settings, after: Settings): void {
    const parts: [string, unknown, unknown][] = [
      ['workers', before.workers, after.workers],
      ['stats', before.stats, after.stats],
      ['state', before.state, after.state],
      ['log', before.log, after.log],
    ];
    for (const [key, was, is] of parts) {
      if (JSON.stringify(was) === JSON.stringify(is)) continue;
      this.log.warn({ key }, `a change of '${key}' takes effect at the next start`);
    }
  }

  // Ends

  /**
   * Not ready any more, accepts no more, and finishes what is in flight up to the grace. Resolves
   * when the workers are gone.
   */
  async drain(): Promise<void> {
    if (this.state === 'draining' || this.state === 'stopped') return;
    this.state = 'draining';
    const graceMs = this.settings.shutdownGraceMs;
    const hint = migrationHint();
    this.log.info({ graceMs, ...(hint === '' ? {} : { hint }) }, 'draining');
    const cut = await this.supervisor.drain(graceMs);
    if (cut > 0) this.log.warn({ cut }, 'connections were cut at the end of the grace');
    await this.stop();
  }

  /** Ends everything now, whatever is in flight. */
  async stop(): Promise<void> {
    if (this.state === 'stopped') return;
    this.state = 'stopped';
    // A disk that hangs does not keep the process.
    const late = new Promise<void>((resolve) => this.clock.setTimer(STATE_MS_MAX, resolve));
    await Promise.race([this.keeper.close(), late]);
    this.memory.stop();
    this.awaiting?.cancel();
    this.controller.close();
    const stopping = [
      this.supervisor.stop(),
      this.providers.stop(),
      this.overlay?.stop(),
      this.stats?.close(),
    ];
    for (const result of await Promise.allSettled(stopping)) {
      if (result.status === 'rejected') this.log.warn({}, messageOf(result.reason));
    }
    this.log.info({}, 'stopped');
  }
}

/** The version in package.json, which lies beside src/ and dist/. */
export function programVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  // Our own file.
  return (JSON.parse(text) as { version: string }).version;
}

/** What the services of the configuration follow. */
function sourcesOf(settings: Settings): ServiceSource[] {
  return settings.services.map((service) => service.from);
}
