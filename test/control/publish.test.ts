import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Publisher } from '../../src/control/publish.ts';
import type { ListenerSnapshot, ServiceSnapshot, SnapshotDelta } from '../../src/model/snapshot.ts';
import { loopback, makeListener, makeService } from '../support/service.ts';

interface Sent {
  readonly delta: SnapshotDelta;
  apply(): void;
  fail(): void;
}

function setUp() {
  const sent: Sent[] = [];
  const applied: number[] = [];
  const errors: unknown[] = [];
  const services = new Map<string, ServiceSnapshot>();
  let listeners: ListenerSnapshot[] = [];
  let nowMs = 0;
  const publisher = new Publisher({
    nowMs: () => nowMs,
    snapshotOf: (name) => services.get(name) ?? null,
    planListeners: () => listeners,
    send: (delta) =>
      new Promise((resolve, reject) => {
        sent.push({ delta, apply: () => resolve([]), fail: () => reject(new Error('lost')) });
      }),
    onApplied: (version) => applied.push(version),
    onError: (error) => errors.push(error),
  });
  /** `mark` tells one state of the service from another. */
  const set = (name: string, mark = 0) => {
    services.set(name, {
      service: makeService({ name }),
      slot: mark,
      isPanicking: false,
      priority: 1,
      endpoints: [],
    });
    publisher.change(name);
  };
  const remove = (name: string) => {
    services.delete(name);
    publisher.change(name);
  };
  const listen = (...ports: number[]) => {
    listeners = ports.map((port) => makeListener(makeService(), loopback(port)));
    publisher.changeListeners();
  };
  const names = (i: number) => sent[i]!.delta.upsert.map(({ service }) => service.name);
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { publisher, services, sent, applied, errors, set, remove, listen, names, pass };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** What a worker that gets these deltas in order holds in the end. */
function held(deltas: readonly SnapshotDelta[]): Map<string, number> {
  const services = new Map<string, number>();
  for (const { upsert, remove } of deltas) {
    for (const { service, slot } of upsert) services.set(service.name, slot);
    for (const name of remove) services.delete(name);
  }
  return services;
}

describe('Publisher', () => {
  it('sends what changed within one turn as one delta, at once', async () => {
    const { set, sent, names } = setUp();
    set('a');
    set('b');
    set('a');
    // Microtasks alone: no timer holds a change back.
    await Promise.resolve();
    expect(sent.length).toBe(1);
    expect(names(0)).toEqual(['a', 'b']);
    expect(sent[0]!.delta.version).toBe(1);
  });

  it('gathers changes under a storm, and sends a service that changed ten times once', async () => {
    const { set, sent, applied, names } = setUp();
    for (let i = 0; i < 12; i += 1) {
      set('a', i);
      await turn();
    }
    expect(sent.length).toBe(2);
    sent[0]!.apply();
    await turn();
    expect(sent.length).toBe(3);
    expect(names(2)).toEqual(['a']);
    expect(sent[2]!.delta.upsert[0]!.slot).toBe(11);
    sent[1]!.apply();
    sent[2]!.apply();
    await turn();
    expect(applied).toEqual([1, 2, 3]);
    expect(sent.length).toBe(3);
  });

  it('says what is gone, and leaves it out of the whole', async () => {
    const { publisher, set, remove, sent } = setUp();
    set('a');
    set('b');
    await turn();
    remove('a');
    await turn();
    expect(sent[1]!.delta).toMatchObject({ remove: ['a'], upsert: [], listeners: null });
    expect(publisher.full().upsert.map(({ service }) => service.name)).toEqual(['b']);
  });

  it('says nothing of what came and went before anyone knew', async () => {
    const { set, remove, sent, publisher } = setUp();
    set('a');
    remove('a');
    await turn();
    expect(sent).toEqual([]);
    expect(publisher.version).toBe(0);
  });

  it('sends listeners when they differ, and not otherwise', async () => {
    const { listen, sent, publisher } = setUp();
    listen(80);
    await turn();
    listen(80);
    await turn();
    listen(80, 81);
    await turn();
    expect(sent.map(({ delta }) => delta.listeners?.length)).toEqual([1, 2]);
    expect(publisher.full().listeners!.length).toBe(2);
  });

  it('sends again, with the next change, what could not be sent', async () => {
    const { set, remove, listen, sent, errors, applied, names } = setUp();
    set('a');
    listen(80);
    await turn();
    sent[0]!.apply();
    await turn();
    set('b');
    remove('a');
    listen(81);
    await turn();
    sent[1]!.fail();
    await turn();
    expect(errors.length).toBe(1);
    set('c');
    await turn();
    expect(new Set(names(2))).toEqual(new Set(['b', 'c']));
    expect(sent[2]!.delta.remove).toEqual(['a']);
    expect(sent[2]!.delta.listeners!.map(({ key }) => key)).toEqual(['127.0.0.1:81']);
    expect(applied).toEqual([1]);
  });

  it('brings workers to the last state of all, however changes and answers interleave', async () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('set' as const),
        name: fc.constantFrom('a', 'b', 'c'),
        mark: fc.nat(9),
      }),
      fc.record({ kind: fc.constant('remove' as const), name: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ kind: fc.constantFrom('turn' as const, 'apply' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { services, sent, set, remove } = setUp();
        let done = 0;
        for (const one of steps) {
          if (one.kind === 'set') set(one.name, one.mark);
          else if (one.kind === 'remove') remove(one.name);
          else if (one.kind === 'turn') await Promise.resolve();
          else if (done < sent.length) sent[done++]!.apply();
          expect(sent.length - done).toBeLessThanOrEqual(2);
        }
        await turn();
        while (done < sent.length) {
          sent[done++]!.apply();
          await turn();
        }
        const wanted = new Map([...services].map(([name, { slot }]) => [name, slot]));
        expect(held(sent.map(({ delta }) => delta))).toEqual(wanted);
      }),
    );
  });

  it('times each answer of a registry until it is live everywhere', async () => {
    const { publisher, set, sent, pass } = setUp();
    publisher.receivedAt(0);
    set('a');
    await turn();
    pass(7);
    sent[0]!.apply();
    await turn();
    const { bounds, counts, sumSeconds } = publisher.convergence;
    expect(sumSeconds).toBeCloseTo(0.007);
    expect(counts[bounds.indexOf(0.01)]).toBe(1);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1);
  });
});
