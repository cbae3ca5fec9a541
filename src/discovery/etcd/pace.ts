// How fast a watch loop goes on. After a failure: at the next member almost at once, until all have been
// tried; then ever more slowly, with jitter, so that many processes do not come at the same time. While keys
// change without a pause: at a bounded rate, whoever writes them; a few changes are taken at once.
import { Backoff } from '../../base/backoff.ts';
import { messageOf } from '../../base/coded-error.ts';
import { pause } from '../../base/pause.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import { COMPACTED, EtcdError, HISTORY_LOST } from './error.ts';
import type { Api } from './stock.ts';
import type { EtcdContext, WatchEvents } from './watch.ts';

const NEXT_MEMBER_MS = 50;
const SETTLED_MS = 5000;
const BACKOFF = { baseMs: 250, capMs: 10_000 };
/**
 * Answers that tell of changes. One of v2 is an exchange, its store keeps 1000 events, and a deployment may make as
 * many; of v3 it is a message of a stream, and those that were sent already wait to be read.
 */
const CHANGES = {
  v2: { burst: 1000, ratePerSecond: 250 },
  v3: { burst: 2500, ratePerSecond: 2500 },
};
/** After the last wait of a change more may be on their way. */
const BEHIND_MS = 1000;
/** Of the time between two lists, what the first of them took. */
const LIST_SHARE_MAX = 0.1;
const LIST_REST_MS_MAX = 5000;

export class Pace {
  private readonly context: EtcdContext;
  private readonly api: Api;
  private readonly events: WatchEvents;
  private readonly backoff: Backoff;
  /** Failures since a watch was open for a while: one that ends at once is none. */
  private failures = 0;
  /** Clock.nowMs() at which a watch was opened that is open still; null where there is none. */
  private openedMs: number | null = null;
  /** Clock.nowMs() of the first failure since the last good answer; null where there is none. */
  private failedMs: number | null = null;
  private readonly changes: TokenBucket;
  /** When a change last had to wait; ms. */
  private waitedMs = Number.NEGATIVE_INFINITY;
  /** The next list may begin then; ms. */
  private listMs = 0;

  constructor(context: EtcdContext, api: Api, events: WatchEvents) {
    this.context = context;
    this.api = api;
    this.events = events;
    this.backoff = new Backoff({ ...BACKOFF, random: context.random });
    this.changes = new TokenBucket({ ...CHANGES[api], nowMs: context.clock.nowMs() });
  }

  /** Changes come faster than they are taken. */
  get isBehind(): boolean {
    return this.context.clock.nowMs() - this.waitedMs < BEHIND_MS;
  }

  /** One answer with changes was taken; resolves when the next one may be. */
  async changed(signal: AbortSignal): Promise<void> {
    const { clock } = this.context;
    let waitMs = this.changes.take(clock.nowMs());
    while (waitMs > 0 && !signal.aborted) {
      await pause(clock, waitMs, signal);
      this.waitedMs = clock.nowMs();
      waitMs = this.changes.take(this.waitedMs);
    }
  }

  /** Runs `list` when that may be: a list that is soon lost again must not be all that is done. */
  async listing<T>(signal: AbortSignal, list: () => Promise<T>): Promise<T> {
    const { clock } = this.context;
    const waitMs = this.listMs - clock.nowMs();
    if (waitMs > 0) await pause(clock, waitMs, signal);
    const beganMs = clock.nowMs();
    const listed = await list();
    const tookMs = clock.nowMs() - beganMs;
    this.listMs = clock.nowMs() + Math.min(LIST_REST_MS_MAX, tookMs * (1 / LIST_SHARE_MAX - 1));
    return listed;
  }

  /** A question was answered. */
  answered(address: string): void {
    const nowMs = this.context.clock.nowMs();
    const outageMs = this.failedMs === null ? 0 : nowMs - this.failedMs;
    this.failedMs = null;
    this.events.onAnswer(this.api, address, outageMs);
  }

  /** A watch is open. */
  settled(): void {
    this.openedMs ??= this.context.clock.nowMs();
  }

  /** Resolves when it is time to try again. */
  async failed(error: unknown, address: string, signal: AbortSignal): Promise<void> {
    const { client, clock, random } = this.context;
    if (this.openedMs !== null && clock.nowMs() - this.openedMs >= SETTLED_MS) {
      this.failures = 0;
      this.backoff.reset();
    }
    this.openedMs = null;
    const failure = error instanceof EtcdError ? error : new EtcdError('failed', messageOf(error));
    this.failures += 1;
    if (failure.isStaleToken) client.dropToken(address);
    // What etcd does not keep for ever is no failure of it: the keys are listed.
    const isAsEver = failure.code === COMPACTED || failure.code === HISTORY_LOST;
    if (isAsEver && this.failures === 1) return;
    if (!isAsEver) {
      this.failedMs ??= clock.nowMs();
      this.events.onError(this.api, failure, address);
      client.failOver(address, failure);
    }
    const isNext = !failure.isRefusal && this.failures < client.members;
    await pause(clock, isNext ? random() * NEXT_MEMBER_MS : this.backoff.nextMs(), signal);
  }
}
