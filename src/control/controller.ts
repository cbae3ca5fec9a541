// The control plane's one place of change: takes what registries, checks, workers, the operator and
// the configuration say, hands each fact to the part that keeps it, and publishes what came of it.
// It decides nothing itself (table.ts, guard.ts, reconcile.ts do), and answers those who look on.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { PacedWork } from '../base/paced-work.ts';
import type { Known, Update } from '../discovery/provider.ts';
import type { Checker } from '../health/checker.ts';
import { ENDPOINT_SLOTS, type Ledger } from '../ledger/ledger.ts';
import type { Cause } from '../model/cause.ts';
import type { Kept, KeptChecks } from '../model/kept.ts';
import type { ListenError } from '../model/listener.ts';
import type { Settings } from '../model/settings.ts';
import type { ListenerSnapshot, SnapshotDelta } from '../model/snapshot.ts';
import { type ServiceSource, sourceKey } from '../model/source.ts';
import type { StreakReport } from '../model/streak.ts';
import { Comparisons } from './comparisons.ts';
import { EndpointPolicy } from './endpoint-policy.ts';
import { type Applied, Endpoints } from './endpoints.ts';
import { EventLog } from './events.ts';
import { keptChecks, keptSources } from './keeping.ts';
import { Listening } from './listening.ts';
import { Opening } from './opening.ts';
import { type OperatorCommand, OperatorWords } from './operator.ts';
import type { Probe } from './port-claims.ts';
import { ProblemLog } from './problem-log.ts';
import { firstProblems } from './problems.ts';
import { Publisher } from './publish.ts';
import { awaitsCheck } from './reconcile.ts';
import { ServedServices } from './served-services.ts';
import { ServiceProblems } from './service-problems.ts';
import { ServiceRows } from './service-rows.ts';
import { ServiceViews } from './service-views.ts';
import { Slots } from './slots.ts';
import { Sources } from './sources.ts';
import { type Describe, Table } from './table.ts';
import { Transports } from './transports.ts';
import type { Convergence, ServiceView, TableView } from './view.ts';

export interface ControllerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly ledger: Ledger;
  readonly send: (delta: SnapshotDelta) => Promise<readonly ListenError[]>;
  /** Makes the checker, whose changes come back to `onChange`. */
  readonly makeChecker: (onChange: (key: string) => void) => Checker;
  /** Reads the settings that a service gives itself in the registry. */
  readonly describe: Describe;
  /** The registry of a source does not answer for it now; without, all do. */
  readonly isFailing?: (source: ServiceSource) => boolean;
  /** Who has an address that a service wants for itself; without, nobody has. */
  readonly probe?: Probe;
  /** Every address of this machine; without, loopback alone. */
  readonly localAddresses?: () => readonly string[];
}

/**
 * How much work a source may make by changing, in endpoints that are looked at (Endpoints.apply). Ten
 * thousand that come are 170,000, one that comes beside ten thousand is 10,000, and one beside a
 * hundred little more than a hundred.
 */
const SOURCE_PACE = { burst: 200_000, ratePerSecond: 10_000 };

/** An update on its way from what is known of a source to the services that it concerns. */
interface Changed {
  readonly source: ServiceSource;
  readonly cause: Cause;
  readonly order: number | undefined;
  /** Clock.nowMs() of the first one that waits. */
  readonly receivedMs: number;
}

export class Controller implements TableView {
  readonly events = new EventLog();
  private readonly options: ControllerOptions;
  private readonly table: Table;
  private readonly sources: Sources;
  private readonly endpoints: Endpoints;
  private readonly comparisons: Comparisons;
  private readonly policy: EndpointPolicy;
  private readonly listening: Listening;
  private readonly opening: Opening;
  private readonly serviceProblems: ServiceProblems;
  private readonly views: ServiceViews;
  private readonly operator = new OperatorWords();
  private readonly publisher: Publisher;
  private readonly checker: Checker;
  private readonly endpointSlots: Slots;
  private readonly rows: ServiceRows;
  private readonly served: ServedServices;
  private readonly transports = new Transports();
  private readonly paced: PacedWork<Changed>;
  /** Names of who holds a lock, by its key. */
  private readonly locks = new Map<string, readonly string[]>();
  private settings: Settings | null = null;
  private isClosed = false;

