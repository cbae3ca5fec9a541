import type { Clock, Timer } from '../../src/base/clock.ts';

/** A clock that stands still until `advance` is called; timers then run in order of their time. */
export class ManualClock implements Clock {
  private now = 0;
  private readonly wallStart = Date.UTC(2026, 0, 1);
  private timers: { at: number; run: () => void }[] = [];

  nowMs(): number {
    return this.now;
  }

  wallMs(): number {
    return this.wallStart + this.now;
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const timer = { at: this.now + delayMs, run };
    this.timers.push(timer);
    return { cancel: () => this.remove(timer) };
  }

  nextTurn(run: () => void): void {
    setImmediate(run);
  }

  /** Lets `ms` pass; timers which the run sets are run too when they fall into it. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const due = this.timers
        .filter((timer) => timer.at <= end)
        .reduce<{ at: number; run: () => void } | null>(
          (first, timer) => (first === null || timer.at < first.at ? timer : first),
          null,
        );
      if (due === null) break;
      this.remove(due);
      this.now = Math.max(this.now, due.at);
      due.run();
    }
    this.now = end;
  }

  /** How many timers wait. */
  get waiting(): number {
    return this.timers.length;
  }

  private remove(timer: { at: number; run: () => void }): void {
    this.timers = this.timers.filter((other) => other !== timer);
  }
}
