// How many datagrams a second each source address may send. An address is known by one number, the time
// at which what it has sent would be allowed at the steady rate (the generic cell rate algorithm). A flood
// from many addresses, which may be made up, costs a bounded table and no timer: when half of it is full,
// what was not asked for since the other half was is forgotten at once.
// Invariant: each half has HALF_MAX addresses at most.

const HALF_MAX = 32_768;
/** What may come at once is a second's worth. */
const BURST_MS = 1000;

export class SourceRates {
  private recent = new Map<string, number>();
  private before = new Map<string, number>();

  /** Known addresses; one that is in both halves counts twice. */
  get size(): number {
    return this.recent.size + this.before.size;
  }

  /** Whether another datagram of this address is within `perSecond`; `nowMs` is monotonic. */
  take(address: string, perSecond: number, nowMs: number): boolean {
    const known = this.recent.get(address) ?? this.before.get(address) ?? nowMs;
    const dueMs = Math.max(known, nowMs) + 1000 / perSecond;
    // A hair more, for sums of fractions.
    const isWithin = dueMs <= nowMs + BURST_MS + 1e-6;
    this.note(address, isWithin ? dueMs : known);
    return isWithin;
  }

  private note(address: string, dueMs: number): void {
    if (this.recent.size >= HALF_MAX && !this.recent.has(address)) {
      this.before = this.recent;
      this.recent = new Map();
    }
    this.recent.set(address, dueMs);
  }
}
