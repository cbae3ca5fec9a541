// The control plane's one place of change: takes what registries, checks, workers, the operator and
// the configuration say, hands each fact to the part that keeps it, and publishes what came of it.
// It decides nothing itself (table.ts, guard.ts, reconcile.ts do), and answers those who look on.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Known, Update } from '../discovery/provider.ts';
import type { Checker } from '../health/checker.ts';
import { ENDPOINT_SLOTS, type Ledger, SERVICE_SLOTS } from '../ledger/ledger.ts';
import type { Cause } from '../model/cause.ts';
import type { Kept, KeptChecks } from '../model/kept.ts';
import type { ListenError } from '../model/listener.ts';
import { type Service, type ServiceSource, sourceKey } from '../model/service.ts';
import type { Settings } from '../model/settings.ts';
import type { ListenerSnapshot, SnapshotDelta } from '../model/snapshot.ts';
import type { StreakReport } from '../model/streak.ts';
import { Endpoints } from './endpoints.ts';
import { EventLog } from './events.ts';
import { type ListenerPlan, planListeners } from './listeners.ts';
import { type OperatorCommand, OperatorWords } from './operator.ts';
import { Publisher } from './publish.ts';
import { type EndpointRecord, ServiceRecord } from './service-record.ts';
import { Slots } from './slots.ts';
import { Sources } from './sources.ts';
import { SuccessRates } from './success-rates.ts';
import { type Describe, Table, type TableChange } from './table.ts';
import type { Convergence, EndpointView, ServiceView, TableView } from './view.ts';

export interface ControllerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly ledger: Ledger;
  readonly send: (delta: SnapshotDelta) => Promise<readonly ListenError[]>;
  /** Makes the checker, whose changes come back to `onChange`. */
  readonly makeChecker: (onChange: (key: string) => void) => Checker;
  /** Reads the settings that a service gives itself in the registry. */
  readonly describe: Describe;
}

export class Controller implements TableView {
  readonly events = new EventLog();
  private readonly options: ControllerOptions;
  private readonly table: Table;
  private readonly sources: Sources;
  private readonly endpoints: Endpoints;
  private readonly successRates: SuccessRates;
  private readonly operator = new OperatorWords();
  private readonly publisher: Publisher;
  private readonly checker: Checker;
  private readonly endpointSlots: Slots;
  private readonly serviceSlots: Slots;
  private readonly records = new Map<string, ServiceRecord>();
  /** Services for which there was no row in the ledger. */
  private readonly leftOut = new Set<string>();
  private settings: Settings | null = null;
  private plan: ListenerPlan = { listeners: [], conflicts: new Map() };
  private listenErrors: readonly ListenError[] = [];
  private isClosed = false;

  constructor(options: ControllerOptions) {
    this.options = options;
    const { clock, log, ledger, send } = options;
    this.table = new Table(options.describe);
    this.sources = new Sources({
      clock,
      guard: () => this.settings?.guard ?? { enabled: false, holdMs: 0, maxRemovedShare: 1 },
      isPassing: (key, id) => this.isPassing(key, id),
      onRelease: (key) => {
        this.applySource(key, { kind: 'guard', text: 'did not register again in time' });
      },
    });
    this.publisher = new Publisher({
      nowMs: () => clock.nowMs(),
      snapshotOf: (name) => this.records.get(name)?.snapshot() ?? null,
      planListeners: () => this.planListeners(),
      send,
      onApplied: (version, errors) => this.onApplied(version, errors),
      onError: (error) => log.error({ err: String(error) }, 'a change could not be published'),
    });
    this.checker = options.makeChecker((key) => this.endpoints.onCheck(key));
    this.endpointSlots = new Slots({
      capacity: ENDPOINT_SLOTS,
      isIdle: (slot) => ledger.inFlight(slot) === 0,
      clear: (slot) => ledger.clearEndpoint(slot),
    });
    this.serviceSlots = new Slots({
      capacity: SERVICE_SLOTS,
      isIdle: (slot) => ledger.connections(slot) === 0,
      clear: (slot) => ledger.clearService(slot),
    });
    this.endpoints = this.makeEndpoints();
    this.successRates = new SuccessRates({
      clock,
      ledger,
      services: () => this.records.values(),
      onOutlier: (outlier) => this.endpoints.onOutlier(outlier),
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
      nextVersion: () => this.publisher.nextVersion,
      onChange: (service) => this.publisher.change(service.name),
    });
  }

  // What it is told

