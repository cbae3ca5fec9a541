// Wires that are not read for a while, since what they read costs more than its bytes: a few go on in each turn of
// the event loop, in order. So however many there are, they take no more than a part of the thread.

/** Each reads up to 16 KiB of records, which are hundreds where they are small. */
const GO_ON_A_TURN = 2;

export interface Resting {
  rested(): void;
}

/** Of a thread. */
export interface Pace {
  /** Calls `run` in the next turn of the event loop. */
  readonly later: (run: () => void) => void;
  /** Monotonic. */
  readonly nowMs: () => number;
}

/** Of one thread. */
export class Rests {
  private waiting: Resting[] = [];

  /** How many wait. */
  get size(): number {
    return this.waiting.length;
  }

  /** `rested` is called in a later turn, in order. */
  add(one: Resting, pace: Pace): void {
    this.waiting.push(one);
    if (this.waiting.length === 1) pace.later(() => this.turn(pace));
  }

  private turn(pace: Pace): void {
    const next = this.waiting.slice(0, GO_ON_A_TURN);
    // What rests again stands behind those that wait.
    this.waiting = this.waiting.slice(GO_ON_A_TURN);
    if (this.waiting.length > 0) pace.later(() => this.turn(pace));
    for (const one of next) one.rested();
  }
}
