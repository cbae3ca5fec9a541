// The oracles of a run of several registries. They know what each registry lists and since when, and
// nothing of how the product comes to its table.
import type { TableEvent } from '../../src/control/view.ts';
import type { SnapshotDelta } from '../../src/model/snapshot.ts';
import { type SimThread, type ThreadWatcher, whoOf } from '../control/sim-thread.ts';
import { MEMBERS, type Member, placeOf } from './members.ts';

/** Whoever is listed for less long may be unknown yet: servers lag, and connections stall. */
const RECENT_MS = 45_000;
/** What is held is surely so, if it has to be, but for this last moment. */
const HELD_SLACK_MS = 2000;

interface Listing {
  /** Since when the registry lists it without a break; null: it does not. */
  listedMs: number | null;
  /** Since when it does not list one any more that ought to be there; null: it does, or ought not. */
  lackedMs: number | null;
}

export interface Circumstances {
  readonly nowMs: () => number;
  readonly holdMs: number;
  /** Whether the registry has it, as it ought to be. */
  readonly isListed: (which: number) => boolean;
  /** How it ought to be registered; null: not at all. */
  readonly wanted: (which: number) => Member | null;
  /** The sources, as `registry|service`, that every configuration of late follows for a service. */
  readonly followed: (service: string) => readonly string[];
  /** Places that the table has for the service. */
  readonly shown: (service: string) => ReadonlySet<string>;
  /** The endpoint's place as the table had it last; null where it never had. */
  readonly placeOf: (service: string, endpoint: string) => string | null;
  readonly threads: () => readonly SimThread[];
  /** Runs it once this event is over, unless the process has ended. */
  readonly afterwards: (run: () => void) => void;
  /** The registry may have denied it, in a way that must be believed. */
  readonly wasDenied: (registry: string) => boolean;
  /** The registry says that an instance has ended before it says what another one is. */
  readonly isLate: (registry: string) => boolean;
}

export class RegistriesJudge implements ThreadWatcher {
  readonly faults: string[] = [];
  private readonly around: Circumstances;
  /** By source, `registry|service`: since when it is never without an instance that is listed. */
  private readonly neverEmptyMs = new Map<string, number>();
  private readonly listings: Listing[] = MEMBERS.map(() => ({ listedMs: null, lackedMs: null }));

  constructor(around: Circumstances) {
    this.around = around;
  }

  fault(text: string): void {
    const seconds = (this.around.nowMs() / 1000).toFixed(3);
    if (this.faults.length < 20) this.faults.push(`at ${seconds} s: ${text}`);
  }

  /** Something has changed in a registry. */
  note(): void {
    const { isListed, wanted, nowMs } = this.around;
    for (const [which, listing] of this.listings.entries()) {
      const isWanted = wanted(which) !== null;
      if (isWanted && isListed(which)) {
        listing.listedMs ??= nowMs();
        listing.lackedMs = null;
        continue;
      }
      // An engine, or a zone, means what it does not list.
      const wasListed = listing.listedMs !== null && MEMBERS[which]!.registry === 'etcd';
      if (!isWanted) listing.lackedMs = null;
      else if (wasListed) listing.lackedMs ??= nowMs();
      listing.listedMs = null;
    }
    this.noteEmpty();
  }

  private noteEmpty(): void {
    const { isListed, nowMs, wanted } = this.around;
    const listed = new Set<string>();
    for (const [which, { registry, service }] of MEMBERS.entries()) {
      if (wanted(which) !== null && isListed(which)) listed.add(`${registry}|${service}`);
    }
    for (const source of this.neverEmptyMs.keys()) {
      if (!listed.has(source)) this.neverEmptyMs.delete(source);
    }
    for (const source of listed) {
      if (!this.neverEmptyMs.has(source)) this.neverEmptyMs.set(source, nowMs());
    }
  }

