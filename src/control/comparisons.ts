// Reads the ledger twenty times a second and keeps, per service, what its endpoints did with their
// requests beside each other (health/fault-history.ts, health/latency-history.ts). Says which of
// them did worse than their peers; who is ejected for it is not decided here.
// A service without requests costs two reads.
import type { Clock, Timer } from '../base/clock.ts';
import { type Compared, FaultHistory, type Outlier } from '../health/fault-history.ts';
import { LatencyHistory } from '../health/latency-history.ts';
import { BUCKETS, upperBoundUs } from '../ledger/histogram.ts';
import { EndpointColumn, ServiceColumn } from '../ledger/layout.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { takesWork } from '../model/endpoint.ts';
import type { EndpointRecord, ServiceRecord } from './service-record.ts';

const TICK_MS = 50;
/** Endpoints that may be read in a tick; after a look at more, as many ticks more are waited. */
const READ_MAX = 500;
/** Histograms are large: they are read in every tenth tick. */
const LATENCY_TICKS = 10;
/** Window of a service that compares response times alone, ms. */
const LATENCY_WINDOW_MS = 60_000;
const BOUNDS_MS = Array.from({ length: BUCKETS }, (_, bucket) => upperBoundUs(bucket) / 1000);

export interface ComparisonsOptions {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly onOutlier: (outlier: Outlier) => void;
}

interface Followed {
  readonly faults: FaultHistory;
  latencies: LatencyHistory | null;
  /** Exchanges and connections at the last look, and whether that look saw anything new. */
  activity: number;
  wasActive: boolean;
}

export class Comparisons {
  private readonly options: ComparisonsOptions;
  private readonly followed = new Map<ServiceRecord, Followed>();
  private timer: Timer | null = null;
  private ticks = 0;

  constructor(options: ComparisonsOptions) {
    this.options = options;
  }

  /** There is a service: from now on it is followed. */
  follow(service: ServiceRecord): void {
    if (!this.followed.has(service)) {
      const history = { faults: new FaultHistory(), latencies: null };
      this.followed.set(service, { ...history, activity: 0, wasActive: true });
    }
    this.timer ??= this.schedule();
  }

  /** The service is gone. */
  forget(service: ServiceRecord): void {
    this.followed.delete(service);
  }

  /** The endpoint beside its peers; null where none of them failed of late. */
  compared(service: ServiceRecord, slot: number): Compared | null {
    const { successRate } = service.service.passive;
    return this.followed.get(service)?.faults.compared(slot, successRate) ?? null;
  }

  close(): void {
    this.timer?.cancel();
  }

  private schedule(delayMs = TICK_MS): Timer {
    const { clock } = this.options;
    return clock.setTimer(delayMs, () => {
      this.ticks += 1;
      let read = 0;
      for (const [service, followed] of this.followed) read += this.look(service, followed);
      const restMs = TICK_MS * Math.max(1, read / READ_MAX);
      this.timer = this.followed.size > 0 ? this.schedule(restMs) : null;
    });
  }

  /** Returns how many endpoints were read. */
  private look(service: ServiceRecord, followed: Followed): number {
    const { clock, ledger, onOutlier } = this.options;
    const { passive } = service.service;
    const activity =
      ledger.serviceTotal(service.slot, ServiceColumn.requests) +
      ledger.serviceTotal(service.slot, ServiceColumn.connections);
    const isActive = activity !== followed.activity;
    const isToBeRead = isActive || followed.wasActive || !followed.faults.isQuiet;
    followed.activity = activity;
    // An outcome may be counted before its exchange is, or after: one more look sees it.
    followed.wasActive = isActive;
    const working = isToBeRead ? workingOf(service) : [];
    if (isToBeRead) this.readFaults(followed.faults, working, service);
    else followed.faults.rest(clock.nowMs());
    const found =
      isToBeRead && passive.successRate !== null
        ? followed.faults.outliers(passive.successRate)
        : [];
    const slow = this.slow(service, followed);
    for (const outlier of [...found, ...slow]) onOutlier(outlier);
    return working.length;
  }

  private readFaults(
    faults: FaultHistory,
    working: readonly EndpointRecord[],
    { service }: ServiceRecord,
  ): void {
    const { clock, ledger } = this.options;
    const readings = working.map(({ merged, slot }) => ({
      id: merged.endpoint.id,
      slot,
      faults: ledger.endpointTotal(slot, EndpointColumn.faults),
      requests: ledger.endpointTotal(slot, EndpointColumn.outcomes),
    }));
    faults.read(clock.nowMs(), readings, service.passive.successRate);
  }

  private slow(service: ServiceRecord, followed: Followed): Outlier[] {
    const { latency, successRate } = service.service.passive;
    if (latency === null) {
      followed.latencies = null;
      return [];
    }
    if (this.ticks % LATENCY_TICKS !== 0) return [];
    const { clock, ledger } = this.options;
    followed.latencies ??= new LatencyHistory(BOUNDS_MS);
    const readings = workingOf(service).map(({ merged, slot }) => ({
      id: merged.endpoint.id,
      slot,
      buckets: ledger.endpointBuckets(slot),
    }));
    const windowMs = successRate?.windowMs ?? LATENCY_WINDOW_MS;
    followed.latencies.read(clock.nowMs(), readings, windowMs);
    return followed.latencies.outliers(latency);
  }
}

/** Endpoints that get new requests: what others did is of another time. */
function workingOf(service: ServiceRecord): EndpointRecord[] {
  const working: EndpointRecord[] = [];
  for (const record of service.endpoints.values()) {
    if (record.effective !== null && takesWork(record.effective)) working.push(record);
  }
  return working;
}
