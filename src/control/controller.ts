// The control plane's one place of change: takes what registries, checks, workers, the operator and
// the configuration say, keeps each fact where it belongs, decides anew about what it concerns, and
// publishes. Work is per service: a change of one costs nothing for the thousand others.
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Update } from '../discovery/provider.ts';
import type { Checker } from '../health/checker.ts';
import { eject } from '../health/ejection.ts';
import { ENDPOINT_SLOTS, type Ledger, SERVICE_SLOTS } from '../ledger/ledger.ts';
import type { Cause } from '../model/cause.ts';
import type { EffectiveEndpoint, Endpoint } from '../model/endpoint.ts';
import { type Service, type ServiceSource, sourceKey } from '../model/service.ts';
import type { Settings } from '../model/settings.ts';
import type { ListenerSnapshot, SnapshotDelta } from '../model/snapshot.ts';
import type { ListenError } from '../worker/messages.ts';
import { EventLog } from './events.ts';
import { type Admitted, Guard } from './guard.ts';
import { planListeners } from './listeners.ts';
import { Publisher } from './publish.ts';
import type { OperatorWord } from './reconcile.ts';
import { type EndpointRecord, ServiceRecord } from './service-record.ts';
import { Slots } from './slots.ts';
import type { OperatorCommand, ServiceView, TableView } from './view.ts';

export interface ControllerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly ledger: Ledger;
  readonly send: (delta: SnapshotDelta) => Promise<readonly ListenError[]>;
  /** Makes the checker, whose changes come back to `onCheck`. */
  readonly makeChecker: (onChange: (key: string) => void) => Checker;
  /** Reads the settings that a service gives itself in the registry. */
  readonly describe: (
    source: ServiceSource,
    settings: Readonly<Record<string, string>>,
  ) => { readonly service: Service | null; readonly problems: readonly string[] };
}

/** What a registry last said of one source. */
interface Provided {
  readonly source: ServiceSource;
  readonly guard: Guard;
  admitted: Admitted;
  settings: Readonly<Record<string, string>> | null;
  timer: Timer | null;
}

export class Controller implements TableView {
  readonly events = new EventLog();
  private readonly options: ControllerOptions;
  private readonly publisher: Publisher;
  private readonly checker: Checker;
  private readonly endpointSlots: Slots;
  private readonly serviceSlots: Slots;
  private readonly records = new Map<string, ServiceRecord>();
  private readonly provided = new Map<string, Provided>();
  /** Services per source: a change of a source concerns these. */
  private bySource = new Map<string, Set<string>>();
  private readonly bySlot = new Map<number, { record: ServiceRecord; id: string }>();
  private settings: Settings | null = null;
  private listeners: readonly ListenerSnapshot[] = [];
  private listenErrors: readonly ListenError[] = [];
  private isClosed = false;

  constructor(options: ControllerOptions) {
    this.options = options;
    const { clock, ledger } = options;
    this.publisher = new Publisher({
      nowMs: () => clock.nowMs(),
      send: options.send,
      onApplied: (version, errors) => this.onApplied(version, errors),
    });
    this.checker = options.makeChecker((key) => this.onCheck(key));
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
  }

  // TableView

  get version(): number {
    return this.publisher.version;
  }

  get convergence() {
    return this.publisher.convergence;
  }

  services(): readonly ServiceView[] {
    const names = [...this.records.keys()].sort();
    return names.map((name) => this.viewOf(this.records.get(name)!));
  }

  service(name: string): ServiceView | null {
    const record = this.records.get(name);
    return record === undefined ? null : this.viewOf(record);
  }

  problems(): readonly string[] {
    return this.listenErrors.map((error) => error.message);
  }

  private viewOf(record: ServiceRecord): ServiceView {
    const name = record.service.name;
    const endpoints = [...record.endpoints.values()].flatMap(({ effective, ejections }) => {
      if (effective === null) return [];
      const check = this.checker.state(checkKey(name, effective.id))?.last ?? null;
      return [{ ...effective, check, ejections }];
    });
    const refused = this.listenErrors.filter((error) => error.service === name);
    const problems = [...record.problems, ...refused.map((error) => error.message)];
    return { service: record.service, slot: record.slot, endpoints, problems };
  }

  /** Everything that is live, for a worker that starts. */
  full(): SnapshotDelta {
    return this.publisher.full();
  }

  // What it is told

  /** The configuration, at the start and after each reload. */
  setSettings(settings: Settings, cause: Cause): void {
    this.settings = settings;
    this.arrangeServices(cause);
  }

