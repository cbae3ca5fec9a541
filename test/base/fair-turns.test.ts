import { beforeEach, describe, expect, it } from 'vitest';
import { type Applicant, FairTurns } from '../../src/base/fair-turns.ts';
import { ManualClock } from '../support/clock.ts';

/** Turns are timers of no time. */
class TurningClock extends ManualClock {
  override nextTurn(run: () => void): void {
    this.setTimer(0, run);
  }
}

class Piece implements Applicant {
  readonly address: string;
  readonly name: string;
  private readonly log: string[];

  constructor(log: string[], address: string, name: string) {
    this.log = log;
    this.address = address;
    this.name = name;
  }

  begin(): void {
    this.log.push(`begin ${this.name}`);
  }

  cut(): void {
    this.log.push(`cut ${this.name}`);
  }
}

describe('turns that are fair', () => {
  let clock: TurningClock;
  let log: string[];
  let turns: FairTurns;
  const piece = (address: string, name = address) => new Piece(log, address, name);

  beforeEach(() => {
    clock = new TurningClock();
    log = [];
    const limits = { straightMax: 2, beginsATurn: 2, underWayMax: 4, staleMs: 1000 };
    turns = new FairTurns({ ...limits, clock, waitingMax: 5 });
  });

  it('lets a few begin at once', () => {
    expect(turns.hasRoom).toBe(true);
    turns.begun(piece('a'));
    turns.begun(piece('b'));
    expect(turns.hasRoom).toBe(false);
  });

  it('begins a few in a turn, address by address, and no more than there are places', () => {
    for (const name of ['a1', 'a2', 'a3', 'b1']) turns.wait(piece(name[0]!, name));
    turns.wait(piece('c', 'c1'));
    expect(turns.hasRoom).toBe(false);
    clock.advance(0);
    expect(log.slice(0, 2)).toEqual(['begin a1', 'begin b1']);
    for (let i = 0; i < 5; i += 1) clock.advance(0);
    expect(log).toEqual(['begin a1', 'begin b1', 'begin c1', 'begin a2']);
  });

  it('goes on as places become free', () => {
    const all = ['a', 'b', 'c', 'd', 'e'].map((name) => piece(name));
    for (const one of all) turns.wait(one);
    for (let i = 0; i < 5; i += 1) clock.advance(0);
    expect(log).toHaveLength(4);
    turns.leave(all[0]!);
    clock.advance(0);
    expect(log.at(-1)).toBe('begin e');
  });

  it('cuts what is under way too long, of the address that has the most, while others wait', () => {
    for (const name of ['a1', 'b1', 'b2', 'b3']) turns.wait(piece(name[0]!, name));
    for (let i = 0; i < 3; i += 1) clock.advance(0);
    clock.advance(5000);
    // Nobody waits: they may take their time.
    expect(log.filter((line) => line.startsWith('cut'))).toEqual([]);
    turns.wait(piece('c'));
    clock.advance(100);
    expect(log.filter((line) => line.startsWith('cut')).sort()).toEqual([
      'cut b1',
      'cut b2',
      'cut b3',
    ]);
  });

  it('cuts the oldest of the address that waits with the most, where too many wait', () => {
    for (const name of ['b1', 'a1', 'a2', 'a3', 'a4', 'b2']) turns.wait(piece(name[0]!, name));
    expect(log).toEqual(['cut a1']);
  });

  describe('of which some overtake, and that rest', () => {
    beforeEach(() => {
      const limits = { straightMax: 2, beginsATurn: 1, underWayMax: 6, staleMs: 1000 };
      const more = { restMs: 10, newcomersATurn: 2, fewMax: 2 };
      turns = new FairTurns({ ...limits, ...more, clock, waitingMax: 9 });
    });

    it('have time for others between them', () => {
      for (const name of ['a1', 'a2', 'a3']) turns.wait(piece('a', name));
      clock.advance(0);
      expect(log).toEqual(['begin a1']);
      clock.advance(9);
      expect(log).toHaveLength(1);
      clock.advance(1);
      expect(log).toEqual(['begin a1', 'begin a2']);
    });

    it('let one begin at once of an address that has few, a few in a turn', () => {
      for (const name of ['a1', 'a2', 'a3', 'a4']) turns.wait(piece('a', name));
      expect(turns.mayOvertake('a')).toBe(false);
      expect(turns.mayOvertake('b')).toBe(true);
      turns.begun(piece('b'));
      expect(turns.mayOvertake('c')).toBe(true);
      expect(turns.mayOvertake('d')).toBe(false);
      clock.advance(0);
      expect(turns.mayOvertake('d')).toBe(true);
    });

    it('count what waits and what is under way of an address', () => {
      for (const name of ['a1', 'a2', 'a3', 'a4']) turns.wait(piece('a', name));
      turns.begun(piece('b', 'b1'));
      turns.wait(piece('b', 'b2'));
      expect(turns.mayOvertake('b')).toBe(false);
    });

    it('have places left for it where another has taken all, and no more than these', () => {
      for (let i = 0; i < 9; i += 1) turns.wait(piece('a', `a${i}`));
      clock.advance(100);
      expect(turns.size).toBe(6);
      for (let i = 0; i < 6; i += 1) {
        clock.advance(10);
        expect(turns.mayOvertake(`b${i}`)).toBe(true);
        turns.begun(piece(`b${i}`));
      }
      clock.advance(10);
      expect(turns.mayOvertake('c')).toBe(false);
    });

    it('begin what waits of an address that has few, where another has all places for good', () => {
      for (let i = 0; i < 9; i += 1) turns.wait(piece('a', `a${i}`));
      clock.advance(100);
      // More of it at once than may overtake.
      const burst = ['b1', 'b2', 'b3', 'b4'].map((name) => piece('b', name));
      for (const one of burst) {
        if (turns.mayOvertake('b')) turns.begun(one);
        else turns.wait(one);
      }
      clock.advance(50);
      expect(log.filter((line) => line.includes(' b'))).toEqual([]);
      turns.leave(burst[0]!);
      turns.leave(burst[1]!);
      clock.advance(0);
      expect(log.at(-1)).toBe('begin b3');
      clock.advance(10);
      expect(log.at(-1)).toBe('begin b4');
      expect(turns.size).toBe(8);
    });

    it('serve one that comes as often as it rests, however many wait', () => {
      for (let i = 0; i < 9; i += 1) turns.wait(piece('a', `a${i}`));
      // A stall of the thread: two of it come at once, and others as they did before.
      for (const name of ['b1', 'b2', 'b3', 'b4', 'b5']) {
        const one = piece('b', name);
        expect(turns.mayOvertake('b')).toBe(true);
        turns.begun(one);
        clock.advance(5);
        if (name !== 'b1') turns.leave(one);
      }
    });
  });

  it('forgets who leaves while it waits', () => {
    const [one, other] = [piece('a', 'a1'), piece('a', 'a2')];
    turns.wait(one);
    turns.wait(other);
    turns.leave(one);
    for (let i = 0; i < 3; i += 1) clock.advance(0);
    expect(log).toEqual(['begin a2']);
    expect(turns.size).toBe(1);
  });
});
