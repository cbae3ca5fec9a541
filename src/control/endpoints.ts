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
import { ENDPOINT_SLOTS, type Ledger } from '../ledger/ledger.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { Cause } from '../model/cause.ts';
import { type EffectiveEndpoint, takesWork } from '../model/endpoint.ts';
import type { KeptChecks } from '../model/kept.ts';
import type { HealthCheck } from '../model/service.ts';
import { sourceKey } from '../model/source.ts';
import { type EjectionKind, type StreakReport, streakText } from '../model/streak.ts';
import type { EventLog } from './events.ts';
import type { Merged } from './merge.ts';
import type { OperatorWords } from './operator.ts';
import { choosePrimary } from './primary.ts';
import { reconcile } from './reconcile.ts';
import type { EndpointRecord, ServiceRecord } from './service-record.ts';
import type { Slots } from './slots.ts';

/** The last rows of the ledger are kept from a service that has so many endpoints already. */
const RESERVED = ENDPOINT_SLOTS / 8;
const OWN_MIN = 256;

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
  /** Why nothing may be sent to this endpoint; '' where it may. */
  readonly refusal: (service: ServiceRecord, merged: Merged) => string;
  /** The version of the table that the changes made now will be part of. */
  /** Names of who holds the lock of this key; null while that is not known. */
  readonly lockHolder: (key: string) => readonly string[] | null;
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

/** A long change is made in turns of so long, looked at after so many endpoints. */
const TURN_MS = 10;
const TURN_ENDPOINTS = 256;

export class Endpoints {
  private readonly options: EndpointsOptions;
  private readonly bySlot = new Map<number, Place>();
  /** What was not done within a turn. */
  private readonly unfinished = new Map<ServiceRecord, object>();
  private readonly byCheck = new Map<string, Place>();
  /** What checks had come to before a restart, until they are begun again. */
  private readonly remembered = new Map<string, boolean>();

  constructor(options: EndpointsOptions) {
    this.options = options;
  }

  /** Brings the endpoints of a service up to what its sources say; true if that changed anything. */
  apply(service: ServiceRecord, endpoints: readonly Merged[], cause: Cause): boolean {
    this.unfinished.delete(service);
    const ids = new Set(endpoints.map(({ endpoint }) => endpoint.id));
    for (const id of service.leftOut) if (!ids.has(id)) service.leftOut.delete(id);
    const gone = [...service.endpoints.values()].filter((one) => !ids.has(idOf(one)));
    const untilMs = this.options.clock.nowMs() + TURN_MS;
    // In turns, those that come must be there before those that go are gone.
    const isLong = gone.length + endpoints.length > TURN_ENDPOINTS;
    const removed = isLong ? 0 : this.removeSome(service, { gone, cause, untilMs });
    let added = 0;
    const { leftOut } = service;
    for (const merged of endpoints) {
      const before = leftOut.size;
      const isChanged = this.set(service, merged, cause);
      // What is as it was, is no work: each turn gets further than the one before.
      if (!isChanged && leftOut.size === before) continue;
      added += 1;
      if (isLong && added % TURN_ENDPOINTS === 0 && this.isLate(untilMs)) {
        this.goOn(service, endpoints, cause);
        return true;
      }
    }
    const removedLast = isLong ? this.removeSome(service, { gone, cause, untilMs }) : 0;
    if (isLong && removedLast < gone.length) this.goOn(service, endpoints, cause);
    else this.review(service, cause);
    return removed + added + removedLast > 0;
  }

  /** Removes as many as there is time for; returns how many. */
  private removeSome(
    service: ServiceRecord,
    what: { gone: readonly EndpointRecord[]; cause: Cause; untilMs: number },
  ): number {
    const { gone, cause, untilMs } = what;
    for (const [i, record] of gone.entries()) {
      if (i > 0 && i % TURN_ENDPOINTS === 0 && this.isLate(untilMs)) return i;
      this.remove({ service, record }, cause);
    }
    return gone.length;
  }

  private isLate(untilMs: number): boolean {
    return this.options.clock.nowMs() >= untilMs;
  }

  /** The rest of a long change has a turn of its own, unless a later one takes its place. */
  private goOn(service: ServiceRecord, endpoints: readonly Merged[], cause: Cause): void {
    const rest = { endpoints };
    this.unfinished.set(service, rest);
    this.options.clock.nextTurn(() => {
      if (this.unfinished.get(service) === rest) this.apply(service, endpoints, cause);
    });
  }

