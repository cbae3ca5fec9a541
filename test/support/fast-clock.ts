import { type Clock, systemClock, type Timer } from '../../src/base/clock.ts';

const TICK_MS = 1;
/**
 * So much of the machine's time counts from one tick to the next. A busy machine lets this thread stand still for
 * hundreds of ms, in which nobody could ask or answer: at fifty times the speed a deadline of ten seconds would pass.
 */
const STEP_MS_MAX = 10;

/** Time of the thread, without what it stood still. All fast clocks are moved by it. */
const thread = {
  passedMs: 0,
  atMs: 0,
  moved: new Set<() => void>(),

  nowMs(): number {
    return this.passedMs + Math.min(STEP_MS_MAX, systemClock.nowMs() - this.atMs);
  },

  /** Calls `move` at each tick; it does not keep the process alive. */
  follow(move: () => void): void {
    if (this.moved.size === 0) {
      this.atMs = systemClock.nowMs();
      systemClock.setTicker(TICK_MS, () => this.tick());
    }
    this.moved.add(move);
  },

  tick(): void {
    this.passedMs = this.nowMs();
    this.atMs = systemClock.nowMs();
    for (const run of this.moved) run();
  },
};

/**
 * A clock by which everything takes a `factor`-th of its time: a minute of waiting in a second, or more where the
 * machine is busy.
 */
export function fastClock(factor: number): Clock {
  const timers = new Set<{ readonly dueMs: number; readonly run: () => void }>();
  const nowMs = (): number => thread.nowMs() * factor;
  thread.follow(() => {
    const endMs = thread.passedMs * factor;
    const due = [...timers].filter(({ dueMs }) => dueMs <= endMs);
    for (const timer of due.sort((a, b) => a.dueMs - b.dueMs)) {
      if (timers.delete(timer)) timer.run();
    }
  });
  return {
    nowMs,
    wallMs: () => systemClock.wallMs(),
    setTimer(delayMs, run): Timer {
      const timer = { dueMs: nowMs() + delayMs, run };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
    nextTurn: (run) => systemClock.nextTurn(run),
  };
}