  constructor(options: ControllerOptions) {
    this.options = options;
    const { clock, log, ledger, probe, localAddresses = () => [] } = options;
    this.table = new Table(options.describe);
    this.policy = new EndpointPolicy({ localAddresses });
    const onChange = () => this.publisher.changeListeners();
    this.listening = new Listening({ clock, log, probe, onChange });
    this.opening = new Opening({
      clock,
      log,
      serviceOf: (name) => this.served.get(name),
      wasDown: (service, id) => this.endpoints.checks.wasDown(service, id),
    });
    this.sources = this.makeSources();
    this.publisher = this.makePublisher();
    this.checker = options.makeChecker((key) => this.endpoints.onCheck(key));
    this.endpointSlots = new Slots({
      capacity: ENDPOINT_SLOTS,
      isIdle: (slot) => ledger.inFlight(slot) === 0,
      clear: (slot) => ledger.clearEndpoint(slot),
    });
    this.rows = new ServiceRows({ ledger, log });
    this.endpoints = this.makeEndpoints();
    this.paced = new PacedWork({
      clock,
      ...SOURCE_PACE,
      run: (_, changed) => this.bringUp(changed),
      join: (waiting, next) => ({ ...next, receivedMs: waiting.receivedMs }),
    });
    this.comparisons = new Comparisons({
      clock,
      ledger,
      onOutlier: (outlier) => this.endpoints.onOutlier(outlier),
    });
    this.serviceProblems = new ServiceProblems(this.table, this.sources, this.transports);
    this.served = this.makeServed();
    this.views = new ServiceViews({
      checks: this.endpoints.checks,
      comparisons: this.comparisons,
      problems: this.serviceProblems,
      listenProblems: (name) => this.listening.problemsOf(name),
    });
  }

  private makeSources(): Sources {
    const { clock, isFailing = () => false } = this.options;
    return new Sources({
      clock,
      guard: () => this.settings?.guard ?? { enabled: false, holdMs: 0, maxRemovedShare: 1 },
      isPassing: (key, id) => this.served.isPassing(key, id),
      isFailing,
      onRelease: (source) => {
        this.review(source, { kind: 'guard', text: 'did not register again in time' });
      },
    });
  }

  private makePublisher(): Publisher {
    const { clock, log, send } = this.options;
    return new Publisher({
      nowMs: () => clock.nowMs(),
      snapshotOf: (name) => this.served.get(name)?.snapshot() ?? null,
      planListeners: () => this.planListeners(),
      send,
      onApplied: (version, errors) => this.onApplied(version, errors),
      onError: (error) => log.error({ err: String(error) }, 'a change could not be published'),
    });
  }

  private makeServed(): ServedServices {
    const { clock, log } = this.options;
    return new ServedServices({
      clock,
      table: this.table,
      sources: this.sources,
      transports: this.transports,
      endpoints: this.endpoints,
      comparisons: this.comparisons,
      rows: this.rows,
      publisher: this.publisher,
      events: this.events,
      problems: this.serviceProblems,
      problemLog: new ProblemLog({ clock, log }),
    });
  }

  private makeEndpoints(): Endpoints {
    const { clock, log, ledger } = this.options;
    return new Endpoints({
      clock,
      log,
      ledger,
      checks: this.checker,
      slots: this.endpointSlots,
      operator: this.operator,
      events: this.events,
      refusal: ({ service }, { endpoint, namings }) => {
        const registries = namings.map(({ source }) => source.registry);
        const { health, protocol } = service;
        const { check } = endpoint;
        const spoken = {
          service: protocol === 'udp' ? 'udp' : 'tcp',
          // What an endpoint declares itself is asked by TCP.
          check: (health?.isUdp ?? (protocol === 'udp' && check === undefined)) ? 'udp' : 'tcp',
        } as const;
        return this.policy.refusal(registries, endpoint, health?.port ?? 0, spoken);
      },
      lockHolder: (key) => this.locks.get(key) ?? null,
      nextVersion: () => this.publisher.nextVersion,
      onChange: (service) => this.publisher.change(service.name),
    });
  }

