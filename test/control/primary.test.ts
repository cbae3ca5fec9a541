// Who is the primary, as a pure question: one, or nobody.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Candidate, choosePrimary, type PrimaryQuestion } from '../../src/control/primary.ts';
import type { CheckState } from '../../src/health/rise-fall.ts';
import type { PrimaryPolicy } from '../../src/model/service.ts';

type Word = 'primary' | 'replica' | 'silent primary' | 'silent replica' | 'down' | 'unknown';

function checkOf(word: Word): CheckState {
  const [silent, said] = word.startsWith('silent ') ? [true, word.slice(7)] : [false, word];
  const isRole = said === 'primary' || said === 'replica';
  const last = { isGood: !silent, text: '', durationMs: 1, atMs: 1 };
  return {
    isUp: isRole,
    against: silent ? 1 : 0,
    isKnown: word !== 'unknown',
    role: isRole ? said : null,
    last: word === 'unknown' ? null : isRole && !silent ? { ...last, role: said } : last,
  };
}

function candidate(id: string, word: Word | null, tags: readonly string[] = []): Candidate {
  const plain = { weight: 1, status: 'passing', statusText: '' } as const;
  const endpoint = { id, address: '10.0.0.1', port: 5432, ...plain, tags };
  return { endpoint, check: word === null ? null : checkOf(word) };
}

const BY_CHECK: PrimaryPolicy = { by: 'check', tag: 'primary', lock: '' };

function ask(words: Readonly<Record<string, Word>>, parts: Partial<PrimaryQuestion> = {}) {
  const candidates = Object.entries(words).map(([id, word]) => candidate(id, word));
  return choosePrimary({ policy: BY_CHECK, candidates, before: '', holder: null, ...parts });
}

describe('by check', () => {
  it.each<[Record<string, Word>, string]>([
    [{ a: 'primary', b: 'replica' }, 'a'],
    [{ a: 'replica', b: 'replica' }, ''],
    [{ a: 'primary', b: 'primary' }, ''],
    [{ a: 'primary', b: 'down' }, 'a'],
    [{ a: 'silent primary', b: 'replica' }, 'a'],
    [{ a: 'silent primary', b: 'primary' }, 'b'],
    [{ a: 'silent primary', b: 'silent primary' }, ''],
    [{ a: 'primary', b: 'unknown' }, ''],
    [{ a: 'down', b: 'replica' }, ''],
    [{}, ''],
  ])('%j is %j', (words, id) => {
    const choice = ask(words);
    expect(choice.id).toBe(id);
    expect(choice.why === '').toBe(id !== '');
  });

  it('waits for nobody who joins where there is a primary', () => {
    expect(ask({ a: 'primary', b: 'unknown' }, { before: 'a' }).id).toBe('a');
  });

  it('names who contradict each other, so that they are asked again', () => {
    const { why, contested } = ask({ a: 'primary', b: 'primary', c: 'replica' });
    expect(why).toBe('2 endpoints are the primary: a and b');
    expect(contested).toEqual(['a', 'b']);
  });

  it('never names one of two that say so now, nor one that says otherwise', () => {
    const words = fc.constantFrom<Word>(
      ...(['primary', 'replica', 'silent primary', 'silent replica', 'down', 'unknown'] as const),
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 5 }), fc.nat(5), (list, before) => {
        const candidates = list.map((word, i) => candidate(`e${i}`, word));
        const question = { policy: BY_CHECK, candidates, before: `e${before}`, holder: null };
        const { id } = choosePrimary(question);
        if (id === '') return;
        const chosen = list[Number(id.slice(1))];
        expect(['primary', 'silent primary']).toContain(chosen);
        expect(list.filter((word) => word === 'primary').length).toBe(chosen === 'primary' ? 1 : 0);
      }),
    );
  });
});

describe('by tag', () => {
  const policy: PrimaryPolicy = { by: 'tag', tag: 'leader', lock: '' };
  const choose = (...tags: readonly (readonly string[])[]) =>
    choosePrimary({
      ...{ policy, before: '', holder: null },
      candidates: tags.map((list, i) => candidate(`e${i}`, null, list)),
    });

  it('is the one endpoint that has it', () => {
    expect(choose(['leader', 'ssd'], ['replica']).id).toBe('e0');
    expect(choose(['ssd'], []).why).toBe('no endpoint has the tag leader');
    expect(choose(['leader'], ['leader']).why).toBe('2 endpoints are the primary: e0 and e1');
  });
});

describe('by lock', () => {
  const policy: PrimaryPolicy = { by: 'lock', tag: '', lock: 'service/db/leader' };
  const candidates = [candidate('node1/db1', null), candidate('node2/db2', null)];
  const choose = (holder: readonly string[] | null) =>
    choosePrimary({ policy, candidates, before: '', holder });

  it.each([
    [['db2'], 'node2/db2'],
    [['mine', 'node1'], 'node1/db1'],
    [['db2', 'node1'], 'node2/db2'],
    [['node2/db2'], 'node2/db2'],
    [['10.0.0.1:5432'], ''],
    [['other'], ''],
    [[], ''],
    [null, ''],
  ])('held by %j is %j', (holder, id) => {
    const choice = choose(holder);
    expect(choice.id).toBe(id);
    if (id === '') expect(choice.why).not.toBe('');
  });
});
