// Coarse timers for many connections: setting one costs an assignment, no timer of Node's and no
// closure. An entry sits in the slot of its deadline; when the deadline moves later, the entry
// stays where it is and moves on when its slot comes up.
// What arrived while the thread was busy is read first: bytes that came in time are no time-out.
// A timer fires late by at most two ticks, and early only where the thread was busy for longer than a
// tick when it was set: by as much as that.
import type { Timer, WorkerClock } from './clock.ts';

export const TICK_MS = 25;
export const SLOTS = 512;
/** Timers that fire in one turn of the thread, where it has turns: the rest follows in the next ones. */
const FIRES_MAX = 64;
const NEVER = Number.POSITIVE_INFINITY;

/** What a timer calls. */
export interface TimerOwner {
  onTimer(): void;
  /** `onTimer` has thrown; without this, it throws through the wheel. */
  onBug?(error: unknown): void;
}

/** One per owner, made once and set again and again. */
export class TimerEntry {
  readonly owner: TimerOwner;
  /** Fields of the wheel. */
  deadlineMs = NEVER;
  slotMs = NEVER;
  next: TimerEntry | null = null;
  previous: TimerEntry | null = null;

  constructor(owner: TimerOwner) {
    this.owner = owner;
  }

  /** It is going to fire. */
  get isSet(): boolean {
    return this.deadlineMs !== NEVER;
  }
}

export class TimerWheel {
  /** Monotonic ms, as of the last tick: exact enough for time-outs, free to read. */
  nowMs: number;
  private readonly readClock: () => number;
  protected readonly slots: TimerEntry[];
  /** Slots up to this tick have been visited. */
  private visitedTick: number;
  private ticking: Timer | null = null;
  /** What left its slot and has not fired yet, from `fired` on. */
  private due: TimerEntry[] = [];
  private fired = 0;

  /** `readClock` returns monotonic milliseconds. */
  constructor(readClock: () => number) {
    this.readClock = readClock;
    this.nowMs = readClock();
    this.visitedTick = Math.floor(this.nowMs / TICK_MS);
    // The head of each slot's ring.
    this.slots = Array.from({ length: SLOTS }, () => {
      const head = new TimerEntry({ onTimer() {} });
      head.next = head;
      head.previous = head;
      return head;
    });
  }

  /** Begins to tick by itself; that does not keep the thread alive. */
  start(clock: Pick<WorkerClock, 'setTicker' | 'nextTurn'>): void {
    const fire = (): void => {
      if (this.ticking === null || !this.tick(FIRES_MAX) || isGoingOn) return;
      isGoingOn = true;
      clock.nextTurn(goOn);
    };
    // Thousands of connections may have been opened, and fall silent, at the same moment.
    let isGoingOn = false;
    const goOn = (): void => {
      isGoingOn = this.ticking !== null && this.fireDue(FIRES_MAX);
      if (isGoingOn) clock.nextTurn(goOn);
    };
    this.ticking ??= clock.setTicker(TICK_MS, () => {
      // Node calls timers before it reads sockets, so a thread that stood still would find its
      // connections timed out although what they waited for is there.
      this.nowMs = this.readClock();
      clock.nextTurn(fire);
    });
  }

  stop(): void {
    this.ticking?.cancel();
    this.ticking = null;
  }

  /** Calls the owner's onTimer once, `delayMs` from now; an earlier setting is replaced. */
  schedule(entry: TimerEntry, delayMs: number): void {
    // `nowMs` may be a tick behind: the extra tick keeps the timer from firing early.
    const deadlineMs = this.nowMs + delayMs + TICK_MS;
    entry.deadlineMs = deadlineMs;
    if (entry.slotMs > deadlineMs) this.place(entry, deadlineMs);
  }

  /** The timer won't fire; the entry leaves its slot when that comes up. */
  cancel(entry: TimerEntry): void {
    entry.deadlineMs = NEVER;
  }

  /** The owner is gone: the wheel forgets the entry now. */
  remove(entry: TimerEntry): void {
    entry.deadlineMs = NEVER;
    entry.slotMs = NEVER;
    if (entry.next !== null) unlink(entry);
  }

  /**
   * Fires what is due, `max` at the most; true where more is. Called by the ticking, or by a test that
   * turns the clock.
   */
  tick(max = Number.POSITIVE_INFINITY): boolean {
    const fromTick = this.visitedTick;
    this.nowMs = this.readClock();
    const toTick = Math.floor(this.nowMs / TICK_MS);
    this.visitedTick = toTick;
    const count = Math.min(SLOTS, toTick - fromTick);
    for (let i = 1; i <= count; i += 1) this.visit(this.slots[(toTick - count + i) % SLOTS]!);
    return this.fireDue(max);
  }

  /** All leave the slot before any fires: what fires may set and remove timers, in this very slot too. */
  private visit(head: TimerEntry): void {
    for (let entry = head.next!; entry !== head; entry = head.next!) {
      unlink(entry);
      entry.slotMs = NEVER;
      this.due.push(entry);
    }
  }

  private fireDue(max: number): boolean {
    const { due } = this;
    for (let count = 0; this.fired < due.length && count < max; this.fired += 1) {
      const entry = due[this.fired]!;
      // It was set again, cancelled or removed meanwhile.
      if (entry.slotMs !== NEVER || entry.deadlineMs === NEVER) continue;
      if (entry.deadlineMs <= this.nowMs) {
        entry.deadlineMs = NEVER;
        count += 1;
        fire(entry.owner);
      } else {
        this.place(entry, entry.deadlineMs);
      }
    }
    if (this.fired < due.length) return true;
    this.due = [];
    this.fired = 0;
    return false;
  }

  private place(entry: TimerEntry, deadlineMs: number): void {
    if (entry.next !== null) unlink(entry);
    // Beyond one turn it waits in the furthest slot and is placed again from there.
    const slotMs = Math.min(deadlineMs, this.nowMs + (SLOTS - 1) * TICK_MS);
    entry.slotMs = slotMs;
    // A slot comes up with the first tick within it, which may be a little before the deadline: the
    // entry then moves on by one. This tick's own slot has been visited already.
    const tick = Math.max(Math.floor(slotMs / TICK_MS), Math.floor(this.nowMs / TICK_MS) + 1);
    const head = this.slots[tick % SLOTS]!;
    entry.previous = head.previous;
    entry.next = head;
    head.previous!.next = entry;
    head.previous = entry;
  }
}

function fire(owner: TimerOwner): void {
  try {
    owner.onTimer();
  } catch (error) {
    if (owner.onBug === undefined) throw error;
    owner.onBug(error);
  }
}

function unlink(entry: TimerEntry): void {
  entry.previous!.next = entry.next;
  entry.next!.previous = entry.previous;
  entry.next = null;
  entry.previous = null;
}
