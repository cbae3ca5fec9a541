import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EndpointFacts, reconcile } from '../../src/control/reconcile.ts';
import { takesWork } from '../../src/model/endpoint.ts';
import { makeService } from '../support/service.ts';

const upCheck = { isUp: true, against: 0, isKnown: true, last: null };
const failed = { isGood: false, text: 'GET /health answered 500', durationMs: 3, atMs: 0 };
const downCheck = { isUp: false, against: 0, isKnown: true, last: failed };
const ejection = { untilMs: 9e9, times: 1, text: '5 failed requests in a row (reset)' };

function facts(
  { held = '', ...parts }: Partial<EndpointFacts> & { held?: string } = {},
  status = 'passing',
  weight = 1,
): EndpointFacts {
  return {
    merged: {
      endpoint: {
        id: 'n/a',
        address: '10.0.0.1',
        port: 80,
        weight,
        status: status as 'passing',
        statusText: status === 'passing' ? '' : 'why',
      },
      held,
      ...{ accept: ['passing', 'warning'], priority: 1 },
    },
    slot: 3,
    refused: '',
    check: null,
    ejection: null,
    operator: null,
    hasWorked: false,
    before: null,
    nowMs: 1000,
    ...parts,
  };
}

describe('reconcile', () => {
  it.each([
    ['a passing endpoint is up', facts(), 'up', ''],
    ['a warning is up, and says why', facts({}, 'warning'), 'up', 'registry: warning: why'],
    ['critical is down with the output', facts({}, 'critical'), 'down', 'registry: critical: why'],
    ['maintenance is maint', facts({}, 'maintenance'), 'maint', 'registry: maintenance: why'],
    ['a bad check is down', facts({ check: downCheck }), 'down', 'check: GET /health answered 500'],
    [
      'before its first check it waits',
      facts({ check: { isUp: false, against: 0, isKnown: false, last: null } }),
      'down',
      'waits for its first check',
    ],
    ['an ejected one says so', facts({ ejection }), 'ejected', ejection.text],
    ['weight 0 takes no new work', facts({}, 'passing', 0), 'drain', 'weight 0'],
    [
      'the operator drains',
      facts({ operator: { state: 'drain', weight: null } }),
      'drain',
      'operator: drain',
    ],
    [
      "the operator's maintenance outweighs everything",
      facts({ operator: { state: 'maint', weight: null }, check: downCheck, ejection }, 'critical'),
      'maint',
      'operator: maintenance',
    ],
    ['one that is held is up, and says why', facts({ held: 'held: x' }), 'up', 'held: x'],
    [
      'a held one is down when its check says so',
      facts({ held: 'held: x', check: downCheck }),
      'down',
      'check: GET /health answered 500',
    ],
  ] as const)('%s', (_, given, state, reason) => {
    expect(reconcile(makeService(), given)).toMatchObject({ state, reason, sinceMs: 1000 });
  });

  it('takes the statuses that the source accepts, and no others', () => {
    const stateOf = (status: string): string => {
      const given = facts({}, status);
      const merged = { ...given.merged, accept: ['passing', 'critical'] as const };
      return reconcile(makeService(), { ...given, merged }).state;
    };
    expect(stateOf('critical')).toBe('up');
    expect(stateOf('warning')).toBe('down');
  });

  it("takes the operator's weight for the registry's", () => {
    const given = facts({ operator: { state: 'ready', weight: 7 } });
    expect(reconcile(makeService(), given).weight).toBe(7);
  });

  it('starts slowly when an endpoint takes up work, and is done after its time', () => {
    const service = makeService({ slowStartMs: 10_000 });
    const first = reconcile(service, facts());
    expect(first).toMatchObject({ state: 'slow-start', slowStartFromMs: 1000 });
    const midway = reconcile(service, facts({ before: first, nowMs: 6000 }));
    expect(midway).toBe(first);
    const done = reconcile(service, facts({ before: first, nowMs: 11_000 }));
    expect(done).toMatchObject({ state: 'up', slowStartFromMs: 0 });
    expect(reconcile(service, facts({ before: done, nowMs: 12_000 }))).toBe(done);
    const down = reconcile(service, facts({ before: done, nowMs: 13_000, check: downCheck }));
    const back = reconcile(service, facts({ before: down, nowMs: 14_000, check: upCheck }));
    expect(back).toMatchObject({ state: 'slow-start', slowStartFromMs: 14_000 });
  });

  const arbitraryFacts = fc.record({
    status: fc.constantFrom('passing', 'warning', 'critical', 'maintenance'),
    weight: fc.nat(3),
    check: fc.constantFrom(null, upCheck, downCheck),
    ejection: fc.constantFrom(null, ejection),
    operator: fc.option(
      fc.record({
        state: fc.constantFrom('ready' as const, 'drain' as const, 'maint' as const),
        weight: fc.option(fc.nat(3)),
      }),
    ),
    held: fc.constantFrom('', 'held: x'),
    hasWorked: fc.boolean(),
    slowStartMs: fc.constantFrom(0, 5000),
  });

  it('gives the same object for the same facts, so that nothing is published in vain', () => {
    fc.assert(
      fc.property(arbitraryFacts, ({ status, weight, slowStartMs, ...parts }) => {
        const service = makeService({ slowStartMs });
        const before = reconcile(service, facts(parts, status, weight));
        const again = reconcile(service, facts({ ...parts, before, nowMs: 1500 }, status, weight));
        expect(again).toBe(before);
      }),
    );
  });

  it('lets nothing take work that anything speaks against, and says why', () => {
    fc.assert(
      fc.property(arbitraryFacts, ({ status, weight, slowStartMs, ...parts }) => {
        const result = reconcile(makeService({ slowStartMs }), facts(parts, status, weight));
        const { check, ejection: out, operator } = parts;
        const mayWork =
          (status === 'passing' || status === 'warning') &&
          check !== downCheck &&
          out === null &&
          (operator?.state ?? 'ready') === 'ready' &&
          (operator?.weight ?? weight) > 0;
        expect(takesWork(result)).toBe(mayWork);
        if (!mayWork) expect(result.reason).not.toBe('');
        // A panic uses what only our own findings keep from work, and nothing that others took out.
        const isOursAlone =
          (status === 'passing' || status === 'warning') &&
          (check === downCheck || out !== null) &&
          (operator?.state ?? 'ready') === 'ready' &&
          (operator?.weight ?? weight) > 0;
        expect(result.isSpare).toBe(isOursAlone && parts.hasWorked);
      }),
    );
  });

  it('keeps the time at which a state began', () => {
    fc.assert(
      fc.property(fc.array(arbitraryFacts, { minLength: 1, maxLength: 10 }), (steps) => {
        let before: ReturnType<typeof reconcile> | null = null;
        steps.forEach(({ status, weight, slowStartMs: _, ...parts }, i) => {
          const nowMs = 1000 * (i + 1);
          const after: ReturnType<typeof reconcile> = reconcile(
            makeService(),
            facts({ ...parts, before, nowMs }, status, weight),
          );
          expect(after.sinceMs).toBe(before?.state === after.state ? before.sinceMs : nowMs);
          before = after;
        });
      }),
    );
  });
});
