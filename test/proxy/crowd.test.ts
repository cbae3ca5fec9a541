// Which client connections are closed for another, and what that costs.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TimerWheel } from '../../src/base/timer-wheel.ts';
import { Crowd, type Group, type Member } from '../../src/proxy/limits/crowd.ts';
import type { LiveService } from '../../src/proxy/live-service.ts';

/** Known by its identity alone. */
const SERVICE = {} as LiveService;

class Guest implements Member<Guest> {
  readonly service = SERVICE;
  /** How often anybody asked for its address. */
  asked = 0;
  group: Group<Guest> | null = null;
  older: Guest | null = null;
  younger: Guest | null = null;
  isEvicted = false;
  hasDeparted = false;
  /** How often anybody looked at what it does. */
  looks = 0;
  private readonly from: string;
  private readonly does: Guest['leisure'];

  constructor(address: string, does: Guest['leisure']) {
    this.from = address;
    this.does = does;
  }

  get address(): string {
    this.asked += 1;
    return this.from;
  }

  get leisure(): 'idle' | 'partial' | 'busy' {
    this.looks += 1;
    return this.isEvicted ? 'busy' : this.does;
  }

  evict(): void {
    this.isEvicted = true;
  }

  depart(): boolean {
    this.hasDeparted = true;
    return true;
  }
}

function crowdOf(...groups: [address: string, does: Guest['leisure'], count: number][]) {
  let nowMs = 0;
  const wheel = new TimerWheel(() => nowMs);
  const pass = (ms: number): void => {
    for (let i = 0; i < ms; i += 25) {
      nowMs += 25;
      wheel.tick();
    }
  };
  const crowd = new Crowd<Guest>(wheel);
  const guests = groups.flatMap(([address, does, count]) =>
    Array.from({ length: count }, () => new Guest(address, does)),
  );
  for (const guest of guests) crowd.add(guest);
  const gone = () => guests.filter((one) => one.isEvicted);
  const makeRoom = (address: string, nowMs = 0) =>
    crowd.makeRoom({ service: SERVICE, address, nowMs });
  return { crowd, guests, gone, makeRoom, pass };
}

describe('addresses', () => {
  it('are asked for when there is no room, once for each that came since', () => {
    const { crowd, guests, makeRoom } = crowdOf(['a', 'busy', 3], ['b', 'busy', 2]);
    crowd.remove(guests[0]!);
    expect(crowd.members()).toEqual(guests.slice(1));
    expect(guests.map(({ asked }) => asked)).toEqual([0, 0, 0, 0, 0]);
    expect(makeRoom('c')).toBe(false);
    expect(makeRoom('c', 1)).toBe(false);
    expect(guests.map(({ asked }) => asked)).toEqual([0, 1, 1, 1, 1]);
    for (const one of guests.slice(1)) crowd.remove(one);
    expect([crowd.size, crowd.members()]).toEqual([0, []]);
  });
});

