// The life of endpoints: they join, leave, and are decided anew whenever a fact about them changes
// (registry, check, ejection, operator, time). The facts are kept in their records; reconcile says
// what they come to. Work is per endpoint: a change of one costs nothing for the others.
// Invariant: an endpoint has a row in the ledger, and a watch where its service has a check, exactly
// while it has a record.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { CheckRun } from '../health/checker.ts';
import { type Ejection, eject, type Refusal } from '../health/ejection.ts';
import type { Outlier } from '../health/fault-history.ts';
import { isPanic } from '../health/panic.ts';
import type { CheckState } from '../health/rise-fall.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Cause } from '../model/cause.ts';
import { type EffectiveEndpoint, type Endpoint, takesWork } from '../model/endpoint.ts';
import type { KeptChecks } from '../model/kept.ts';
import type { HealthCheck } from '../model/service.ts';
import { type EjectionKind, type StreakReport, streakText } from '../model/streak.ts';
import type { EventLog } from './events.ts';
import type { Admitted } from './guard.ts';
import type { OperatorWords } from './operator.ts';
import { reconcile } from './reconcile.ts';
import type { EndpointRecord, ServiceRecord } from './service-record.ts';
import type { Slots } from './slots.ts';

/** What is asked of the health checks; keys are ours. */
export interface Checks {
  watch(key: string, check: HealthCheck, run: CheckRun): void;
  unwatch(key: string): void;
  state(key: string): CheckState | null;
  hurry(key: string): void;
}

export interface EndpointsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly ledger: Ledger;
  readonly checks: Checks;
  readonly slots: Slots;
  readonly operator: OperatorWords;
  readonly events: EventLog;
  /** The version of the table that the changes made now will be part of. */
  readonly nextVersion: () => number;
  /** An endpoint of this service is new, gone, or not what it was. */
  readonly onChange: (service: ServiceRecord) => void;
}

/** How long it counts that an endpoint was to be ejected and was not, ms. */
const STAY_MS = 30_000;

/** An endpoint, and whose it is. */
interface Place {
  readonly service: ServiceRecord;
  readonly record: EndpointRecord;
}

export class Endpoints {
  private readonly options: EndpointsOptions;
  private readonly bySlot = new Map<number, Place>();
  private readonly byCheck = new Map<string, Place>();
  /** What checks had come to before a restart, until they are begun again. */
  private readonly remembered = new Map<string, boolean>();

  constructor(options: EndpointsOptions) {
    this.options = options;
  }

  /** Brings the endpoints of a service up to what its source has; true if that changed anything. */
  apply(service: ServiceRecord, admitted: Admitted | null, cause: Cause): boolean {
    const endpoints = admitted?.endpoints ?? [];
    const ids = new Set(endpoints.map((endpoint) => endpoint.id));
    let hasChanged = false;
    for (const id of service.leftOut) if (!ids.has(id)) service.leftOut.delete(id);
    for (const record of [...service.endpoints.values()]) {
      if (ids.has(record.endpoint.id)) continue;
      this.remove({ service, record }, cause);
      hasChanged = true;
    }
    for (const endpoint of endpoints) {
      const held = admitted?.held.get(endpoint.id) ?? '';
      if (this.set(service, { endpoint, held }, cause)) hasChanged = true;
    }
    this.reviewPanic(service, cause);
    return hasChanged;
  }

  /** Decides anew about every endpoint: the service is to be served in another way. */
  reconsider(service: ServiceRecord, cause: Cause): void {
    for (const record of service.endpoints.values()) {
      this.watch({ service, record });
      this.decide({ service, record }, cause);
    }
    this.reviewPanic(service, cause);
  }

  /** The service is gone. */
  removeAll(service: ServiceRecord, cause: Cause): void {
    for (const record of [...service.endpoints.values()]) this.remove({ service, record }, cause);
  }

  /** The last result of the endpoint's active check; null where there is none. */
  checkOf(service: ServiceRecord, id: string): CheckState | null {
    if (service.service.health === null) return null;
    return this.options.checks.state(checkKey(service, id));
  }

  /** Checks that are begun from now on go on from here. */
  remember(checks: readonly KeptChecks[]): void {
    for (const { service, up, down } of checks) {
      for (const id of up) this.remembered.set(keyOf(service, id), true);
      for (const id of down) this.remembered.set(keyOf(service, id), false);
    }
  }

  /** An active check came to another state. */
  onCheck(key: string): void {
    const place = this.byCheck.get(key);
    if (place === undefined) return;
    const state = this.options.checks.state(key);
    const text = state?.last?.text ?? '';
    // It came back as its check says: what was held against it before is over.
    if (state?.isUp === true && place.record.effective?.state === 'down') {
      place.record.ejection = null;
      this.options.ledger.clearStreaks(place.record.slot);
    }
    this.decideAlone(place, { kind: 'check', text });
  }

  /** A real request failed on this endpoint: its check, if it has one, comes now. */
  onSuspect(slot: number): void {
    const place = this.bySlot.get(slot);
    if (place !== undefined) {
      this.options.checks.hurry(checkKey(place.service, place.record.endpoint.id));
    }
  }

