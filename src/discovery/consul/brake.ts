// The membership brake: an answer that leaves out much of a service at once, or leaves out anything
// while it is in doubt, is not passed on before the registry was asked a second time, by a read that
// the leader confirms with the other servers (`?consistent`). If that says the same, it is applied
// at once; otherwise what is missing is held, with the reason, and the registry is asked again.
// What an outage makes doubtful no second read can clear, since services may be yet to register: it
// is passed on as it is, and the second read only tells when the doubt is over. A token that never
// saw everything makes no answer doubtful: what counts is that answers begin to be filtered.
// Any server may answer, and one that is behind may not know what the leader has said in a second
// read: by their indexes, which all servers share, such answers are told apart.
import type { Clock, Timer } from '../../base/clock.ts';
import { messageOf } from '../../base/coded-error.ts';
import type { Random } from '../../base/prng.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import type { GuardSettings } from '../../model/settings.ts';
import type { SecondRead } from '../contact.ts';
import { type Answer, type DoubtKind, FILTERED } from './answer.ts';
import { BROKEN, SIZE_BYTES, sizesFrom } from './blocking-query.ts';
import { type Entry, idsOf, listOf } from './translate.ts';

/** A doubt that could not be cleared is looked at again after so long, and up to twice that. */
const AGAIN_MS = 5000;

/** Second reads: so many at once, and a second in the long run. What flaps faster is held. */
const READS_BURST = 4;
const READS_PER_SECOND = 0.5;

/** Answers that wait while the registry is asked: the last one counts, and whom the others name. */
const WAITING_MAX = 8;

const UNORDERED = 'the consistent re-read has no index';
const OVERTAKEN = 'another answer came at once';

interface Waiting {
  readonly health: Health;
  /** As of its arrival. */
  readonly epoch: string;
}

/** What the leader said. */
interface Second {
  readonly entries: readonly Entry[];
  readonly receivedMs: number;
  /** It has an index: without, an answer of a server that is behind could not be told from a later one. */
  readonly isOrdered: boolean;
}

/** A health answer about a service. */
export interface Health {
  readonly entries: readonly Entry[];
  /** X-Consul-Index; without, what is older is not known. */
  readonly index?: bigint;
  readonly doubt: string;
  /** Of use where there is a doubt. */
  readonly doubtKind?: DoubtKind;
  /** The first about what another provider knew, or a state file: whoever answers may be behind that. */
  readonly isFirst?: boolean;
  /** Human-readable: "index 41 -> 42". */
  readonly change: string;
  readonly receivedMs: number;
}

export interface Verdict extends Health {
  /** The leader said the same. */
  readonly isConfirmed?: boolean;
  /** Why instances are there that the first answer left out, by id. */
  readonly kept?: ReadonlyMap<string, string>;
  /** It is to be told even where nothing but the doubt has changed. */
  readonly isForced?: boolean;
}

export interface BrakeOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly guard: () => GuardSettings;
  /** Another one when a connection to the agent broke, or another agent is asked: it may know less. */
  readonly epoch?: () => string;
  /** Something is held of it: a doubt must come to an end, also where it leaves nothing out. */
  readonly isHolding?: () => boolean;
  /** The second read, bounded in time. Rejects where it can't be had. */
  readonly askAgain: () => Promise<Answer>;
  /** Ids of the instances that were passed on last. */
  readonly present: () => readonly string[];
  /** Passes on; true where that changed something. */
  readonly pass: (verdict: Verdict) => boolean;
  readonly onSecondRead: (result: SecondRead, text: string) => void;
}

export class Brake {
  private readonly options: BrakeOptions;
  private isAsking = false;
  private isClosed = false;
  /** Answers that came while the registry was being asked a second time, in order. */
  private waiting: Waiting[] = [];
  /** The doubt that could not be cleared yet; '' where there is none. */
  private open = '';
  private timer: Timer | null = null;
  /** The epoch of the answer that was judged last, as of its arrival. */
  private epoch = '';
  /** The answer that was passed on last was filtered, and nothing was in doubt. */
  private isFilteredAsEver = false;
  /** Of the last second read: a server whose answer has a lower one is behind it; null: it had none. */
  private leaderIndex: bigint | null = 0n;
  /** The epoch in which the last second read was asked for; null where it failed. */
  private leaderEpoch: string | null = null;
  private readonly reads: TokenBucket;
  /** Of second reads, by the size of their answers. */
  private readonly sizes: TokenBucket;

  constructor(options: BrakeOptions) {
    this.options = options;
    const nowMs = options.clock.nowMs();
    this.reads = new TokenBucket({ burst: READS_BURST, ratePerSecond: READS_PER_SECOND, nowMs });
    this.sizes = sizesFrom(nowMs);
  }

