import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Ejection, type EjectionFacts, eject } from '../../src/health/ejection.ts';
import { makePassive } from '../support/service.ts';

const policy = makePassive();
const facts = (parts: Partial<EjectionFacts> = {}): EjectionFacts => ({
  peers: 4,
  ejected: 0,
  othersWorking: 3,
  before: null,
  nowMs: 100_000,
  text: '5 failed requests in a row (reset)',
  ...parts,
});
const ended = (times: number, wellMs: number): Ejection => ({
  untilMs: 100_000 - wellMs,
  times,
  text: '',
});

describe('who may be ejected', () => {
  it.each([
    ['the first of four', {}, true],
    ['the second of four', { ejected: 1, othersWorking: 2 }, true],
    ['not the third of four', { ejected: 2, othersWorking: 1 }, false],
    ['one of two', { peers: 2, othersWorking: 1 }, true],
    ['one of three, though a half is not even two', { peers: 3, othersWorking: 2 }, true],
    ['not the only one', { peers: 1, othersWorking: 0 }, false],
    ['not the last that takes work', { othersWorking: 0 }, false],
  ])('%s', (_, parts, mayBe) => {
    expect('untilMs' in eject(policy, facts(parts))).toBe(mayBe);
  });

  it('nobody where the share is 0', () => {
    expect(eject({ ...policy, maxEjectedShare: 0 }, facts())).toEqual({
      refusal: 'passive.max_ejected is 0%',
    });
  });

  it('never more than the share, but for the one that always may', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 50 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (peers, share) => {
          const own = { ...policy, maxEjectedShare: share };
          let ejected = 0;
          const next = () => facts({ peers, ejected, othersWorking: peers - 1 - ejected });
          while ('untilMs' in eject(own, next())) ejected += 1;
          expect(ejected).toBeLessThanOrEqual(Math.max(1, peers * share));
          expect(ejected).toBeGreaterThanOrEqual(1);
          expect(ejected).toBeLessThan(peers);
        },
      ),
    );
  });
});

describe('how long', () => {
  it.each([
    ['the first time', null, 1],
    ['again at once', ended(1, 0), 2],
    ['again, a little later', ended(2, 9_999), 3],
    ['well for one length of an ejection', ended(3, 10_000), 3],
    ['well for longer', ended(3, 25_000), 2],
    ['well for a long time', ended(6, 600_000), 1],
    ['for ever failing', ended(6, 0), 6],
  ])('%s', (_, before, times) => {
    const ejection = eject(policy, facts({ before }));
    expect(ejection).toMatchObject({ times, untilMs: 100_000 + times * 10_000 });
  });
});