  // What it is told

  /**
   * The configuration, at the start and after each reload. `names` are the addresses of the host
   * names that it listens on.
   */
  setSettings(
    settings: Settings,
    cause: Cause,
    names: ReadonlyMap<string, readonly string[]> = new Map(),
  ): void {
    this.settings = settings;
    this.listening.names = names;
    this.publisher.changeListeners();
    const isOther = this.policy.deny(settings.registries);
    this.served.settle(this.table.configure(settings.services), cause);
    if (isOther) this.reviewRefusals(cause);
  }

  /** A registry has said something. */
  onUpdate(update: Update): void {
    if (this.isClosed) return;
    const { cause, receivedMs } = update;
    const source = update.kind === 'upsert' ? update.service.source : update.source;
    if (update.kind === 'upsert') this.sources.take(update.service);
    else {
      this.sources.forget(sourceKey(source));
      this.transports.forget(sourceKey(source));
    }
    const order = update.kind === 'upsert' ? update.service.order : undefined;
    // What is known of the source is kept in any case: that alone says what is in doubt, and held.
    this.paced.ask(sourceKey(source), { source, cause, order, receivedMs });
  }

  /** Brings the table up to what is known of the source; returns how much work that was. */
  private bringUp({ source, cause, order, receivedMs }: Changed): number {
    const { hasChanged, work } = this.review(source, cause, order);
    if (hasChanged) this.publisher.receivedAt(receivedMs);
    this.reviewProblems(source);
    return work;
  }

  private review(source: ServiceSource, cause: Cause, order?: number): Applied {
    const key = sourceKey(source);
    const settings = this.sources.settingsOf(key);
    const settled = this.served.settle(
      this.table.describeSource(source, settings, order || undefined),
      cause,
    );
    const applied = this.served.applySource(key, cause);
    return {
      hasChanged: applied.hasChanged || settled.hasChanged,
      work: applied.work + settled.work,
    };
  }

  /** The lock of this key is held by whoever has one of these names; by nobody where there are none. */
  onLock(key: string, holder: readonly string[]): void {
    if (this.isClosed) return;
    this.locks.set(key, holder);
    const cause = {
      kind: 'registry',
      text: `lock ${key}: ${holder.join(', ') || 'not held'}`,
    } as const;
    for (const record of this.served.all()) {
      const { primary } = record.service;
      if (primary?.by === 'lock' && primary.lock === key)
        this.endpoints.reviewer.review(record, cause);
    }
  }

  /** What the active checks had come to before a restart; those of endpoints to come go on so. */
  remember(checks: readonly KeptChecks[]): void {
    this.endpoints.checks.remember(checks);
  }

  /** Addresses of this machine may have come or gone: with them endpoints become our own. */
  reviewAddresses(): void {
    if (!this.isClosed && this.policy.readLocal()) {
      this.reviewRefusals({ kind: 'reload', text: 'addresses of this machine' });
    }
  }

  /** A worker reports failures in a row on an endpoint. */
  onStreak(streak: StreakReport): void {
    if (!this.isClosed) this.endpoints.onStreak(streak);
  }

  /** A worker reports that a real request failed on an endpoint. */
  onSuspect(slot: number): void {
    if (!this.isClosed) this.endpoints.onSuspect(slot);
  }

  /** An operator's word. Returns '' or why it can't be done. */
  operate(serviceName: string, endpointId: string, command: OperatorCommand): string {
    const service = this.served.get(serviceName);
    if (service === null) return `no service '${serviceName}'`;
    const record = service.endpoints.get(endpointId);
    if (record === undefined) return `service ${serviceName} has no endpoint '${endpointId}'`;
    this.operator.say(serviceName, endpointId, command);
    const text = command.kind === 'weight' ? `weight ${command.weight}` : command.kind;
    this.endpoints.onOperator(service, record, { kind: 'operator', text });
    return '';
  }