  /** A registry has said something. */
  onUpdate(update: Update): void {
    if (update.kind === 'remove') {
      this.forget(sourceKey(update.source), update.cause);
      return;
    }
    const { source, settings, endpoints, doubt } = update.service;
    const key = sourceKey(source);
    const provided = this.providedFor(key, source);
    const hadSettings = JSON.stringify(provided.settings);
    provided.settings = settings;
    provided.admitted = provided.guard.answer(endpoints, {
      doubt,
      settings: this.settings?.guard ?? { enabled: false, holdMs: 0 },
      nowMs: this.options.clock.nowMs(),
    });
    this.publisher.receivedAt(update.receivedMs);
    if (JSON.stringify(settings) !== hadSettings) this.arrangeServices(update.cause);
    this.applySource(key, update.cause);
    this.awaitHeld(key, provided);
  }

  private providedFor(key: string, source: ServiceSource): Provided {
    const known = this.provided.get(key);
    if (known !== undefined) return known;
    const guard = new Guard();
    const admitted = guard.admitted(0);
    const provided = { source, guard, admitted, settings: null, timer: null };
    this.provided.set(key, provided);
    return provided;
  }

  private forget(key: string, cause: Cause): void {
    const provided = this.provided.get(key);
    if (provided === undefined) return;
    provided.timer?.cancel();
    this.provided.delete(key);
    this.arrangeServices(cause);
    this.applySource(key, cause);
  }

  /** Endpoints that are held go when their time is up. */
  private awaitHeld(key: string, provided: Provided): void {
    provided.timer?.cancel();
    provided.timer = null;
    const { clock } = this.options;
    const { nextMs } = provided.admitted;
    if (nextMs === Number.POSITIVE_INFINITY) return;
    provided.timer = clock.setTimer(Math.max(0, nextMs - clock.nowMs()), () => {
      provided.admitted = provided.guard.admitted(clock.nowMs());
      this.applySource(key, { kind: 'guard', text: 'did not register again in time' });
      this.awaitHeld(key, provided);
    });
  }

  /** A worker reports failures in a row. */
  onStreak(slot: number, count: number, reason: string): void {
    const found = this.bySlot.get(slot);
    const record = found?.record.endpoints.get(found.id);
    if (found === undefined || record === undefined || record.ejection !== null) return;
    const { clock, ledger } = this.options;
    const { passive } = found.record.service;
    const all = [...found.record.endpoints.values()];
    const text = `${count} failed requests in a row (${reason})`;
    const ejection = eject(passive, {
      peers: all.length,
      ejected: all.filter((one) => one.effective?.state === 'ejected').length,
      before: this.lastEjections.get(record) ?? null,
      nowMs: clock.nowMs(),
      text,
    });
    if (ejection === null) return;
    record.ejection = ejection;
    record.ejections += 1;
    this.lastEjections.set(record, ejection);
    this.decide(found.record, record, { kind: 'ejection', text });
    clock.setTimer(ejection.untilMs - clock.nowMs(), () => {
      record.ejection = null;
      ledger.clearStreak(slot);
      if (found.record.endpoints.get(found.id) !== record) return;
      this.decide(found.record, record, { kind: 'ejection', text: 'ejection is over' });
    });
  }

  private readonly lastEjections = new WeakMap<
    EndpointRecord,
    NonNullable<EndpointRecord['ejection']>
  >();

  /** A request failed on this endpoint: its check, if it has one, comes now. */
  onSuspect(slot: number): void {
    const found = this.bySlot.get(slot);
    if (found !== undefined) this.checker.hurry(checkKey(found.record.service.name, found.id));
  }

  /** An operator's word. Returns '' or why it can't be done. */
  operate(serviceName: string, endpointId: string, command: OperatorCommand): string {
    const service = this.records.get(serviceName);
    if (service === undefined) return `no service '${serviceName}'`;
    const record = service.endpoints.get(endpointId);
    if (record === undefined) return `service ${serviceName} has no endpoint '${endpointId}'`;
    const before = service.operator.get(endpointId) ?? { state: 'ready', weight: null };
    const word: OperatorWord =
      command.kind === 'weight'
        ? { ...before, weight: command.weight }
        : { ...before, state: command.kind };
    service.operator.set(endpointId, word);
    const text = command.kind === 'weight' ? `weight ${command.weight}` : command.kind;
    this.decide(service, record, { kind: 'operator', text });
    return '';
  }

