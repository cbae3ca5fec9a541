// The composition root: makes the parts of the main thread and joins them. What a part does is
// its own; what is decided here is the order in which things begin, change and end:
//   starting -> ready -> draining -> stopped
// Listeners open after the first answer of the registries and the first checks of the endpoints behind them
// (or a few seconds without), so that a process that is started beside an old one on the same ports answers no 503
// in its place.
import type { Clock, Timer } from './base/clock.ts';
import { CodedError, messageOf } from './base/coded-error.ts';
import type { Logger } from './base/log.ts';
import type { Random } from './base/prng.ts';
import { AllTls } from './certificates/all-tls.ts';
import type { CertificateProblem } from './certificates/vet.ts';
import { Controller, type ControllerOptions } from './control/controller.ts';
import { FirstChecks } from './control/first-checks.ts';
import { UpdateQueue } from './control/update-queue.ts';
import { type Doors, nodeDoors } from './doors.ts';
import { Checker } from './health/checker.ts';
import { Ledger } from './ledger/ledger.ts';
import type { Cause } from './model/cause.ts';
import { formatListen, type ListenAddress, type ListenError } from './model/listener.ts';
import { needRestart, type Settings, type StatsSettings } from './model/settings.ts';
import type { SnapshotDelta } from './model/snapshot.ts';
import type { ServiceSource } from './model/source.ts';
import type { StatsSources } from './observe/sources.ts';
import { Tenure } from './observe/tenure.ts';
import { Providers, sourcesOf } from './providers.ts';
import { StateKeeper } from './state/state-keeper.ts';
import { MemoryGuard } from './supervisor/memory-guard.ts';
import { migrationHint } from './supervisor/migration.ts';
import { listenerPid, SharedPorts } from './supervisor/shared-ports.ts';
import { Supervisor } from './supervisor/supervisor.ts';
import { programVersion } from './version.ts';

/** How long listeners wait for the registries before they open with what is known. */
const FIRST_SYNC_MS = 5000;
/** How long a reload waits for the registries' answers about what is new. */
const RELOAD_SYNC_MS = 2000;
const READY_LOOK_MS = 20;
/**
 * How long listeners wait, and a process is not ready, for want of first checks; with a table from before as for
 * registries.
 */
