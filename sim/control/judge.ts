// The oracles that look on while a run goes: what must hold at every instant. They know the truth of
// the registry and what it answered, and nothing of how the product comes to its table.
import type { TableEvent } from '../../src/control/view.ts';
import type { ListenerSnapshot, SnapshotDelta } from '../../src/model/snapshot.ts';
import type { Delivered } from './sim-consul.ts';
import { type SimThread, type ThreadWatcher, whoOf } from './sim-thread.ts';
import { describes, type Instance } from './truth.ts';
import { DESCRIBING } from './universe.ts';

/** Old answers may be so old: a server's lag and the way. Whoever changed within it is not judged. */
const RECENT_MS = 25_000;
/** A report of failures and its effect are not further apart. */
const REPORT_MS = 5000;
/** The longest ejection: while it lasts, a state that weighs more may hide it. */
const EJECTION_MS_MAX = 60_000;
const WEIGHTIER: ReadonlySet<string> = new Set(['down', 'drain', 'maint']);

export interface Circumstances {
  readonly nowMs: () => number;
  readonly holdMs: number;
  readonly isGuarded: boolean;
  /** Whether every configuration of late wants this endpoint there. */
  readonly isWanted: (service: string, id: string) => boolean;
  /** The worker threads that live. */
  readonly threads: () => readonly SimThread[];
  /** Runs it once this event is over, unless the process has ended. */
  readonly afterwards: (run: () => void) => void;
  /** What is wrong with listening so, or ''. */
  readonly listen: (listeners: readonly ListenerSnapshot[]) => string;
  /** The table has the endpoint, at whatever place. */
  readonly isShown: (service: string, id: string) => boolean;
  /** The table has the service, without any endpoint. */
  readonly isEmpty: (service: string) => boolean;
  /** The question whose answers give the service its endpoints, as `tag|service`. */
  readonly questionOf: (service: string) => string;
  /** The configuration in force names the service. */
  readonly isConfigured: (service: string) => boolean;
  /** How long the server behind this endpoint has answered well, ms. */
  readonly wellMs: (service: string, id: string) => number;
  /** A worker has another table, and sends work somewhere. */
  readonly onApplied: (thread: SimThread, delta: SnapshotDelta) => void;
  readonly onWork: (thread: SimThread, service: string, address: string) => void;
}

export class Judge implements ThreadWatcher {
  readonly faults: string[] = [];
  /** Since when an instance is registered, at one place, and accepted; by `node/id`. */
  readonly sinceMs = new Map<string, number>();
  private readonly around: Circumstances;
  /** When an answer first left out who is there, by tag and key; until one has it again. */
  private readonly leftOutMs = new Map<string, number>();
  private readonly instances = new Map<string, Instance>();
  /** When an instance of a service last became another one, came or went. */
  private readonly changedMs = new Map<string, number>();
  /** Who this process has been told of as it is in truth, by `tag|service` and `node/id`. */
  private readonly seen = new Set<string>();
  /** Questions that this process has had answered, as `tag|service`. */
  private readonly answered = new Set<string>();
  /** Services of which an answer had no instance, whatever their tag: a reload may ask for another one. */
  private readonly saidEmpty = new Set<string>();
  private questions: ReadonlySet<string> = new Set();
  private readonly streaks = new Map<string, number>();
  /** What the last answer about a service listed. */
  private readonly listed = new Map<string, Delivered['ids']>();
  /** Of which time the youngest answer about a service was. */
  private readonly toldOfMs = new Map<string, number>();
  /** Service -> endpoint -> state, by the events alone. */
  private told = new Map<string, Map<string, string>>();
  /** When it came into the table, by `service endpoint`. */
  private readonly shownMs = new Map<string, number>();
  private lastEventId = 0;

  constructor(around: Circumstances) {
    this.around = around;
  }

  fault(text: string): void {
    const seconds = (this.around.nowMs() / 1000).toFixed(3);
    if (this.faults.length < 20) this.faults.push(`at ${seconds} s: ${text}`);
  }

  // What is so in truth

