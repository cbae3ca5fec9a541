// How the contact with one registry goes: when it answered last, which questions fail, and what is logged of
// that: an outage and its end once, a question that fails by itself apart from it.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';

/** An exchange that gave no answer. */
export interface ExchangeError {
  readonly code: string;
  readonly message: string;
  /** The question was refused: whoever is asked would refuse it. */
  readonly isRefusal: boolean;
}

/** What a second read said of an answer. */
export type SecondRead = 'confirmed' | 'contradicted' | 'unconfirmed';

/** So often in a row a question has failed before it is told from an outage. */
const TIMES_MIN = 3;
const EXCESSES_MAX = 1000;

interface Failure {
  readonly why: string;
  readonly isOwn: boolean;
  readonly times: number;
  /** Clock.nowMs() of the first in a row. */
  readonly sinceMs: number;
}

/** Another agent would say the same, and the next try as well. */
function isOwnFault({ isRefusal, code }: ExchangeError): boolean {
  return isRefusal || OWN_FAULTS.has(code);
}

/** Codes of answers that are none. */
const OWN_FAULTS: ReadonlySet<string> = new Set([
  'not-json',
  'not-a-list',
  'no-index',
  'too-large',
  'too-complex',
  'not-yaml',
]);

/**
 * How well it goes with the registry: every question reports here how its last exchange ended. A
 * registry that is away is said once in the log, not once per question and attempt.
 */
export class Contact {
  private readonly registry: string;
  private readonly clock: Clock;
  private readonly log: Logger;
  /** Questions whose last exchange failed, and why. */
  private readonly failing = new Map<string, Failure>();
  /** What was left out of the last answer, by path. */
  private readonly excesses = new Map<string, string>();
  /** Questions that failed, in all. */
  errors = 0;
  /** Clock.nowMs() of the last good answer; 0 before the first. */
  lastSyncMs = 0;
  /** What second reads said of answers that left out much, or were in doubt. */
  readonly secondReads: Record<SecondRead, number> = {
    confirmed: 0,
    contradicted: 0,
    unconfirmed: 0,
  };

  constructor(options: { registry?: string; clock: Clock; log: Logger }) {
    this.registry = options.registry ?? 'consul';
    this.clock = options.clock;
    this.log = options.log;
  }

  /** '' when the last exchange of every question was good. */
  get lastError(): string {
    for (const [what, { why }] of this.failing) return `${what}: ${why}`;
    return '';
  }

  /**
   * Whether this question fails by its own fault while the registry answers others: it is refused,
   * or its answer is none; or has failed for a while, if `isStrict` is false.
   */
  failsAlone(what: string, isStrict: boolean): boolean {
    const failure = this.failing.get(what);
    if (failure === undefined || this.lastSyncMs === 0) return false;
    if (failure.isOwn) return true;
    return !isStrict && failure.times >= TIMES_MIN && this.lastSyncMs > failure.sinceMs;
  }

  /** The last exchange of this question gave no answer. */
  isFailing(what: string): boolean {
    return this.failing.has(what);
  }

  /** This question was answered by `address`: its failure is over. */
  answered(what: string, address: string): void {
    this.lastSyncMs = this.clock.nowMs();
    if (!this.failing.delete(what) || this.failing.size > 0) return;
    this.log.info({ registry: this.registry, address }, 'the registry answers again');
  }

  /**
   * This question failed at `address`. The first failure of an outage, and each new refusal, is logged as a
   * warning; others as debug.
   */
  failed(what: string, error: ExchangeError, address: string): void {
    this.errors += 1;
    const before = this.failing.get(what);
    const isFirst = this.failing.size === 0;
    const nowMs = this.clock.nowMs();
    const { times = 0, sinceMs = nowMs } = before ?? {};
    const isOwn = isOwnFault(error);
    this.failing.set(what, { why: error.message, isOwn, times: times + 1, sinceMs });
    const fields = { registry: this.registry, what, address, code: error.code };
    const text = `the registry fails: ${error.message}; the last known table stays`;
    // A refusal is about this question, so it is said whatever else fails.
    if (isFirst || (error.isRefusal && before?.why !== error.message)) this.log.warn(fields, text);
    else this.log.debug(fields, text);
  }

  /** The registry was asked a second time; `text` is human-readable, '' where all is well. */
  secondRead(what: string, result: SecondRead, text: string): void {
    this.secondReads[result] += 1;
    if (text !== '') this.log.warn({ registry: this.registry, what }, text);
  }

  /** Something was left out of an answer to this path, or with '' nothing was; told once. */
  tellExcess(path: string, excess: string): void {
    if ((this.excesses.get(path) ?? '') === excess) return;
    if (excess === '') this.excesses.delete(path);
    else {
      // Of services that came and went.
      if (this.excesses.size >= EXCESSES_MAX) this.excesses.clear();
      this.excesses.set(path, excess);
      this.log.warn({ registry: this.registry, path }, excess);
    }
  }

  /** The question is asked no more. */
  forget(what: string): void {
    this.failing.delete(what);
  }
}
