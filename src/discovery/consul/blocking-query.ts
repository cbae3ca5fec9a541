// One blocking query, asked again and again (Consul API, "Blocking Queries"): keeps the index, obeys
// its rules, paces itself, backs off, and hands on each good answer. It never ends by itself.
import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/prng.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import { type Answer, type ConsulClient, ConsulError } from './client.ts';

/** The agent adds up to wait/16; beyond that and the slack it hangs. */
const DEADLINE_SLACK_MS = 5000;
const BURST = 5;
const RATE_PER_SECOND = 10;
const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 30_000;

export interface QueryOptions {
  readonly client: ConsulClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly waitMs: number;
  /** 404 with an index is an answer: there is nothing yet. */
  readonly mayBeMissing?: boolean;
  /** Each good answer, whether it differs or not. What it throws is the caller's own fault. */
  readonly onAnswer: (answer: Answer, change: string) => void;
  readonly onError: (error: ConsulError) => void;
}

export class BlockingQuery {
  private readonly options: QueryOptions;
  private readonly stopped = new AbortController();
  private readonly backoff: Backoff;
  private readonly bucket: TokenBucket;
  private index = 0n;
  /** The highest index seen, also over errors. */
  private lastIndex = 0n;
  private hadError = false;

  constructor(options: QueryOptions) {
    this.options = options;
    const { clock, random } = options;
    this.backoff = new Backoff({ baseMs: BACKOFF_BASE_MS, capMs: BACKOFF_CAP_MS, random });
    const nowMs = clock.nowMs();
    this.bucket = new TokenBucket({ burst: BURST, ratePerSecond: RATE_PER_SECOND, nowMs });
  }

  start(): void {
    void this.run();
  }

  stop(): void {
    this.stopped.abort();
  }

  private async run(): Promise<void> {
    const { signal } = this.stopped;
    while (!signal.aborted) {
      await this.pause(this.bucket.take(this.options.clock.nowMs()));
      if (signal.aborted) return;
      try {
        const answer = await this.askOnce();
        if (!signal.aborted) this.take(answer);
      } catch (error) {
        if (signal.aborted) return;
        await this.fail(error);
      }
    }
  }

  private askOnce(): Promise<Answer> {
    const { client, path, query, waitMs, mayBeMissing = false } = this.options;
    const isBlocking = this.index > 0n;
    const blocking = isBlocking ? { index: String(this.index), wait: `${waitMs}ms` } : {};
    const deadlineMs = (isBlocking ? (waitMs * 17) / 16 : 0) + DEADLINE_SLACK_MS;
    const { signal } = this.stopped;
    return client.get(path, { ...query, ...blocking }, { deadlineMs, signal, mayBeMissing });
  }

  private take(answer: Answer): void {
    const { index } = answer;
    const isBackwards = index < this.lastIndex;
    const doubt = answer.doubt || (isBackwards ? 'index went backwards' : this.outageDoubt());
    const change = this.lastIndex === 0n ? `index ${index}` : `index ${this.lastIndex} -> ${index}`;
    // Backwards: the next query asks for what is there, without waiting for what was.
    this.index = isBackwards ? 0n : index;
    this.lastIndex = index;
    this.hadError = false;
    this.backoff.reset();
    this.options.onAnswer({ ...answer, doubt }, change);
  }

  private outageDoubt(): string {
    return this.hadError && this.lastIndex > 0n ? 'first answer after an outage' : '';
  }

  private async fail(error: unknown): Promise<void> {
    const { client, onError } = this.options;
    const failure = error instanceof ConsulError ? error : new ConsulError('failed', String(error));
    this.index = 0n;
    this.hadError = true;
    client.failOver();
    onError(failure);
    await this.pause(this.backoff.nextMs(failure.retryAfterMs));
  }

  private pause(ms: number): Promise<void> {
    if (ms <= 0) return Promise.resolve();
    const { signal } = this.stopped;
    return new Promise((resolve) => {
      const timer = this.options.clock.setTimer(ms, done);
      signal.addEventListener('abort', done, { once: true });
      function done(): void {
        timer.cancel();
        signal.removeEventListener('abort', done);
        resolve();
      }
    });
  }
}
