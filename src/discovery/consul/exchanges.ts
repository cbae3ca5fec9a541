import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { ConsulError } from './answer.ts';
import type { SecondRead } from './brake.ts';

const EXCESSES_MAX = 1000;

/**
 * How well it goes with the registry: every question reports here how its last exchange ended. A
 * registry that is away is said once in the log, not once per question and attempt.
 */
export class Exchanges {
  private readonly clock: Clock;
  private readonly log: Logger;
  /** Questions whose last exchange failed, and why. */
  private readonly failing = new Map<string, string>();
  /** What was left out of the last answer, by path. */
  private readonly excesses = new Map<string, string>();
  /** Exchanges that failed, in all. */
  errors = 0;
  /** Clock.nowMs() of the last good answer; 0 before the first. */
  lastSyncMs = 0;
  /** What second reads said of answers that left out much, or were in doubt. */
  readonly secondReads: Record<SecondRead, number> = {
    confirmed: 0,
    contradicted: 0,
    unconfirmed: 0,
  };

  constructor(options: { clock: Clock; log: Logger }) {
    this.clock = options.clock;
    this.log = options.log;
  }

  /** '' when the last exchange of every question was good. */
  get lastError(): string {
    for (const [what, why] of this.failing) return `${what}: ${why}`;
    return '';
  }

  answered(what: string, address: string): void {
    this.lastSyncMs = this.clock.nowMs();
    if (!this.failing.delete(what) || this.failing.size > 0) return;
    this.log.info({ registry: 'consul', address }, 'the registry answers again');
  }

  failed(what: string, error: ConsulError, address: string): void {
    this.errors += 1;
    const before = this.failing.get(what);
    const isFirst = this.failing.size === 0;
    this.failing.set(what, error.message);
    const fields = { registry: 'consul', what, address, code: error.code };
    const text = `the registry fails: ${error.message}; the last known table stays`;
    // A refusal is about this question, so it is said whatever else fails.
    if (isFirst || (error.isRefusal && before !== error.message)) this.log.warn(fields, text);
    else this.log.debug(fields, text);
  }

  /** The registry was asked a second time; `text` is for people, '' where all is well. */
  secondRead(what: string, result: SecondRead, text: string): void {
    this.secondReads[result] += 1;
    if (text !== '') this.log.warn({ registry: 'consul', what }, text);
  }

  /** Something was left out of an answer to this path, or with '' nothing was; told once. */
  tellExcess(path: string, excess: string): void {
    if ((this.excesses.get(path) ?? '') === excess) return;
    if (excess === '') this.excesses.delete(path);
    else {
      // Of services that came and went.
      if (this.excesses.size >= EXCESSES_MAX) this.excesses.clear();
      this.excesses.set(path, excess);
      this.log.warn({ registry: 'consul', path }, excess);
    }
  }

  /** The question is asked no more. */
  forget(what: string): void {
    this.failing.delete(what);
  }
}
