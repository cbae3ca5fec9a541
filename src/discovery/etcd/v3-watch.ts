// Follows the keys below a prefix by the v3 API: lists them once, then watches from the revision
// behind the list, and after a break from behind the last event, so that nothing is missed and
// nothing comes twice. It never ends by itself.
// What is looked at before a watch is resumed: the cluster and its revision. A watch from a revision
// that is yet to come is silent until then, and a member that was restarted empty has low ones.
// While a watch is open, a question that needs the quorum asks from time to time how many keys there
// are and whether one was written since: a stream that is dead unnoticed is found out by it.
import type { Timer } from '../../base/clock.ts';
import { pause } from '../../base/pause.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { Asking } from './client.ts';
import { COMPACTED, EtcdError, TOO_LARGE } from './error.ts';
import { pathBelow } from './layout.ts';
import { Pace } from './pace.ts';
import type { Entry } from './stock.ts';
import {
  behind,
  checkCount,
  type Header,
  type KeyValue,
  type RangeAnswer,
  rangeBelow,
  readRange,
  readWatch,
  type WatchMessage,
} from './v3-messages.ts';
import type { EtcdContext, EtcdWatch, Mark, WatchEvents } from './watch.ts';

const ANSWER_MS_MAX = 5000;
/** Keys of one page of a list. */
const PAGE = 1000;
/** How often an open watch is looked at, and up to half as long more. */
const LOOK_MS = 10_000;
/** What a look has seen comes by the watch within this time. */
const DELIVERY_MS = 2000;

export class V3Watch implements EtcdWatch {
  private readonly context: EtcdContext;
  private readonly events: WatchEvents;
  private readonly range: ReturnType<typeof rangeBelow>;
  private readonly pace: Pace;
  private isStopped = false;
  /** Ends what is being waited for; a new one for each step. */
  private step = new AbortController();
  private looking: Timer | null = null;
  /** etcd has said that it watches. */
  private isOpen = false;
  /** Of the last event or list; 0: the keys are to be listed. */
  private revision = 0n;
  private clusterId = '';
  /** The revision that was known before the list. */
  private lastRevision = 0n;
  /** Keys that etcd counts and we do not: their bytes are no text. */
  private unread = 0;

  /** `before`: how far the one had come whose place this one has. */
  constructor(context: EtcdContext, events: WatchEvents, before: Mark | null = null) {
    this.context = context;
    this.events = events;
    this.clusterId = before?.clusterId ?? '';
    this.lastRevision = before?.revision ?? 0n;
    this.range = rangeBelow(context.prefix);
    this.pace = new Pace(context, 'v3', events);
  }

  get mark(): Mark | null {
    const { clusterId, lastRevision: revision } = this;
    return clusterId === '' ? null : { clusterId, revision, term: '' };
  }

  start(): void {
    void this.run();
  }

  stop(): void {
    this.isStopped = true;
    this.looking?.cancel();
    this.step.abort();
  }

  private async run(): Promise<void> {
    while (!this.isStopped) {
      this.step = new AbortController();
      const { address } = this.context.client;
      const asking = { address, deadlineMs: ANSWER_MS_MAX, signal: this.step.signal };
      try {
        await this.follow(asking);
      } catch (error) {
        this.looking?.cancel();
        const why: unknown = this.step.signal.aborted ? this.step.signal.reason : error;
        this.step.abort();
        if (!this.isStopped) await this.fail(why, address);
      }
    }
  }

  private async fail(error: unknown, address: string): Promise<void> {
    // What is too large to be taken as events would come again.
    const isLost = error instanceof EtcdError && [COMPACTED, TOO_LARGE].includes(error.code);
    if (isLost) this.relist();
    this.step = new AbortController();
    await this.pace.failed(error, address, this.step.signal);
  }

  private relist(): void {
    this.revision = 0n;
  }

  /** Lists where that is needed, and watches until the watch breaks; then it throws. */
  private async follow(asking: Asking): Promise<void> {
    if (this.revision > 0n) await this.resume(asking);
    if (this.revision === 0n) await this.pace.listing(asking.signal, () => this.list(asking));
    const request = {
      ...this.range,
      start_revision: String(this.revision + 1n),
      progress_notify: true,
    };
    const stream = this.context.client.stream('/v3/watch', { create_request: request }, asking);
    this.isOpen = false;
    this.lookLater(asking);
    for await (const message of stream) {
      asking.signal.throwIfAborted();
      // What is not read waits at etcd, which sends the more in one message.
      if (this.take(readWatch(message))) await this.pace.changed(asking.signal);
    }
    throw new EtcdError('ended', 'the watch ended');
  }

  /** Whether what is known can be continued at this member. */
  private async resume(asking: Asking): Promise<void> {
    const { header } = await this.look(asking);
    if (header.clusterId !== this.clusterId || header.revision < this.revision) this.relist();
    else this.pace.answered(asking.address);
  }

  private async list(asking: Asking): Promise<void> {
    const { clock } = this.context;
    const first = readRange(await this.ask(asking, { limit: String(PAGE) }));
    checkPage(first);
    const { header } = first;
    const entries = new Map<string, Entry>();
    let last = this.put(entries, first);
    let count = first.keyValues.length;
    for (let page = first; page.hasMore && last !== ''; count += page.keyValues.length) {
      checkCount(count);
      const more = { key: behind(last), limit: String(PAGE), revision: String(header.revision) };
      page = readRange(await this.ask(asking, more));
      checkPage(page);
      last = this.put(entries, page);
    }
    asking.signal.throwIfAborted();
    this.unread = first.count - entries.size;
    const doubt = this.doubtOf(header);
    const change = this.changeTo(header.revision);
    this.clusterId = header.clusterId;
    this.setRevision(header.revision);
    const receivedMs = clock.nowMs();
    this.pace.answered(asking.address);
    this.events.onListing('v3', { entries, dirs: new Map(), doubt, change, receivedMs });
  }