  /** Decides anew about every endpoint: the service is to be served in another way. */
  reconsider(service: ServiceRecord, cause: Cause): void {
    for (const record of service.endpoints.values()) {
      this.setRefusal({ service, record });
      this.watch({ service, record });
      this.decide({ service, record }, cause);
    }
    this.review(service, cause);
  }

  /**
   * What may be sent where has changed, at these ports alone if they are given: decides anew about
   * the endpoints that this concerns.
   */
  reviewRefusals(cause: Cause, ports: ReadonlySet<number> | null): Set<ServiceRecord> {
    const concerned = new Set<ServiceRecord>();
    for (const place of this.bySlot.values()) {
      const { record, service } = place;
      const checkPort = service.service.health?.port ?? 0;
      if (ports?.has(record.merged.endpoint.port) === false && !ports.has(checkPort)) continue;
      if (!this.setRefusal(place)) continue;
      this.watch(place);
      this.decide(place, cause);
      concerned.add(place.service);
    }
    for (const service of concerned) this.review(service, cause);
    return concerned;
  }

  /** True where it is refused, or not any more, for another reason than before. */
  private setRefusal({ service, record }: Place): boolean {
    const refused = this.options.refusal(service, record.merged);
    if (refused === record.refused) return false;
    record.refused = refused;
    if (refused === '') service.refusals.delete(idOf(record));
    else service.refusals.set(idOf(record), refused);
    return true;
  }

  /** The service is gone. */
  removeAll(service: ServiceRecord, cause: Cause): void {
    this.unfinished.delete(service);
    service.failoverTimer?.cancel();
    for (const record of [...service.endpoints.values()]) this.remove({ service, record }, cause);
  }

  /** The last result of the endpoint's active check; null where there is none. */
  checkOf(service: ServiceRecord, id: string): CheckState | null {
    if (healthOf(service, service.endpoints.get(id)) === null) return null;
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
      this.options.checks.hurry(checkKey(place.service, idOf(place.record)));
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
    const names = { service: service.name, endpoint: idOf(record) };
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
    this.unfinished.clear();
    for (const { record, service } of this.bySlot.values()) {
      record.timer?.cancel();
      service.failoverTimer?.cancel();
    }
  }

  private set(service: ServiceRecord, merged: Merged, cause: Cause): boolean {
    const { endpoint } = merged;
    const known = service.endpoints.get(endpoint.id);
    const was = known?.merged.endpoint;
    const hasMoved = was?.address !== endpoint.address || was.port !== endpoint.port;
    if (known !== undefined && !hasMoved) {
      const before = known.merged;
      if (isSame(before, merged) && haveSameNamings(before, merged)) return false;
      known.merged = merged;
      const place = { service, record: known };
      // Another registry may have another word in where it may be.
      const isOtherCheck = !isSameCheck(before, merged);
      if (this.setRefusal(place) || isOtherCheck) this.watch(place);
      return this.decide(place, cause);
    }
    // At another address it is another endpoint: nothing that was counted or seen is about it.
    if (known !== undefined) this.remove({ service, record: known }, cause);
    const record = this.add(service, merged);
    if (record === null) return known !== undefined;
    this.setRefusal({ service, record });
    this.watch({ service, record });
    return this.decide({ service, record }, cause);
  }

