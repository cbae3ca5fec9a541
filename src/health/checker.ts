// Schedules the active checks: each endpoint of a service with a check is asked at its interval,
// first at once (spread over a little time), sooner while its state is in doubt. A bounded number
// runs at a time, and begins in a second; the others wait for their turn. It reports states; what they mean for traffic is
// reconcile's to say.
import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Random } from '../base/prng.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { HealthCheck } from '../model/service.ts';
import { type CheckOutcome, type CheckTarget, failed } from './outcome.ts';
import { type CheckState, initialState, observe } from './rise-fall.ts';

/** First checks of many endpoints at once are spread over so long, ms. */
const FIRST_SPREAD_MS = 100;
/** Fewer than these are not spread. */
const FEW = 50;
/** While results speak against the state, checks come at this share of the interval. */
const DOUBT_SHARE = 0.25;
/** ... but never closer together than this, suspects included. */
const APART_MS_MIN = 100;
/** How long a new endpoint that has not been good yet is checked at the shorter interval. */
const COMING_UP_MS = 30_000;
/** Checks that run at a time: each holds a socket. */
const RUNNING_MAX = 256;
/** Checks that begin in a second: each costs the main thread some tenths of a millisecond. */
const RATE_MAX = 1000;
/** How often it is logged that checks come late. */
const LATE_LOG_MS = 60_000;

export type Probe = (
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
) => Promise<CheckOutcome>;

export interface CheckerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** The state of this endpoint's check has changed, or has its first result. */
  readonly onChange: (key: string, state: CheckState) => void;
  readonly probe: Probe;
}

/** What is checked, and how it begins. */
export interface CheckRun extends CheckTarget {
  /** It is in use already: it counts as up until its first result. */
  readonly isUp: boolean;
  /** It was down when it was last known: it counts as down until its first result. */
  readonly wasDown?: boolean;
}

interface Watch {
  readonly key: string;
  check: HealthCheck;
  target: CheckTarget;
  readonly sinceMs: number;
  state: CheckState;
  /** It has been up at some time. */
  wasUp: boolean;
  timer: Timer | null;
  /** Clock.nowMs() when the last check began. */
  startedMs: number;
  /** Set while a check runs. */
  running: AbortController | null;
  /** It became suspect while a check was running. */
  isSuspect: boolean;
}

function targetOf({ address, port, hostName }: CheckTarget): CheckTarget {
  return { address, port, ...(hostName === undefined ? {} : { hostName }) };
}

export class Checker {
  private readonly options: CheckerOptions;
  private readonly watches = new Map<string, Watch>();
  /** Due, but as many run as may. */
  private readonly waiting = new Set<Watch>();
  private runningCount = 0;
  private readonly rate: TokenBucket;
  /** Set while checks wait for the rate alone. */
  private nextTurn: Timer | null = null;
  private loggedMs = Number.NEGATIVE_INFINITY;

  constructor(options: CheckerOptions) {
    this.options = options;
    const nowMs = options.clock.nowMs();
    this.rate = new TokenBucket({ burst: RATE_MAX, ratePerSecond: RATE_MAX, nowMs });
  }

  /**
   * Checks this endpoint from now on. The same key at the same address goes on with the state that
   * it has; where it is to be checked in another way, that is done at once.
   */
  watch(key: string, check: HealthCheck, run: CheckRun): void {
    const known = this.watches.get(key);
    const { address, port, hostName } = run;
    if (known !== undefined && known.target.address === address && known.target.port === port) {
      const isSameName = known.target.hostName === hostName;
      if (isSameName && isDeepStrictEqual(known.check, check)) return;
      known.check = check;
      known.target = targetOf(run);
      this.hurry(key);
      return;
    }
    this.unwatch(key);
    const sinceMs = this.options.clock.nowMs();
    const watch: Watch = {
      key,
      check,
      target: targetOf(run),
      sinceMs,
      state: initialState(run.isUp ? 'up' : run.wasDown === true ? 'down' : check.initial),
      wasUp: false,
      timer: null,
      startedMs: Number.NEGATIVE_INFINITY,
      running: null,
      isSuspect: false,
    };
    this.watches.set(key, watch);
    const spreadMs = Math.min(FIRST_SPREAD_MS, check.intervalMs / 10);
    this.schedule(watch, this.watches.size < FEW ? 0 : this.options.random() * spreadMs);
  }