  close(): void {
    this.isClosed = true;
    this.checker.close();
    for (const { timer } of this.provided.values()) timer?.cancel();
  }

  // Services

  /** Which services there are: configured ones, and those that describe themselves. */
  private arrangeServices(cause: Cause): void {
    const { settings } = this;
    if (settings === null) return;
    const wanted = new Map<string, { service: Service; problems: readonly string[] }>();
    for (const service of settings.services) wanted.set(service.name, { service, problems: [] });
    for (const provided of this.provided.values()) this.addDescribed(provided, wanted);
    for (const name of [...this.records.keys()]) {
      if (!wanted.has(name)) this.removeService(name, cause);
    }
    this.bySource = new Map();
    for (const [name, { service, problems }] of wanted) {
      const key = sourceKey(service.from);
      const names = this.bySource.get(key) ?? new Set();
      this.bySource.set(key, names.add(name));
      this.setService(service, problems, cause);
    }
    this.arrangeListeners(settings);
  }

  private addDescribed(
    provided: Provided,
    wanted: Map<string, { service: Service; problems: readonly string[] }>,
  ): void {
    const { settings, source } = provided;
    // What is configured wins over what the registry says.
    if (settings === null || wanted.has(source.service)) return;
    const { service, problems } = this.options.describe(source, settings);
    for (const problem of problems) {
      this.options.log.warn({ service: source.service, registry: source.registry }, problem);
    }
    if (service !== null) wanted.set(service.name, { service, problems });
  }

  private setService(service: Service, problems: readonly string[], cause: Cause): void {
    let record = this.records.get(service.name);
    if (record === undefined) {
      const slot = this.serviceSlots.take();
      if (slot === null) {
        this.options.log.error({ service: service.name }, 'too many services: it is left out');
        return;
      }
      record = new ServiceRecord(service, slot);
      this.records.set(service.name, record);
    }
    record.service = service;
    record.problems = problems;
    this.applyTo(record, cause);
    this.publisher.set(record.snapshot());
  }

  private removeService(name: string, cause: Cause): void {
    const record = this.records.get(name)!;
    for (const id of [...record.endpoints.keys()]) this.removeEndpoint(record, id, cause);
    this.records.delete(name);
    this.publisher.remove(name);
    this.serviceSlots.leave(record.slot, this.publisher.nextVersion);
  }

  private arrangeListeners(settings: Settings): void {
    const services = [...this.records.values()].map((record) => record.service);
    const plan = planListeners(services, settings.routers, this.listeners, settings.stats.listen);
    this.listeners = plan.listeners;
    for (const [name, conflicts] of plan.conflicts) {
      const record = this.records.get(name)!;
      record.problems = [...record.problems, ...conflicts];
      for (const problem of conflicts) this.options.log.error({ service: name }, problem);
    }
    this.publisher.setListeners(plan.listeners);
  }

  // Endpoints

  private applySource(key: string, cause: Cause): void {
    for (const name of this.bySource.get(key) ?? []) {
      const record = this.records.get(name);
      if (record !== undefined && this.applyTo(record, cause))
        this.publisher.set(record.snapshot());
    }
  }

  /** Brings the endpoints of a service up to what its source provides; true if anything changed. */
  private applyTo(record: ServiceRecord, cause: Cause): boolean {
    const admitted = this.provided.get(sourceKey(record.service.from))?.admitted;
    const endpoints = admitted?.endpoints ?? [];
    const ids = new Set(endpoints.map((endpoint) => endpoint.id));
    let hasChanged = false;
    for (const id of [...record.endpoints.keys()]) {
      if (ids.has(id)) continue;
      this.removeEndpoint(record, id, cause);
      hasChanged = true;
    }
    for (const endpoint of endpoints) {
      const held = admitted?.held.get(endpoint.id) ?? '';
      if (this.setEndpoint(record, endpoint, held, cause)) hasChanged = true;
    }
    return hasChanged;
  }

  private setEndpoint(
    service: ServiceRecord,
    endpoint: Endpoint,
    held: string,
    cause: Cause,
  ): boolean {
    let record = service.endpoints.get(endpoint.id);
    const hasMoved =
      record !== undefined &&
      (record.endpoint.address !== endpoint.address || record.endpoint.port !== endpoint.port);
    if (hasMoved) this.removeEndpoint(service, endpoint.id, cause);
    if (record === undefined || hasMoved) {
      const slot = this.endpointSlots.take();
      if (slot === null) {
        const fields = { service: service.service.name, endpoint: endpoint.id };
        this.options.log.error(fields, 'too many endpoints: it is left out');
        return false;
      }
      record = { endpoint, slot, held, ejection: null, ejections: 0, effective: null };
      service.endpoints.set(endpoint.id, record);
      this.bySlot.set(slot, { record: service, id: endpoint.id });
    }
    record.endpoint = endpoint;
    record.held = held;
    this.watch(service.service, endpoint);
    return this.decideOnly(service, record, cause);
  }

