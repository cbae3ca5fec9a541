// Long work in turns: between two pieces other work of the thread has its turn, timers and sockets
// included.
import type { Clock } from './clock.ts';

/** So much is done at a time: an answer takes a few turns of the thread, and each may be one of these. */
const TURN_MS = 4;

/**
 * Work that may be interrupted wherever it yields; what it yields are pieces of text, or '' where
 * there is nothing but a place to stop. It returns what it was for.
 */
export type Steps<T = void> = Generator<string, T, void>;

export class Turns {
  private readonly clock: Clock;
  private beganMs: number;
  private before = 0;

  constructor(clock: Clock) {
    this.clock = clock;
    this.beganMs = clock.nowMs();
  }

  /** Whether this turn has been long enough. */
  get isOver(): boolean {
    return this.clock.nowMs() - this.beganMs >= TURN_MS;
  }

  /** The time of all turns, without that of others between them; ms. */
  get spentMs(): number {
    return this.before + this.clock.nowMs() - this.beganMs;
  }

  /** Lets others have their turn; the next one begins now. */
  async next(): Promise<void> {
    this.before = this.spentMs;
    await new Promise<void>((resolve) => this.clock.nextTurn(resolve));
    this.beganMs = this.clock.nowMs();
  }

  /** Does all of it; work that fits into one turn is done when this returns. */
  async run<T>(work: Steps<T>, take: (piece: string) => void = ignore): Promise<T> {
    for (;;) {
      const { done, value } = work.next();
      if (done === true) return value;
      take(value);
      if (this.isOver) await this.next();
    }
  }
}

function ignore(): void {}