  /**
   * A registry has lost everything; who was in it registers again. Whoever has not done so since the last time has
   * all of `guard.hold` for it once more.
   */
  lost(registry: string): void {
    const { holdMs } = this.around;
    const nowMs = this.around.nowMs();
    for (const [which, listing] of this.listings.entries()) {
      if (MEMBERS[which]!.registry !== registry) continue;
      const { listedMs, lackedMs } = listing;
      const isKnown = listedMs !== null && nowMs - listedMs >= RECENT_MS;
      const isHeld = lackedMs !== null && nowMs - lackedMs < holdMs - HELD_SLACK_MS;
      if (isKnown || isHeld) listing.lackedMs = nowMs;
    }
    this.note();
  }

  /** It is registered otherwise now: what was known of it counts no more. */
  forget(which: number): void {
    this.listings[which] = { listedMs: null, lackedMs: null };
    this.note();
  }

  onEvent({ service, endpoint, from, to, cause }: TableEvent): void {
    if (endpoint === '' || from === '' || to !== '') return;
    const { afterwards, placeOf: placeNow, shown } = this.around;
    const place = placeNow(service, endpoint);
    if (place === null) return;
    afterwards(() => {
      if (!shown(service).has(place)) this.judgeLoss(service, place, cause.text);
      if (shown(service).size === 0) this.judgeEmpty(service, cause.text);
    });
  }

  /** A service that never was empty is never shown empty, however fast its instances replace each other. */
  private judgeEmpty(service: string, cause: string): void {
    const { followed, nowMs, wasDenied, isLate } = this.around;
    for (const source of followed(service)) {
      const sinceMs = this.neverEmptyMs.get(source);
      if (sinceMs === undefined || nowMs() - sinceMs < RECENT_MS) continue;
      const [registry = ''] = source.split('|');
      if (wasDenied(registry) || isLate(registry)) continue;
      const s = ((nowMs() - sinceMs) / 1000).toFixed(1);
      this.fault(`${service} is shown empty (${cause}): ${source} was not for ${s} s`);
    }
  }

  private judgeLoss(service: string, place: string, cause: string): void {
    const { followed, wanted, nowMs, holdMs, wasDenied } = this.around;
    for (const [which, { listedMs, lackedMs }] of this.listings.entries()) {
      const member = wanted(which);
      if (member === null || placeOf(member) !== place) continue;
      if (!followed(service).includes(`${member.registry}|${member.service}`)) continue;
      if (wasDenied(member.registry)) continue;
      const now = nowMs();
      const isListedLong = listedMs !== null && now - listedMs >= RECENT_MS;
      const isHeld = lackedMs !== null && now - lackedMs < holdMs - 10;
      if (!isListedLong && !isHeld) continue;
      const since = isListedLong
        ? `listed for ${((now - listedMs) / 1000).toFixed(1)} s`
        : `not listed for ${((now - lackedMs!) / 1000).toFixed(1)} s alone`;
      this.fault(`${member.name} of ${service} is lost (${cause}): it has been ${since}`);
    }
  }

  onFault(text: string): void {
    this.fault(text);
  }

  onStreak(): void {}

  /** Nobody else may have the slot: in a snapshot, or with requests in flight. */
  onApplied(thread: SimThread, delta: SnapshotDelta): void {
    for (const { service, endpoints } of delta.upsert) {
      for (const one of endpoints) {
        if (one !== undefined) this.judgeSlot(thread, one.slot, whoOf(service.name, one));
      }
    }
  }

  private judgeSlot(by: SimThread, slot: number, who: string): void {
    for (const thread of this.around.threads()) {
      const held = thread.inFlight.get(slot)?.who ?? who;
      const others = [...thread.services.values()].flatMap(({ service, endpoints }) =>
        endpoints.flatMap((one) => (one?.slot === slot ? whoOf(service.name, one) : [])),
      );
      const other = [held, ...others].find((one) => one !== who);
      if (other === undefined) continue;
      this.fault(
        `slot ${slot} goes to ${who} in worker ${by.index}: worker ${thread.index} has it for ${other}`,
      );
    }
  }
}
