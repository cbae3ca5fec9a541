// One blocking query, asked again and again (Consul API, "Blocking Queries"): keeps the index and
// its rules, paces itself, backs off, and hands on each good answer. It never ends by itself.
// Invariant: the index sent belongs to the last answer of the same agent; whatever breaks that
// (an error, another agent, an index that falls, another token) makes the next question one
// without an index, and its answer a doubtful one, since what it leaves out may be yet to come.
import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/coded-error.ts';
import type { Logger } from '../../base/log.ts';
import { pause } from '../../base/pause.ts';
import type { Random } from '../../base/prng.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import { type Answer, ConsulError, type DoubtKind, outageText } from './answer.ts';
import type { ConsulClient } from './client.ts';

/** The agent adds up to wait/16; beyond that and the slack it hangs. */
const DEADLINE_SLACK_MS = 5000;
/** "No cluster leader" takes an agent seven seconds to say. */
const PLAIN_DEADLINE_MS = 10_000;
/**
 * An agent that was restarted while we paused, unnoticed, has lower indexes and would let us
 * sleep through every change: the first wait after a pause is a short one.
 */
const WAIT_AFTER_PAUSE_MS = 1000;
/** Why an answer is to be doubted that is the first after a break, whoever it was that noticed it. */
export const BROKEN = 'first answer after an outage: a connection broke';
const BURST = 2;
/** Questions a second, in the long run, whose answers change nothing. */
const RATE_PER_SECOND = 5;
/** Answers that change something cost by their size: so many bytes are a whole token. */
const TOKEN_BYTES = 4 * 1024 ** 2;
/** And this at least: small changes are followed at up to 250 a second. */
const TOKEN_SHARE_MIN = 0.02;
/**
 * What changes may come to: 8 MiB at once, and then 1.25 MiB a second. To read 1 MiB of instances that are others each
 * time, and to work on them, takes the main thread more than 100 ms.
 */
const SIZE_BURST = 32;
const SIZES_PER_SECOND = 5;
export const SIZE_BYTES = 256 * 1024;
const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 30_000;

/** What answers may come to by their size, in tokens of SIZE_BYTES. */
export function sizesFrom(nowMs: number): TokenBucket {
  return new TokenBucket({ burst: SIZE_BURST, ratePerSecond: SIZES_PER_SECOND, nowMs });
}

/** What everything that asks an agent is given. */
export interface ConsulContext {
  readonly client: ConsulClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly waitMs: number;
}

export interface QueryAnswer<T> {
  readonly value: T;
  /** X-Consul-Index as sent. */
  readonly index: bigint;
  /** Why something that it leaves out may be there all the same, or ''. */
  readonly doubt: string;
  /** Of use where there is a doubt. */
  readonly doubtKind: DoubtKind;
  /** It does not continue what was known: the first one, or the first after a break. */
  readonly isFresh: boolean;
  /** Human-readable: "index 41 -> 42". */
  readonly change: string;
  readonly receivedMs: number;
}

export interface QueryOptions<T> {
  readonly context: ConsulContext;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly mayBeMissing?: boolean;
  /** Reads the body; throws ConsulError where it isn't what it should be. */
  readonly decode: (body: unknown) => T;
  /** Takes each good answer, also one that says nothing new; true where it changed something. */
  readonly onAnswer: (answer: QueryAnswer<T>) => boolean;
  readonly onError: (error: ConsulError) => void;
}

export class BlockingQuery<T> {
  private readonly options: QueryOptions<T>;
  private readonly backoff: Backoff;
  private readonly bucket: TokenBucket;
  private readonly sizes: TokenBucket;
  private isStopped = false;
  /** Ends the question or the pause of now; replaced for each of them. */
  private step = new AbortController();
  /** The agent that the index is of. */
  private address = '';
  /** client.breaksOf(address) when it was asked. */
  private breaks = 0;
  /** 0: the next question does not wait. */
  private index = 0n;
  /** The last index, human-readable; it survives a break. */
  private lastIndex = 0n;
  /** Why the next answers don't continue what was known, until one has waited; '' if they do. */
  private break = '';

  constructor(options: QueryOptions<T>) {
    this.options = options;
    const { clock, random } = options.context;
    this.backoff = new Backoff({ baseMs: BACKOFF_BASE_MS, capMs: BACKOFF_CAP_MS, random });
    const nowMs = clock.nowMs();
    this.bucket = new TokenBucket({ burst: BURST, ratePerSecond: RATE_PER_SECOND, nowMs });
    this.sizes = sizesFrom(nowMs);
  }

  start(): void {
    this.options.context.client.onTokenChange.add(this.onTokenChange);
    void this.run();
  }

  /** Nothing is called after this. */
  stop(): void {
    this.isStopped = true;
    this.options.context.client.onTokenChange.delete(this.onTokenChange);
    this.step.abort();
  }

  /** The answers of another token may leave out what this one could see, or the reverse. */
  private readonly onTokenChange = (): void => {
    this.breakOff('the token has changed');
    this.step.abort();
  };