  private removeEndpoint(service: ServiceRecord, id: string, cause: Cause): void {
    const record = service.endpoints.get(id);
    if (record === undefined) return;
    service.endpoints.delete(id);
    this.bySlot.delete(record.slot);
    this.checker.unwatch(checkKey(service.service.name, id));
    this.endpointSlots.leave(record.slot, this.publisher.nextVersion);
    const from = record.effective?.state ?? '';
    this.addEvent(service, { endpoint: id, from, to: '', reason: '', cause });
  }

  private watch(service: Service, endpoint: Endpoint): void {
    const key = checkKey(service.name, endpoint.id);
    if (service.health === null) this.checker.unwatch(key);
    else this.checker.watch(key, service.health, endpoint);
  }

  private onCheck(key: string): void {
    const [name = '', id = ''] = splitCheckKey(key);
    const service = this.records.get(name);
    const record = service?.endpoints.get(id);
    if (service === undefined || record === undefined) return;
    const text = this.checker.state(key)?.last?.text ?? '';
    this.decide(service, record, { kind: 'check', text });
  }

  /** Decides anew about one endpoint and publishes if that changes anything. */
  private decide(service: ServiceRecord, record: EndpointRecord, cause: Cause): void {
    if (this.isClosed) return;
    if (this.decideOnly(service, record, cause)) this.publisher.set(service.snapshot());
  }

  private decideOnly(service: ServiceRecord, record: EndpointRecord, cause: Cause): boolean {
    const { clock } = this.options;
    const name = service.service.name;
    const check =
      service.service.health === null
        ? null
        : this.checker.state(checkKey(name, record.endpoint.id));
    const { before, after } = service.decide(record, { check, nowMs: clock.wallMs() });
    if (before === after) return false;
    if (before?.state !== after.state || before.reason !== after.reason) {
      const from = before?.state ?? '';
      const { id: endpoint, state: to, reason } = after;
      this.addEvent(service, { endpoint, from, to, reason, cause });
    }
    if (after.state === 'slow-start' && before?.state !== 'slow-start') {
      this.endSlowStart(service, record, after);
    }
    return true;
  }

  private endSlowStart(
    service: ServiceRecord,
    record: EndpointRecord,
    effective: EffectiveEndpoint,
  ): void {
    const { clock } = this.options;
    const leftMs = effective.slowStartFromMs + service.service.slowStartMs - clock.wallMs();
    clock.setTimer(Math.max(0, leftMs) + 1, () => {
      if (service.endpoints.get(record.endpoint.id) !== record) return;
      this.decide(service, record, { kind: 'start', text: 'slow start is over' });
    });
  }

  private addEvent(
    service: ServiceRecord,
    event: { endpoint: string; from: string; to: string; reason: string; cause: Cause },
  ): void {
    const atMs = this.options.clock.wallMs();
    const name = service.service.name;
    this.events.add({ atMs, service: name, ...event });
    const { endpoint, from, to, reason, cause } = event;
    const fields = {
      service: name,
      endpoint,
      from,
      to,
      reason,
      cause: `${cause.kind}: ${cause.text}`,
    };
    const isBad = to === 'down' || to === 'ejected';
    if (isBad) this.options.log.warn(fields, `endpoint ${to}`);
    else this.options.log.info(fields, `endpoint ${to === '' ? 'gone' : to}`);
  }

  private onApplied(version: number, errors: readonly ListenError[]): void {
    this.endpointSlots.applied(version);
    this.serviceSlots.applied(version);
    this.onListenErrors(errors);
  }

  /** Which listeners can't be opened, as the workers see it now. */
  onListenErrors(errors: readonly ListenError[]): void {
    const known = new Set(this.listenErrors.map((error) => error.message));
    for (const error of errors) {
      if (!known.has(error.message)) this.options.log.error({ ...error }, error.message);
    }
    this.listenErrors = errors;
  }
}

/** Names of services hold no NUL, so the key can be taken apart again. */
function checkKey(service: string, endpointId: string): string {
  return `${service}\0${endpointId}`;
}

function splitCheckKey(key: string): string[] {
  return key.split('\0');
}
