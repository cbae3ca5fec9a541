// What a peer may cost without getting anything done. Frames that do no work cost points, which come
// back with time and with work: an honest peer never runs out of them, a flood does at once. Resets
// have points of their own, for each may have cost an endpoint a request.

const POINTS = 2000;
const POINTS_PER_SECOND = 500;
const RESETS = 200;
const RESETS_PER_SECOND = 100;

export const Cost = {
  windowUpdate: 1,
  priority: 1,
  /** Of a type that we don't know, or for a stream that has ended. */
  unknown: 1,
  emptyData: 2,
  /** A head beyond its bounds, and so many of its fields more. */
  tooLarge: 100,
  fieldsPerPoint: 16,
  ping: 4,
  settings: 10,
} as const;

/** What a piece of DATA with this many bytes, or a message that has ended, is worth. */
const Worth = { bytes: 1024, data: 2, little: 1, message: 8 } as const;

export class FloodGuard {
  private readonly nowMs: () => number;
  private points = POINTS;
  private resets = RESETS;
  private updatedMs: number;

  /** `nowMs`: a monotonic clock, of which coarse ticks are enough. */
  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
    this.updatedMs = nowMs();
  }

  /** False: it was one too many. */
  spend(cost: number): boolean {
    this.points -= cost;
    if (this.points < 0) this.refill();
    return this.points >= 0;
  }

  /** A stream was reset by the peer, or made us reset it. False: it was one too many. */
  spendReset(): boolean {
    this.resets -= 1;
    if (this.resets < 0) this.refill();
    return this.resets >= 0;
  }

  /** Content has come. */
  earnReceived(bytes: number): void {
    this.earn(bytes >= Worth.bytes ? Worth.data : Worth.little);
  }

  /** Content was sent; `isAll`: no window was in its way, which a peer may open a byte at a time. */
  earnSent(bytes: number, isAll: boolean): void {
    if (bytes >= Worth.bytes) this.earn(Worth.data);
    else if (isAll) this.earn(Worth.little);
  }

  private earn(points: number): void {
    this.points = Math.min(POINTS, this.points + points);
  }

  /** A message has ended as it should. */
  earnMessage(): void {
    this.earn(Worth.message);
    this.resets = Math.min(RESETS, this.resets + 1);
  }

  /** The clock is read only by those who have run out. */
  private refill(): void {
    const now = this.nowMs();
    const seconds = (now - this.updatedMs) / 1000;
    this.updatedMs = now;
    this.points = Math.min(POINTS, this.points + seconds * POINTS_PER_SECOND);
    this.resets = Math.min(RESETS, this.resets + seconds * RESETS_PER_SECOND);
  }
}
