// Connections that were evicted close a few at a time. Clients that open another for each one that
// closes would come back all at once, and what they bring waits in the kernel ahead of everyone else.
import { TimerEntry, type TimerOwner, type TimerWheel } from '../../base/timer-wheel.ts';

/** A connection that has given its place back. */
export interface Departing {
  /** Closes it, unless its client has asked for something since, or has gone; true when it did. */
  depart(): boolean;
}

/** 10 at a time, with the tick that the wheel adds, are 200 a second. */
const STEP_MS = 25;
const STEP_COUNT = 10;
/** So many may wait, each with a descriptor ... */
const WAITING_MAX = 4096;
/** ... and no more than this share of the connections that there are. */
const WAITING_SHARE_MAX = 0.25;

export class Departures implements TimerOwner {
  private readonly wheel: TimerWheel;
  private readonly timer = new TimerEntry(this);
  /** The first to leave first. What has closed by itself is skipped. */
  private waiting: Departing[] = [];
  private left = 0;

  constructor(wheel: TimerWheel) {
    this.wheel = wheel;
  }

  get size(): number {
    return this.waiting.length - this.left;
  }

  /** One of `count` connections leaves later; where too many do, the first of them leaves now. */
  add(one: Departing, count: number): void {
    this.waiting.push(one);
    if (this.size > Math.min(WAITING_MAX, count * WAITING_SHARE_MAX)) this.close(1);
    if (!this.timer.isSet) this.wheel.schedule(this.timer, STEP_MS);
  }

  /** Closes the next `count` of them now; returns how many there were. */
  close(count: number): number {
    let closed = 0;
    while (closed < count && this.size > 0) {
      const one = this.waiting[this.left]!;
      this.left += 1;
      if (one.depart()) closed += 1;
    }
    if (this.left * 2 > this.waiting.length) {
      this.waiting = this.waiting.slice(this.left);
      this.left = 0;
    }
    return closed;
  }

  onTimer(): void {
    this.close(STEP_COUNT);
    if (this.size > 0) this.wheel.schedule(this.timer, STEP_MS);
    else this.wheel.remove(this.timer);
  }
}
