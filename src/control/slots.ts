// Rows of the ledger, given out and taken back. A row is used again only when no worker can write
// to it any more: the snapshot without it is live everywhere, and nothing is in flight on it.

export class Slots {
  private readonly capacity: number;
  private readonly isIdle: (slot: number) => boolean;
  private readonly clear: (slot: number) => void;
  private next = 0;
  private free: number[] = [];
  /** Slots whose owner has left, with the version that no longer has it. */
  private leaving: { slot: number; version: number }[] = [];

  constructor(options: {
    capacity: number;
    /** Nothing is in flight on the slot. */
    isIdle: (slot: number) => boolean;
    /** Zeroes the row for its next owner. */
    clear: (slot: number) => void;
  }) {
    this.capacity = options.capacity;
    this.isIdle = options.isIdle;
    this.clear = options.clear;
  }

  /** A slot for a new owner, or null when all are taken. */
  take(): number | null {
    const slot = this.free.pop();
    if (slot !== undefined) return slot;
    if (this.next >= this.capacity) return null;
    this.next += 1;
    return this.next - 1;
  }

  /** The owner is gone from `version` on. */
  leave(slot: number, version: number): void {
    this.leaving.push({ slot, version });
  }

  /** `version` is live in every worker: what left before it may be used again. */
  applied(version: number): void {
    this.leaving = this.leaving.filter((one) => {
      if (one.version > version || !this.isIdle(one.slot)) return true;
      this.clear(one.slot);
      this.free.push(one.slot);
      return false;
    });
  }
}
