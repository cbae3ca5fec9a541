// Which services are served: brings them up to the table, and their endpoints up to what their sources say.
// A service has a row in the ledger from when it comes until no worker has it any more.
import type { Clock } from '../base/clock.ts';
import type { Cause } from '../model/cause.ts';
import type { Service } from '../model/service.ts';
import { sourceKey } from '../model/source.ts';
import type { Comparisons } from './comparisons.ts';
import type { Applied, Endpoints } from './endpoints.ts';
import type { EventLog } from './events.ts';
import type { Wanting } from './listening.ts';
import { type Merged, merge } from './merge.ts';
import type { ProblemLog } from './problem-log.ts';
import type { Publisher } from './publish.ts';
import type { ServiceProblems } from './service-problems.ts';
import { ServiceRecord } from './service-record.ts';
import type { ServiceRows } from './service-rows.ts';
import type { Sources } from './sources.ts';
import type { Table, TableChange } from './table.ts';
import type { Transports } from './transports.ts';

/** A service that comes, goes, or is served in another way is as much work as so many endpoints. */
const SERVICE_WORK = 100;

export interface ServedServicesOptions {
  readonly clock: Clock;
  readonly table: Table;
  readonly sources: Sources;
  readonly transports: Transports;
  readonly endpoints: Endpoints;
  readonly comparisons: Comparisons;
  readonly rows: ServiceRows;
  readonly publisher: Publisher;
  readonly events: EventLog;
  readonly problems: ServiceProblems;
  readonly problemLog: ProblemLog;
}

export class ServedServices {
  private readonly options: ServedServicesOptions;
  private readonly records = new Map<string, ServiceRecord>();

  constructor(options: ServedServicesOptions) {
    this.options = options;
  }

  /** Null where no such service is served. */
  get(name: string): ServiceRecord | null {
    return this.records.get(name) ?? null;
  }

  /** In the order in which they came. */
  all(): Iterable<ServiceRecord> {
    return this.records.values();
  }

  /** Brings services up to the table; `hasChanged` if any was concerned. */
  settle({ changed, removed }: TableChange, cause: Cause): Applied {
    let work = 0;
    for (const name of removed) work += this.remove(name, cause);
    for (const name of changed) if (this.isConfigured(name)) work += this.set(name, cause);
    for (const name of changed) if (!this.isConfigured(name)) work += this.set(name, cause);
    if (changed.length === 0 && removed.length === 0) return { hasChanged: false, work };
    // What was left out for want of a row in the ledger may have one now.
    this.options.rows.retry((name) => this.set(name, cause));
    this.options.publisher.changeListeners();
    return { hasChanged: true, work: work + SERVICE_WORK };
  }

  /** Returns how much work it was. */
  private set(name: string, cause: Cause): number {
    const { endpoints, publisher, table } = this.options;
    const desired = table.get(name);
    if (desired === null) return 0;
    const { service } = desired;
    const known = this.records.get(name);
    const record = known ?? this.add(service);
    if (record === null) return 0;
    record.service = service;
    publisher.change(name);
    this.tell(name, { from: known === undefined ? '' : 'served', to: 'served', cause });
    // A new source that has not answered yet takes nothing away; what it says then does.
    const { work } = endpoints.apply(record, this.mergedOf(record), cause);
    if (known !== undefined) endpoints.reconsider(record, cause);
    this.logProblems(name);
    return work;
  }

  private isConfigured(name: string): boolean {
    return this.options.table.get(name)?.isConfigured === true;
  }

  private add(service: Service): ServiceRecord | null {
    const { name } = service;
    const slot = this.options.rows.take(name, this.isConfigured(name));
    if (slot === null) return null;
    const record = new ServiceRecord(service, slot);
    this.records.set(name, record);
    this.options.comparisons.follow(record);
    return record;
  }

  /** Returns how much work it was. */
  private remove(name: string, cause: Cause): number {
    const { comparisons, endpoints, problemLog, publisher, rows } = this.options;
    rows.forget(name);
    const record = this.records.get(name);
    if (record === undefined) return 0;
    const work = endpoints.removeAll(record, cause);
    this.records.delete(name);
    problemLog.forget(name);
    comparisons.forget(record);
    publisher.change(name);
    rows.leave(record.slot, publisher.nextVersion);
    this.tell(name, { from: 'served', to: '', cause });
    return work;
  }

  /** Brings the endpoints of every service that the source of this key serves up to what it says. */
  applySource(key: string, cause: Cause): Applied {
    let hasChanged = false;
    let work = 0;
    for (const name of this.options.table.servedBy(key)) {
      const record = this.records.get(name);
      if (record === undefined) continue;
      const applied = this.options.endpoints.apply(record, this.mergedOf(record), cause);
      hasChanged ||= applied.hasChanged;
      work += applied.work;
    }
    return { hasChanged, work };
  }

  /** What the sources of a service say now, brought together. */
  private mergedOf({ service, endpoints }: ServiceRecord): Merged[] {
    const { sources, transports } = this.options;
    const words = service.from.map((used) => {
      const key = sourceKey(used.source);
      const admitted = sources.admitted(key);
      return { used, admitted: transports.usable(key, service.protocol, admitted) };
    });
    return merge(words, endpoints);
  }

  /** Whether an active check has found this endpoint of a source good, for any service. */
  isPassing(key: string, endpointId: string): boolean {
    const { endpoints, table } = this.options;
    return [...table.servedBy(key)].some((name) => {
      const record = this.records.get(name);
      const id = record?.idOf(key, endpointId);
      if (record === undefined || id === undefined) return false;
      const check = endpoints.checks.stateOf(record, id);
      return check?.isKnown === true && check.isUp;
    });
  }

  /** The services that want listeners, each kind in the order in which they get them. */
  wanting(names: readonly Pick<Service, 'name'>[]): Wanting {
    const { table } = this.options;
    const configured = names.flatMap(({ name }) => this.records.get(name)?.service ?? []);
    const described: { service: Service; order: number }[] = [];
    for (const { name, service } of this.records.values()) {
      if (this.isConfigured(name)) continue;
      described.push({ service, order: table.orderOf(name) });
    }
    described.sort((a, b) => a.order - b.order || (a.service.name < b.service.name ? -1 : 1));
    return { configured, described: described.map(({ service }) => service) };
  }

  /** Logs what is wrong with a service, where that has changed. */
  logProblems(name: string): void {
    const { problemLog, problems } = this.options;
    const record = this.records.get(name);
    const own = record === undefined ? [] : problems.of(record);
    problemLog.review(name, [...own, ...problems.unservedOf(name)]);
  }

  /** An event about a service as a whole. */
  private tell(service: string, step: { from: string; to: string; cause: Cause }): void {
    const { clock, events } = this.options;
    events.add({ atMs: clock.wallMs(), service, endpoint: '', reason: '', ...step });
  }
}
