// Schedules the active checks: each endpoint of a service with a check is asked at its interval,
// first at once (spread over a little time), sooner while its state is in doubt. It reports states;
// what they mean for traffic is reconcile's to say.
import type { Clock, Timer } from '../base/clock.ts';
import type { Random } from '../base/prng.ts';
import type { HealthCheck } from '../model/service.ts';
import { type ProbeOutcome, type ProbeTarget, probe } from './probe.ts';
import { type CheckState, initialState, observe } from './rise-fall.ts';

/** First checks of many endpoints at once are spread over so long, ms. */
const FIRST_SPREAD_MS = 100;
/** While results speak against the state, checks come at this share of the interval. */
const DOUBT_SHARE = 0.25;
const DOUBT_MS_MIN = 100;

export interface CheckerOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** The state of this endpoint's check has changed, or has its first result. */
  readonly onChange: (key: string, state: CheckState) => void;
  readonly probe?: (
    check: HealthCheck,
    target: ProbeTarget,
    signal: AbortSignal,
  ) => Promise<ProbeOutcome>;
}

interface Watch {
  readonly key: string;
  check: HealthCheck;
  target: ProbeTarget;
  state: CheckState;
  timer: Timer | null;
  /** Set while a check runs. */
  running: AbortController | null;
}

export class Checker {
  private readonly options: CheckerOptions;
  private readonly watches = new Map<string, Watch>();

  constructor(options: CheckerOptions) {
    this.options = options;
  }

  /**
   * Checks this endpoint from now on. Same key with other settings: goes on with the state it has,
   * unless the address is another.
   */
  watch(key: string, check: HealthCheck, target: ProbeTarget): void {
    const known = this.watches.get(key);
    const isSamePlace =
      known !== undefined &&
      known.target.address === target.address &&
      known.target.port === target.port;
    if (isSamePlace) {
      known.check = check;
      return;
    }
    this.unwatch(key);
    const state = initialState(check.initial);
    const watch: Watch = { key, check, target, state, timer: null, running: null };
    this.watches.set(key, watch);
    const spreadMs = Math.min(FIRST_SPREAD_MS, check.intervalMs / 10);
    this.schedule(watch, this.watches.size < 50 ? 0 : this.options.random() * spreadMs);
  }

  /** The endpoint has left: a check that runs is given up. */
  unwatch(key: string): void {
    const watch = this.watches.get(key);
    if (watch === undefined) return;
    this.watches.delete(key);
    watch.timer?.cancel();
    watch.running?.abort();
  }

  keys(): IterableIterator<string> {
    return this.watches.keys();
  }

  /** The state of this endpoint's check; null when it has none. */
  state(key: string): CheckState | null {
    return this.watches.get(key)?.state ?? null;
  }

  /** Something speaks against this endpoint: it is checked now, not at its interval. */
  hurry(key: string): void {
    const watch = this.watches.get(key);
    if (watch === undefined || watch.running !== null) return;
    watch.timer?.cancel();
    this.schedule(watch, 0);
  }

  close(): void {
    for (const key of [...this.watches.keys()]) this.unwatch(key);
  }

  private schedule(watch: Watch, delayMs: number): void {
    watch.timer = this.options.clock.setTimer(delayMs, () => void this.run(watch));
  }

  private async run(watch: Watch): Promise<void> {
    const { clock, onChange } = this.options;
    const running = new AbortController();
    watch.running = running;
    const startMs = clock.nowMs();
    const outcome = await (this.options.probe ?? probe)(watch.check, watch.target, running.signal);
    if (running.signal.aborted) return;
    watch.running = null;
    const before = watch.state;
    const durationMs = clock.nowMs() - startMs;
    watch.state = observe(before, { ...outcome, durationMs, atMs: clock.wallMs() }, watch.check);
    this.schedule(watch, this.nextMs(watch));
    if (watch.state.isUp !== before.isUp || !before.isKnown) onChange(watch.key, watch.state);
  }

  private nextMs({ state, check }: Watch): number {
    const jitter = 0.9 + this.options.random() * 0.2;
    const inDoubt = Math.max(DOUBT_MS_MIN, check.intervalMs * DOUBT_SHARE);
    return jitter * (state.against > 0 ? Math.min(inDoubt, check.intervalMs) : check.intervalMs);
  }
}
