// The time that a request may take in all, over every attempt (timeouts.request). Made for the
// first request that has one, and kept with its exchange.
import { TimerEntry, type TimerOwner, type TimerWheel } from '../../base/timer-wheel.ts';

export interface DeadlineOwner {
  onDeadline(): void;
  onUpstreamBug(error: unknown): void;
}

export class Deadline implements TimerOwner {
  private readonly owner: DeadlineOwner;
  private readonly wheel: TimerWheel;
  private readonly timer = new TimerEntry(this);

  constructor(owner: DeadlineOwner, wheel: TimerWheel) {
    this.owner = owner;
    this.wheel = wheel;
  }

  set(ms: number): void {
    this.wheel.schedule(this.timer, ms);
  }

  clear(): void {
    this.wheel.cancel(this.timer);
  }

  onTimer(): void {
    this.owner.onDeadline();
  }

  onBug(error: unknown): void {
    this.owner.onUpstreamBug(error);
  }
}
