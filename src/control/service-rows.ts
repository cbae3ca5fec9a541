// Rows of the ledger for services, and the services that get none because all are taken. Services that
// describe themselves leave some rows for those that are configured.
import type { Logger } from '../base/log.ts';
import { type Ledger, SERVICE_SLOTS } from '../ledger/ledger.ts';
import { BOUNDS } from '../model/bounds.ts';
import { Slots } from './slots.ts';

/** Rows that only configured services get. */
const RESERVED = SERVICE_SLOTS / 8;

export class ServiceRows {
  private readonly log: Logger;
  private readonly slots: Slots;
  private readonly waiting = new Set<string>();
  /** Of them those that are configured. */
  private readonly waitingOwn = new Set<string>();

  constructor({ ledger, log }: { readonly ledger: Ledger; readonly log: Logger }) {
    this.log = log;
    this.slots = new Slots({
      capacity: SERVICE_SLOTS,
      isIdle: (slot) => ledger.connections(slot) === 0,
      clear: (slot) => ledger.clearService(slot),
    });
  }

  /** The row of a service that is new; null: there is none, and it is left out. */
  take(name: string, isConfigured: boolean): number | null {
    const mayTake = isConfigured || this.slots.room > RESERVED;
    const slot = mayTake ? this.slots.take() : null;
    if (slot !== null) {
      this.forget(name);
      return slot;
    }
    if (!this.waiting.has(name) && this.waiting.size <= BOUNDS.problems.max) {
      this.log.error({ service: name }, 'too many services: this one is left out');
    }
    this.waiting.add(name);
    if (isConfigured) this.waitingOwn.add(name);
    return null;
  }

  /** A service that has this row is gone from `version` on. */
  leave(slot: number, version: number): void {
    this.slots.leave(slot, version);
  }

  /** It wants no row any more. */
  forget(name: string): void {
    this.waiting.delete(name);
    this.waitingOwn.delete(name);
  }

  /** `version` is live in every worker. */
  applied(version: number): void {
    this.slots.applied(version);
  }

  /** Those for which there was no row. */
  get leftOut(): ReadonlySet<string> {
    return this.waiting;
  }

  /**
   * Lets those that were left out `take` again. There may be thousands: where one gets no row, those
   * behind it get none either.
   */
  retry(take: (name: string) => void): void {
    // Some rows are for configured services alone.
    for (const names of [this.waitingOwn, this.waiting]) {
      for (const name of names) {
        take(name);
        if (names.has(name)) break;
      }
    }
  }
}
