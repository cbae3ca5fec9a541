// Whose turn it is among endpoints that are equally loaded: a smooth weighted turn, exact over all
// workers. Each endpoint has a time of its own in shared memory, which each request moves on by one
// step, 1 / weight; the endpoint whose next step has its middle earliest is next (Webster's method:
// weights 5, 1, 1 give a a b a c a a). A change of weight changes the steps to come alone.
// The service has a clock in shared memory too: what is earlier than the clock is due. Whoever finds
// nothing due any more moves it on by the shortest step. So a turn costs no scan: in rotation order
// the next that is due is near, and a scan of all is needed once for every W / wMax requests.
// Times count modulo 2^32. An endpoint is believed only near the clock: one that joins starts at the
// clock, one that was away or busy for long is owed two of the longest steps at the most.
import type { Choice } from './balancer.ts';

/** Times shared by all workers; any Int32Array will do where there is one. */
export interface Turns {
  /** By slot of the endpoint; 0: it has none yet. */
  readonly times: Int32Array;
  /** By slot of the service. */
  readonly clocks: Int32Array;
  /** Slot of this service. */
  readonly service: number;
}

/** The step of weight 1: weights up to 65,535 are kept apart to a hundredth. */
const UNIT = 2 ** 22;
/** Of a weight of 1/16: what is lighter counts as that. Far below half of the range of times. */
const STEP_MAX = 2 ** 26;

/** Longest steps that an endpoint may be owed, and may be ahead. */
const OWED_MAX = 2;
const AHEAD_MAX = 4;

export class Turn {
  private readonly turns: Turns;
  private slots = new Int32Array(0);
  private steps = new Int32Array(0);
  private stepMin = UNIT;
  private stepMax = UNIT;

  constructor(turns: Turns) {
    this.turns = turns;
  }

  /** An index of `isDue` and `untilDue` is a place in this list. */
  setChoices(choices: readonly Choice[]): void {
    this.slots = Int32Array.from(choices, ({ slot }) => slot);
    this.steps = Int32Array.from(choices, ({ weight }) =>
      Math.max(2, Math.min(STEP_MAX, Math.round(UNIT / weight))),
    );
    this.stepMin = this.steps.reduce((min, step) => Math.min(min, step), STEP_MAX);
    this.stepMax = this.steps.reduce((max, step) => Math.max(max, step), 0);
  }

  /** Whether the turn of the choice with this index has come. */
  isDue(index: number): boolean {
    const { clocks, service, times } = this.turns;
    const time = times[this.slots[index]!]!;
    const untilDue = ((time - clocks[service]!) | 0) + (this.steps[index]! >> 1);
    if (untilDue >= 0) return false;
    return time === 0 || untilDue < -OWED_MAX * this.stepMax ? this.untilDue(index) < 0 : true;
  }

  /**
   * How far off its turn is, as the clock counts (UNIT is a step of weight 1); negative where it is due. A time
   * that is too far from the clock is set near it.
   */
  untilDue(index: number): number {
    const { clocks, service, times } = this.turns;
    const slot = this.slots[index]!;
    const half = this.steps[index]! >> 1;
    const time = times[slot]!;
    const clock = clocks[service]!;
    const untilDue = ((time - clock) | 0) + half;
    if (time === 0 || untilDue > AHEAD_MAX * this.stepMax) {
      this.setTime(slot, time, clock);
      return half;
    }
    const owedMax = OWED_MAX * this.stepMax;
    if (untilDue >= -owedMax) return untilDue;
    this.setTime(slot, time, clock - owedMax - half);
    return -owedMax;
  }

  /** The choice with this index has its turn. */
  take(index: number): void {
    const { clocks, service, times } = this.turns;
    const slot = this.slots[index]!;
    const step = this.steps[index]!;
    const before = Atomics.add(times, slot, step);
    const clock = clocks[service]!;
    const next = (before + (step >> 1) + this.stepMin) | 0;
    // It was not due: nothing that might have it was. What comes within a step of it is due now.
    if (((next - this.stepMin - clock) | 0) >= 0) {
      Atomics.compareExchange(clocks, service, clock, next);
    }
  }

  /** Another worker may do the same at the same moment: one of them is enough. */
  private setTime(slot: number, from: number, to: number): void {
    Atomics.compareExchange(this.turns.times, slot, from, to | 0 || 1);
  }
}
