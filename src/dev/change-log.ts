// The one index of the registry and everyone who waits for it to rise. As in Consul, each write
// raises it once, whatever it touches, and a blocking query sleeps until what it asked about has
// an index above the one it knows (Consul API, "Blocking Queries").
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';

export class ChangeLog {
  private readonly clock: Clock;
  /** A fresh agent is at more than 1 as well: its own node is written first. */
  private value = 9;
  private isOpen = false;
  private hasChanged = false;
  private readonly waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Runs one write; whoever waits looks again when it is complete. Returns what `run` does. */
  write<T>(run: () => T): T {
    assert(!this.isOpen, 'a write within a write');
    this.isOpen = true;
    this.hasChanged = false;
    try {
      return run();
    } finally {
      this.isOpen = false;
      if (this.hasChanged) for (const look of [...this.waiting]) look();
    }
  }

  /** The index of the write that runs; raised the first time that it is asked for. */
  touch(): number {
    assert(this.isOpen, 'a change outside of a write');
    if (!this.hasChanged) this.value += 1;
    this.hasChanged = true;
    return this.value;
  }

  /** Resolves when `isTrue` holds after a write, `waitMs` have passed, or `signal` fires. */
  until(isTrue: () => boolean, options: { waitMs: number; signal: AbortSignal }): Promise<void> {
    const { waitMs, signal } = options;
    if (isTrue() || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', done);
        this.waiting.delete(look);
        resolve();
      };
      const look = (): void => {
        if (isTrue()) done();
      };
      const timer = this.clock.setTimer(waitMs, done);
      signal.addEventListener('abort', done, { once: true });
      this.waiting.add(look);
    });
  }
}
