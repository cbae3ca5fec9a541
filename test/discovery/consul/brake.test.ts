import { describe, expect, it } from 'vitest';
import type { Answer } from '../../../src/discovery/consul/answer.ts';
import {
  Brake,
  type BrakeOptions,
  type Health,
  type Verdict,
} from '../../../src/discovery/consul/brake.ts';
import { type Entry, instancesOf } from '../../../src/discovery/consul/translate.ts';
import { ManualClock } from '../../support/clock.ts';
import { guardSettings } from '../../support/discovery.ts';

const entry = (ID: string): Entry => ({
  Node: { Node: 'n' },
  Service: { ID, Address: '10.0.0.1', Port: 80 },
});
const entries = (ids: string) => [...ids].map(entry);
const idsOf = (list: readonly Entry[]) => instancesOf(list, 'upriver').map(({ id }) => id.slice(2));

/** A brake before which these were passed on; the test gives the second reads. */
function make(present: string, settings = guardSettings(), more: Partial<BrakeOptions> = {}) {
  const clock = new ManualClock();
  const passed: Verdict[] = [];
  const results: string[] = [];
  const waiting: ((answer: Partial<Answer> | Error) => void)[] = [];
  let known = entries(present);
  const brake = new Brake({
    ...more,
    clock,
    random: () => 0,
    guard: () => settings,
    present: () => instancesOf(known, 'upriver').map(({ id }) => id),
    pass: (verdict) => {
      known = [...verdict.entries];
      passed.push(verdict);
      return true;
    },
    onSecondRead: (result) => results.push(result),
    askAgain: () =>
      new Promise((resolve, reject) => {
        waiting.push((answer) => {
          if (answer instanceof Error) reject(answer);
          else {
            resolve({ index: 9n, body: [], doubt: '', receivedMs: 2, bodyBytes: 9, ...answer });
          }
        });
      }),
  });
  const take = (ids: string, more: Partial<Health> = {}) =>
    brake.take({ entries: entries(ids), doubt: '', change: 'c', receivedMs: 1, ...more });
  const second = async (answer: Partial<Answer> | Error) => {
    waiting.shift()!(answer);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const last = () => {
    const { entries: list, doubt, kept, isConfirmed = false } = passed.at(-1)!;
    return { ids: idsOf(list).join(''), doubt, isConfirmed, kept: [...(kept ?? [])] };
  };
  return { clock, brake, take, second, last, passed, results, asked: () => waiting.length };
}

describe('the brake', () => {
  it('does not take for sure what may have begun anew since', async () => {
    let epoch = '1';
    const { take, second, last, clock } = make('abcd', guardSettings(), { epoch: () => epoch });
    take('');
    epoch = '2';
    await second({ body: [] });
    expect(last()).toMatchObject({ ids: '', doubt: '4 of 4 at once', isConfirmed: false });

    clock.advance(5000);
    await second({ body: [] });
    expect(last()).toMatchObject({
      doubt: 'first answer after an outage: a connection broke',
      isConfirmed: false,
    });
    clock.advance(5000);
    await second({ body: entries('ab') });
    expect(last()).toMatchObject({ ids: 'ab', doubt: '', isConfirmed: false });
  });

  it('takes nothing away by a second read after a break that has some again', async () => {
    let epoch = '1';
    const { take, second, last, results } = make('abcd', guardSettings(), { epoch: () => epoch });
    take('');
    epoch = '2';
    await second({ body: entries('a') });
    expect(last()).toMatchObject({ doubt: '4 of 4 at once', isConfirmed: false });
    expect(results).toEqual(['unconfirmed']);
  });

  it('ends a doubt that leaves nothing out, where something is held', async () => {
    const { take, second, last, clock } = make('ab', guardSettings(), { isHolding: () => true });
    take('ab', { doubt: 'a2 answers now', doubtKind: 'outage' });
    expect(last().doubt).toBe('a2 answers now');
    clock.advance(5000);
    await second({ body: entries('ab') });
    expect(last()).toMatchObject({ ids: 'ab', doubt: '', isConfirmed: false });
  });

  it('lets through what leaves out no more than its share, or nothing at all', () => {
    const { take, passed, asked } = make('abcd');
    take('ab');
    take('abx', { doubt: 'no known leader', doubtKind: 'answer' });
    expect(passed.map((one) => idsOf(one.entries).join(''))).toEqual(['ab', 'abx']);
    expect(asked()).toBe(0);
  });

  it.each([
    ['abcd', 'a', {}],
    ['a', '', {}],
    ['abcd', 'abc', { doubt: 'no known leader', doubtKind: 'answer' }],
    ['abcd', 'abc', { doubt: 'filtered by ACLs', doubtKind: 'answer' }],
    ['abcd', 'abc', { doubt: 'index 9 -> 1 went backwards', doubtKind: 'fall' }],
  ] as const)('%s -> %s %o: applied at once when confirmed', async (before, after, more) => {
    const { take, second, last, passed, results } = make(before);
    expect(take(after, more)).toBe(true);
    expect(passed).toEqual([]);
    await second({ body: entries(after) });
    expect(last()).toEqual({ ids: after, doubt: '', isConfirmed: true, kept: [] });
    expect(results).toEqual(['confirmed']);
  });

  it('asks a second time no more often than its budget, and holds what flaps faster', async () => {
    const { take, second, results, clock, last } = make('abcd');
    let reads = 0;
    for (let i = 0; i < 100; i += 1) {
      take('abcd');
      take('a');
      if (results.length > i) continue;
      reads += 1;
      await second({ body: entries('a') });
    }
    expect(reads).toBe(4);
    expect(results.filter((result) => result === 'unconfirmed')).toHaveLength(96);
    expect(last()).toMatchObject({ ids: 'a', doubt: '3 of 4 at once, again and again' });
    clock.advance(5000);
    await second({ body: entries('a') });
    expect(last()).toMatchObject({ doubt: '', isConfirmed: true });
  });

  it('asks for large answers no more often than their size allows', async () => {
    const { take, second, results, clock, last, asked } = make('abcd');
    const bodyBytes = 6 * 1024 ** 2;
    let reads = 0;
    for (let i = 0; i < 4; i += 1) {
      take('abcd');
      take('a');
      if (asked() === 0) continue;
      reads += 1;
      await second({ body: entries('a'), bodyBytes });
    }
    // 8 MiB at once, of which the second one took more than was left.
    expect(reads).toBe(2);
    expect(last()).toMatchObject({ ids: 'a', doubt: '3 of 4 at once, again and again' });
    expect(results.at(-1)).toBe('unconfirmed');
    // The doubt is not looked at again before that is paid for: 4 MiB at 1.25 MiB a second.
    clock.advance(3000);
    expect(asked()).toBe(0);
    clock.advance(7000);
    expect(asked()).toBe(1);
    await second({ body: entries('a'), bodyBytes });
    expect(last()).toMatchObject({ doubt: '', isConfirmed: true });
    // Nor is a look that is due by its time alone, where the bytes are spent.
    for (let i = 0; i < 3; i += 1) {
      take('abcd');
      take('a');
      if (asked() > 0) await second({ body: entries('a'), bodyBytes: 4 * bodyBytes });
    }
    clock.advance(10_000);
    expect(asked()).toBe(0);
    clock.advance(15_000);
    expect(asked()).toBe(1);
  });

  it('asks again about the answer of a server that is behind the leader', async () => {
    const { take, second, last, passed, results, asked, clock } = make('abcd');
    take('abc', { doubt: 'no known leader', doubtKind: 'answer', index: 5n });
    await second({ index: 9n, body: entries('abcd') });
    expect(last().ids).toBe('abcd');
    const count = passed.length;
    // Half of them may leave at once, but not by what the leader knew earlier.
    take('ab', { index: 8n });
    expect(passed).toHaveLength(count);
    await second({ index: 9n, body: entries('abcd') });
    expect(last().ids).toBe('abcd');
    expect(results.at(-1)).toBe('contradicted');
    clock.advance(5000);
    await second({ index: 9n, body: entries('abcd') });
    take('ab', { index: 9n });
    expect(last().ids).toBe('ab');
    expect(asked()).toBe(0);
  });

  it('is not sure by a second read that came after a break, whatever came meanwhile', async () => {
    let epoch = '1';
    const { take, second, last, results } = make('abcd', guardSettings(), { epoch: () => epoch });
    take('');
    epoch = '2';
    take('', { doubt: 'first answer after an outage', doubtKind: 'outage' });
    await second({ body: [] });
    expect(last()).toMatchObject({ isConfirmed: false, doubt: 'first answer after an outage' });
    expect(results).toEqual(['unconfirmed']);
  });

  it('knows of an answer that had to wait that a connection has broken since', async () => {
    let epoch = '1';
    const { take, second, last, results } = make('abcd', guardSettings(), { epoch: () => epoch });
    take('abc', { doubt: 'no known leader' });
    take('');
    epoch = '2';
    await second({ body: entries('abcd') });
    expect(last().ids).toBe('abcd');
    await second({ body: [] });
    expect(last()).toMatchObject({ isConfirmed: false, doubt: '4 of 4 at once' });
    expect(results).toEqual(['contradicted', 'unconfirmed']);
  });

  it('is not sure by a second read without an index', async () => {
    const { take, second, last, passed, clock, asked } = make('abcd');
    take('abc', { doubt: 'no known leader', doubtKind: 'answer', index: 5n });
    await second({ index: 0n, body: entries('abcd') });
    // Who it lists is there all the same.
    expect(last()).toMatchObject({
      ids: 'abcd',
      doubt: 'no known leader, and the consistent re-read has no index',
    });
    clock.advance(5000);
    await second({ index: 9n, body: entries('abcd') });
    expect(last()).toMatchObject({ ids: 'abcd', doubt: '', isConfirmed: true });
    // What a server says that has seen less than the leader is asked again.
    const count = passed.length;
    take('ab', { index: 8n });
    expect(passed).toHaveLength(count);
    expect(asked()).toBe(1);
  });

  it.each([
    ['outage', 'first answer after an outage', 'the consistent re-read has no index'],
    ['answer', 'no known leader', 'no known leader, and the consistent re-read failed: away'],
  ] as const)(
    'takes who is there from a second read without an index, in a doubt of kind %s',
    async (doubtKind, doubt, left) => {
      const { take, second, last, passed, clock } = make('abcd');
      take('', { doubt, doubtKind });
      if (doubtKind === 'answer') await second(new Error('away'));
      expect(last().ids).toBe('');
      clock.advance(5000);
      await second({ index: 0n, body: entries('abcd') });
      expect(last()).toMatchObject({ ids: 'abcd', doubt: left, isConfirmed: false });
      expect(passed.at(-1)).toMatchObject({ doubtKind });
      // It goes on to ask, and what leaves some out is in doubt as before.
      clock.advance(5000);
      await second({ index: 9n, body: entries('abcd') });
      expect(last()).toMatchObject({ ids: 'abcd', doubt: '' });
    },
  );

  it('believes lower indexes when the leader has them too', async () => {
    const { take, second, last, asked } = make('abcd');
    take('a', { index: 50n });
    await second({ index: 50n, body: entries('abcd') });
    take('abc', { index: 7n });
    await second({ index: 7n, body: entries('abc') });
    expect(last()).toMatchObject({ ids: 'abc', isConfirmed: true });
    take('ab', { index: 8n });
    expect(last().ids).toBe('ab');
    expect(asked()).toBe(0);
  });

  it.each([
    ['', 'answer'],
    ['no known leader', 'answer'],
    ['index 9 -> 3 went backwards', 'fall'],
  ] as const)(
    'does not forget a doubt while it asks, when then comes "%s"',
    async (doubt, kind) => {
      const { take, second, last, passed } = make('abcd');
      take('a');
      take('', { doubt: 'first answer after an outage', doubtKind: 'outage' });
      take('b', { doubt, doubtKind: kind });
      await second({ body: entries('abcd') });
      expect(last()).toMatchObject({ ids: 'b', isConfirmed: false });
      expect(passed.at(-1)).toMatchObject({
        doubt: doubt || 'first answer after an outage',
        doubtKind: 'outage',
      });
    },
  );

  it('keeps what a second read has, and says so', async () => {
    const { take, second, last, results } = make('abcd');
    take('a');
    await second({ body: entries('abc') });
    const reason =
      'held: the registry left it out (3 of 4 at once), but a consistent re-read still lists it';
    expect(last()).toEqual({
      ids: 'abc',
      doubt: '',
      isConfirmed: false,
      kept: [
        ['n/b', reason],
        ['n/c', reason],
      ],
    });
    expect(results).toEqual(['contradicted']);
  });

  it.each([
    [
      new Error('no answer within 1000 ms'),
      'and the consistent re-read failed: no answer within 1000 ms',
    ],
    [
      { body: [], doubt: 'filtered by ACLs' },
      'and the consistent re-read failed: filtered by ACLs',
    ],
  ])('is in doubt about what nobody confirms, until somebody does', async (answer, why) => {
    const { take, second, last, clock, passed, results, asked } = make('abcd');
    take('a');
    await second(answer);
    expect(last()).toMatchObject({ ids: 'a', doubt: `3 of 4 at once, ${why}` });
    // What comes in between is not better known.
    take('ax');
    expect(last()).toMatchObject({ ids: 'ax', doubt: `3 of 4 at once, ${why}` });
    clock.advance(5000);
    await second(new Error('still not'));
    expect(passed).toHaveLength(2);
    clock.advance(5000);
    await second({ body: entries('ax') });
    expect(last()).toEqual({ ids: 'ax', doubt: '', isConfirmed: true, kept: [] });
    expect(passed.at(-1)!.isForced).toBe(true);
    clock.advance(60_000);
    expect(asked()).toBe(0);
    expect(results).toEqual(['unconfirmed']);
  });

  it('believes a token that never saw everything, and doubts one that sees less', async () => {
    const filtered = { doubt: 'filtered by ACLs', doubtKind: 'answer' } as const;
    const { take, second, last, clock } = make('ab');
    take('abcd', filtered);
    take('abc', filtered);
    expect(last()).toMatchObject({ ids: 'abc', doubt: '' });
    take('', filtered);
    await second({ body: [], doubt: 'filtered by ACLs' });
    expect(last()).toMatchObject({ ids: '', doubt: '', isConfirmed: true });
    take('ab');
    take('a', filtered);
    await second({ body: entries('a'), doubt: 'filtered by ACLs' });
    take('ax', filtered);
    clock.advance(5000);
    await second({ body: entries('ax'), doubt: 'filtered by ACLs' });
    expect(last().doubt).toContain('filtered by ACLs');
  });

  it('passes on what an outage makes doubtful, and asks later whether that is over', async () => {
    const { take, second, last, clock } = make('abcd');
    take('', { doubt: 'first answer after an outage', doubtKind: 'outage' });
    expect(last()).toMatchObject({ ids: '', doubt: 'first answer after an outage' });
    clock.advance(5000);
    await second({ body: entries('b') });
    expect(last()).toEqual({ ids: 'b', doubt: '', isConfirmed: false, kept: [] });
  });

  it('does not believe a registry that began anew and is empty', async () => {
    const { take, second, last } = make('abcd');
    take('', { doubt: 'index 9 -> 1 went backwards', doubtKind: 'fall' });
    await second({ body: [] });
    expect(last()).toMatchObject({ ids: '', doubt: 'index 9 -> 1 went backwards' });
  });

  it('looks at the last answer that came while it asked, once', async () => {
    const { take, second, passed, asked } = make('abcd');
    take('');
    take('a');
    take('ab');
    expect(asked()).toBe(1);
    await second({ body: entries('abc') });
    expect(passed.map((one) => idsOf(one.entries).join(''))).toEqual(['abc', 'ab']);
  });

  it('holds whom an answer named that was overtaken while it asked', async () => {
    const doubted = { doubt: 'no known leader', doubtKind: 'answer' } as const;
    const { take, second, passed } = make('bc');
    take('c', doubted);
    // That of a server which knows of "a" again, and at once that of another, which knows less.
    take('ac', doubted);
    take('c', doubted);
    await second(new Error('no answer within 1000 ms'));
    await second(new Error('no answer within 1000 ms'));
    const ids = passed.map((one) => idsOf(one.entries).join(''));
    expect(ids).toEqual(['c', 'ac', 'c']);
    expect(passed.every(({ doubt }) => doubt.startsWith('no known leader'))).toBe(true);
  });

  it('takes no answer after the word of the leader, who knew as much', async () => {
    const doubted = { doubt: 'no known leader', doubtKind: 'answer' } as const;
    const off = make('abcd', { ...guardSettings(), enabled: false }, { isHolding: () => true });
    off.take('abcd', { doubt: 'a2 answers now', doubtKind: 'outage' });
    off.clock.advance(5000);
    off.take('d', { index: 5n, ...doubted });
    await off.second({ index: 5n, body: entries('abcd') });
    expect(off.last().ids).toBe('abcd');

    const { take, second, passed, asked } = make('abcd');
    take('', { index: 5n });
    take('d', { index: 5n, ...doubted });
    await second({ index: 5n, body: entries('abcd') });
    expect(asked()).toBe(0);
    // What came of a later state is taken, and what an outage made doubtful.
    take('', { index: 5n });
    take('abcde', { index: 6n });
    await second({ index: 5n, body: entries('abcd') });
    expect(idsOf(passed.at(-1)!.entries).join('')).toBe('abcde');
    take('', { index: 6n });
    take('abc', { index: 6n, doubt: 'a2 answers now', doubtKind: 'outage' });
    await second({ index: 6n, body: entries('abcde') });
    expect(passed.at(-1)).toMatchObject({ doubt: 'a2 answers now' });
    expect(asked()).toBe(0);
  });

  it('takes answers of a registry that began anew while it asked', async () => {
    let epoch = '1';
    const { take, second, last } = make('abcd', guardSettings(), { epoch: () => epoch });
    take('a', { index: 30n });
    epoch = '2';
    take('ab', { index: 12n });
    await second({ index: 30n, body: entries('abcd') });
    await second({ index: 12n, body: entries('ab') });
    expect(last().ids).toBe('ab');
  });

  it('asks about whatever is left out after a second read without an index', async () => {
    const { take, second, last, passed, asked } = make('abcd');
    take('a', { index: 5n });
    await second({ index: 0n, body: entries('abcd') });
    const count = passed.length;
    take('abc', { index: 5n });
    expect([passed.length, asked()]).toEqual([count, 1]);
    await second({ index: 9n, body: entries('abcd') });
    expect(last().ids).toBe('abcd');
    // The leader's own answers have none, and need none.
    take('abc');
    expect(last().ids).toBe('abc');
  });

  it('asks about whatever the first answer leaves out of what another provider knew', async () => {
    const { take, second, last, passed, asked } = make('abcd');
    take('abc', { isFirst: true });
    expect([passed.length, asked()]).toEqual([0, 1]);
    await second({ index: 9n, body: entries('abcd') });
    expect(last().ids).toBe('abcd');
    take('abc', { index: 9n });
    expect(last().ids).toBe('abc');
  });

  it('keeps no more answers than a few while it asks', async () => {
    const { take, second, passed } = make('a');
    take('');
    for (const id of 'bcdefghijklm') take(id);
    await second({ body: entries('a') });
    expect(passed.map((one) => idsOf(one.entries).join('')).join('')).toBe('afghijkl');
  });

  it('asks nothing when it is turned off, wholly or for large shares', () => {
    const off = make('abcd', { ...guardSettings(), enabled: false });
    off.take('', { doubt: 'no known leader', doubtKind: 'answer' });
    expect(off.last()).toMatchObject({ ids: '', doubt: 'no known leader' });
    const all = make('abcd', { ...guardSettings(), maxRemovedShare: 1 });
    all.take('');
    expect(all.last()).toMatchObject({ ids: '', doubt: '' });
    expect(off.asked() + all.asked()).toBe(0);
  });

  it('says nothing after it was closed', async () => {
    const { brake, take, second, passed, clock } = make('abcd');
    take('');
    brake.close();
    await second({ body: [] });
    clock.advance(60_000);
    expect(passed).toEqual([]);
  });
});
