// The life of endpoints: they join, leave, and are decided again whenever a fact about them changes
// (registry, check, ejection, operator, time). The facts are kept in their records; reconcile says
// what they come to. Work is per endpoint: a change of one costs nothing for the others.
// Invariant: an endpoint has a row in the ledger, and a watch where its service has a check, exactly
// while it has a record.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { type Ejection, eject, type Refusal } from '../health/ejection.ts';
import type { Outlier } from '../health/fault-history.ts';
import { ENDPOINT_SLOTS, type Ledger } from '../ledger/ledger.ts';
import { BOUNDS } from '../model/bounds.ts';
import type { Cause } from '../model/cause.ts';
import { takesWork } from '../model/endpoint.ts';
import { sourceKey } from '../model/source.ts';
import { type EjectionKind, type StreakReport, streakText } from '../model/streak.ts';
import { ChangeLog, type EndpointChange, type Lines, linesOf } from './change-log.ts';
import { type Checks, EndpointChecks } from './endpoint-checks.ts';
import type { EventLog } from './events.ts';
import { type LongChange, LongChanges, type WantedEndpoints } from './long-changes.ts';
import type { Merged } from './merge.ts';
import type { OperatorWords } from './operator.ts';
import { reconcile } from './reconcile.ts';
import { type EndpointRecord, idOf, type Place, type ServiceRecord } from './service-record.ts';
import { ServiceReview } from './service-review.ts';
import type { Slots } from './slots.ts';

/** The last rows of the ledger are kept from a service that has so many endpoints already. */
const RESERVED = ENDPOINT_SLOTS / 8;
const OWN_MIN = 256;

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
  /** Names of who holds the lock of this key; null while that is not known. */
  readonly lockHolder: (key: string) => readonly string[] | null;
  /** The version of the table that the changes made now will be part of. */
  readonly nextVersion: () => number;
  /** An endpoint of this service is new, gone, or not what it was. */
  readonly onChange: (service: ServiceRecord) => void;
}

/** How long it counts that an endpoint was to be ejected and was not, ms. */
const STAY_MS = 30_000;

/** A change of more endpoints than these is made in turns. */
const LONG = 256;
/** An endpoint that comes or goes is as much work as so many that stay as they are. */
const CHANGE_WORK = 16;

/** What became of a change, as far as it is made yet. */
export interface Applied {
  readonly hasChanged: boolean;
  /** How much work it is, in endpoints that are looked at. */
  readonly work: number;
}

export class Endpoints {
  readonly checks: EndpointChecks;
  readonly reviewer: ServiceReview;
  private readonly options: EndpointsOptions;
  private readonly changes: ChangeLog;
  private readonly bySlot = new Map<number, Place>();
  private readonly longChanges: LongChanges;
  /** What the log may still say of a service that is removed at this moment; without, all of it. */
  private lines: Lines | undefined;

  constructor(options: EndpointsOptions) {
    this.options = options;
    const { clock, lockHolder } = options;
    const onChange = (service: ServiceRecord) => this.changed(service);
    this.checks = new EndpointChecks(options.checks);
    this.changes = new ChangeLog(options);
    this.reviewer = new ServiceReview({
      clock,
      lockHolder,
      onChange,
      checks: this.checks,
      changes: this.changes,
      decide: (place, cause) => this.decide(place, cause),
    });
    this.longChanges = new LongChanges({
      clock,
      set: (service, merged, cause) => this.set(service, merged, cause),
      remove: (place, cause) => this.remove(place, cause),
      onEnd: (change, isWhole) => this.endChange(change, isWhole),
    });
  }

  /** Brings the endpoints of a service up to what its sources say; a long change takes turns. */
  apply(service: ServiceRecord, endpoints: readonly Merged[], cause: Cause): Applied {
    this.longChanges.abandon(service);
    const ids = new Set(endpoints.map(({ endpoint }) => endpoint.id));
    for (const id of service.leftOut) if (!ids.has(id)) service.leftOut.delete(id);
    const gone = [...service.endpoints.values()].filter((one) => !ids.has(idOf(one)));
    const comingCount = ids.size - (service.endpoints.size - gone.length);
    const work = endpoints.length + CHANGE_WORK * (comingCount + gone.length);
    const wanted = { endpoints, gone, cause };
    const isLong = gone.length + endpoints.length > LONG;
    const hasChanged = isLong
      ? this.longChanges.begin(service, wanted)
      : this.applyNow(service, wanted);
    return { hasChanged, work };
  }

  private applyNow(service: ServiceRecord, { endpoints, gone, cause }: WantedEndpoints): boolean {
    let hasChanged = gone.length > 0;
    for (const record of gone) this.remove({ service, record }, cause);
    for (const merged of endpoints) if (this.set(service, merged, cause)) hasChanged = true;
    this.reviewer.review(service, cause);
    return hasChanged;
  }

  /** What is done of a long change is published. */
  private endChange(change: LongChange, isWhole: boolean): void {
    const { slots, nextVersion } = this.options;
    const { service, cause } = change;
    for (const slot of change.slots) slots.leave(slot, nextVersion());
    this.changes.more(service, change);
    if (change.hasChanged) this.changed(service);
    if (isWhole) this.reviewer.review(service, cause);
  }

