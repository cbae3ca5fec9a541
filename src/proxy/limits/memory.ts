// What a worker takes while the process is short of memory: a few at a time. Not nothing, for memory
// that was freed need not return to the system, and then nothing would ever be served again. What
// began before goes on and is not counted.
import { TimerEntry, type TimerOwner, type TimerWheel } from '../../base/timer-wheel.ts';

/** Requests that a worker takes at a time while memory is short; as many TCP sessions and upgrades. */
export const SHORT_MAX = 16;
/** A session or tunnel that lasts gives its place to another after this time. */
export const SESSION_PLACE_MS = 10_000;

/** One of the few places; whoever entered gives it back, once. */
export interface Place {
  leave(): void;
}

class CountedPlace implements Place, TimerOwner {
  private readonly places: Places;
  private readonly timer = new TimerEntry(this);
  private isTaken = true;

  constructor(places: Places) {
    this.places = places;
    const { wheel, heldMs } = places;
    if (heldMs > 0) wheel.schedule(this.timer, heldMs);
  }

  leave(): void {
    this.places.wheel.remove(this.timer);
    if (!this.isTaken) return;
    this.isTaken = false;
    this.places.left();
  }

  /** It lasts: another may begin, while this one keeps nothing. */
  onTimer(): void {
    this.leave();
  }

  onBug(error: unknown): void {
    throw error;
  }
}

class Places {
  readonly wheel: TimerWheel;
  /** How long a place is held at most, ms; 0: until it is given back. */
  readonly heldMs: number;
  private taken = 0;

  constructor(wheel: TimerWheel, heldMs: number) {
    this.wheel = wheel;
    this.heldMs = heldMs;
  }

  /** Takes a place; null where there is none. */
  enter(): Place | null {
    if (this.taken >= SHORT_MAX) return null;
    this.taken += 1;
    return new CountedPlace(this);
  }

  left(): void {
    this.taken -= 1;
  }
}

export class Memory {
  isShort = false;
  /** Requests; each holds its place until it is answered. */
  readonly requests: Places;
  /** TCP sessions and upgrades, which may last for days. */
  readonly sessions: Places;

  constructor(wheel: TimerWheel) {
    this.requests = new Places(wheel, 0);
    this.sessions = new Places(wheel, SESSION_PLACE_MS);
  }
}