  /** An instance is registered so from now on; null: no more. `isAccepted`: it may get traffic. */
  setTruth(key: string, instance: Instance | null, isAccepted: boolean): void {
    const known = this.instances.get(key);
    const before = this.sinceMs.get(key);
    const isSame =
      known !== undefined &&
      instance !== null &&
      known.address === instance.address &&
      known.port === instance.port &&
      known.tags.join() === instance.tags.join() &&
      JSON.stringify(known.meta) === JSON.stringify(instance.meta);
    if (instance === null) this.instances.delete(key);
    else this.instances.set(key, instance);
    if (instance === null || !isAccepted) this.sinceMs.delete(key);
    else if (!isSame || !this.sinceMs.has(key)) {
      const now = this.around.nowMs();
      this.sinceMs.set(key, now === 0 ? Number.NEGATIVE_INFINITY : now);
    }
    if (this.sinceMs.get(key) !== before) this.forgetSeen(key);
    const service = instance?.service ?? known?.service ?? '';
    if (!isSame) this.changedMs.set(service, this.around.nowMs());
  }

  onDelivered({ path, tag, ids, asOfMs }: Delivered): void {
    const service = decodeURIComponent(path.slice(path.lastIndexOf('/') + 1));
    if (tag === '') this.listed.set(service, ids);
    if (ids.size === 0) this.saidEmpty.add(service);
    this.toldOfMs.set(service, Math.max(asOfMs, this.toldOfMs.get(service) ?? asOfMs));
    for (const [key, one] of this.instances) {
      if (one.service !== service || (tag !== '' && !one.tags.includes(tag))) continue;
      const place = `${tag}|${key}`;
      const listed = ids.get(key);
      const isTrue = listed?.isAccepted === true && listed.port === one.port;
      // What a server that is behind says may be of a registration before this one.
      const sinceMs = this.sinceMs.get(key) ?? Number.POSITIVE_INFINITY;
      if (isTrue && sinceMs <= asOfMs) this.seen.add(`${tag}|${service} ${key}`);
      if (listed !== undefined) this.leftOutMs.delete(place);
      else if (!this.leftOutMs.has(place)) {
        // The first answer of all is believed: there is nothing to doubt it by.
        const isFirst = !this.answered.has(`${tag}|${service}`);
        this.leftOutMs.set(place, isFirst ? Number.NEGATIVE_INFINITY : this.around.nowMs());
      }
    }
    if (this.questions.has(`${tag}|${service}`)) this.answered.add(`${tag}|${service}`);
  }

  private forgetSeen(key: string): void {
    for (const one of this.seen) if (one.endsWith(` ${key}`)) this.seen.delete(one);
  }

  /** These questions alone are asked now: what comes to another one later is a first answer again. */
  follow(questions: ReadonlySet<string>): void {
    this.questions = questions;
    for (const one of this.answered) if (!questions.has(one)) this.answered.delete(one);
  }

  /** Consul is asked by somebody new, who has been told nothing, and maybe at a server behind. */
  startOver(): void {
    this.seen.clear();
  }

  /** Whether some answer since left the instance out. */
  wasLeftOut(key: string): boolean {
    return [...this.leftOutMs.keys()].some((place) => place.endsWith(`|${key}`));
  }

  /** Another process: it knows nothing, and has been told nothing. */
  begin(): void {
    this.told = new Map();
    this.shownMs.clear();
    this.lastEventId = 0;
    this.leftOutMs.clear();
    this.answered.clear();
    this.saidEmpty.clear();
    this.seen.clear();
    this.streaks.clear();
    this.listed.clear();
  }

  // What the table does

  onEvent(event: TableEvent): void {
    const { service, endpoint, from, to, cause, id } = event;
    if (id <= this.lastEventId) this.fault(`event ${id} comes after ${this.lastEventId}`);
    this.lastEventId = id;
    if (cause.text === '') this.fault(`an event of ${service} has no cause`);
    // Of the service as a whole, whose primary changes.
    if (endpoint === '' || from === 'primary') return;
    const told = this.told.get(service) ?? new Map<string, string>();
    this.told.set(service, told);
    const before = told.get(endpoint) ?? '';
    if (before !== from) {
      this.fault(`${endpoint} of ${service} goes from '${from}', and was '${before}'`);
    }
    if (from === '') this.shownMs.set(`${service} ${endpoint}`, this.around.nowMs());
    if (to === '') told.delete(endpoint);
    else told.set(endpoint, to);
    if (to === 'ejected' && from !== 'ejected') this.judgeEjection(event, told);
    const isFromRegistry = to === 'down' && from !== '' && event.reason.startsWith('registry');
    if (to === '' || isFromRegistry) this.judgeLoss(event);
    if (to === 'down' && cause.kind === 'check') this.judgeCheck(event);
  }

