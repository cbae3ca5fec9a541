// Several sources become one list of endpoints: who is believed, what keeps its id, what goes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Merged, merge, type Word } from '../../src/control/merge.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import { plainSource, type ServiceSource, sourceKey } from '../../src/model/source.ts';

const sources = ['static', 'consul', 'etcd'].map((registry) => plainSource(registry, 'web'));
const [A, B, C] = sources as [ServiceSource, ServiceSource, ServiceSource];

function endpoint(id: string, port: number, parts: Partial<Endpoint> = {}): Endpoint {
  const plain = { weight: 1, status: 'passing', statusText: '' } as const;
  return { id, address: '10.0.0.1', port, ...plain, ...parts };
}

interface Given {
  readonly priority?: number;
  /** Null: it has not answered. */
  readonly has: readonly Endpoint[] | null;
  readonly held?: readonly string[];
}

function word(source: ServiceSource, { priority = 1, has, held = [] }: Given): Word {
  const reasons = new Map(held.map((id) => [id, 'held: gone']));
  const nextMs = Number.POSITIVE_INFINITY;
  const admitted = has === null ? null : { endpoints: has, held: reasons, nextMs };
  return { used: { source, priority }, admitted };
}

/** A service over time: each step is merged with what the one before came to. */
class Service {
  all: Merged[] = [];

  say(...words: Word[]): this {
    const before = new Map(this.all.map((merged) => [merged.endpoint.id, { merged }]));
    this.all = merge(words, before);
    return this;
  }

  get ids(): string[] {
    return this.all.map((one) => one.endpoint.id).sort();
  }

  get places(): Record<string, number> {
    return Object.fromEntries(this.all.map(({ endpoint }) => [endpoint.id, endpoint.port]));
  }

  one(): Merged {
    expect(this.all).toHaveLength(1);
    return this.all[0]!;
  }
}

const service = () => new Service();
const a1 = endpoint('a1', 80);
const b1 = endpoint('b1', 80);

describe('an endpoint that two sources name', () => {
  it('is one, and keeps its id whoever names it, until nobody does', () => {
    const web = service().say(word(A, { has: [a1] }), word(B, { has: [] }));
    expect(web.ids).toEqual(['a1']);
    web.say(word(A, { has: [a1] }), word(B, { has: [b1] }));
    expect(web.one().namings).toEqual([
      { source: A, id: 'a1' },
      { source: B, id: 'b1' },
    ]);
    expect(web.ids, 'a second source changes nothing').toEqual(['a1']);
    web.say(word(A, { has: [] }), word(B, { has: [b1] }));
    expect(web.ids, 'the first stops naming it').toEqual(['a1']);
    web.say(word(B, { has: [b1] }));
    expect(web.ids, 'the first is taken out of the configuration').toEqual(['a1']);
    web.say(word(A, { has: [endpoint('a2', 80)] }), word(B, { has: [b1] }));
    expect(web.ids, 'it is registered in the first again').toEqual(['a1']);
    expect(web.one().namings.map(({ id }) => id)).toEqual(['a2', 'b1']);
    web.say(word(A, { has: [] }), word(B, { has: [] }));
    expect(web.ids).toEqual([]);
  });

  it('stays when a reload gives its service another source that names it', () => {
    const web = service().say(word(A, { has: [a1] }));
    web.say(word(B, { has: [b1] }));
    expect(web.ids).toEqual(['a1']);
    expect(web.one().namings).toEqual([{ source: B, id: 'b1' }]);
  });

  it.each([
    ['the first of the list is believed', 1, 1, 'critical', 1, 5],
    ['the lower priority number is believed', 2, 1, 'passing', 1, 7],
  ])('%s', (_, ofA, ofB, status, priority, weight) => {
    const bad = endpoint('a1', 80, { status: 'critical', statusText: 'x', weight: 5 });
    const good = endpoint('b1', 80, { weight: 7 });
    const web = service().say(
      word(A, { has: [bad], priority: ofA }),
      word(B, { has: [good], priority: ofB }),
    );
    expect(web.one()).toMatchObject({ endpoint: { status, weight }, priority });
  });

  it('is believed by whom just said it, before whom it is held of', () => {
    const web = service().say(
      word(A, { has: [endpoint('a1', 80, { weight: 5 })], held: ['a1'] }),
      word(B, { has: [endpoint('b1', 80, { weight: 7 })], priority: 2 }),
    );
    expect(web.one()).toMatchObject({ held: '', endpoint: { weight: 7 }, priority: 1 });
    web.say(word(A, { has: [a1], held: ['a1'] }), word(B, { has: [b1], held: ['b1'] }));
    expect(web.one().held).toBe('held: gone');
  });

  it('is in maintenance when any of them says so, unless that one takes it for good', () => {
    const maint = endpoint('b1', 80, { status: 'maintenance', statusText: 'disk' });
    const web = service().say(word(A, { has: [a1] }), word(B, { has: [maint] }));
    expect(web.one().endpoint).toMatchObject({ status: 'maintenance', statusText: 'disk' });
    const accept = ['passing', 'maintenance'] as const;
    web.say(word(A, { has: [a1] }), word({ ...B, accept }, { has: [maint] }));
    expect(web.one().endpoint.status).toBe('passing');
  });
});

describe('an endpoint that one of its sources drains', () => {
  it('gets no new work, with the reason of that source, while it is named there', () => {
    const ending = endpoint('b1', 80, { weight: 0, statusText: 'stopping' });
    const web = service().say(word(A, { has: [a1] }), word(B, { has: [ending] }));
    expect(web.one().endpoint).toMatchObject({ weight: 0, statusText: 'stopping' });
    web.say(word(A, { has: [a1] }), word(B, { has: [ending], held: ['b1'] }));
    expect(web.one().endpoint).toMatchObject({ weight: 1, statusText: '' });
  });
});