  /** A worker reports failures in a row. */
  onStreak(streak: StreakReport): void {
    const place = this.bySlot.get(streak.slot);
    if (place !== undefined) this.eject(place, streak.kind, streakText(streak));
  }

  /** An endpoint did markedly worse than its peers. */
  onOutlier({ slot, kind, text }: Outlier): void {
    const place = this.bySlot.get(slot);
    if (place !== undefined) this.eject(place, kind, text);
  }

  private eject(place: Place, kind: EjectionKind, text: string): void {
    const { service, record } = place;
    if (record.ejection !== null) return;
    const verdict = this.verdictOn(place, text);
    if ('refusal' in verdict) {
      this.letStay(place, text, verdict.refusal);
      return;
    }
    record.ejection = verdict;
    record.lastEjection = verdict;
    record.ejections += 1;
    service.ejections.set(kind, (service.ejections.get(kind) ?? 0) + 1);
    this.decideAlone(place, { kind: 'ejection', text });
  }

  private verdictOn({ service, record }: Place, text: string): Ejection | Refusal {
    const others = [...service.endpoints.values()].filter((one) => one !== record);
    return eject(service.service.passive, {
      peers: service.endpoints.size,
      ejected: others.filter((one) => one.ejection !== null).length,
      othersWorking: others.filter(({ effective }) => effective !== null && takesWork(effective))
        .length,
      before: record.lastEjection,
      nowMs: this.options.clock.nowMs(),
      text,
    });
  }

  /** Told once for each reason and span of trouble; what is kept of it says when it was last. */
  private letStay({ service, record }: Place, text: string, why: string): void {
    const { clock, events, log } = this.options;
    const atMs = clock.wallMs();
    const { effective, stay } = record;
    if (effective === null || !takesWork(effective)) return;
    record.stay = { text, why, atMs, untilMs: atMs + STAY_MS };
    if (stay?.why === why && atMs < stay.untilMs) return;
    const names = { service: service.name, endpoint: record.endpoint.id };
    const { state } = effective;
    const reason = `not ejected: ${why}`;
    const cause = { kind: 'ejection', text } as const;
    events.add({ atMs, ...names, from: state, to: state, reason, cause });
    log.warn(
      { ...names, reason, cause: `ejection: ${text}` },
      'endpoint fails, but is not ejected',
    );
  }

  /** The operator said something about this endpoint. */
  onOperator(service: ServiceRecord, record: EndpointRecord, cause: Cause): void {
    this.decideAlone({ service, record }, cause);
  }

  close(): void {
    for (const { record } of this.bySlot.values()) record.timer?.cancel();
  }

  private set(
    service: ServiceRecord,
    { endpoint, held }: { endpoint: Endpoint; held: string },
    cause: Cause,
  ): boolean {
    const known = service.endpoints.get(endpoint.id);
    const hasMoved =
      known?.endpoint.address !== endpoint.address || known.endpoint.port !== endpoint.port;
    if (known !== undefined && !hasMoved) {
      if (known.held === held && isSame(known.endpoint, endpoint)) return false;
      known.endpoint = endpoint;
      known.held = held;
      return this.decide({ service, record: known }, cause);
    }
    // At another address it is another endpoint: nothing that was counted or seen is about it.
    if (known !== undefined) this.remove({ service, record: known }, cause);
    const record = this.add(service, endpoint, held);
    if (record === null) return known !== undefined;
    this.watch({ service, record });
    return this.decide({ service, record }, cause);
  }

  private add(service: ServiceRecord, endpoint: Endpoint, held: string): EndpointRecord | null {
    const { id } = endpoint;
    const slot = this.options.slots.take();
    if (slot === null) {
      if (service.leftOut.has(id)) return null;
      service.leftOut.add(id);
      const fields = { service: service.name, endpoint: id };
      this.options.log.error(fields, 'too many endpoints: this one is left out');
      return null;
    }
    service.leftOut.delete(id);
    const record: EndpointRecord = {
      endpoint,
      slot,
      held,
      ejection: null,
      stay: null,
      lastEjection: null,
      ejections: 0,
      hasWorked: false,
      effective: null,
      timer: null,
    };
    service.endpoints.set(id, record);
    this.bySlot.set(slot, { service, record });
    return record;
  }

  private remove({ service, record }: Place, cause: Cause): void {
    const { slots, nextVersion, onChange } = this.options;
    service.endpoints.delete(record.endpoint.id);
    this.bySlot.delete(record.slot);
    record.timer?.cancel();
    this.unwatch(checkKey(service, record.endpoint.id));
    slots.leave(record.slot, nextVersion());
    service.recount(record.effective, null);
    this.tell({ service, record }, { before: record.effective, after: null, cause });
    onChange(service);
  }

  private watch(place: Place): void {
    const { service, record } = place;
    const { health } = service.service;
    const key = checkKey(service, record.endpoint.id);
    if (health === null) {
      this.unwatch(key);
      return;
    }
    this.byCheck.set(key, place);
    // A check that is new must not take away what is in use before it has looked.
    const remembered = this.remembered.get(key);
    this.remembered.delete(key);
    const isUp = remembered === true || (record.effective !== null && takesWork(record.effective));
    const { address, port } = record.endpoint;
    this.options.checks.watch(key, health, { address, port, isUp, wasDown: remembered === false });
  }