  /** For how long it has been in the table, ms. */
  shownFor(service: string, endpoint: string): number {
    const sinceMs = this.shownMs.get(`${service} ${endpoint}`) ?? Number.POSITIVE_INFINITY;
    return this.around.nowMs() - sinceMs;
  }

  /** The events must add up to the table. */
  compareEvents(shown: ReadonlyMap<string, ReadonlyMap<string, string>>): void {
    for (const name of new Set([...shown.keys(), ...this.told.keys()])) {
      const [told, is] = [this.told.get(name), shown.get(name)];
      for (const id of new Set([...(told?.keys() ?? []), ...(is?.keys() ?? [])])) {
        const state = is?.get(id)?.split(' ').at(-1) ?? '';
        if (state === (told?.get(id) ?? '')) continue;
        this.fault(`events say '${told?.get(id)}' of ${id} of ${name}, and it is '${state}'`);
      }
    }
  }

  /** Some answer about the service is of a time since then: agents may be silent for longer than that. */
  private wasTold(service: string, sinceMs: number): boolean {
    const toldOfMs = this.toldOfMs.get(service);
    return sinceMs === Number.NEGATIVE_INFINITY || (toldOfMs !== undefined && toldOfMs >= sinceMs);
  }

  private judgeLoss(event: TableEvent): void {
    const { service, endpoint, to } = event;
    // One that is there again at once has moved: a server that is behind says where it was.
    if (to !== '') this.judgeGone(event);
    else {
      this.around.afterwards(() => {
        if (!this.around.isShown(service, endpoint)) this.judgeGone(event);
        if (this.around.isEmpty(service)) this.judgeEmpty(event);
      });
    }
  }

  /** Whatever is replaced, and however fast: without an answer that has no instance a service is never empty. */
  private judgeEmpty({ service, endpoint, cause }: TableEvent): void {
    const question = this.around.questionOf(service);
    const [, asked = ''] = question.split('|');
    const isOfName = endpoint.includes('@');
    if (isOfName || !this.answered.has(question) || this.saidEmpty.has(asked)) return;
    this.fault(`${service} is shown empty (${cause.text}), and every answer had an instance`);
  }

  private judgeGone({ service, endpoint, to, cause }: TableEvent): void {
    const { nowMs, holdMs, isGuarded, isWanted } = this.around;
    const [key = ''] = endpoint.split('@');
    const now = nowMs();
    const sinceMs = this.sinceMs.get(key);
    if (sinceMs === undefined) return;
    // Who was told of once is not unknown to it any more, however recent.
    const isSeen = to === '' && this.seen.has(`${this.around.questionOf(service)} ${key}`);
    if (!isSeen && (now - sinceMs < RECENT_MS || !this.wasTold(service, sinceMs))) return;
    if (!isWanted(service, endpoint) || this.hasMoved(service, endpoint)) return;
    // What describes itself is there for as long as one of its instances says so.
    const changedMs = this.changedMs.get(service) ?? Number.NEGATIVE_INFINITY;
    if (DESCRIBING.has(service) && now - changedMs < RECENT_MS) return;
    if (this.isUndescribed(service)) return;
    const leftOutMs = [...this.leftOutMs]
      .filter(([place]) => place.endsWith(`|${key}`))
      .reduce((first, [, ms]) => Math.min(first, ms), Number.POSITIVE_INFINITY);
    const isLeftOut = leftOutMs !== Number.POSITIVE_INFINITY;
    // Without the guard nothing is held: not for names that are not resolved yet either.
    const isHeld = isGuarded || !endpoint.includes('@');
    if (!isHeld || (isLeftOut && (!isGuarded || now - leftOutMs >= holdMs - 10))) return;
    const was = isLeftOut
      ? `was left out for ${((now - leftOutMs) / 1000).toFixed(1)} s alone`
      : 'was left out by no answer';
    const since = ((now - sinceMs) / 1000).toFixed(0);
    this.fault(
      `${endpoint} of ${service} is lost (${to || 'gone'}; ${cause.kind}: ${cause.text}): ` +
        `it has been there for ${since} s, and ${was}`,
    );
  }