  /** Takes an answer; true where it changed something, or may. */
  take(given: Health): boolean {
    const { waiting, currentEpoch: epoch } = this;
    if (!this.isAsking) return this.consider(given, epoch);
    const before = waiting.at(-1);
    const health = before === undefined ? given : withDoubtOf(before.health, given);
    waiting.push({ health, epoch });
    if (waiting.length > WAITING_MAX) waiting.shift();
    return true;
  }

  /** The answer that came last while the registry was being asked; it may have broken since. */
  private takeLatest(): void {
    const waiting = this.waiting.filter((one) => !this.isKnownToLeader(one));
    this.waiting = [];
    const last = waiting.pop();
    if (last === undefined || this.isClosed) return;
    for (const { health } of waiting) this.takeNamed(health, last.health);
    this.consider(last.health, last.epoch);
  }

  /** The leader, who was asked meanwhile, has said as much or more, and nothing has broken since. */
  private isKnownToLeader({ health, epoch }: Waiting): boolean {
    const { index, doubt, doubtKind = 'answer' } = health;
    if (doubt !== '' && doubtKind !== 'answer') return false;
    const { leaderIndex, leaderEpoch } = this;
    if (index === undefined || index < 1n || leaderIndex === null) return false;
    return epoch === leaderEpoch && leaderEpoch === this.currentEpoch && index <= leaderIndex;
  }

  /** An answer before the last: whoever it alone has named was there then, and is held from then on. */
  private takeNamed(health: Health, last: Health): void {
    const { present, pass } = this.options;
    const known = new Set([...present(), ...idsOf(last.entries)]);
    if (idsOf(health.entries).isSubsetOf(known)) return;
    pass({ ...health, doubt: health.doubt || this.open || OVERTAKEN });
  }

  private consider(given: Health, epoch: string): boolean {
    this.epoch = epoch;
    const health = { ...given, doubt: this.withoutUsual(given.doubt) };
    const why = this.objection(health);
    if (why === '') {
      if (health.doubt !== '' && this.options.isHolding?.() === true) this.lookAgain('outage');
      if (this.open === '') this.isFilteredAsEver = given.doubt === FILTERED;
      return this.options.pass({ ...health, doubt: health.doubt || this.open });
    }
    if (health.doubt !== '' && health.doubtKind === 'outage') {
      this.lookAgain('outage');
      return this.options.pass(health);
    }
    const nowMs = this.options.clock.nowMs();
    if (this.reads.take(nowMs) > 0 || this.sizes.take(nowMs) > 0) {
      this.hold(health, `${why}, again and again`);
    } else void this.confirm(health, why);
    return true;
  }

  private get currentEpoch(): string {
    return this.options.epoch?.() ?? '';
  }

  private withoutUsual(doubt: string): string {
    return this.isFilteredAsEver && doubt === FILTERED ? '' : doubt;
  }

  close(): void {
    this.isClosed = true;
    this.timer?.cancel();
  }

  /** Why the answer is not to be passed on as it is; '' where it is. */
  private objection({ entries, doubt, index, isFirst = false }: Health): string {
    const { guard, present } = this.options;
    const { leaderIndex } = this;
    const { enabled, maxRemovedShare } = guard();
    if (!enabled) return '';
    const before = present();
    const missing = missingIn(entries, before).length;
    if (missing === 0) return '';
    if (doubt !== '') return doubt;
    if (index !== undefined) {
      if (leaderIndex === null) return UNORDERED;
      if (index < leaderIndex) return `index ${index}, the leader is at ${leaderIndex}`;
    }
    if (isFirst) return 'first answer';
    const isMuch = missing > maxRemovedShare * before.length;
    return isMuch ? `${missing} of ${before.length} at once` : '';
  }

  private async confirm(first: Health, why: string): Promise<void> {
    this.isAsking = true;
    try {
      const second = await this.secondRead();
      if (this.isClosed) return;
      if (second.isOrdered) this.judge(first, { ...second, why });
      else this.hold({ ...first, ...listedBy(second) }, `${why}, and ${UNORDERED}`);
    } catch (error) {
      if (this.isClosed) return;
      this.hold(first, `${why}, and the consistent re-read failed: ${messageOf(error)}`);
    } finally {
      this.isAsking = false;
    }
    this.takeLatest();
  }

