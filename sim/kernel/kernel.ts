// Simulated time and everything that happens in it, from one seed. One event runs at a time and to
// its end; then what it put off (`tick`, as process.nextTick), then the promises; then the next.
import type { Timer, WorkerClock } from '../../src/base/clock.ts';
import { Chance } from './chance.ts';
import { EventQueue } from './event-queue.ts';
import { Fifo } from './fifo.ts';
import { PromiseWatch } from './promises.ts';
import { noTrace, type Trace } from './trace.ts';

/** Simulated runs begin on this day: dates in their answers are the same whenever they run. */
const WALL_START_MS = Date.UTC(2026, 0, 1);
const NEVER = Number.POSITIVE_INFINITY;

interface Ticker {
  atMs: number;
  readonly everyMs: number;
  readonly run: () => void;
  readonly quietUntilMs: QuietUntil;
}

/** What is first to be done at or after `fromMs`, ms, if that is before `toMs`; otherwise `toMs`. */
export type QuietUntil = (fromMs: number, toMs: number) => number;

const neverQuiet: QuietUntil = (fromMs) => fromMs;

/** How a run came to its end. */
export type RunEnd = 'done' | 'idle' | 'time';

/**
 * How promises get as far as they can between two events. `microtasks`: the run goes on behind those that are
 * queued, until several times in a row none of them marked a promise. `turns`: the real event loop turns, for code
 * with Node's own streams and ticks in it; that costs several times as much.
 */
export type Settling = 'microtasks' | 'turns';
/** A promise that becomes another one takes two microtasks of which V8's hooks tell nothing. */
const CALM_ROUNDS = 3;

export class Kernel {
  readonly seed: number;
  readonly trace: Trace;
  private readonly settling: Settling;
  /** Simulated monotonic ms. */
  nowMs = 0;
  /** How many events have run. */
  eventCount = 0;
  readonly clock: WorkerClock = {
    originMs: WALL_START_MS,
    nowMs: () => this.nowMs,
    wallMs: () => WALL_START_MS + Math.floor(this.nowMs),
    setTimer: (delayMs, run) => this.after(delayMs, run),
    setTicker: (everyMs, run) => this.every(everyMs, run),
    nextTurn: (run) => void this.after(0, run),
  };
  private readonly queue = new EventQueue();
  /** What happens again and again is kept apart: it costs no event each time. */
  private readonly tickers: Ticker[] = [];
  /** When the first of them is due. */
  private tickMs = NEVER;
  private readonly ticks = new Fifo<() => void>();

  constructor(seed: number, trace: Trace = noTrace, settling: Settling = 'turns') {
    this.seed = seed;
    this.trace = trace;
    this.settling = settling;
  }

  /** The stream of draws of this name, from its beginning. */
  chance(name: string): Chance {
    return new Chance(this.seed, name);
  }

  /** Calls `run` at a simulated moment; one that has passed means now, after what is set for now. */
  at(atMs: number, run: () => void): Timer {
    return this.queue.push(atMs, run, this.nowMs);
  }

  after(delayMs: number, run: () => void): Timer {
    return this.at(this.nowMs + delayMs, run);
  }

  /** Calls `run` when the running event is done, and before any other: process.nextTick. */
  tick(run: () => void): void {
    this.ticks.push(run);
  }

  /** Events that are set and were not run; cancelled ones may be among them. */
  get pendingCount(): number {
    return this.queue.size;
  }

  /**
   * Lets time pass until `isDone` (asked after each event), `untilMs`, or nothing is left to happen;
   * returns which it was. What an event throws ends the run and is thrown here.
   */
  run(untilMs: number, isDone: () => boolean = () => false): Promise<RunEnd> {
    const promises = new PromiseWatch();
    return new Promise((resolve, reject) => {
      /** Rounds of microtasks that have to be calm before the next event. */
      let rounds = 0;
      const calm = (): void => {
        if (promises.isDirty) rounds = CALM_ROUNDS;
        promises.isDirty = false;
        if (rounds === 0) return go();
        rounds -= 1;
        queueMicrotask(calm);
      };
      const turned = (): void => {
        // All microtasks have run before the loop turns, those which others of them added included.
        promises.isDirty = false;
        go();
      };
      const go = (): void => {
        try {
          const end = this.runUntil(untilMs, isDone, promises);
          if (end === null) {
            if (this.settling === 'turns') setImmediate(turned);
            else calm();
            return;
          }
          promises.stop();
          resolve(end);
        } catch (error) {
          promises.stop();
          reject(error);
        }
      };
      go();
    });
  }

  /** Returns how the run ended, or null: promises have to settle before it goes on. */
  private runUntil(untilMs: number, isDone: () => boolean, promises: PromiseWatch): RunEnd | null {
    for (;;) {
      this.runTicks();
      if (promises.isDirty) return null;
      if (isDone()) return 'done';
      if (!this.step(untilMs)) {
        if (this.tickers.length === 0 && this.queue.nextMs() === NEVER) return 'idle';
        this.nowMs = untilMs;
        return 'time';
      }
    }
  }

  /** Runs what is due next, a ticker before events of the same moment; false: not before `untilMs`. */
  private step(untilMs: number): boolean {
    const nextMs = this.queue.nextMs();
    if (this.tickMs <= nextMs) {
      const lastMs = Math.min(nextMs, untilMs);
      if (this.tickMs > lastMs) return false;
      this.leap(lastMs);
      const ticker = this.firstTicker()!;
      this.nowMs = ticker.atMs;
      ticker.atMs += ticker.everyMs;
      this.setTickMs();
      this.eventCount += 1;
      ticker.run();
      return true;
    }
    if (nextMs > untilMs) return false;
    const event = this.queue.shift();
    this.nowMs = nextMs;
    this.eventCount += 1;
    event.run!();
    return true;
  }

  /**
   * Nothing but tickers comes before `toMs`: leaves out those of their ticks which find nothing to do. The
   * last one comes all the same, so that whoever ticks knows the time.
   */
  private leap(toMs: number): void {
    const { tickers } = this;
    let lastMs = toMs;
    for (const { atMs, everyMs, quietUntilMs } of tickers)
      if (lastMs >= atMs + everyMs) lastMs = Math.min(lastMs, quietUntilMs(atMs, lastMs));
    for (const ticker of tickers) {
      const turns = Math.floor((lastMs - ticker.atMs) / ticker.everyMs);
      if (turns > 0) ticker.atMs += turns * ticker.everyMs;
    }
  }

  private runTicks(): void {
    const { ticks } = this;
    while (ticks.size > 0) ticks.shift()!();
  }

  /** The one that is due first. */
  private firstTicker(): Ticker | null {
    const { tickers } = this;
    let first: Ticker | null = null;
    for (let i = 0; i < tickers.length; i += 1) {
      const ticker = tickers[i]!;
      if (first === null || ticker.atMs < first.atMs) first = ticker;
    }
    return first;
  }

  /** `quietUntilMs`: which ticks may be left out while nothing else happens; none unless it is said. */
  every(everyMs: number, run: () => void, quietUntilMs = neverQuiet): Timer {
    const { tickers } = this;
    const ticker = { atMs: this.nowMs + everyMs, everyMs, run, quietUntilMs };
    tickers.push(ticker);
    this.setTickMs();
    const cancel = (): void => {
      const at = tickers.indexOf(ticker);
      if (at >= 0) tickers.splice(at, 1);
      this.setTickMs();
    };
    return { cancel };
  }

  private setTickMs(): void {
    this.tickMs = this.firstTicker()?.atMs ?? NEVER;
  }
}