  private unwatch(key: string): void {
    if (this.byCheck.delete(key)) this.options.checks.unwatch(key);
  }

  /** Decides anew, and tells if that changes anything. */
  private decide(place: Place, cause: Cause): boolean {
    const { service, record } = place;
    const { clock, operator, onChange } = this.options;
    const { endpoint, slot, held, ejection, hasWorked, effective: before } = record;
    const after = reconcile(service.service, {
      endpoint,
      slot,
      held,
      ejection,
      hasWorked,
      before,
      check: this.checkOf(service, endpoint.id),
      operator: operator.get(service.name, endpoint.id),
      nowMs: clock.wallMs(),
    });
    record.effective = after;
    this.setTimer(place);
    if (before === after) return false;
    if (!takesWork(after)) record.stay = null;
    record.hasWorked ||= takesWork(after);
    service.recount(before, after);
    this.tell(place, { before, after, cause });
    onChange(service);
    return true;
  }

  /** A change of one endpoint, after which the service is looked at as a whole. */
  private decideAlone(place: Place, cause: Cause): void {
    this.decide(place, cause);
    this.reviewPanic(place.service, cause);
  }

  private reviewPanic(service: ServiceRecord, cause: Cause): void {
    const { working, spare } = service;
    const isPanicking = isPanic(service.service.panic, { working, spare });
    if (isPanicking === service.isPanicking) return;
    service.isPanicking = isPanicking;
    const { events, clock, log, onChange } = this.options;
    const reason = `${working} of ${working + spare} endpoints work`;
    const [from, to] = isPanicking ? ['served', 'panic'] : ['panic', 'served'];
    events.add({
      atMs: clock.wallMs(),
      service: service.name,
      endpoint: '',
      from,
      to,
      reason,
      cause,
    });
    const fields = { service: service.name, reason, cause: `${cause.kind}: ${cause.text}` };
    if (isPanicking) log.warn(fields, 'panic: endpoints that checks took out are used too');
    else log.info(fields, 'panic is over');
    onChange(service);
  }

  /** Decides again when what was decided ends by time alone. */
  private setTimer(place: Place): void {
    const { record } = place;
    const { clock } = this.options;
    record.timer?.cancel();
    record.timer = null;
    const leftMs = this.endsInMs(place);
    if (leftMs !== Number.POSITIVE_INFINITY) {
      record.timer = clock.setTimer(Math.max(1, leftMs), () => this.onTimer(place));
    }
  }

  private endsInMs({ service, record }: Place): number {
    const { clock } = this.options;
    const { ejection, effective } = record;
    if (ejection !== null) return ejection.untilMs - clock.nowMs();
    if (effective?.state !== 'slow-start') return Number.POSITIVE_INFINITY;
    return effective.slowStartFromMs + service.service.slowStartMs - clock.wallMs();
  }

  private onTimer(place: Place): void {
    const { record } = place;
    const { clock, ledger } = this.options;
    if (record.ejection !== null && record.ejection.untilMs <= clock.nowMs()) {
      record.ejection = null;
      ledger.clearStreaks(record.slot);
      this.decideAlone(place, { kind: 'ejection', text: 'ejection is over' });
    } else {
      this.decideAlone(place, { kind: 'start', text: 'slow start is over' });
    }
  }

  /** One event and one line of the log for each change that people can see. */
  private tell(
    { service, record }: Place,
    change: { before: EffectiveEndpoint | null; after: EffectiveEndpoint | null; cause: Cause },
  ): void {
    const { before, after, cause } = change;
    const reason = reasonOf(before, after);
    if (reason === null) return;
    const { events, clock, log } = this.options;
    const names = { service: service.name, endpoint: record.endpoint.id };
    const step = { from: before?.state ?? '', to: after?.state ?? '', reason };
    events.add({ atMs: clock.wallMs(), ...names, ...step, cause });
    const fields = { ...names, ...step, cause: `${cause.kind}: ${cause.text}` };
    if (step.to === 'down' || step.to === 'ejected') log.warn(fields, `endpoint ${step.to}`);
    else log.info(fields, `endpoint ${step.to || 'gone'}`);
  }
}

/** What to say of a change; null where people see none. */
function reasonOf(
  before: EffectiveEndpoint | null,
  after: EffectiveEndpoint | null,
): string | null {
  if (after === null) return '';
  if (before?.state !== after.state || before.reason !== after.reason) return after.reason;
  return before.weight === after.weight ? null : `weight ${before.weight} -> ${after.weight}`;
}

function isSame(a: Endpoint, b: Endpoint): boolean {
  return a.weight === b.weight && a.status === b.status && a.statusText === b.statusText;
}

function checkKey(service: ServiceRecord, endpointId: string): string {
  return keyOf(service.name, endpointId);
}

/** Names of services hold no NUL. */
function keyOf(service: string, endpointId: string): string {
  return `${service}\0${endpointId}`;
}
