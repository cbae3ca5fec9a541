// Follows the keys below a prefix by the v2 API: lists them with the quorum's word, then waits for
// one event after the other from behind the index of the list. It never ends by itself.
// The store keeps its last 1000 events, those of other keys among them: who asks for an older one
// (error 401) lists anew. After a break the next member goes on from the same index, and soon lists
// anew; it lists from time to time as well: a wait is answered by its member alone, also by one that
// has lost the others or was restarted empty, and is silent then.
// Without a leader no key can be renewed, and a wait says nothing of it; the next leader lets all expire
// that is due. So before a key is taken for gone by itself it is looked whether that leader is a new one.
// A watch without a predecessor cannot tell: for a while it treats the leader as a new one, for keys that have not
// been written since its first list.

import { encodeSegment } from '../../base/path-text.ts';
import { BOUNDS } from '../../model/bounds.ts';
import type { Asking, V2Answer } from './client.ts';
import { EtcdError, HISTORY_LOST, NO_API } from './error.ts';
import { Pace } from './pace.ts';
import {
  clusterOf,
  indexOf,
  type Removal,
  readEvent,
  readTree,
  termOf,
  tooMany,
  type V2Event,
} from './v2-messages.ts';
import type { EtcdContext, EtcdWatch, Mark, Step, WatchEvents } from './watch.ts';

/** "Raft Internal Error" takes a member without a quorum five to seven seconds to say. */
const ANSWER_MS_MAX = 5000;
/** How long events are followed until the next list, and up to half as long more. */
const ROUND_MS = 20_000;
/** ... after a break: while members elect a leader no list is answered, but events may be. */
const RESUME_MS = 1500;

/** No leader is followed by another one sooner than that. */
const TERM_MS = 1000;

/** How long after the first list keys may expire that nobody could renew before it; as long as other doubts last. */
const START_MS = 30_000;

/** Failures of a connection or a member, after which another one may go on from the same index. */
const isResumable = (error: unknown): boolean =>
  error instanceof EtcdError && !NO_SEQUEL.has(error.code);

/** Codes of what says that there is no going on. */
const NO_SEQUEL: ReadonlySet<string> = new Set([
  ...[HISTORY_LOST, NO_API, 'cluster', 'index', 'not-an-event', 'too-large', 'timeout'],
]);

export class V2Watch implements EtcdWatch {
  private readonly context: EtcdContext;
  private readonly events: WatchEvents;
  private readonly pace: Pace;
  private isStopped = false;
  /** Ends what is being waited for; a new one for each round. */
  private step = new AbortController();
  private clusterId = '';
  private term = '';
  /** When the term was looked at last. */
  private termMs = 0;
  /** Of the last event or list. */
  private index = 0;
  /** The first list of a watch without a predecessor: its index, and when its doubt ends, clock.nowMs(). */
  private first: { readonly index: number; readonly untilMs: number } | null = null;
  /** A wait broke: the next member is asked to go on before anything is listed. */
  private mayResume = false;
  /** How far the one had come whose place this one has. */
  private readonly before: Mark | null;

  constructor(context: EtcdContext, events: WatchEvents, before: Mark | null = null) {
    this.context = context;
    this.events = events;
    this.before = before;
    this.term = before?.term ?? '';
    this.pace = new Pace(context, 'v2', events);
  }

  get mark(): Mark | null {
    const { clusterId, index, term } = this;
    return index === 0 ? this.before : { clusterId, revision: BigInt(index), term };
  }

  start(): void {
    void this.run();
  }

  stop(): void {
    this.isStopped = true;
    this.step.abort();
  }

  private async run(): Promise<void> {
    while (!this.isStopped) {
      this.step = new AbortController();
      const { signal } = this.step;
      const { address } = this.context.client;
      try {
        await this.round({ address, deadlineMs: ANSWER_MS_MAX, signal });
      } catch (error) {
        this.mayResume = !this.mayResume && this.index > 0 && isResumable(error);
        if (!this.isStopped) await this.pace.failed(error, address, signal);
      }
    }
  }

  /** A list, and the events after it for a while. */
  private async round(asking: Asking): Promise<void> {
    const { clock, random } = this.context;
    const isResumed = this.mayResume;
    if (!isResumed) await this.pace.listing(asking.signal, () => this.list(asking));
    const untilMs = clock.nowMs() + (isResumed ? RESUME_MS : ROUND_MS) * (1 + random() / 2);
    while (!asking.signal.aborted) {
      const leftMs = untilMs - clock.nowMs();
      if (leftMs <= 0) break;
      const answer = await this.next({ ...asking, deadlineMs: leftMs, mayBeQuiet: true });
      if (answer === null || asking.signal.aborted) break;
      this.pace.answered(asking.address);
      this.pace.settled();
      await this.take(answer, asking);
      await this.pace.changed(asking.signal);
    }
    this.mayResume = false;
  }