  private add(service: ServiceRecord, merged: Merged): EndpointRecord | null {
    const { id } = merged.endpoint;
    const { slots } = this.options;
    const isGreedy = service.endpoints.size >= OWN_MIN && slots.room <= RESERVED;
    const slot = isGreedy ? null : slots.take();
    if (slot === null) {
      if (service.leftOut.has(id)) return null;
      service.leftOut.add(id);
      const fields = { service: service.name, endpoint: id };
      const text = 'too many endpoints: this one is left out';
      // Past some of them only the service's problems count them.
      if (service.leftOut.size <= BOUNDS.problems.max) this.options.log.error(fields, text);
      return null;
    }
    service.leftOut.delete(id);
    const record: EndpointRecord = {
      merged,
      slot,
      refused: '',
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
    service.endpoints.delete(idOf(record));
    service.refusals.delete(idOf(record));
    this.bySlot.delete(record.slot);
    record.timer?.cancel();
    this.unwatch(checkKey(service, idOf(record)));
    slots.leave(record.slot, nextVersion());
    service.recount(record.effective, null);
    this.tell({ service, record }, { before: record.effective, after: null, cause });
    onChange(service);
  }

  private watch(place: Place): void {
    const { service, record } = place;
    const health = healthOf(service, record);
    const key = checkKey(service, idOf(record));
    if (health === null || record.refused !== '') {
      this.unwatch(key);
      return;
    }
    this.byCheck.set(key, place);
    // A check that is new must not take away what is in use before it has looked.
    const remembered = this.remembered.get(key);
    this.remembered.delete(key);
    for (const naming of record.merged.namings) {
      this.remembered.delete(checkKey(service, naming.id));
    }
    const isUp = remembered === true || (record.effective !== null && takesWork(record.effective));
    const { address, port, hostName } = record.merged.endpoint;
    const target = { address, port, ...(hostName === undefined ? {} : { hostName }) };
    this.options.checks.watch(key, health, { ...target, isUp, wasDown: remembered === false });
  }

  private unwatch(key: string): void {
    if (this.byCheck.delete(key)) this.options.checks.unwatch(key);
  }

  /** Decides anew, and tells if that changes anything. */
  private decide(place: Place, cause: Cause): boolean {
    const { service, record } = place;
    const { clock, operator, onChange } = this.options;
    const { merged, slot, refused, ejection, hasWorked, effective: before } = record;
    const { id } = merged.endpoint;
    const after = reconcile(service.service, {
      merged,
      slot,
      refused,
      ejection,
      hasWorked,
      before,
      check: this.checkOf(service, id),
      standby: standbyOf(service, id),
      operator: operator.get(service.name, id),
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
    this.review(place.service, cause);
  }

  /** What concerns the service as a whole. */
  review(service: ServiceRecord, cause: Cause): void {
    this.reviewPrimary(service, cause);
    this.reviewStrength(service, cause);
  }

  /** Whether another endpoint is the primary now, or none. */
  private reviewPrimary(service: ServiceRecord, cause: Cause): void {
    const { primary: policy } = service.service;
    if (policy === null) return;
    const { primary: before } = service;
    const records = [...service.endpoints.values()];
    const after = choosePrimary({
      policy,
      candidates: records.map(({ merged: { endpoint } }) => {
        return { endpoint, check: this.checkOf(service, endpoint.id) };
      }),
      before: before.id,
      holder: policy.by === 'lock' ? this.options.lockHolder(policy.lock) : null,
    });
    for (const id of after.contested) this.options.checks.hurry(checkKey(service, id));
    if (after.id === before.id && after.why === before.why) return;
    service.primary = after;
    this.tellPrimary(service, cause);
    // The old one first: nothing is sent to two at a time.
    const old = records.filter((record) => idOf(record) !== after.id);
    const chosen = records.filter((record) => idOf(record) === after.id);
    for (const record of [...old, ...chosen]) this.decide({ service, record }, cause);
  }

  private tellPrimary(service: ServiceRecord, cause: Cause): void {
    const { events, clock, log } = this.options;
    const { name, primary } = service;
    const { id, why } = primary;
    const step = { from: 'primary', to: id === '' ? 'no-primary' : 'primary', reason: why };
    events.add({ atMs: clock.wallMs(), service: name, endpoint: id, ...step, cause });
    const fields = { service: name, endpoint: id, cause: `${cause.kind}: ${cause.text}` };
    if (id === '') log.warn({ ...fields, reason: why }, 'no primary: the service gets no traffic');
    else log.info(fields, 'primary changed');
  }

  /** The service as a whole: which priority gets the traffic, and whether enough of it works. */
  private reviewStrength(service: ServiceRecord, cause: Cause): void {
    this.reviewPriority(service, cause);
    const { working, spare } = service.strength;
    const isPanicking = isPanic(service.service.panic, { working, spare });
    if (isPanicking === service.isPanicking) return;
    service.isPanicking = isPanicking;
    const { log } = this.options;
    const reason = `${working} of ${working + spare} endpoints work`;
    const [from, to] = isPanicking ? ['served', 'panic'] : ['panic', 'served'];
    const fields = this.tellOfService(service, { from, to, reason, cause });
    if (isPanicking) log.warn(fields, 'panic mode: unhealthy endpoints get traffic too');
    else log.info(fields, 'panic is over');
  }

  private reviewPriority(service: ServiceRecord, cause: Cause): void {
    const { clock, log } = this.options;
    const tiers = service.tiers();
    const { active, inMs } = service.failover.review(
      tiers,
      service.service.failover,
      clock.nowMs(),
    );
    service.failoverTimer?.cancel();
    service.failoverTimer = null;
    if (inMs !== Number.POSITIVE_INFINITY) {
      const text = 'failover: held long enough';
      service.failoverTimer = clock.setTimer(Math.max(1, Math.ceil(inMs)), () => {
        this.reviewStrength(service, { kind: 'failover', text });
      });
    }
    const before = service.priority;
    if (active === before) return;
    service.priority = active;
    this.options.onChange(service);
    // The first choice is none between two.
    if (before === null || tiers.size === 1) return;
    const isWorse = active > before;
    const reason = isWorse
      ? `no endpoint of priority ${before} works, ${tiers.get(active)!.working} of priority ${active} do`
      : `${tiers.get(active)!.working} endpoints of priority ${active} work`;
    const step = { from: `priority ${before}`, to: `priority ${active}`, reason, cause };
    const fields = this.tellOfService(service, step);
    if (isWorse) log.warn(fields, 'failover: another priority gets the traffic');
    else log.info(fields, 'failover is over: the traffic is back');
  }

  /** An event about a service as a whole; returns what the log says of it. */
  private tellOfService(
    { name }: ServiceRecord,
    step: { from: string; to: string; reason: string; cause: Cause },
  ) {
    const { events, clock } = this.options;
    events.add({ atMs: clock.wallMs(), service: name, endpoint: '', ...step });
    const { reason, cause } = step;
    return { service: name, reason, cause: `${cause.kind}: ${cause.text}` };
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
    const names = { service: service.name, endpoint: idOf(record) };
    const step = { from: before?.state ?? '', to: after?.state ?? '', reason };
    events.add({ atMs: clock.wallMs(), ...names, ...step, cause });
    const fields = { ...names, ...step, cause: `${cause.kind}: ${cause.text}` };
    const isBad = step.to === 'down' || step.to === 'ejected';
    if (isBad && after?.isStandby !== true) log.warn(fields, `endpoint ${step.to}`);
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

/** Whether no decision can be another. */
function isSame(a: Merged, b: Merged): boolean {
  return (
    a.held === b.held &&
    a.priority === b.priority &&
    a.endpoint.weight === b.endpoint.weight &&
    a.endpoint.status === b.endpoint.status &&
    a.endpoint.hostName === b.endpoint.hostName &&
    a.endpoint.statusText === b.endpoint.statusText &&
    a.endpoint.tags?.join() === b.endpoint.tags?.join() &&
    isSameCheck(a, b) &&
    (a.accept === b.accept || a.accept.join() === b.accept.join())
  );
}

/** Why this endpoint gets nothing where the service follows its primary; '' where it may. */
function standbyOf({ service, primary }: ServiceRecord, id: string): string {
  if (service.primary === null || id === primary.id) return '';
  return primary.id === '' ? `no primary: ${primary.why}` : `standby: the primary is ${primary.id}`;
}

function isSameCheck({ endpoint: { check: a } }: Merged, { endpoint: { check: b } }: Merged) {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** The check of an endpoint: its service's, or else the one that it declares itself. */
function healthOf({ service }: ServiceRecord, record: EndpointRecord | undefined) {
  const own = record?.merged.endpoint.check;
  if (service.health !== null || own === undefined) return service.health;
  // How endpoints are spoken to is the service's to say.
  const { sendProxy } = service.upstream;
  return own.sendProxy === sendProxy ? own : { ...own, sendProxy };
}

function haveSameNamings({ namings: a }: Merged, { namings: b }: Merged): boolean {
  if (a.length !== b.length) return false;
  return a.every(({ source, id }, i) => {
    const other = b[i]!;
    if (id !== other.id) return false;
    return source === other.source || sourceKey(source) === sourceKey(other.source);
  });
}

function idOf({ merged }: EndpointRecord): string {
  return merged.endpoint.id;
}

function checkKey(service: ServiceRecord, endpointId: string): string {
  return keyOf(service.name, endpointId);
}

/** Names of services hold no NUL. */
function keyOf(service: string, endpointId: string): string {
  return `${service}\0${endpointId}`;
}
