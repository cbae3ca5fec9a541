// Long work in turns: between two pieces other work of the thread has its turn, timers and sockets
// included. All long work of a thread shares one turn: an answer takes the thread a few rounds through its
// events, and each round has one piece of long work, however much of that there is.
import type { Clock } from './clock.ts';

/** So much is done at a time; what an answer waits for is a few of these. */
const TURN_MS = 2;

/**
 * Work that may be interrupted wherever it yields; what it yields are pieces of text, or '' where
 * there is nothing but a place to stop. It returns what it was for.
 */
export type Steps<T = void> = Generator<string, T, void>;

/** What waits for its turn, the longest first; one a round. */
class Rounds {
  private readonly clock: Clock;
  private waiting: (() => void)[] = [];
  private isScheduled = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  add(run: () => void): void {
    this.waiting.push(run);
    this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.clock.nextTurn(this.round);
  }

  private readonly round = (): void => {
    this.isScheduled = false;
    const next = this.waiting.shift();
    if (this.waiting.length > 0) this.schedule();
    next?.();
  };
}

/** Each thread has one clock. */
const rounds = new WeakMap<Clock, Rounds>();

/** Calls `run` when long work of the thread of this clock has its turn: after what waits already. */
export function takeTurn(clock: Clock, run: () => void): void {
  let known = rounds.get(clock);
  if (known === undefined) {
    known = new Rounds(clock);
    rounds.set(clock, known);
  }
  known.add(run);
}

/** Between turns of work that nobody waits for urgently, ms: an answer takes a few rounds, without any of it. */
export const REST_MS = 2;

export class Turns {
  private readonly clock: Clock;
  private readonly restMs: number;
  private beganMs: number;
  private before = 0;

  /** `restMs`: at least so long between two turns. */
  constructor(clock: Clock, restMs = 0) {
    this.clock = clock;
    this.restMs = restMs;
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

  /** What `work` comes to: another thread or a disk is busy with it, which is nobody's turn. */
  async apart<T>(work: Promise<T>): Promise<T> {
    this.before = this.spentMs;
    try {
      return await work;
    } finally {
      this.beganMs = this.clock.nowMs();
    }
  }

  /** Lets others have their turn; the next one begins now. */
  async next(): Promise<void> {
    this.before = this.spentMs;
    const { clock, restMs } = this;
    if (restMs > 0) await new Promise<void>((resolve) => clock.setTimer(restMs, resolve));
    await new Promise<void>((resolve) => takeTurn(clock, resolve));
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