  /** The endpoint has left: a check that runs is given up. */
  unwatch(key: string): void {
    const watch = this.watches.get(key);
    if (watch === undefined) return;
    this.watches.delete(key);
    this.waiting.delete(watch);
    watch.timer?.cancel();
    watch.running?.abort();
  }

  /** The state of this endpoint's check; null when it has none. */
  state(key: string): CheckState | null {
    return this.watches.get(key)?.state ?? null;
  }

  /** Something speaks against this endpoint: it is checked now, not at its interval. */
  hurry(key: string): void {
    const watch = this.watches.get(key);
    if (watch === undefined || this.waiting.has(watch)) return;
    // What runs may have begun before the trouble did: another follows it.
    if (watch.running !== null) watch.isSuspect = true;
    else this.schedule(watch, watch.startedMs + APART_MS_MIN - this.options.clock.nowMs());
  }

  close(): void {
    this.nextTurn?.cancel();
    for (const key of [...this.watches.keys()]) this.unwatch(key);
  }

  private schedule(watch: Watch, delayMs: number): void {
    watch.timer?.cancel();
    watch.timer = this.options.clock.setTimer(Math.max(0, delayMs), () => {
      watch.timer = null;
      this.waiting.add(watch);
      this.runNext();
    });
  }

  private async run(watch: Watch): Promise<void> {
    const { clock } = this.options;
    const running = new AbortController();
    watch.running = running;
    watch.startedMs = clock.nowMs();
    watch.isSuspect = false;
    this.runningCount += 1;
    const outcome = await this.probe(watch, running.signal);
    this.runningCount -= 1;
    if (!running.signal.aborted) this.take(watch, outcome);
    this.runNext();
  }

  /** Never rejects: a check that can't even be made is a bad one. */
  private async probe({ check, target }: Watch, signal: AbortSignal): Promise<CheckOutcome> {
    try {
      return await this.options.probe(check, target, signal);
    } catch (error) {
      return failed(error);
    }
  }

  private take(watch: Watch, outcome: CheckOutcome): void {
    const { clock, onChange } = this.options;
    watch.running = null;
    const before = watch.state;
    const durationMs = clock.nowMs() - watch.startedMs;
    watch.state = observe(before, { ...outcome, durationMs, atMs: clock.wallMs() }, watch.check);
    watch.wasUp ||= watch.state.isUp;
    this.schedule(watch, this.nextMs(watch));
    // A role that was not confirmed counts less than one that was.
    const hasTurned = watch.state.last?.role !== before.last?.role;
    if (watch.state.isUp !== before.isUp || !before.isKnown || hasTurned) {
      onChange(watch.key, watch.state);
    }
  }

  /** Begins the checks that are due, in their order, as far as the bounds allow. */
  private runNext(): void {
    if (this.nextTurn !== null) return;
    for (const watch of this.waiting) {
      if (this.runningCount >= RUNNING_MAX) return;
      const waitMs = this.rate.take(this.options.clock.nowMs());
      if (waitMs > 0) {
        this.waitForRate(waitMs);
        return;
      }
      this.waiting.delete(watch);
      void this.run(watch);
    }
  }

  private waitForRate(waitMs: number): void {
    const { clock, log } = this.options;
    this.nextTurn = clock.setTimer(waitMs, () => {
      this.nextTurn = null;
      this.runNext();
    });
    const nowMs = clock.nowMs();
    if (nowMs < this.loggedMs + LATE_LOG_MS) return;
    this.loggedMs = nowMs;
    const fields = { endpoints: this.watches.size, perSecond: RATE_MAX };
    log.warn(fields, 'health checks come later than their intervals ask; raise health.interval');
  }

  private nextMs(watch: Watch): number {
    if (watch.isSuspect) return APART_MS_MIN;
    const { intervalMs } = watch.check;
    const jitter = 0.9 + this.options.random() * 0.2;
    const soonMs = Math.min(intervalMs, Math.max(APART_MS_MIN, intervalMs * DOUBT_SHARE));
    return jitter * (this.isInDoubt(watch) ? soonMs : intervalMs);
  }

  private isInDoubt({ state, sinceMs, wasUp }: Watch): boolean {
    if (state.against > 0) return true;
    return !wasUp && this.options.clock.nowMs() - sinceMs < COMING_UP_MS;
  }
}
