// Rows of the ledger, given out and taken back. A row is used again only when no worker can write
// to it any more: the snapshot without it is live everywhere, and nothing is in flight on it.

export interface SlotsOptions {
  readonly capacity: number;
  /** Nothing is in flight on the slot. */
  readonly isIdle: (slot: number) => boolean;
  /** Zeroes the row for its next owner. */
  readonly clear: (slot: number) => void;
}

export class Slots {
  private readonly options: SlotsOptions;
  private next = 0;
  private free: number[] = [];
  /** Slots whose owner has left, with the version that no longer has it. */
  private leaving: { slot: number; version: number }[] = [];
  private liveVersion = 0;

  constructor(options: SlotsOptions) {
    this.options = options;
  }

  /** Slots that can be had now. */
  get room(): number {
    return this.options.capacity - this.next + this.free.length;
  }

  /** A slot for a new owner, or null when all are taken. */
  take(): number | null {
    const slot = this.free.pop();
    if (slot !== undefined) return slot;
    if (this.next < this.options.capacity) {
      this.next += 1;
      return this.next - 1;
    }
    // What was in flight at the last look may have ended since.
    this.reclaim();
    return this.free.pop() ?? null;
  }

  /** The owner is gone from `version` on. */
  leave(slot: number, version: number): void {
    this.leaving.push({ slot, version });
  }

  /** `version` is live in every worker: what left before it may be used again. */
  applied(version: number): void {
    this.liveVersion = Math.max(this.liveVersion, version);
    if (this.leaving.length > 0) this.reclaim();
  }

  private reclaim(): void {
    const { isIdle, clear } = this.options;
    this.leaving = this.leaving.filter((one) => {
      if (one.version > this.liveVersion || !isIdle(one.slot)) return true;
      clear(one.slot);
      this.free.push(one.slot);
      return false;
    });
  }
}
