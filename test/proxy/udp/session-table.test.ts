// The table beside a plain list that does the same slowly: whatever happens in whatever order, the same
// session is found, and the same one gives way.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SessionTable, type TableEntry } from '../../../src/proxy/udp/session-table.ts';

interface Session extends TableEntry<Session> {
  readonly id: number;
}

const make = (id: number, key: string): Session => {
  return { id, key, older: null, younger: null, isProven: false };
};

/** What is done with the source of this number. */
type Step = readonly ['add' | 'touch' | 'prove' | 'retire' | 'remove' | 'evict', number];

class Model {
  /** In the order in which they give way. */
  unproven: Session[] = [];
  readonly bySource = new Map<string, Session>();
  readonly all = new Set<Session>();

  add(session: Session): void {
    this.bySource.set(session.key, session);
    this.all.add(session);
    this.unproven.push(session);
  }

  touch(session: Session): void {
    if (!this.unproven.includes(session)) return;
    this.unproven = [...this.unproven.filter((one) => one !== session), session];
  }

  prove(session: Session): void {
    this.unproven = this.unproven.filter((one) => one !== session);
  }

  retire(session: Session): void {
    if (this.bySource.get(session.key) === session) this.bySource.delete(session.key);
  }

  remove(session: Session): void {
    this.retire(session);
    this.all.delete(session);
    this.prove(session);
  }
}

const SOURCES = 6;
const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom('add', 'touch', 'prove', 'retire', 'remove', 'evict'),
  fc.nat(SOURCES - 1),
);

it('finds, and lets give way, whom it should', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = new SessionTable<Session>();
      const model = new Model();
      /** Every session ever made: the closed are asked for again, as late events do. */
      const made: Session[] = [];
      for (const [what, number] of steps) {
        const key = `source ${number}`;
        if (what === 'add' && !model.bySource.has(key)) {
          const session = make(made.length, key);
          made.push(session);
          table.add(session);
          model.add(session);
        } else if (what === 'evict') {
          const { victim } = table;
          if (victim !== null) {
            table.remove(victim);
            model.remove(victim);
          }
        } else if (what !== 'add') {
          const session = made[number];
          if (session === undefined) continue;
          table[what](session);
          model[what](session);
        }
        expect(table.victim?.id).toBe(model.unproven[0]?.id);
        expect(table.size).toBe(model.all.size);
        expect(new Set(table.sessions())).toEqual(model.all);
        for (let i = 0; i < SOURCES; i += 1) {
          expect(table.get(`source ${i}`)?.id).toBe(model.bySource.get(`source ${i}`)?.id);
        }
      }
      // Nothing of those that are gone is held.
      for (const session of table.sessions()) table.remove(session);
      for (const session of made) {
        expect([session.older, session.younger]).toEqual([null, null]);
      }
      expect(table.victim).toBeNull();
    }),
  );
});