  private async run(): Promise<void> {
    while (!this.isStopped) {
      const hasPaused = await this.awaitTurn();
      if (this.isStopped) return;
      this.step = new AbortController();
      const { signal } = this.step;
      try {
        const { answer, value, hasWaited } = await this.ask(signal, hasPaused);
        if (!signal.aborted) this.take(answer, { value, hasWaited });
      } catch (error) {
        if (!signal.aborted) await this.fail(error);
      }
    }
  }

  /** Waits for a token of each kind; true when it had to. */
  private async awaitTurn(): Promise<boolean> {
    const { clock } = this.options.context;
    let hasPaused = false;
    for (const bucket of [this.bucket, this.sizes]) {
      for (;;) {
        const waitMs = bucket.take(clock.nowMs());
        if (waitMs <= 0 || this.isStopped) break;
        hasPaused = true;
        await this.pause(waitMs);
      }
    }
    return hasPaused;
  }

  private async ask(signal: AbortSignal, hasPaused: boolean) {
    const { context, path, query, mayBeMissing = false, decode } = this.options;
    const { client } = context;
    const { address } = client;
    const breaks = client.breaksOf(address);
    if (address !== this.address && this.address !== '') this.breakOff(`${address} answers now`);
    else if (this.index > 0n && breaks !== this.breaks) this.breakOff(BROKEN);
    this.address = address;
    this.breaks = breaks;
    const waitMs = hasPaused ? Math.min(context.waitMs, WAIT_AFTER_PAUSE_MS) : context.waitMs;
    const hasWaited = this.index > 0n;
    const wait = hasWaited ? { index: String(this.index), wait: `${waitMs}ms` } : {};
    const answer = await client.getFrom(address, {
      path,
      query: { ...query, ...wait },
      deadlineMs: hasWaited ? (waitMs * 17) / 16 + DEADLINE_SLACK_MS : PLAIN_DEADLINE_MS,
      signal,
      mayBeMissing,
    });
    return { answer, value: decode(answer.body), hasWaited };
  }

  private take(answer: Answer, { value, hasWaited }: { value: T; hasWaited: boolean }): void {
    // Below 1 is a bug of the agent; with 1 the next question waits at least (Consul's own advice).
    const index = answer.index < 1n ? 1n : answer.index;
    const isBackwards = hasWaited && index < this.index;
    const change = this.lastIndex === 0n ? `index ${index}` : `index ${this.lastIndex} -> ${index}`;
    // The agent may have restarted since the question was asked.
    const isBroken = hasWaited && this.breaks !== this.breaksNow;
    if (isBackwards) this.breakOff(`${change} went backwards`);
    else if (isBroken) this.breakOff(BROKEN);
    else if (hasWaited) this.break = '';
    const doubt = answer.doubt || this.break;
    const isFirst = this.lastIndex === 0n;
    this.index = isBackwards || isBroken ? 0n : index;
    this.lastIndex = index;
    this.backoff.reset();
    const { receivedMs } = answer;
    const sent = { index: answer.index, receivedMs };
    const isFresh = isBackwards || isBroken || !hasWaited;
    // After an outage no second read knows better, whatever else is doubtful.
    const doubtKind = isBackwards ? 'fall' : this.break !== '' ? 'outage' : 'answer';
    // After a break nothing is news: a registry whose index falls again and again would have us
    // ask as fast as it answers.
    const isNews = this.hand({ ...sent, value, doubt, doubtKind, isFresh, change });
    this.sizes.giveBack(isNews ? 1 - Math.min(1, answer.bodyBytes / SIZE_BYTES) : 1);
    if (!isNews || (isFresh && !isFirst)) return;
    const share = Math.max(TOKEN_SHARE_MIN, answer.bodyBytes / TOKEN_BYTES);
    this.bucket.giveBack(1 - Math.min(1, share));
  }

  /** What goes wrong in the receiver is its own fault: the query neither stops nor backs off. */
  private hand(answer: QueryAnswer<T>): boolean {
    const { context, path, onAnswer } = this.options;
    try {
      return onAnswer(answer);
    } catch (error) {
      context.log.error({ path, error: messageOf(error) }, 'an answer of Consul could not be used');
      return false;
    }
  }

  private async fail(error: unknown): Promise<void> {
    const { context, onError } = this.options;
    const failure =
      error instanceof ConsulError ? error : new ConsulError('failed', messageOf(error));
    this.breakOff(outageText(failure));
    // First: it names the agent that is asked now.
    onError(failure);
    void context.client.failOver(this.address, failure);
    // The jitter comes on top, so that those who were sent away together don't come together.
    await this.pause(failure.retryAfterMs + this.backoff.nextMs());
  }

  private get breaksNow(): number {
    return this.options.context.client.breaksOf(this.address);
  }

  private breakOff(why: string): void {
    this.index = 0n;
    this.break = why;
  }

  private pause(ms: number): Promise<void> {
    if (this.isStopped) return Promise.resolve();
    this.step = new AbortController();
    return pause(this.options.context.clock, ms, this.step.signal);
  }
}
