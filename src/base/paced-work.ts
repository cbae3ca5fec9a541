// Work that others may cause at will, and that costs more the more there is of it. Each source of such
// work has an account: it is worked for at once while it has something left, however much that takes,
// and then waits until what it took has come back. Of what comes meanwhile only the last is worked on.
// So a source that changes now and then is served as it comes, and one that flaps is slowed, alone.
// Invariant: what was asked for last is worked on, unless this is closed before.
import type { Clock, Timer } from './clock.ts';

export interface PacedWorkOptions<W> {
  readonly clock: Clock;
  /** What an account has at the most; an account that nobody used for a while has it. */
  readonly burst: number;
  /** What comes back to it. */
  readonly ratePerSecond: number;
  /** Does the work; returns what it takes from the account. */
  readonly run: (key: string, work: W) => number;
  /** What waits, and what takes its place, as one. */
  readonly join: (waiting: W, next: W) => W;
}

interface Account<W> {
  left: number;
  /** Clock.nowMs() at which it had that. */
  atMs: number;
  /** Null where nothing waits. */
  waiting: { work: W; readonly timer: Timer } | null;
}

/** Accounts that are full again are forgotten when there are so many, and twice what was left then. */
const SWEEP_MIN = 256;

export class PacedWork<W> {
  private readonly options: PacedWorkOptions<W>;
  private readonly accounts = new Map<string, Account<W>>();
  private sweepAt = SWEEP_MIN;
  private isClosed = false;

  constructor(options: PacedWorkOptions<W>) {
    this.options = options;
  }

  /** Works for `key` now, or when its account allows it. */
  ask(key: string, work: W): void {
    if (this.isClosed) return;
    const account = this.accountOf(key);
    if (account.waiting !== null) {
      account.waiting.work = this.options.join(account.waiting.work, work);
      return;
    }
    if (account.left > 0) this.run(key, account, work);
    else this.wait(key, account, work);
  }

  /** Whether what was asked for last has yet to be worked on. */
  isWaiting(key: string): boolean {
    return (this.accounts.get(key)?.waiting ?? null) !== null;
  }

  /** Nothing is worked on after this. */
  close(): void {
    this.isClosed = true;
    for (const { waiting } of this.accounts.values()) waiting?.timer.cancel();
    this.accounts.clear();
  }

  private wait(key: string, account: Account<W>, work: W): void {
    const { clock, ratePerSecond } = this.options;
    // It has to have something, and not nothing.
    const waitMs = Math.max(1, ((1 - account.left) * 1000) / ratePerSecond);
    const timer = clock.setTimer(waitMs, () => {
      const { waiting } = account;
      account.waiting = null;
      if (waiting === null || this.isClosed) return;
      this.refill(account);
      if (account.left > 0) this.run(key, account, waiting.work);
      else this.wait(key, account, waiting.work);
    });
    account.waiting = { work, timer };
  }

  private run(key: string, account: Account<W>, work: W): void {
    account.left -= this.options.run(key, work);
  }

  private accountOf(key: string): Account<W> {
    let account = this.accounts.get(key);
    if (account !== undefined) {
      this.refill(account);
      return account;
    }
    if (this.accounts.size >= this.sweepAt) this.sweep();
    account = { left: this.options.burst, atMs: this.options.clock.nowMs(), waiting: null };
    this.accounts.set(key, account);
    return account;
  }

  private refill(account: Account<W>): void {
    const { clock, burst, ratePerSecond } = this.options;
    const nowMs = clock.nowMs();
    const gained = ((nowMs - account.atMs) * ratePerSecond) / 1000;
    account.left = Math.min(burst, account.left + gained);
    account.atMs = nowMs;
  }

  private sweep(): void {
    for (const [key, account] of this.accounts) {
      this.refill(account);
      if (account.waiting === null && account.left >= this.options.burst) this.accounts.delete(key);
    }
    this.sweepAt = Math.max(SWEEP_MIN, 2 * this.accounts.size);
  }
}