  private async list(asking: Asking): Promise<void> {
    const { clock, prefix } = this.context;
    // Before the first service there is no such directory.
    const where = { ...asking, mayBeMissing: true };
    const { body, headers } = await this.ask(where, 'recursive=true&quorum=true');
    asking.signal.throwIfAborted();
    const tree = readTree(body, prefix);
    const [index, clusterId] = [indexOf(headers), clusterOf(headers)];
    const doubt =
      this.doubtOf(index, clusterId) || this.doubtOfTerm(headers) || doubtOfTree(tree.isOverdue);
    const change = this.index === 0 ? `index ${index}` : `index ${this.index} -> ${index}`;
    const nowMs = clock.nowMs();
    if (this.mark === null) this.first = { index, untilMs: nowMs + START_MS };
    this.index = index;
    this.clusterId = clusterId;
    this.pace.answered(asking.address);
    this.events.onListing('v2', { ...tree, doubt, change, receivedMs: nowMs });
  }

  private doubtOf(index: number, clusterId: string): string {
    const { mark } = this;
    if (mark === null) return '';
    if (clusterId !== mark.clusterId) return 'another cluster answers';
    return index < mark.revision ? `index ${mark.revision} -> ${index} went backwards` : '';
  }

  /** Why keys may have gone that are there all the same: they could not be renewed. '' for none. */
  private doubtOfTerm(headers: V2Answer['headers']): string {
    const { term } = this;
    this.term = termOf(headers);
    this.termMs = this.context.clock.nowMs();
    return term === '' || this.term === '' || term === this.term ? '' : 'etcd has another leader';
  }

  /** The next event; null when there was none in time. */
  private async next(asking: Asking): Promise<V2Answer | null> {
    try {
      return await this.ask(asking, `recursive=true&wait=true&waitIndex=${this.index + 1}`);
    } catch (error) {
      const isQuiet = error instanceof EtcdError && error.code === 'timeout';
      if (!isQuiet) throw error;
      this.pace.settled();
      return null;
    }
  }

  private ask(asking: Asking, query: string): Promise<V2Answer> {
    const { client, prefix } = this.context;
    const path = prefix.split('/').map(encodeSegment).join('/');
    return client.get(`/v2/keys${path === '' ? '/' : path}?${query}`, asking);
  }

  private async take({ body, headers }: V2Answer, asking: Asking): Promise<void> {
    const { clock, prefix } = this.context;
    if (clusterOf(headers) !== this.clusterId) throw new EtcdError('cluster', 'another cluster');
    const { index, event } = readEvent(body, prefix);
    if (index <= this.index) throw new EtcdError('index', `answered event ${index} again`);
    const receivedMs = clock.nowMs();
    const doubt = event === null ? '' : await this.doubtOfEvent(event, asking);
    asking.signal.throwIfAborted();
    const change = `index ${this.index} -> ${index}`;
    this.index = index;
    if (event === null) return;
    if (this.events.count('v2') >= BOUNDS.etcdKeys.max && event.kind === 'put') throw tooMany();
    this.events.onStep('v2', { ...stepOf(event), doubt, change, receivedMs });
  }

  /** Why a key that expires may be there all the same: it could not be renewed. '' for none. */
  private async doubtOfEvent(event: V2Event, asking: Asking): Promise<string> {
    const isRemoval = event.kind === 'removed' || event.kind === 'removed-dir';
    if (!isRemoval || event.isMeant) return '';
    return (await this.doubtOfLeader(asking)) || this.doubtOfStart(event);
  }

  /** The head of a wait came when the wait began: the term of its event is asked for. */
  private async doubtOfLeader(asking: Asking): Promise<string> {
    const ageMs = this.context.clock.nowMs() - this.termMs;
    if (this.term === '' || ageMs < TERM_MS) return '';
    const { headers } = await this.context.client.get('/v2/keys/?quorum=false', asking);
    return this.doubtOfTerm(headers);
  }

  /** A key written since the first list had a leader to renew it by, or else the term would have changed. */
  private doubtOfStart({ created }: Removal): string {
    const { first } = this;
    if (first === null || created > first.index) return '';
    const isOver = this.context.clock.nowMs() >= first.untilMs;
    return isOver ? '' : 'etcd may have had no leader shortly before the first answer';
  }
}

/** A leader takes out within half a second what is due: the one of now has just come. */
function doubtOfTree(isOverdue: boolean): string {
  return isOverdue ? 'etcd was without a leader: keys are overdue' : '';
}

const NOTHING = {
  puts: new Map(),
  removals: [],
  lostDirs: [],
  dirs: new Map(),
  isMeant: null,
} as const satisfies Partial<Step>;

function stepOf(event: V2Event): Omit<Step, 'change' | 'doubt' | 'receivedMs'> {
  switch (event.kind) {
    case 'put': {
      const at = event.path.lastIndexOf('/');
      const dirs = at < 0 ? [] : [[event.path.slice(0, at), event.entry.created] as const];
      return { ...NOTHING, puts: new Map([[event.path, event.entry]]), dirs: new Map(dirs) };
    }
    case 'made-dir':
      return { ...NOTHING, dirs: new Map([[event.path, event.created]]) };
    case 'removed':
      return { ...NOTHING, removals: [event.path], isMeant: event.isMeant };
    case 'removed-dir':
      return { ...NOTHING, lostDirs: [event.path], isMeant: event.isMeant };
  }
}