  /** The configuration, at the start and after each reload. */
  setSettings(settings: Settings, cause: Cause): void {
    this.settings = settings;
    this.publisher.changeListeners();
    this.settle(this.table.configure(settings.services), cause);
  }

  /** A registry has said something. */
  onUpdate(update: Update): void {
    if (this.isClosed) return;
    const { cause, receivedMs } = update;
    const source = update.kind === 'upsert' ? update.service.source : update.source;
    const key = sourceKey(source);
    const settings = update.kind === 'upsert' ? update.service.settings : null;
    if (update.kind === 'upsert') this.sources.take(update.service);
    else this.sources.forget(key);
    const change = this.table.describeSource(source, settings);
    const hasSettled = this.settle(change, cause);
    const hasApplied = this.applySource(key, cause);
    if (hasSettled || hasApplied) this.publisher.receivedAt(receivedMs);
  }

  /** What the active checks had come to before a restart; those of endpoints to come go on so. */
  remember(checks: readonly KeptChecks[]): void {
    this.endpoints.remember(checks);
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
    const service = this.records.get(serviceName);
    if (service === undefined) return `no service '${serviceName}'`;
    const record = service.endpoints.get(endpointId);
    if (record === undefined) return `service ${serviceName} has no endpoint '${endpointId}'`;
    this.operator.say(serviceName, endpointId, command);
    const text = command.kind === 'weight' ? `weight ${command.weight}` : command.kind;
    this.endpoints.onOperator(service, record, { kind: 'operator', text });
    return '';
  }

  /** Which listeners can't be opened, as the workers see it now. */
  onListenErrors(errors: readonly ListenError[]): void {
    const known = new Set(this.listenErrors.map((error) => error.message));
    for (const error of errors) {
      if (!known.has(error.message)) this.options.log.error({ ...error }, error.message);
    }
    this.listenErrors = errors;
  }

  close(): void {
    this.isClosed = true;
    this.checker.close();
    this.sources.close();
    this.endpoints.close();
    this.successRates.close();
  }

  // What comes of it

  /** Brings services up to the table; true if any was concerned. */
  private settle({ changed, removed }: TableChange, cause: Cause): boolean {
    for (const name of removed) this.removeService(name, cause);
    for (const name of changed) this.setService(name, cause);
    if (changed.length === 0 && removed.length === 0) return false;
    // What was left out for want of a row in the ledger may have one now.
    for (const name of this.leftOut) this.setService(name, cause);
    this.publisher.changeListeners();
    return true;
  }

  private setService(name: string, cause: Cause): void {
    const desired = this.table.get(name);
    if (desired === null) return;
    const { service, problems } = desired;
    for (const problem of problems) this.options.log.warn({ service: name }, problem);
    const known = this.records.get(name);
    const record = known ?? this.addService(service);
    if (record === null) return;
    record.service = service;
    this.successRates.review(record);
    this.publisher.change(name);
    this.tell(name, { from: known === undefined ? '' : 'served', to: 'served', cause });
    const admitted = this.sources.admitted(sourceKey(service.from));
    // A new source that has not answered yet takes nothing away; what it says then does.
    if (admitted !== null || known === undefined) this.endpoints.apply(record, admitted, cause);
    if (known !== undefined) this.endpoints.reconsider(record, cause);
  }

  private addService(service: Service): ServiceRecord | null {
    const { name } = service;
    const slot = this.serviceSlots.take();
    if (slot === null) {
      if (!this.leftOut.has(name)) {
        this.options.log.error({ service: name }, 'too many services: this one is left out');
      }
      this.leftOut.add(name);
      return null;
    }
    this.leftOut.delete(name);
    const record = new ServiceRecord(service, slot);
    this.records.set(name, record);
    return record;
  }

  private removeService(name: string, cause: Cause): void {
    this.leftOut.delete(name);
    const record = this.records.get(name);
    if (record === undefined) return;
    this.endpoints.removeAll(record, cause);
    this.records.delete(name);
    this.publisher.change(name);
    this.serviceSlots.leave(record.slot, this.publisher.nextVersion);
    this.tell(name, { from: 'served', to: '', cause });
  }

  private applySource(key: string, cause: Cause): boolean {
    let hasChanged = false;
    for (const name of this.table.servedBy(key)) {
      const record = this.records.get(name);
      if (record === undefined) continue;
      if (this.endpoints.apply(record, this.sources.admitted(key), cause)) hasChanged = true;
    }
    return hasChanged;
  }

  private isPassing(key: string, endpointId: string): boolean {
    return [...this.table.servedBy(key)].some((name) => {
      const record = this.records.get(name);
      const check = record && this.endpoints.checkOf(record, endpointId);
      return check?.isKnown === true && check.isUp;
    });
  }

