import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Guard } from '../../src/control/guard.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';

const settings = { enabled: true, holdMs: 30_000, maxRemovedShare: 0.5 };
const at = (nowMs: number, passing: readonly string[] = []) => ({
  nowMs,
  settings,
  isPassing: (id: string) => passing.includes(id),
  isFailing: false,
});
const endpoint = (id: string): Endpoint => ({
  id,
  address: '10.0.0.1',
  port: id.charCodeAt(0),
  weight: 1,
  status: 'passing',
  statusText: '',
});
const three = ['a', 'b', 'c'].map(endpoint);

function answers(...steps: { ids: string[]; doubt?: string; nowMs: number }[]) {
  const guard = new Guard();
  guard.answer({ endpoints: three, doubt: '' }, at(0));
  const results = steps.map(({ ids, doubt = '', nowMs }) =>
    guard.answer({ endpoints: ids.map(endpoint), doubt }, at(nowMs)),
  );
  return { guard, last: results.at(-1)! };
}

const idsOf = (admitted: { endpoints: readonly Endpoint[] }) =>
  admitted.endpoints.map(({ id }) => id).sort();

describe('Guard', () => {
  it('lets nothing go while the registry does not answer', () => {
    const { guard } = answers({ ids: ['a'], doubt: 'an outage', nowMs: 5 });
    const cut = { ...at(30_005), isFailing: true };
    expect(idsOf(guard.admitted(cut))).toEqual(['a', 'b', 'c']);
    expect(guard.admitted(cut).nextMs).toBe(31_005);
    expect(idsOf(guard.admitted(at(31_005)))).toEqual(['a']);
  });

  it('believes an answer without doubt at once', () => {
    expect(idsOf(answers({ ids: [], nowMs: 1 }).last)).toEqual([]);
    expect(idsOf(answers({ ids: ['a'], nowMs: 1 }).last)).toEqual(['a']);
  });

  it('holds what a doubtful answer leaves out, and says why', () => {
    const { last } = answers({ ids: [], doubt: 'index went backwards', nowMs: 5 });
    expect(idsOf(last)).toEqual(['a', 'b', 'c']);
    expect(last.held.get('b')).toContain('index went backwards');
    expect(last.nextMs).toBe(30_005);
  });

  it('lets go what registers again, and keeps holding the rest over good answers', () => {
    const { last } = answers(
      { ids: [], doubt: 'index went backwards', nowMs: 5 },
      { ids: ['a'], nowMs: 100 },
    );
    expect(idsOf(last)).toEqual(['a', 'b', 'c']);
    expect([...last.held.keys()].sort()).toEqual(['b', 'c']);
  });

  it('holds for an outage what a confirmed answer to another doubt does not have', () => {
    const guard = new Guard();
    guard.answer({ endpoints: three, doubt: '' }, at(0));
    const [a, b] = three.map((one) => one);
    guard.answer({ endpoints: [a!, b!], doubt: 'an outage', isLasting: true }, at(1));
    guard.answer({ endpoints: [a!], doubt: 'no known leader' }, at(2));
    const last = guard.answer({ endpoints: [a!], doubt: '', isConfirmed: true }, at(3));
    expect(idsOf(last)).toEqual(['a', 'c']);
  });

  it('removes at once what registered again and then left', () => {
    const { last } = answers(
      { ids: [], doubt: 'x', nowMs: 5 },
      { ids: ['a', 'b'], nowMs: 100 },
      { ids: ['b'], nowMs: 200 },
    );
    expect(idsOf(last)).toEqual(['b', 'c']);
  });

  it('lets go when the time is up', () => {
    const { guard } = answers({ ids: ['a'], doubt: 'x', nowMs: 5 });
    expect(idsOf(guard.admitted(at(30_004)))).toEqual(['a', 'b', 'c']);
    const after = guard.admitted(at(30_005));
    expect(idsOf(after)).toEqual(['a']);
    expect(after.nextMs).toBe(Number.POSITIVE_INFINITY);
  });

  describe('in another outage', () => {
    const outage = (sinceMs?: number) => ({
      ...{ endpoints: [], doubt: 'an outage', isLasting: true },
      ...(sinceMs === undefined ? {} : { sinceMs }),
    });

    it('begins to hold again', () => {
      const guard = new Guard();
      guard.answer({ endpoints: three, doubt: '' }, at(0));
      guard.answer(outage(), at(1000));
      guard.answer({ endpoints: [three[0]!], doubt: '' }, at(2000));
      const again = guard.answer({ ...outage(), doubt: 'the next' }, at(21_000));
      expect(again.held.get('b')).toContain('the next');
      expect(again.nextMs).toBe(51_000);
      expect(idsOf(guard.admitted(at(50_999)))).toEqual(['a', 'b', 'c']);
      expect(idsOf(guard.admitted(at(51_000)))).toEqual([]);
    });

    it('begins again within one doubt where the provider tells them apart', () => {
      const guard = new Guard();
      guard.answer({ endpoints: three, doubt: '' }, at(0));
      guard.answer(outage(1000), at(1000));
      // A certain answer in between does not make two of one.
      guard.answer({ endpoints: [], doubt: '' }, at(9000));
      expect(guard.answer(outage(1000), at(10_000)).nextMs).toBe(31_000);
      expect(guard.answer(outage(20_000), at(20_500)).nextMs).toBe(50_500);
    });

    it('goes on where the doubt is one about an answer', () => {
      const guard = new Guard();
      guard.answer({ endpoints: three, doubt: '' }, at(0));
      guard.answer({ endpoints: [], doubt: 'no known leader' }, at(1000));
      guard.answer({ endpoints: [], doubt: '' }, at(2000));
      const again = guard.answer({ endpoints: [], doubt: 'no known leader' }, at(9000));
      expect(again.nextMs).toBe(31_000);
    });
  });

  it('does not hold one whose place another id has taken', () => {
    const guard = new Guard();
    guard.answer({ endpoints: three, doubt: '' }, at(0));
    const again = { ...endpoint('b'), id: 'b-again' };
    const { endpoints, held } = guard.answer({ endpoints: [again], doubt: 'x' }, at(5));
    expect(idsOf({ endpoints })).toEqual(['a', 'b-again', 'c']);
    expect([...held.keys()].sort()).toEqual(['a', 'c']);
  });

  it('holds exactly what doubtful answers alone took away, and nothing for longer than its time', () => {
    const step = fc.record({
      ids: fc.uniqueArray(fc.constantFrom<string>('a', 'b', 'c', 'd')),
      isDoubtful: fc.boolean(),
      afterMs: fc.nat(20_000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const guard = new Guard();
        /** Until when each is held, by the letter of the rule. */
        const until = new Map<string, number>();
        let present: string[] = [];
        let nowMs = 0;
        for (const { ids, isDoubtful, afterMs } of steps) {
          nowMs += afterMs;
          const gone = present.filter((id) => !ids.includes(id));
          if (isDoubtful) for (const id of gone) until.set(id, nowMs + settings.holdMs);
          for (const id of ids) until.delete(id);
          present = ids;
          const doubt = isDoubtful ? 'index went backwards' : '';
          const admitted = guard.answer({ endpoints: ids.map(endpoint), doubt }, at(nowMs));
          const held = [...until].filter(([, untilMs]) => untilMs > nowMs).map(([id]) => id);
          expect([...admitted.held.keys()].sort()).toEqual(held.sort());
          expect(idsOf(admitted)).toEqual([...ids, ...held].sort());
        }
      }),
    );
  });

  it('holds nothing when it is turned off', () => {
    const guard = new Guard();
    const off = { ...at(1), settings: { ...settings, enabled: false } };
    guard.answer({ endpoints: three, doubt: '' }, off);
    expect(idsOf(guard.answer({ endpoints: [], doubt: 'x' }, off))).toEqual([]);
  });

  it('keeps what passes its own check while the last answer is in doubt', () => {
    const guard = new Guard();
    guard.answer({ endpoints: three, doubt: '' }, at(0));
    guard.answer({ endpoints: [], doubt: 'no known leader' }, at(0));
    expect(idsOf(guard.admitted(at(30_000, ['a'])))).toEqual(['a']);
    expect(idsOf(guard.admitted(at(90_000, ['a'])))).toEqual(['a']);
    expect(idsOf(guard.admitted(at(91_000)))).toEqual([]);
  });

  it('keeps nothing past its time once an answer is believed', () => {
    const guard = new Guard();
    guard.answer({ endpoints: three, doubt: '' }, at(0));
    guard.answer({ endpoints: [], doubt: 'no known leader' }, at(0));
    guard.answer({ endpoints: [], doubt: '' }, at(10));
    expect(idsOf(guard.admitted(at(29_999, ['a'])))).toEqual(['a', 'b', 'c']);
    expect(idsOf(guard.admitted(at(30_000, ['a'])))).toEqual([]);
  });

  it('lets everything go that a confirmed answer leaves out', () => {
    const guard = new Guard();
    guard.answer({ endpoints: three, doubt: '' }, at(0));
    guard.answer({ endpoints: [], doubt: 'no known leader' }, at(1));
    expect(idsOf(guard.answer({ endpoints: [], doubt: '', isConfirmed: true }, at(2)))).toEqual([]);
  });

  it('says why an endpoint is there that the registry did not just name', () => {
    const kept = new Map([['a', 'from the state file']]);
    const guard = new Guard();
    const warm = guard.answer({ endpoints: three, doubt: '', kept }, at(0));
    expect([...warm.held]).toEqual([['a', 'from the state file']]);
    expect(warm.nextMs).toBe(Number.POSITIVE_INFINITY);
    const after = guard.answer({ endpoints: three, doubt: '' }, at(1));
    expect(after.held.size).toBe(0);
  });
});
