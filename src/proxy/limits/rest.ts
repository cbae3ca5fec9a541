// A connection that has cost its thread much in one read, for little content, is not read for a moment:
// the other connections come first. Without it a peer that sends bodies in chunks of one byte takes the
// whole thread, for a read of 64 KiB holds ten thousand of them.
import { TimerEntry, type TimerOwner, type TimerWheel } from '../../base/timer-wheel.ts';

/** Chunks in one read from which on the connection rests: some tenths of a millisecond of work. */
export const CHUNKS_MAX = 1024;
/** How long, ms; the wheel rounds it up to its ticks. */
const REST_MS = 25;

export interface Rested {
  /** It may be read again. */
  onRested(): void;
  onBug(error: unknown): void;
}

export class Rest implements TimerOwner {
  /** The connection is not to be read. */
  isOn = false;
  private readonly owner: Rested;
  private readonly wheel: TimerWheel;
  private readonly timer = new TimerEntry(this);

  constructor(owner: Rested, wheel: TimerWheel) {
    this.owner = owner;
    this.wheel = wheel;
  }

  begin(): void {
    this.isOn = true;
    this.wheel.schedule(this.timer, REST_MS);
  }

  /** Ends it without a word to the owner. */
  end(): void {
    this.isOn = false;
    this.wheel.remove(this.timer);
  }

  onTimer(): void {
    this.isOn = false;
    this.owner.onRested();
  }

  onBug(error: unknown): void {
    this.owner.onBug(error);
  }
}
