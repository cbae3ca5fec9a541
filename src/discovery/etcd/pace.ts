// How a watch loop goes on after a failure: at the next member almost at once, until all have been
// tried; then ever more slowly, with jitter, so that many processes do not come at the same time.
import { Backoff } from '../../base/backoff.ts';
import { messageOf } from '../../base/coded-error.ts';
import { pause } from '../../base/pause.ts';
import { COMPACTED, EtcdError, HISTORY_LOST } from './error.ts';
import type { Api } from './stock.ts';
import type { EtcdContext, WatchEvents } from './watch.ts';

const NEXT_MEMBER_MS = 50;
const BACKOFF = { baseMs: 250, capMs: 10_000 };

export class Pace {
  private readonly context: EtcdContext;
  private readonly api: Api;
  private readonly events: WatchEvents;
  private readonly backoff: Backoff;
  /** Failures since a watch was open. */
  private failures = 0;
  /** Clock.nowMs() of the first failure since the last good answer; null where there is none. */
  private failedMs: number | null = null;

  constructor(context: EtcdContext, api: Api, events: WatchEvents) {
    this.context = context;
    this.api = api;
    this.events = events;
    this.backoff = new Backoff({ ...BACKOFF, random: context.random });
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
    this.failures = 0;
    this.backoff.reset();
  }

  /** Resolves when it is time to try again. */
  async failed(error: unknown, address: string, signal: AbortSignal): Promise<void> {
    const { client, clock, random } = this.context;
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