  /**
   * The last answer about a service that is there by its description alone had nobody who describes it:
   * neither those who do so in truth, which change one after the other, nor, without the guard, anybody.
   */
  private isUndescribed(service: string): boolean {
    if (!this.lacksDescription(service)) return false;
    const listed = this.listed.get(service);
    if (!this.around.isGuarded) return true;
    return [...this.instances].every(
      ([key, one]) => one.service !== service || !describes(one) || listed?.has(key) === true,
    );
  }

  /** The service is there by its description alone, and the last answer about it had nobody's. */
  lacksDescription(service: string): boolean {
    const listed = this.listed.get(service);
    if (listed === undefined || this.around.isConfigured(service)) return false;
    return ![...listed.values()].some(({ isDescribing }) => isDescribing);
  }

  /** The workers know it at another port than it has now: what is lost is another endpoint. */
  private hasMoved(service: string, endpoint: string): boolean {
    const port = this.instances.get(endpoint.split('@')[0]!)?.port;
    return this.around.threads().some(({ services }) => {
      const shown = services.get(service)?.endpoints.find(({ id }) => id === endpoint);
      return shown !== undefined && port !== undefined && shown.port !== port;
    });
  }

  private judgeEjection({ service, endpoint, from }: TableEvent, told: Map<string, string>): void {
    const reportedMs = this.streaks.get(`${service} ${endpoint}`) ?? Number.NEGATIVE_INFINITY;
    const ageMsMax = REPORT_MS + (WEIGHTIER.has(from) ? EJECTION_MS_MAX : 0);
    if (this.around.nowMs() - reportedMs > ageMsMax) {
      this.fault(`${endpoint} of ${service} is ejected, and no worker reported it`);
    }
    const ejected = [...told.values()].filter((state) => state === 'ejected').length;
    if (ejected > Math.max(1, Math.floor(told.size / 2))) {
      this.fault(`${ejected} of ${told.size} endpoints of ${service} are ejected`);
    }
  }

  private judgeCheck({ service, endpoint, reason }: TableEvent): void {
    // It is well, and another one is the primary by its check.
    if (!reason.startsWith('check')) return;
    const wellMs = this.around.wellMs(service, endpoint);
    if (wellMs > RECENT_MS) {
      const seconds = (wellMs / 1000).toFixed(0);
      this.fault(`${endpoint} of ${service} fails its check, and has answered for ${seconds} s`);
    }
  }

  // What workers have

  onFault(text: string): void {
    this.fault(text);
  }

  onStreak(_thread: SimThread, who: string): void {
    const [name = ''] = who.split(' at ');
    this.streaks.set(name, this.around.nowMs());
  }

  onWork(thread: SimThread, service: string, address: string): void {
    this.around.onWork(thread, service, address);
  }

  onApplied(thread: SimThread, delta: SnapshotDelta): void {
    const wrong = delta.listeners === null ? '' : this.around.listen(delta.listeners);
    if (wrong !== '') this.fault(wrong);
    this.around.onApplied(thread, delta);
    for (const { service, endpoints } of delta.upsert) {
      for (const one of endpoints) {
        if (one !== undefined) this.judgeSlot(thread, one.slot, whoOf(service.name, one));
      }
    }
  }

  /** Nobody else may have the slot: in a snapshot, or with requests in flight. */
  private judgeSlot(by: SimThread, slot: number, who: string): void {
    for (const thread of this.around.threads()) {
      const held = thread.inFlight.get(slot);
      if (held !== undefined && held.who !== who) {
        this.fault(
          `slot ${slot} goes to ${who}: worker ${thread.index} has requests of ${held.who}`,
        );
      }
      for (const { service, endpoints } of thread.services.values()) {
        for (const one of endpoints) {
          if (one?.slot !== slot) continue;
          const other = whoOf(service.name, one);
          if (other === who) continue;
          this.fault(
            `slot ${slot} goes to ${who} in worker ${by.index}: worker ${thread.index} has it for ${other}`,
          );
        }
      }
    }
  }
}
