// A timer of an exchange beside that of its attempt: the time for the whole request, or when a second
// try is due. Made for the first request that needs it, and kept with its exchange.
import { TimerEntry, type TimerOwner, type TimerWheel } from '../../base/timer-wheel.ts';

export interface AlarmOwner {
  onAlarm(alarm: Alarm): void;
  onBug(error: unknown): void;
}

export class Alarm implements TimerOwner {
  private readonly owner: AlarmOwner;
  private readonly wheel: TimerWheel;
  private readonly timer = new TimerEntry(this);

  constructor(owner: AlarmOwner, wheel: TimerWheel) {
    this.owner = owner;
    this.wheel = wheel;
  }

  /** In `ms`, rounded up to the ticks of the wheel; an earlier setting is replaced. */
  set(ms: number): void {
    this.wheel.schedule(this.timer, ms);
  }

  clear(): void {
    this.wheel.cancel(this.timer);
  }

  onTimer(): void {
    this.owner.onAlarm(this);
  }

  onBug(error: unknown): void {
    this.owner.onBug(error);
  }
}