const FIRST_CHECKS_MS = 5000;
/** How often the addresses of this machine are looked at. */
const ADDRESSES_LOOK_MS = 5000;
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
  /** Whether such a setting may have this value. */
  readonly isGoodSetting: (key: string, value: string) => boolean;
  /** The overlay of the configuration in the registry is this text now; null when it is gone. */
  readonly onOverlay: (key: string, text: string | null) => void;
  /** What became of the last attempt to load the configuration. */
  readonly configStatus: () => { readonly error: string; readonly loadedMs: number };
  /** Start beside an older process on the same addresses, and take its stats port when it drains. */
  readonly takeover?: boolean;
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
  readonly providers: Providers;
  private readonly log: Logger;
  private readonly doors: Doors;
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly keeper: StateKeeper;
  private readonly updates: UpdateQueue;
  private readonly memory: MemoryGuard;
  private readonly tls: AllTls;
  private readonly configStatus: UpriverOptions['configStatus'];
  private looking: Timer | null = null;
  private readonly tenure: Tenure;
  private readonly sharedPorts: SharedPorts;
  private settings: Settings;
  /** As the port was opened: what is loaded later is for the next start. */
  private readonly statsSettings: StatsSettings;
  private state: 'starting' | 'ready' | 'draining' | 'stopped' = 'starting';
  /** It is about to drain, and takes traffic still. */
  private isLeaving = false;
  private readonly mayTakeOver: boolean;
  private readonly firstChecks: FirstChecks;
  private appliedVersion = 0;
  private reloading: Promise<void> = Promise.resolve();
  private awaiting: Timer | null = null;

  constructor(options: UpriverOptions) {
    const { settings, log, doors = nodeDoors, ledger = new Ledger() } = options;
    const { clock, random } = doors;
    this.doors = doors;
    this.ledger = ledger;
    this.settings = settings;
    this.statsSettings = settings.stats;
    this.log = log;
    this.clock = clock;
    this.random = random;
    this.configStatus = options.configStatus;
    this.mayTakeOver = options.takeover ?? false;
    // They refer to each other by closures; the keeper subscribes to the controller, and so is last.
    this.sharedPorts = this.makeSharedPorts();
    this.supervisor = this.makeSupervisor(options.writeAccess);
    this.memory = this.makeMemoryGuard();
    this.tls = this.makeTls();
    this.tenure = this.makeTenure();
    this.controller = this.makeController(options.describe);
    this.firstChecks = new FirstChecks({
      clock,
      log,
      awaiting: () => this.controller.awaitingCheck(),
    });
    this.updates = this.makeUpdates();
    this.providers = this.makeProviders(options);
    this.keeper = this.makeKeeper();
  }

  private makeSharedPorts(): SharedPorts {
    const addresses = () => (this.controller.full().listeners ?? []).map(({ address }) => address);
    return new SharedPorts(addresses, this.log, this.doors.sockets);
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
      logLevel: this.settings.log.level,
      memoryMax: this.settings.memoryMaxBytes,
      full: () => (this.controller.version === 0 ? null : this.controller.full()),
      onStreak: (streak) => this.controller.onStreak(streak),
      onSuspect: (slot) => this.controller.onSuspect(slot),
      onListenErrors: (errors) => this.controller.onListenErrors(errors),
    });
  }

  private makeMemoryGuard(): MemoryGuard {
    return new MemoryGuard({
      clock: this.clock,
      log: this.log,
      max: () => this.settings.memoryMaxBytes,
      resident: this.doors.residentBytes,
      onChange: (isShort) => {
        if (isShort) this.tenure.shed();
      },
    });
  }

  private makeTls(): AllTls {
    return new AllTls({
      clock: this.clock,
      random: this.random,
      log: this.log,
      answer: (table) => this.supervisor.setChallenges(table),
      onChange: (listeners, upstream) => this.supervisor.setTls(listeners, upstream),
    });
  }

  private makeTenure(): Tenure {
    const stats = this.statsSettings;
    return new Tenure({
      settings: stats,
      mayTakeOver: this.mayTakeOver,
      clock: this.clock,
      log: this.log,
      listenerPid,
      version: programVersion(),
      material: () => this.tls.materialOf(stats.tls),
    });
  }

  private makeController(describe: UpriverOptions['describe']): Controller {
    const { clock, random, log } = this;
    const { probe, probePort, localAddresses } = this.doors;
    return new Controller({
      clock,
      log,
      ledger: this.ledger,
      describe,
      isFailing: (source) => this.providers.set.isFailing(source),
      send: (delta) => this.send(delta),
      makeChecker: (onChange) => new Checker({ clock, random, log, probe, onChange }),
      probe: probePort,
      localAddresses,
    });
  }

  private makeUpdates(): UpdateQueue {
    return new UpdateQueue({
      clock: this.clock,
      apply: (update) => {
        this.controller.onUpdate(this.keeper.pass(update));
        this.keeper.touch();
      },
    });
  }

  private makeProviders(options: UpriverOptions): Providers {
    const { isGoodSetting, onOverlay, consulDirectMax } = options;
    return new Providers({
      doors: this.doors,
      log: this.log,
      isGoodSetting,
      onOverlay,
      ...(consulDirectMax === undefined ? {} : { consulDirectMax }),
      settings: () => this.settings,
      known: (source) => this.controller.knownOf(source),
      onUpdate: (update) => this.updates.push(update),
      onLock: (key, holder) => this.controller.onLock(key, holder),
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
      isSynced: () => providers.set.unsynced === '',
    });
  }

  private async send(delta: SnapshotDelta): Promise<readonly ListenError[]> {
    const { listenErrors } = await this.supervisor.apply(delta);
    this.appliedVersion = Math.max(this.appliedVersion, delta.version);
    return listenErrors;
  }

  /**
   * Starts everything; resolves when listeners are open. Rejects with a human-readable message when
   * a worker can't start or a configured listener can't be opened.
   */
  async start(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    // A reload in the meantime waits: this start would undo it.
    this.reloading = promise;
    try {
      await this.begin();
    } finally {
      resolve();
    }
  }

  private async begin(): Promise<void> {
    const { settings } = this;
    await this.supervisor.start();
    this.memory.start();
    await this.tls.follow({ ...settings, stats: this.statsSettings });
    await this.keeper.read();
    await this.tenure.begin(this.statsSources());
    this.providers.set.follow(sourcesOf(settings));
    await this.providers.begin(settings);
    const hasAnswers = await this.firstAnswers();
    await this.updates.drained();
    if (!hasAnswers) this.beginWithout(this.providers.set.unsynced);
    // It may have been asked to end meanwhile.
    if (this.state !== 'starting') return;
    const names = await this.namesOf(settings);
    const isUpgrade = this.mayTakeOver || this.tenure.isTakeover;
    this.controller.withholdListeners(isUpgrade, this.firstChecksMs);
    this.controller.setSettings(settings, { kind: 'start', text: 'start' }, names);
    await this.firstOpened();
    if (this.isEnding) return;
    await this.providers.watchOverlay(settings);
    await this.providers.watchLocks(settings, false);
    this.watchAddresses();
    this.awaitReady();
  }

  /** True when every registry has answered; with a table from before, none is waited for long. */
  private async firstAnswers(): Promise<boolean> {
    if (!this.keeper.hasTable) return this.providers.set.synced(FIRST_SYNC_MS);
    const untilMs = this.clock.nowMs() + WARM_SYNC_MS;
    while (!(await this.providers.set.synced(READY_LOOK_MS))) {
      const isFailing = this.providers.set
        .statuses()
        .some((one) => !one.isSynced && one.errors > 0);
      if (isFailing || this.clock.nowMs() >= untilMs) return false;
    }
    // What it could not say may be in the table: services that describe themselves by Meta.
    return this.providers.set.statuses().every(({ lastError }) => lastError === '');
  }

  private beginWithout(registry: string): void {
    this.log.warn({ registry }, 'the registry has not answered yet; listeners open without it');
    const { updates, checks } = this.keeper.serve(sourcesOf(this.settings));
    this.controller.remember(checks);
    for (const update of updates) this.controller.onUpdate(update);
    this.providers.set.follow(this.followed());
    if (this.keeper.followed.length > 0) this.awaitRegistry();
  }

  /** What described itself before the restart is asked for until it had time to come back. */
  private awaitRegistry(): void {
    const isBack = this.providers.set.unsynced === '';
    this.awaiting = this.clock.setTimer(isBack ? WARM_LINGER_MS : WARM_SYNC_MS, () => {
      if (this.state !== 'starting' && this.state !== 'ready') return;
      if (!isBack) return this.awaitRegistry();
      this.keeper.endFollowing();
      this.providers.set.follow(this.followed());
    });
  }

  private followed(): ServiceSource[] {
    return [...sourcesOf(this.settings), ...this.keeper.followed];
  }

  /** What the stats port reads, and by what it changes something. */
  statsSources(): StatsSources {
    const { controller, ledger, clock, log } = this;
    return {
      view: controller,
      ledger,
      clock,
      log,
      version: programVersion(),
      workers: this.settings.workers,
      liveness: () => this.supervisor.liveness(),
      readiness: () => this.readiness(),
      providers: () => this.providers.statuses(),
      config: this.configStatus,
      state: () => this.keeper.status,
      certificates: () => this.tls.status(),
      memory: () => this.memory.status,
      sharedPorts: () => this.sharedPorts.recent(clock.nowMs(), this.tenure.isTakeover),
      operate: (service, endpoint, command) => controller.operate(service, endpoint, command),
      ownerOfPeer: this.doors.ownerOfPeer,
    };
  }

  /** Every listener is open that there is to be, those too that wait for first checks. */
  private async firstOpened(): Promise<void> {
    await this.firstApplied();
    while (this.controller.openListeners(this.areChecksOver) > 0) {
      this.refuseConfigured();
      await new Promise<void>((resolve) => this.clock.setTimer(READY_LOOK_MS, resolve));
      if (this.isEnding) return;
    }
    await this.firstApplied();
    this.refuseConfigured();
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
  private refuseConfigured(): void {
    const { services, routers } = this.settings;
    const names = new Set(services.map((service) => service.name));
    const keys = routers.flatMap(({ listen }) =>
      listen.map(({ address }) => formatListen(address)),
    );
    const ours = this.supervisor.listenErrors.filter(({ service, listener }) =>
      service === '' ? keys.includes(listener) : names.has(service),
    );
    if (ours.length === 0) return;
    throw new CodedError('listen', ours.map((error) => error.message).join('; '));
  }

  // What is asked of it

  /** Whether traffic should come here. Once ready it stays so until it drains. */
  readiness(): { ready: boolean; reason: string } {
    if (this.state === 'ready' && !this.isLeaving) {
      return { ready: true, reason: this.keeper.reason };
    }
    if (this.state !== 'starting' || this.isLeaving) return { ready: false, reason: 'draining' };
    const { unsynced } = this.providers.set;
    const { waiting } = this.firstChecks;
    if (waiting > 0) return { ready: false, reason: `waiting for first checks: ${waiting}` };
    const reason = unsynced === '' ? 'starting' : `waiting for the first answer of ${unsynced}`;
    return { ready: false, reason };
  }

  /** What others are told of this process where they look for it. */
  exposure(): { readonly services: readonly string[]; readonly port: number } {
    const { services, routers } = this.settings;
    const listeners = this.controller.full().listeners ?? [];
    const names = listeners.flatMap(({ service, routes, sniRoutes = [] }) =>
      service === '' ? [...routes, ...sniRoutes].map((route) => route.service) : service,
    );
    const configured = [...services, ...routers].flatMap(({ listen }) => listen);
    const ports = [...configured, ...listeners].flatMap(({ address }) =>
      address.kind === 'tcp' ? address.port : [],
    );
    return { services: [...new Set(names)].filter((name) => name !== ''), port: ports[0] ?? 0 };
  }

  private watchAddresses(): void {
    if (this.state === 'stopped') return;
    this.looking = this.clock.setTimer(ADDRESSES_LOOK_MS, () => {
      this.controller.reviewAddresses();
      this.watchAddresses();
    });
  }

  private awaitReady(): void {
    if (this.state !== 'starting') return;
    const { areChecksOver } = this;
    const waiting = this.controller.openListeners(areChecksOver);
    if (areChecksOver && waiting === 0 && this.isLive) {
      this.state = 'ready';
      const listeners = this.controller.full().listeners ?? [];
      const fields = { listeners: listeners.map(({ key }) => key), workers: this.settings.workers };
      this.log.info(fields, 'ready');
      this.sharedPorts.look(this.tenure.isTakeover);
      this.tenure.ready();
      return;
    }
    this.clock.setTimer(READY_LOOK_MS, () => this.awaitReady());
  }

  /** The table is known, and so is what the first checks of its endpoints come to. */
  private get areChecksOver(): boolean {
    const hasTable = this.providers.set.unsynced === '' || this.keeper.reason !== '';
    return hasTable && this.updates.isEmpty && this.firstChecks.areOver(this.firstChecksMs);
  }

  private get firstChecksMs(): number {
    return this.keeper.hasTable ? WARM_SYNC_MS : FIRST_CHECKS_MS;
  }

  /** The workers have what the controller has. */
  private get isLive(): boolean {
    const { controller } = this;
    return this.appliedVersion === controller.version && !controller.isLooking;
  }

  // Changes

  /** What keeps other settings from being applied: certificates that can't be used, or not now. */
  vet(settings: Settings): Promise<readonly CertificateProblem[]> {
    return this.tls.vet(settings);
  }

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
    for (const key of needRestart(before, settings)) {
      this.log.warn({ key }, `a change of '${key}' takes effect at the next start`);
    }
    await this.providers.change(before, settings);
    this.providers.set.follow([...sourcesOf(before), ...this.followed()]);
    await this.providers.set.synced(RELOAD_SYNC_MS);
    const names = await this.namesOf(settings);
    await this.updates.drained();
    // It may have been asked to end meanwhile.
    if (this.hasEnded) return;
    await this.tls.follow({ ...settings, stats: this.statsSettings });
    if (this.hasEnded) return;
    this.controller.setSettings(settings, cause, names);
    this.providers.settle(settings);
    this.providers.set.follow(this.followed());
    this.keeper.release(this.followed());
  }

  /** The addresses of the host names on which the configuration listens. */
  private namesOf({ services, routers, stats }: Settings): Promise<Map<string, string[]>> {
    const listens: ListenAddress[] = [...services, ...routers].flatMap(({ listen }) =>
      listen.map(({ address }) => address),
    );
    if (stats.listen !== null) listens.push(stats.listen);
    const hosts = listens.map((address) => (address.kind === 'unix' ? '' : address.host));
    return this.doors.resolveListens(hosts);
  }

  /** It has been asked to end, or has ended. */
  get isEnding(): boolean {
    return this.isLeaving || this.hasEnded;
  }

  private get hasEnded(): boolean {
    return this.state === 'draining' || this.state === 'stopped';
  }

  // Ends

  /** Traffic should go elsewhere from now on; what comes is served until it drains. */
  leave(): void {
    this.isLeaving = true;
  }

  /**
   * Not ready any more, accepts no more, and finishes what is in flight up to the grace. Resolves
   * when the workers are gone.
   */
  async drain(): Promise<void> {
    if (this.hasEnded) return;
    this.state = 'draining';
    const graceMs = this.settings.shutdownGraceMs;
    const hint = migrationHint();
    this.log.info({ graceMs, ...(hint === '' ? {} : { hint }) }, 'draining');
    this.tenure.drain();
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
    await Promise.race([Promise.all([this.keeper.close(), this.tls.close()]), late]);
    this.memory.stop();
    this.awaiting?.cancel();
    this.looking?.cancel();
    this.updates.close();
    await this.tenure.stopWaiting();
    this.controller.close();
    const stopping = [this.supervisor.stop(), this.providers.stop(), this.tenure.close()];
    for (const result of await Promise.allSettled(stopping)) {
      if (result.status === 'rejected') this.log.warn({}, messageOf(result.reason));
    }
    this.log.info({}, 'stopped');
  }
}
