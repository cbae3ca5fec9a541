// Long work in turns: between two pieces other work of the thread has its turn, timers and sockets
// included.
import type { Clock } from './clock.ts';

/** So much is done at a time: a tenth of what may be noticed on the stats port. */
const TURN_MS = 8;

export class Turns {
  private readonly clock: Clock;
  private beganMs: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.beganMs = clock.nowMs();
  }

  /** Whether this turn has been long enough. */
  get isOver(): boolean {
    return this.clock.nowMs() - this.beganMs >= TURN_MS;
  }

  /** Lets others have their turn; the next one begins now. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => this.clock.nextTurn(resolve));
    this.beganMs = this.clock.nowMs();
  }
}