describe('which connections are closed for another', () => {
  it('are asked for as they come where many came already, so that no look is long', () => {
    const { guests } = crowdOf(['a', 'idle', 1500]);
    const asked = guests.map((guest) => guest.asked);
    expect(asked.slice(0, 476).every((times) => times === 1)).toBe(true);
    expect(asked.slice(476).every((times) => times === 0)).toBe(true);
  });

  it('those of the address with the most, oldest first, some at a time', () => {
    const { gone, guests, makeRoom } = crowdOf(
      ['a', 'idle', 1],
      ['b', 'idle', 100],
      ['c', 'busy', 1],
    );
    expect(makeRoom('d')).toBe(true);
    expect(gone()).toEqual(guests.slice(1, 8));
  });

  it('idle ones of a lighter address where the heaviest has none', () => {
    const { gone, guests, makeRoom } = crowdOf(['a', 'idle', 1], ['b', 'busy', 5]);
    expect(makeRoom('c')).toBe(true);
    expect(gone()).toEqual([guests[0]]);
  });

  it('none of an address that has fewer than the one that wants more', () => {
    const { gone, makeRoom } = crowdOf(['a', 'idle', 4], ['b', 'busy', 5], ['c', 'idle', 5]);
    expect(makeRoom('b')).toBe(true);
    expect(gone().every(({ address }) => address === 'c')).toBe(true);
    const greedy = crowdOf(['a', 'idle', 4], ['b', 'busy', 5]);
    expect(greedy.makeRoom('b')).toBe(false);
    expect(greedy.gone()).toEqual([]);
    // That it got nothing keeps nobody else from it.
    expect(greedy.makeRoom('c')).toBe(true);
  });

  it('half heads of an address that has more than half, for others', () => {
    expect(crowdOf(['a', 'partial', 5]).makeRoom('a')).toBe(false);
    expect(crowdOf(['a', 'partial', 5]).makeRoom('b')).toBe(true);
    expect(crowdOf(['a', 'partial', 5], ['b', 'partial', 5]).makeRoom('c')).toBe(false);
    const { gone, guests, makeRoom } = crowdOf(['a', 'partial', 6], ['b', 'partial', 5]);
    expect(makeRoom('c')).toBe(true);
    expect(gone()).toEqual([guests[0]]);
    // They rather than what others left idle.
    const shared = crowdOf(['a', 'partial', 6], ['b', 'idle', 5]);
    expect(shared.makeRoom('c')).toBe(true);
    expect(shared.gone()).toEqual([shared.guests[0]]);
  });

  it('with few looks, however many there are', () => {
    const looks = (guests: readonly Guest[]) => guests.reduce((sum, one) => sum + one.looks, 0);
    const idle = crowdOf(['a', 'idle', 20_000], ['b', 'busy', 1]);
    for (let i = 0; i < 100; i += 1) expect(idle.makeRoom('b')).toBe(true);
    expect([idle.gone().length, looks(idle.guests)]).toEqual([800, 800]);
    const mixed = crowdOf(['a', 'busy', 20_000], ['a', 'idle', 10], ['b', 'busy', 1]);
    let made = 0;
    for (let i = 0; i < 100; i += 1) if (mixed.makeRoom('b')) made += 1;
    expect([made, mixed.gone().length]).toEqual([2, 10]);
    expect(looks(mixed.guests)).toBeLessThan(100 * 257);
    const busy = crowdOf(['a', 'busy', 20_000], ['b', 'busy', 1]);
    for (let i = 0; i < 1000; i += 1) expect(busy.makeRoom('c', 0)).toBe(false);
    expect(looks(busy.guests)).toBeLessThan(20_300);
  });

  it('looks again after a while', () => {
    const { crowd, makeRoom } = crowdOf(['a', 'busy', 5]);
    expect(makeRoom('b', 0)).toBe(false);
    crowd.add(new Guest('a', 'idle'));
    expect(makeRoom('b', 249)).toBe(false);
    expect(makeRoom('b', 250)).toBe(true);
  });

  it('lets those that were evicted leave a few at a time', () => {
    const { crowd, gone, guests, makeRoom, pass } = crowdOf(['a', 'idle', 1000]);
    for (let i = 0; i < 5; i += 1) makeRoom('b');
    const departed = () => guests.filter((one) => one.hasDeparted).length;
    expect([gone().length, departed()]).toEqual([40, 0]);
    let most = 0;
    for (let i = 0; i < 20; i += 1) {
      const before = departed();
      pass(25);
      most = Math.max(most, departed() - before);
    }
    expect([most, departed()]).toEqual([10, 40]);
    for (let i = 0; i < 5; i += 1) makeRoom('b');
    expect(crowd.hurry()).toBe(40);
    expect(departed()).toBe(80);
  });

  it('keeps no more than a quarter waiting to leave', () => {
    const { gone, guests, makeRoom } = crowdOf(['a', 'idle', 100]);
    for (let i = 0; i < 5; i += 1) makeRoom('b');
    expect(gone().length).toBe(35);
    expect(guests.filter((one) => one.hasDeparted).length).toBe(10);
  });

  it('closes them at once where descriptors are wanted', () => {
    const { crowd, guests } = crowdOf(['a', 'idle', 100]);
    expect(crowd.makeRoom({ service: null, address: 'b', nowMs: 0 })).toBe(true);
    expect(guests.filter((one) => one.hasDeparted).length).toBe(7);
  });

  it('holds whom it was given and who has not left, in any order of both', () => {
    const steps = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.nat(20)), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (all) => {
        const crowd = new Crowd<Guest>(new TimerWheel(() => 0));
        const expected: Guest[] = [];
        for (const [address, at] of all) {
          const leaving = expected[at];
          if (leaving === undefined) {
            const guest = new Guest(address, 'idle');
            expected.push(guest);
            crowd.add(guest);
          } else {
            expected.splice(at, 1);
            crowd.remove(leaving);
            crowd.remove(leaving);
          }
        }
        expect(crowd.size).toBe(expected.length);
        expect(new Set(crowd.members())).toEqual(new Set(expected));
        for (const address of ['a', 'b', 'c']) {
          const of = (list: Guest[]) => list.filter((one) => one.address === address);
          expect(of(crowd.members())).toEqual(of(expected));
        }
      }),
    );
  });
});
