// Changes of a service's endpoints that are too long for one turn of the thread: thousands come or go. They
// are made in turns with pauses between them, first those that come, then those that go. Workers get
// such a change whole, at its end.
// Invariant: a service has one such change at most; `onEnd` is called once for each, but at `close`.
import type { Clock } from '../base/clock.ts';
import type { Cause } from '../model/cause.ts';
import { type Lines, linesOf } from './change-log.ts';
import type { Merged } from './merge.ts';
import { type EndpointRecord, idOf, type Place, type ServiceRecord } from './service-record.ts';

/** How long a turn is, ms, and after how many endpoints that is looked at. */
const TURN_MS = 2;
const TURN_ENDPOINTS = 32;
/** Between turns, ms: a new connection needs several turns of the thread. */
const PAUSE_MS = 4;

/** What is to become of the endpoints of a service. */
export interface WantedEndpoints {
  readonly endpoints: readonly Merged[];
  /** Those that are not among them. */
  readonly gone: readonly EndpointRecord[];
  readonly cause: Cause;
}

export interface LongChange extends WantedEndpoints {
  readonly service: ServiceRecord;
  /** How many of both are done. */
  done: number;
  hasChanged: boolean;
  /** Workers get what changes now at the end, and not turn by turn. */
  isQuiet: boolean;
  /** Rows of the ledger that are given back at the end: until then workers have them. */
  readonly slots: number[];
  readonly lines: Lines;
}

export interface LongChangesOptions {
  readonly clock: Clock;
  /** Brings one endpoint up to what its sources say; true if that changed anything. */
  readonly set: (service: ServiceRecord, merged: Merged, cause: Cause) => boolean;
  readonly remove: (place: Place, cause: Cause) => void;
  /** It is whole, or another change takes its place. */
  readonly onEnd: (change: LongChange, isWhole: boolean) => void;
}

export class LongChanges {
  private readonly options: LongChangesOptions;
  private readonly unfinished = new Map<ServiceRecord, LongChange>();
  /** The one that is worked on at this moment. */
  private current: LongChange | null = null;

  constructor(options: LongChangesOptions) {
    this.options = options;
  }

  /** The change of this service, while it is worked on; null at any other moment. */
  underWay(service: ServiceRecord): LongChange | null {
    return this.current?.service === service ? this.current : null;
  }

  /** Makes as much of it as there is time for, and the rest later; true where something changes. */
  begin(service: ServiceRecord, wanted: WantedEndpoints): boolean {
    const change: LongChange = {
      service,
      ...wanted,
      done: 0,
      hasChanged: false,
      slots: [],
      lines: linesOf(),
      // A service that had nothing gets the first of its endpoints at once.
      isQuiet: service.endpoints.size > 0,
    };
    this.unfinished.set(service, change);
    return this.goOn(change);
  }

  /** Ends the change of this service where it is. */
  abandon(service: ServiceRecord): void {
    const change = this.unfinished.get(service);
    if (change !== undefined) this.end(change, false);
  }

  /** None is gone on with. */
  close(): void {
    this.unfinished.clear();
  }

  private goOn(change: LongChange): boolean {
    this.current = change;
    let isDone = false;
    try {
      isDone = this.makeSome(change);
    } finally {
      this.current = null;
    }
    change.isQuiet = true;
    if (isDone) this.end(change, true);
    else this.pause(change);
    return change.hasChanged || !isDone;
  }

  /** The timer need not be cancelled: what is not the service's change any more is not gone on with. */
  private pause(change: LongChange): void {
    this.options.clock.setTimer(PAUSE_MS, () => {
      if (this.unfinished.get(change.service) === change) this.goOn(change);
    });
  }

  /** True when all of it is done. */
  private makeSome(change: LongChange): boolean {
    const { service, endpoints, gone, cause } = change;
    const { clock, set, remove } = this.options;
    const untilMs = clock.nowMs() + TURN_MS;
    const count = endpoints.length + gone.length;
    for (let i = 1; change.done < count; i += 1) {
      const coming = endpoints[change.done];
      const going = gone[change.done - endpoints.length];
      change.done += 1;
      if (coming !== undefined) {
        if (set(service, coming, cause)) change.hasChanged = true;
      } else if (going !== undefined && service.endpoints.get(idOf(going)) === going) {
        remove({ service, record: going }, cause);
        change.hasChanged = true;
      }
      if (i % TURN_ENDPOINTS === 0 && clock.nowMs() >= untilMs) break;
    }
    return change.done === count;
  }

  private end(change: LongChange, isWhole: boolean): void {
    this.unfinished.delete(change.service);
    this.options.onEnd(change, isWhole);
  }
}
