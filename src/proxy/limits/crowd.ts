// The client connections of a listener, by address, and which of them are closed when there is no place
// for another: those on which no request is going on, of the address that has the most, the oldest
// first. A client that opens thousands and leaves them idle makes room for others, and loses nothing by
// it; it never makes room for itself at the cost of an address that has fewer.
// An address may be a system call, so the youngest are grouped by it only when somebody needs room.
// Invariant: a connection is a member of one group, from `add` to `remove`; no group of an address is empty.
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { LiveService } from '../live-service.ts';
import { type Aged, type AgeList, append, unlink } from './age-list.ts';
import { Departures } from './departures.ts';

/** A connection as it may be judged. The crowd alone writes its group and its links. */
export interface Member<M> extends Aged<M> {
  /** The service that counts it; null: none. */
  readonly service: LiveService | null;
  readonly address: string;
  /** `idle`: between requests; `partial`: in the middle of a request's head. */
  readonly leisure: 'idle' | 'partial' | 'busy';
  /** Gives its place back at once; it may close now, or when it is to `depart`. */
  evict(): void;
  /** Closes one that was evicted, unless its client has asked for something since; true: it did. */
  depart(): boolean;
  /** The connections of its address; null: it is in no crowd. */
  group: Group<M> | null;
}

/** The connections of one address. */
export interface Group<M> extends AgeList<M> {
  readonly address: string;
  count: number;
  /** Members in a row that were busy, or that were not idle, when they were looked at. */
  busy: number;
  notIdle: number;
  /** Every member was, so it is not searched for any, or for idle ones, until then; wheel's clock. */
  barrenUntilMs: number;
  noIdleUntilMs: number;
}

export interface Wanted {
  /** Whose place is wanted; null: of any service, for want of descriptors. */
  readonly service: LiveService | null;
  /** Who wants it. */
  readonly address: string;
  /** Of the wheel's clock. */
  readonly nowMs: number;
}

/** Connections closed at a time, so that the next ones find room without another look at all addresses, ... */
const BATCH_MAX = 8;
/** ... but no more than one of so many. */
const BATCH_SHARE = 16;
/** Connections looked at for that in one group; the next look goes on from there. */
const LOOKS_MAX = 256;
/** How long a group is not searched again in which every member was busy. */
const BARREN_MS = 250;
/** Connections whose address is not looked at yet: beyond, so that room is never a long look away. */
const ARRIVED_MAX = 1024;

export class Crowd<M extends Member<M>> {
  private readonly groups = new Map<string, Group<M>>();
  /** The youngest, whose addresses were not looked at. */
  private readonly arrived = newGroup<M>('');
  private total = 0;
  private readonly departures: Departures;

  constructor(wheel: TimerWheel) {
    this.departures = new Departures(wheel);
  }

  get size(): number {
    return this.total;
  }

  add(member: M): void {
    join(this.arrived, member);
    this.total += 1;
    if (this.arrived.count > ARRIVED_MAX) this.sort(this.arrived.count - ARRIVED_MAX);
  }

  /** Does nothing where it is no member. */
  remove(member: M): void {
    const { group } = member;
    if (group === null) return;
    unlink(group, member);
    member.group = null;
    group.count -= 1;
    this.total -= 1;
    if (group.count === 0 && group !== this.arrived) this.groups.delete(group.address);
  }

  /** The oldest that came, `count` of them, go to the groups of their addresses. */
  private sort(count: number): void {
    const { arrived, groups } = this;
    for (let left = count; left > 0; left -= 1) {
      const one = arrived.oldest!;
      unlink(arrived, one);
      arrived.count -= 1;
      const { address } = one;
      let group = groups.get(address);
      if (group === undefined) {
        group = newGroup(address);
        groups.set(address, group);
      }
      join(group, one);
    }
  }

  /** All members, as they are now: what is done with one may remove it. */
  members(): M[] {
    const all: M[] = [];
    for (const { oldest } of [...this.groups.values(), this.arrived]) {
      for (let one = oldest; one !== null; one = one.younger) all.push(one);
    }
    return all;
  }

  /** Those that were evicted close now; returns how many. */
  hurry(): number {
    return this.departures.close(this.departures.size);
  }

  /** Closes some that can be spared; false where there is none, now or a moment ago. */
  makeRoom(wanted: Wanted): boolean {
    const isMade = this.evictSome(wanted);
    // Descriptors are given back by closing alone.
    const isClosed = wanted.service === null && this.hurry() > 0;
    return isMade || isClosed;
  }

  private evictSome(wanted: Wanted): boolean {
    this.sort(this.arrived.count);
    const heaviest = this.heaviest();
    if (heaviest === null) return false;
    const has = this.groups.get(wanted.address)?.count ?? 0;
    return this.search(heaviest, wanted) || this.searchLighter(heaviest, has, wanted);
  }

  private heaviest(): Group<M> | null {
    let heaviest: Group<M> | null = null;
    for (const group of this.groups.values()) {
      if (heaviest === null || group.count > heaviest.count) heaviest = group;
    }
    return heaviest;
  }

  /** Of addresses that have no fewer than who asks, which has `has`. */
  private searchLighter(heaviest: Group<M>, has: number, wanted: Wanted): boolean {
    const least = Math.max(has, 1);
    const others: Group<M>[] = [];
    for (const group of this.groups.values()) {
      const isBarren = wanted.nowMs < group.barrenUntilMs;
      if (group !== heaviest && group.count >= least && !isBarren) others.push(group);
    }
    others.sort((one, other) => other.count - one.count);
    return others.some((group) => this.search(group, wanted));
  }

  /**
   * Closes some of a group; false where none that was looked at can be spared. Who was looked at goes
   * to the end, so that the next look is another one.
   */
  private search(group: Group<M>, { address, service, nowMs }: Wanted): boolean {
    const isAlone = this.groups.size === 1 && group.address === address;
    // Heads in the middle are taken only of an address that has more than half of all.
    const takesPartial = !isAlone && group.count * 2 > this.total;
    if (nowMs < (takesPartial ? group.barrenUntilMs : group.noIdleUntilMs)) return false;
    const batch = Math.min(BATCH_MAX, Math.ceil(this.total / BATCH_SHARE));
    let count = 0;
    for (let left = Math.min(group.count, LOOKS_MAX); left > 0 && count < batch; left -= 1) {
      const one = group.oldest!;
      unlink(group, one);
      append(group, one);
      const { leisure } = one;
      group.busy = leisure === 'busy' ? group.busy + 1 : 0;
      group.notIdle = leisure === 'idle' ? 0 : group.notIdle + 1;
      const isSpared = leisure === 'busy' || (leisure === 'partial' && !takesPartial);
      if (isSpared || (service !== null && one.service !== service)) continue;
      one.evict();
      this.departures.add(one, this.total);
      count += 1;
    }
    if (group.busy >= group.count) group.barrenUntilMs = nowMs + BARREN_MS;
    if (group.notIdle >= group.count) group.noIdleUntilMs = nowMs + BARREN_MS;
    return count > 0;
  }
}

function join<M extends Member<M>>(group: Group<M>, member: M): void {
  member.group = group;
  append(group, member);
  group.count += 1;
}

function newGroup<M>(address: string): Group<M> {
  const never = Number.NEGATIVE_INFINITY;
  const counts = { count: 0, busy: 0, notIdle: 0 };
  const none = { oldest: null, youngest: null, barrenUntilMs: never, noIdleUntilMs: never };
  return { address, ...counts, ...none };
}