describe('endpoints of several sources', () => {
  it('with the same id at other places are apart', () => {
    const web = service().say(word(A, { has: [a1] }), word(B, { has: [endpoint('a1', 81)] }));
    expect(web.places).toEqual({ a1: 80, 'a1@consul': 81 });
    web.say(word(A, { has: [] }), word(B, { has: [endpoint('a1', 81)] }));
    expect(web.places, 'no id is given to another endpoint').toEqual({ 'a1@consul': 81 });
  });

  it('that one source names twice at a place stay two, with as many of another', () => {
    const twice = [endpoint('a1', 80), endpoint('a2', 80)];
    const web = service().say(word(A, { has: twice }), word(B, { has: [b1] }));
    expect(web.ids).toEqual(['a1', 'a2']);
    web.say(word(A, { has: twice.slice(1) }), word(B, { has: [b1] }));
    expect(web.all.flatMap(({ namings }) => namings.map(({ id }) => id)).sort()).toEqual([
      'a2',
      'b1',
    ]);
  });

  it('are lost with their own source alone', () => {
    const web = service().say(word(A, { has: [a1] }), word(B, { has: [endpoint('b2', 81)] }));
    web.say(word(A, { has: null }), word(B, { has: [endpoint('b2', 81)] }));
    expect(web.ids, 'it was listed, and is gone').toEqual(['b2']);
  });

  it('stay while a source that is new has not answered, and not longer', () => {
    const web = service().say(word(A, { has: [a1] }));
    web.say(word(B, { has: null }), word(C, { has: [endpoint('c1', 82)] }));
    expect(web.ids).toEqual(['a1', 'c1']);
    web.say(word(B, { has: [] }), word(C, { has: [endpoint('c1', 82)] }));
    expect(web.ids).toEqual(['c1']);
  });
});

describe('a single source', () => {
  it('is taken as it is', () => {
    const web = service().say(word(A, { has: [a1] }));
    expect(web.all).toEqual([
      { endpoint: a1, held: '', accept: A.accept, priority: 1, namings: [{ source: A, id: 'a1' }] },
    ]);
    web.say(word(A, { has: [endpoint('a2', 80)] }));
    expect(web.ids, 'another registration is another endpoint').toEqual(['a2']);
    web.say(word(A, { has: [endpoint('a2', 81)] }));
    expect(web.places).toEqual({ a2: 81 });
  });
});

describe('whatever the sources say', () => {
  const ports = fc.integer({ min: 80, max: 83 });
  const names = fc.constantFrom('x', 'y', 'z');
  const said = fc.uniqueArray(fc.tuple(names, ports), { selector: ([id]) => id, maxLength: 3 });
  const of = (source: ServiceSource) =>
    fc
      .record({ has: fc.option(said), priority: fc.integer({ min: 1, max: 2 }) })
      .map(({ has, priority }) =>
        word(source, { priority, has: has?.map(([id, port]) => endpoint(id, port)) ?? null }),
      );
  const steps = fc.array(
    fc.tuple(of(A), of(B), of(C)).chain((all) => fc.shuffledSubarray([...all], { minLength: 1 })),
    { minLength: 1, maxLength: 8 },
  );

  it('every naming is in one endpoint at its place, ids are one of a kind and do not wander', () => {
    fc.assert(
      fc.property(steps, (history) => {
        const web = new Service();
        for (const words of history) {
          const before = web.all;
          web.say(...words);
          check(before, web.all, words);
        }
      }),
      { numRuns: 500 },
    );
  });

  function check(
    before: readonly Merged[],
    after: readonly Merged[],
    words: readonly Word[],
  ): void {
    expect(new Set(after.map(({ endpoint }) => endpoint.id)).size).toBe(after.length);
    const isAnswered = words.every(({ admitted }) => admitted !== null);
    for (const { used, admitted } of words) {
      for (const one of admitted?.endpoints ?? []) {
        const in_ = after.filter(({ namings }) =>
          namings.some((naming) => isNaming(naming, used.source, one.id)),
        );
        expect(in_).toHaveLength(1);
        expect(in_[0]!.endpoint.port).toBe(one.port);
      }
    }
    const listed = new Set(words.map(({ used }) => sourceKey(used.source)));
    for (const {
      endpoint: { id, port },
      namings,
    } of after) {
      // Nothing is made up: each is named now, or was by a source that left before all had answered.
      const isLeft = namings.every(({ source }) => !listed.has(sourceKey(source)));
      expect(isLeft ? !isAnswered : namings.length > 0).toBe(true);
      // An id never goes over to another place while a source that named the first one names it still.
      const was = before.find((one) => one.endpoint.id === id);
      if (was === undefined || was.endpoint.port === port) continue;
      const isStillNamed = after.some(
        (one) =>
          one.endpoint.port === was.endpoint.port &&
          one.namings.some((naming) =>
            was.namings.some((old) => isNaming(old, naming.source, naming.id)),
          ),
      );
      expect(isStillNamed).toBe(false);
    }
    // What is named as before, at the same place, is the endpoint that it was.
    for (const was of before) {
      const still = after.find(
        (one) =>
          one.endpoint.port === was.endpoint.port &&
          one.namings.some((naming) =>
            was.namings.some((old) => isNaming(old, naming.source, naming.id)),
          ),
      );
      if (still !== undefined) expect(still.endpoint.id).toBe(was.endpoint.id);
    }
  }

  function isNaming(
    one: { source: ServiceSource; id: string },
    source: ServiceSource,
    id: string,
  ): boolean {
    return one.id === id && sourceKey(one.source) === sourceKey(source);
  }
});