  private changed(service: ServiceRecord): void {
    const change = this.longChanges.underWay(service);
    if (change === null || !change.isQuiet) this.options.onChange(service);
  }

  /** Decides anew about every endpoint: the service is to be served in another way. */
  reconsider(service: ServiceRecord, cause: Cause): void {
    for (const record of service.endpoints.values()) {
      this.setRefusal({ service, record });
      this.checks.watch({ service, record });
      this.decide({ service, record }, cause);
    }
    this.reviewer.review(service, cause);
  }

  /**
   * What may be sent where has changed, at these ports alone if they are given: decides again about
   * the endpoints that this concerns.
   */
  reviewRefusals(cause: Cause, ports: ReadonlySet<number> | null): Set<ServiceRecord> {
    const concerned = new Set<ServiceRecord>();
    for (const place of this.bySlot.values()) {
      const { record, service } = place;
      const checkPort = service.service.health?.port ?? 0;
      if (ports?.has(record.merged.endpoint.port) === false && !ports.has(checkPort)) continue;
      if (!this.setRefusal(place)) continue;
      this.checks.watch(place);
      this.decide(place, cause);
      concerned.add(place.service);
    }
    for (const service of concerned) this.reviewer.review(service, cause);
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

  /** The service is gone; returns how much work that was, as `apply` does. */
  removeAll(service: ServiceRecord, cause: Cause): number {
    this.longChanges.abandon(service);
    service.failoverTimer?.cancel();
    const all = [...service.endpoints.values()];
    const lines = linesOf();
    this.lines = lines;
    for (const record of all) this.remove({ service, record }, cause);
    this.lines = undefined;
    this.changes.more(service, { lines, cause });
    return CHANGE_WORK * all.length;
  }

  /** An active check came to another state. */
  onCheck(key: string): void {
    const found = this.checks.find(key);
    if (found === null) return;
    const { place, state } = found;
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
    if (place !== undefined) this.checks.hurry(place.service, idOf(place.record));
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
    const atMs = this.options.clock.wallMs();
    const { effective, stay } = record;
    if (effective === null || !takesWork(effective)) return;
    record.stay = { text, why, atMs, untilMs: atMs + STAY_MS };
    if (stay?.why === why && atMs < stay.untilMs) return;
    this.changes.notEjected({ service, record }, text, why);
  }

  /** The operator said something about this endpoint. */
  onOperator(service: ServiceRecord, record: EndpointRecord, cause: Cause): void {
    this.decideAlone({ service, record }, cause);
  }

  close(): void {
    this.longChanges.close();
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
      if (this.setRefusal(place) || isOtherCheck) this.checks.watch(place);
      return this.decide(place, cause);
    }
    // At another address it is another endpoint: nothing that was counted or seen is about it.
    if (known !== undefined) this.remove({ service, record: known }, cause);
    const isNewlyLeftOut = !service.leftOut.has(endpoint.id);
    const record = this.add(service, merged);
    if (record === null) return known !== undefined || isNewlyLeftOut;
    this.setRefusal({ service, record });
    this.checks.watch({ service, record });
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
    const { slots, nextVersion } = this.options;
    const change = this.longChanges.underWay(service);
    service.endpoints.delete(idOf(record));
    service.refusals.delete(idOf(record));
    this.bySlot.delete(record.slot);
    record.timer?.cancel();
    this.checks.unwatch({ service, record });
    if (change === null) slots.leave(record.slot, nextVersion());
    else change.slots.push(record.slot);
    service.recount(record.effective, null);
    this.tell({ service, record }, { before: record.effective, after: null, cause });
    this.changed(service);
  }

  /** Decides anew, and tells if that changes anything. */
  private decide(place: Place, cause: Cause): boolean {
    const { service, record } = place;
    const { clock, operator } = this.options;
    const { merged, slot, refused, ejection, hasWorked, effective: before } = record;
    const { id } = merged.endpoint;
    const after = reconcile(service.service, {
      merged,
      slot,
      refused,
      ejection,
      hasWorked,
      before,
      check: this.checks.stateOf(service, id),
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
    this.changed(service);
    return true;
  }

  private tell(place: Place, change: EndpointChange): void {
    const lines = this.longChanges.underWay(place.service)?.lines ?? this.lines;
    this.changes.endpoint(place, change, lines);
  }

  /** A change of one endpoint, after which the service is looked at as a whole. */
  private decideAlone(place: Place, cause: Cause): void {
    this.decide(place, cause);
    this.reviewer.review(place.service, cause);
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
}

/** Whether no decision can be another. */
function isSame(a: Merged, b: Merged): boolean {
  return (
    a.held === b.held &&
    a.priority === b.priority &&
    a.endpoint.weight === b.endpoint.weight &&
    a.endpoint.status === b.endpoint.status &&
    a.endpoint.hostName === b.endpoint.hostName &&
    a.endpoint.transport === b.endpoint.transport &&
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

function haveSameNamings({ namings: a }: Merged, { namings: b }: Merged): boolean {
  if (a.length !== b.length) return false;
  return a.every(({ source, id }, i) => {
    const other = b[i]!;
    if (id !== other.id) return false;
    return source === other.source || sourceKey(source) === sourceKey(other.source);
  });
}
