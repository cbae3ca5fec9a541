// The first checks of the endpoints that a process starts with: until they are over it has endpoints, and none
// that takes work, so it is not ready. Endpoints that come later are not waited for, and a check that hangs
// holds nothing up beyond the bound.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';

export interface FirstChecksOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Keys of the endpoints that wait for their first check now. */
  readonly awaiting: () => ReadonlySet<string>;
}

export class FirstChecks {
  private readonly options: FirstChecksOptions;
  /** Those that are waited for; null before the first look. */
  private keys: ReadonlySet<string> | null = null;
  private untilMs = Number.POSITIVE_INFINITY;

  constructor(options: FirstChecksOptions) {
    this.options = options;
  }

  /** How many are waited for. */
  get waiting(): number {
    return this.keys?.size ?? 0;
  }

  /** Looks; waits from the first look on, for `boundMs` at the most. True when the wait is over. */
  areOver(boundMs: number): boolean {
    const { clock, log, awaiting } = this.options;
    const { waiting: before } = this;
    const nowMs = clock.nowMs();
    const now = awaiting();
    if (this.keys === null) {
      this.keys = now;
      this.untilMs = nowMs + boundMs;
    } else this.keys = this.keys.intersection(now);
    // What the last one came to is published in the next turn: one more look.
    if (this.keys.size === 0) return before === 0;
    if (nowMs < this.untilMs) return false;
    log.warn({ endpoints: this.keys.size }, 'ready before the first checks of endpoints are over');
    this.keys = new Set();
    return true;
  }
}
