// Work that strangers may cause at will, and that costs the thread much at a time: a few pieces of it are
// begun in a turn, so many are under way, and waiting ones are taken address by address. What is under
// way and gets nowhere gives its place to those who wait.
// Invariant: an applicant waits, or is under way, or is unknown here.
import { ByAddress } from './by-address.ts';
import type { Clock } from './clock.ts';

/** So often it is looked for what gets nowhere, while others wait for a place. */
const LOOK_MS = 100;

export interface Applicant {
  readonly address: string;
  /** It has a place from now on, until it leaves. */
  begin(): void;
  /** It has lost its place, or waits in vain: it is to end, and to leave. */
  cut(): void;
}

export interface FairTurnsOptions {
  readonly clock: Clock;
  /** As many begin at once, without a turn, where nobody waits. */
  readonly straightMax: number;
  readonly beginsATurn: number;
  readonly underWayMax: number;
  /** While others wait, one that has been under way for so long may lose its place, ms. */
  readonly staleMs: number;
  readonly waitingMax: number;
  /** At least so long between two turns, ms: other work of the thread has the rest. Without it, none. */
  readonly restMs?: number;
  /**
   * In a turn as many begin at once of addresses that have fewer than `fewMax` here, also where others have all
   * places: they have as many again, in which those of them that wait begin as well. Without it, none.
   */
  readonly newcomersATurn?: number;
  readonly fewMax?: number;
}

export class FairTurns {
  private readonly options: FairTurnsOptions;
  private readonly waiting = new ByAddress<Applicant>();
  /** Since when; ms. */
  private readonly underWay = new Map<Applicant, number>();
  private isScheduled = false;
  private isLooking = false;
  /** The next turn may begin then; ms. */
  private freeMs = 0;
  /** That have begun at once since the last turn. */
  private newcomers = 0;

  constructor(options: FairTurnsOptions) {
    this.options = options;
  }

  /** Whether one more may begin at once; it says so by `begun`. */
  get hasRoom(): boolean {
    return this.waiting.size === 0 && this.underWay.size < this.options.straightMax;
  }

  /** Whether one of this address may begin at once though others wait; to be followed by `begun`. */
  mayOvertake(address: string): boolean {
    const { newcomersATurn = 0, fewMax = 1 } = this.options;
    if (!this.hasMore || this.newcomers >= newcomersATurn) return false;
    if (this.waiting.countOf(address) + this.underWayOf(address) >= fewMax) return false;
    this.newcomers += 1;
    // A turn of its own: there may be none of those that wait.
    if (this.newcomers === 1) this.options.clock.nextTurn(this.forget);
    return true;
  }

  private readonly forget = (): void => {
    this.newcomers = 0;
  };

  private underWayOf(address: string): number {
    let count = 0;
    for (const one of this.underWay.keys()) if (one.address === address) count += 1;
    return count;
  }

  /** How many are under way. */
  get size(): number {
    return this.underWay.size;
  }

  /** It has begun without waiting; `leave` follows. */
  begun(applicant: Applicant): void {
    this.underWay.set(applicant, this.options.clock.nowMs());
  }

  /** It begins in its turn. */
  wait(applicant: Applicant): void {
    this.waiting.add(applicant);
    if (this.waiting.size > this.options.waitingMax) this.waiting.heaviest()?.cut();
    this.schedule();
  }

  /** It is over, or has given up. */
  leave(applicant: Applicant): void {
    if (!this.waiting.remove(applicant)) this.underWay.delete(applicant);
    this.schedule();
  }

  private schedule(): void {
    if (this.waiting.size === 0) return;
    if (this.isFull) this.lookLater();
    if (this.isScheduled || !this.mayAnyBegin) return;
    this.isScheduled = true;
    const { clock } = this.options;
    const waitMs = this.freeMs - clock.nowMs();
    if (waitMs > 0) clock.setTimer(waitMs, this.round);
    else clock.nextTurn(this.round);
  }

  private readonly round = (): void => {
    const { clock, restMs = 0 } = this.options;
    this.isScheduled = false;
    this.freeMs = clock.nowMs() + restMs;
    this.turn();
    this.schedule();
  };

  private turn(): void {
    for (let i = 0; i < this.options.beginsATurn; i += 1) {
      const next = this.nextOne();
      if (next === null) return;
      this.waiting.remove(next);
      this.begun(next);
      next.begin();
    }
  }

  private get isFull(): boolean {
    return this.underWay.size >= this.options.underWayMax;
  }

  private get mayAnyBegin(): boolean {
    if (!this.isFull) return true;
    return this.hasMore && this.waiting.hasAddress(this.hasFewUnderWay);
  }

  private nextOne(): Applicant | null {
    if (!this.isFull) return this.waiting.next();
    return this.hasMore ? this.waiting.next(this.hasFewUnderWay) : null;
  }

  /** There are places beyond those that all may have: who has few does not wait for who has many to be cut. */
  private get hasMore(): boolean {
    const { newcomersATurn = 0, underWayMax } = this.options;
    return newcomersATurn > 0 && this.underWay.size < 2 * underWayMax;
  }

  private readonly hasFewUnderWay = (address: string): boolean =>
    this.underWayOf(address) < (this.options.fewMax ?? 1);

  private lookLater(): void {
    if (this.isLooking) return;
    this.isLooking = true;
    this.options.clock.setTimer(LOOK_MS, () => {
      this.isLooking = false;
      if (this.waiting.size > 0 && this.isFull) this.cutStale();
      this.schedule();
    });
  }

  /** Of the address that has the most under way, the oldest: as many as begin in ten turns at most. */
  private cutStale(): void {
    const { clock, staleMs, beginsATurn } = this.options;
    const lateMs = clock.nowMs() - staleMs;
    const counts = new Map<string, number>();
    for (const { address } of this.underWay.keys()) {
      counts.set(address, (counts.get(address) ?? 0) + 1);
    }
    const most = Math.max(0, ...counts.values());
    const stale = [...this.underWay].filter(
      ([{ address }, sinceMs]) => sinceMs <= lateMs && counts.get(address) === most,
    );
    for (const [applicant] of stale.slice(0, 10 * beginsATurn)) applicant.cut();
  }
}