  private judge(first: Health, second: Second & { why: string }): void {
    const { pass, present, onSecondRead } = this.options;
    const { entries, receivedMs, why } = second;
    const { change } = first;
    const missing = missingIn(first.entries, present());
    const again = new Set(missing).difference(new Set(missingIn(entries, missing)));
    const isShort = missingIn(entries, present()).length > 0;
    if (isShort && this.epoch !== this.currentEpoch) {
      // It may have restarted between the two answers.
      this.hold(first, why, 'outage');
    } else if (again.size > 0) {
      const reason = `held: the registry left it out (${why}), but a consistent re-read still lists it`;
      onSecondRead(
        'contradicted',
        `a consistent re-read still lists ${again.size} of the endpoints left out`,
      );
      const kept = new Map([...again].map((id) => [id, reason]));
      this.lookAgain('answer');
      pass({ entries, receivedMs, change, doubt: '', kept });
    } else if (first.doubtKind === 'fall' && entries.length === 0) {
      // A registry that restarted and is still empty confirms that without knowing better.
      this.hold(first, why, 'outage');
    } else {
      onSecondRead('confirmed', '');
      pass({ entries, receivedMs, change, doubt: '', isConfirmed: true });
    }
  }

  private hold(first: Health, doubt: string, kind: DoubtKind = 'answer'): void {
    const { pass, onSecondRead } = this.options;
    if (kind === 'answer') this.open = doubt;
    onSecondRead('unconfirmed', `endpoints that the registry left out are held: ${doubt}`);
    this.lookAgain(kind);
    pass({ ...first, doubt, doubtKind: kind });
  }

  /** The leader's word. Rejects where that is in doubt itself. */
  private async secondRead(): Promise<Second> {
    this.leaderEpoch = null;
    const epoch = this.currentEpoch;
    const { body, bodyBytes, doubt, index, receivedMs } = await this.options.askAgain();
    this.sizes.giveBack(1 - bodyBytes / SIZE_BYTES);
    if (this.withoutUsual(doubt) !== '') throw new Error(doubt);
    const isOrdered = index >= 1n;
    this.leaderIndex = isOrdered ? index : null;
    this.leaderEpoch = epoch;
    return { entries: listOf<Entry>(body), receivedMs, isOrdered };
  }

  private lookAgain(kind: DoubtKind): void {
    const { clock, random } = this.options;
    this.timer?.cancel();
    if (this.isClosed) return;
    this.timer = clock.setTimer(AGAIN_MS * (1 + random()), () => void this.endDoubt(kind));
  }

  private async endDoubt(kind: DoubtKind): Promise<void> {
    if (this.isAsking || this.sizes.take(this.options.clock.nowMs()) > 0)
      return this.lookAgain(kind);
    this.isAsking = true;
    /** What is to be asked about again; null where the registry is sure. */
    let left: DoubtKind | null = kind;
    try {
      const second = await this.secondRead();
      if (this.isClosed) return;
      // What was there so far, and is missing only now, may be yet to register again.
      const isShort = missingIn(second.entries, this.options.present()).length > 0;
      const isBroken = this.epoch !== this.currentEpoch || (kind === 'outage' && isShort);
      if (isBroken) left = 'outage';
      else if (second.isOrdered) left = null;
      if (isBroken) this.passBroken(second);
      else if (left === null) this.passSure(second, kind);
      else this.passUnordered(second, left);
    } catch {
      // The failure was reported where it happened; the next try follows.
    } finally {
      this.isAsking = false;
    }
    if (left !== null) this.lookAgain(left);
    this.takeLatest();
  }

  private passSure(second: Second, kind: DoubtKind): void {
    this.open = '';
    const change = 'the registry is sure again';
    const isConfirmed = kind !== 'outage';
    this.options.pass({ ...listedBy(second), change, doubt: '', isConfirmed, isForced: true });
  }

  /** Who it lists is there; of what it leaves out it is not sure. */
  private passUnordered(second: Second, doubtKind: DoubtKind): void {
    const doubt = this.open || UNORDERED;
    this.options.pass({ ...listedBy(second), change: 'asked again', doubt, doubtKind });
  }

  /** It may have begun anew since the last answer, or still be filling up, and know no better. */
  private passBroken(second: Second): void {
    this.epoch = this.currentEpoch;
    const change = 'asked again';
    this.options.pass({ ...listedBy(second), change, doubt: BROKEN, doubtKind: 'outage' });
  }
}

/** An answer in the place of one that was not looked at: what was doubtful then is so still. */
function withDoubtOf(before: Health, given: Health): Health {
  if (before.doubt === '') return given;
  if (given.doubt === '') {
    const { doubt, doubtKind = 'answer' } = before;
    return { ...given, doubt, doubtKind };
  }
  return before.doubtKind === 'outage' ? { ...given, doubtKind: 'outage' } : given;
}

function listedBy({ entries, receivedMs }: Second): Pick<Health, 'entries' | 'receivedMs'> {
  return { entries, receivedMs };
}

/** Which of these ids the answer leaves out. */
function missingIn(entries: readonly Entry[], ids: readonly string[]): string[] {
  const there = idsOf(entries);
  return ids.filter((id) => !there.has(id));
}