  private planListeners(): readonly ListenerSnapshot[] {
    const { settings, records } = this;
    if (settings === null) return [];
    const served = [...records.values()].map(({ service }) => service);
    const isConfigured = ({ name }: Service) => this.table.get(name)?.isConfigured === true;
    const { listeners: before, conflicts: known } = this.plan;
    this.plan = planListeners({
      routers: settings.routers,
      configured: served.filter(isConfigured),
      described: served.filter((service) => !isConfigured(service)),
      stats: settings.stats.listen,
      before,
    });
    for (const [service, conflicts] of this.plan.conflicts) {
      for (const conflict of conflicts) {
        if (known.get(service)?.includes(conflict)) continue;
        this.options.log.error({ service }, conflict);
      }
    }
    return this.plan.listeners;
  }

  /** An event about a service as a whole. */
  private tell(service: string, step: { from: string; to: string; cause: Cause }): void {
    const atMs = this.options.clock.wallMs();
    this.events.add({ atMs, service, endpoint: '', reason: '', ...step });
  }

  private onApplied(version: number, errors: readonly ListenError[]): void {
    this.endpointSlots.applied(version);
    this.serviceSlots.applied(version);
    this.onListenErrors(errors);
  }

  // What others may see

  get version(): number {
    return this.publisher.version;
  }

  get convergence(): Convergence {
    return this.publisher.convergence;
  }

  /** Everything that is live, for a worker that starts. */
  full(): SnapshotDelta {
    return this.publisher.full();
  }

  services(): readonly ServiceView[] {
    const names = [...this.records.keys()].sort();
    return names.map((name) => this.viewOf(this.records.get(name)!));
  }

  /** What is to be kept over a restart. */
  kept(): Kept {
    const checks = [...this.records.values()].map((record): KeptChecks => {
      const ids = [...record.endpoints.keys()];
      const known = ids.filter((id) => this.endpoints.checkOf(record, id)?.isKnown === true);
      const isUp = (id: string) => this.endpoints.checkOf(record, id)?.isUp === true;
      const down = known.filter((id) => !isUp(id));
      return { service: record.name, up: known.filter(isUp), down };
    });
    const isChecked = ({ up, down }: KeptChecks) => up.length + down.length > 0;
    // What is configured is no registry's word.
    const sources = this.sources.kept().filter(({ source }) => source.registry !== 'static');
    return { sources, checks: checks.filter(isChecked) };
  }

  /** What is served of a source, as a registry or the state file gave it. */
  knownOf(source: ServiceSource): Known {
    const admitted = this.sources.admitted(sourceKey(source));
    return { endpoints: admitted?.endpoints ?? [], isHeld: (admitted?.held.size ?? 0) > 0 };
  }

  service(name: string): ServiceView | null {
    const record = this.records.get(name);
    return record === undefined ? null : this.viewOf(record);
  }

  problems(): readonly string[] {
    const leftOut = [...this.leftOut].map((name) => `service ${name}: too many services`);
    const refused = this.listenErrors.map((error) => error.message);
    return [
      ...this.table.problems(),
      ...leftOut,
      ...(this.plan.conflicts.get('') ?? []),
      ...refused,
    ];
  }

  /** The same object while nothing has changed: all of them are looked at every second. */
  private viewOfEndpoint(service: ServiceRecord, record: EndpointRecord): EndpointView | null {
    const { effective, ejections, view = null } = record;
    if (effective === null) return null;
    const check = this.endpoints.checkOf(service, effective.id)?.last ?? null;
    const isSame = view?.check === check && view.ejections === ejections;
    if (isSame && record.viewed === effective) return view;
    record.viewed = effective;
    record.view = { ...effective, check, ejections };
    return record.view;
  }

  private viewOf(record: ServiceRecord): ServiceView {
    const { name, service, slot, leftOut } = record;
    const endpoints: EndpointView[] = [];
    for (const one of record.endpoints.values()) {
      const view = this.viewOfEndpoint(record, one);
      if (view !== null) endpoints.push(view);
    }
    const refused = this.listenErrors.filter((error) => error.service === name);
    const problems = [
      ...(this.table.get(name)?.problems ?? []),
      ...(this.plan.conflicts.get(name) ?? []),
      ...refused.map((error) => error.message),
      ...[...leftOut].map((id) => `endpoint ${id}: too many endpoints`),
    ];
    const { isPanicking, ejections } = record;
    return { service, slot, endpoints, isPanicking, ejections, problems };
  }
}