  /** Which listeners can't be opened, as the workers see it now. */
  onListenErrors(errors: readonly ListenError[]): void {
    this.listening.onErrors(errors);
  }

  /**
   * From now on a listener opens when the first checks of what it leads to are over, for `forMs` at the most.
   * `isUpgrade`: another process serves on the same addresses.
   */
  withholdListeners(isUpgrade: boolean, forMs: number): void {
    this.opening.begin(isUpgrade, forMs);
  }

  /** Opens the listeners that need not wait any longer, or all of them for good; returns how many waited. */
  openListeners(all: boolean): number {
    const { count } = this.opening;
    if (this.opening.look(all)) this.publisher.changeListeners();
    return count;
  }

  close(): void {
    this.isClosed = true;
    this.paced.close();
    this.checker.close();
    this.listening.close();
    this.sources.close();
    this.endpoints.close();
    this.comparisons.close();
  }

  // What comes of it

  private planListeners(): readonly ListenerSnapshot[] {
    const { settings, listening } = this;
    if (settings === null) return [];
    const listeners = listening.plan(settings, this.served.wanting(settings.services));
    const ports = this.policy.setOwn(settings.stats.listen, listeners, listening.names);
    if (ports.size > 0) this.reviewRefusals({ kind: 'reload', text: 'listeners' }, ports);
    return this.opening.admit(listeners);
  }

  /** What may be sent where has changed. */
  private reviewRefusals(cause: Cause, ports: ReadonlySet<number> | null = null): void {
    const concerned = this.endpoints.reviewRefusals(cause, ports);
    for (const { name } of concerned) this.served.logProblems(name);
  }

  /** What is wrong with the services of this source, in the log. */
  private reviewProblems(source: ServiceSource): void {
    const served = this.table.servedBy(sourceKey(source));
    for (const name of new Set([source.service, ...served])) this.served.logProblems(name);
  }

  private onApplied(version: number, errors: readonly ListenError[]): void {
    this.endpointSlots.applied(version);
    this.rows.applied(version);
    this.onListenErrors(errors);
  }

  // What others may see

  get version(): number {
    return this.publisher.version;
  }

  get convergence(): Convergence {
    return this.publisher.convergence;
  }

  /** Who has an address that a service wants is not known yet. */
  get isLooking(): boolean {
    return this.listening.isLooking;
  }

  /** Endpoints that wait for their first check, each by a key that names it. */
  awaitingCheck(): ReadonlySet<string> {
    const keys = new Set<string>();
    for (const { name, endpoints } of this.served.all()) {
      for (const [id, { effective }] of endpoints) {
        if (awaitsCheck(effective)) keys.add(`${name}\0${id}`);
      }
    }
    return keys;
  }

  /** Everything that is live, for a worker that starts. */
  full(): SnapshotDelta {
    return this.publisher.full();
  }

  services(): readonly ServiceView[] {
    const byName = [...this.served.all()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return byName.map((record) => this.views.of(record));
  }

  /** What is to be kept over a restart. */
  kept(): Kept {
    return {
      sources: keptSources(this.sources, this.table, this.served.all()),
      checks: keptChecks(this.served.all(), this.endpoints.checks),
    };
  }

  /** What is served of a source, as a registry or the state file gave it. */
  knownOf(source: ServiceSource): Known {
    const admitted = this.sources.admitted(sourceKey(source));
    return { endpoints: admitted?.endpoints ?? [], isHeld: (admitted?.held.size ?? 0) > 0 };
  }

  service(name: string): ServiceView | null {
    const record = this.served.get(name);
    return record === null ? null : this.views.of(record);
  }

  unserved(): ReadonlyMap<string, readonly string[]> {
    return this.serviceProblems.unserved();
  }

  problems(): readonly string[] {
    const unserved = [...this.unserved()].flatMap(([name, list]) =>
      list.map((one) => `service ${name}: ${one}`),
    );
    return [
      ...firstProblems(unserved),
      ...firstProblems(this.rows.leftOut, (name) => `service ${name}: too many services`),
      ...this.listening.problems(),
    ];
  }
}