  /** Why the list may lack what was there: it is one of another cluster, or of an older state. */
  private doubtOf({ clusterId, revision }: Header): string {
    if (this.clusterId === '') return '';
    if (clusterId !== this.clusterId) return 'another cluster answers';
    return revision < this.lastRevision ? `${this.changeTo(revision)} went backwards` : '';
  }

  private changeTo(revision: bigint): string {
    const { lastRevision } = this;
    return lastRevision === 0n ? `revision ${revision}` : `revision ${lastRevision} -> ${revision}`;
  }

  private setRevision(revision: bigint): void {
    this.revision = revision;
    this.lastRevision = revision;
  }

  /** Returns the bytes of the last key in base64, '' where there is none. */
  private put(entries: Map<string, Entry>, { keyValues }: RangeAnswer): string {
    for (const { key, entry } of keyValues) {
      const path = pathBelow(this.context.prefix, key);
      if (path !== null) entries.set(path, entry);
    }
    return keyValues.at(-1)?.raw ?? '';
  }

  /** Returns whether anything has changed. */
  private take(message: WatchMessage): boolean {
    const { header, isCreated, events } = message;
    if (header.clusterId !== this.clusterId) {
      this.relist();
      throw new EtcdError('cluster', 'another cluster answers');
    }
    if (isCreated) {
      this.isOpen = true;
      this.pace.settled();
      return false;
    }
    const receivedMs = this.context.clock.nowMs();
    const news = events.filter(({ revision }) => revision > this.revision);
    const revision = news.at(-1)?.revision ?? header.revision;
    if (revision <= this.revision) return false;
    const change = this.changeTo(revision);
    this.setRevision(revision);
    if (news.length === 0) return false;
    const puts = new Map<string, Entry>();
    const removals = new Set<string>();
    for (const event of news) {
      const path = pathBelow(this.context.prefix, event.key);
      if (path === null) continue;
      // Of what happened to a key within one message the last counts.
      removals.delete(path);
      puts.delete(path);
      if (event.kind === 'put') puts.set(path, event.entry);
      else removals.add(path);
    }
    this.checkRoom(puts.size);
    const step = { puts, removals: [...removals], lostDirs: [], dirs: new Map(), isMeant: null };
    // A new leader of v3 gives every lease its whole time again.
    this.events.onStep('v3', { ...step, doubt: '', change, receivedMs });
    return true;
  }

  private checkRoom(more: number): void {
    const count = this.events.count('v3') + more;
    if (count <= BOUNDS.etcdKeys.max) return;
    this.relist();
    checkCount(count);
  }

  // Looks at the open watch

  private lookLater(asking: Asking): void {
    const { clock, random } = this.context;
    this.looking?.cancel();
    this.looking = clock.setTimer(LOOK_MS * (1 + random() / 2), () => void this.lookNow(asking));
  }

  private async lookNow(asking: Asking): Promise<void> {
    try {
      const seen = await this.look(asking);
      if (asking.signal.aborted) return;
      this.pace.answered(asking.address);
      if (!this.isOpen) throw new EtcdError('silent', 'the watch was never opened');
      // What waits to be read was sent: the stream is not dead.
      if (this.pace.isBehind || !this.isBehind(seen)) return this.lookLater(asking);
      await pause(this.context.clock, DELIVERY_MS, asking.signal);
      if (asking.signal.aborted) return;
      if (this.pace.isBehind || !this.isBehind(seen)) return this.lookLater(asking);
      this.relist();
      throw new EtcdError('silent', 'the watch is silent about keys that have changed');
    } catch (error) {
      if (!asking.signal.aborted) this.step.abort(error);
    }
  }

  /** How many keys there are, and one that was written after the last event, if there is one. */
  private async look(asking: Asking): Promise<RangeAnswer> {
    const since = { min_mod_revision: String(this.revision + 1n), keys_only: true, limit: '1' };
    return readRange(await this.ask(asking, since));
  }

  /** Whether the watch owes something that this answer, of some time ago, had seen. */
  private isBehind({ header, keyValues, count }: RangeAnswer): boolean {
    if (header.clusterId !== this.clusterId) return true;
    const isOwed = (one: KeyValue) => one.modified > this.revision;
    if (keyValues.some(isOwed)) return true;
    // Events behind it may have changed the count since.
    return header.revision >= this.revision && count - this.unread !== this.events.count('v3');
  }

  private ask(asking: Asking, more: Readonly<Record<string, unknown>>): Promise<unknown> {
    return this.context.client.post('/v3/kv/range', { ...this.range, ...more }, asking);
  }
}

/** Throws EtcdError where there are more keys than are taken, or than were asked for. */
function checkPage({ count, keyValues }: RangeAnswer): void {
  checkCount(count);
  if (keyValues.length <= PAGE) return;
  const message = `answered ${keyValues.length} keys where ${PAGE} were asked for`;
  throw new EtcdError(TOO_LARGE, message, { isRefusal: true });
}
