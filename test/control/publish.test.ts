import { describe, expect, it } from 'vitest';
import { Publisher } from '../../src/control/publish.ts';
import type { SnapshotDelta } from '../../src/model/snapshot.ts';
import { makeService } from '../support/service.ts';

function setUp() {
  const sent: { delta: SnapshotDelta; apply: () => void }[] = [];
  const applied: number[] = [];
  let nowMs = 0;
  const publisher = new Publisher({
    nowMs: () => nowMs,
    send: (delta) => new Promise((resolve) => sent.push({ delta, apply: () => resolve([]) })),
    onApplied: (version) => applied.push(version),
  });
  const set = (name: string) =>
    publisher.set({ service: makeService({ name }), slot: 0, endpoints: [] });
  const names = (i: number) => sent[i]!.delta.upsert.map(({ service }) => service.name);
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return { publisher, sent, applied, set, names, turn, at: (ms: number) => (nowMs = ms) };
}

describe('Publisher', () => {
  it('sends what changed within one turn as one delta, at once', async () => {
    const { set, sent, names, turn } = setUp();
    set('a');
    set('b');
    set('a');
    await turn();
    expect(sent.length).toBe(1);
    expect(names(0)).toEqual(['a', 'b']);
    expect(sent[0]!.delta.version).toBe(1);
  });

  it('gathers changes under a storm, and sends a service that changed ten times once', async () => {
    const { set, sent, applied, names, turn } = setUp();
    for (let i = 0; i < 12; i += 1) {
      set('a');
      await turn();
    }
    expect(sent.length).toBe(2);
    sent[0]!.apply();
    await turn();
    expect(sent.length).toBe(3);
    expect(names(2)).toEqual(['a']);
    sent[1]!.apply();
    sent[2]!.apply();
    await turn();
    expect(applied).toEqual([1, 2, 3]);
    expect(sent.length).toBe(3);
  });

  it('says what is gone, and leaves it out of the whole', async () => {
    const { publisher, set, sent, turn } = setUp();
    set('a');
    set('b');
    await turn();
    publisher.remove('a');
    await turn();
    expect(sent[1]!.delta).toMatchObject({ remove: ['a'], upsert: [], listeners: null });
    expect(publisher.full().upsert.map(({ service }) => service.name)).toEqual(['b']);
  });

  it('times each answer of a registry until it is live everywhere', async () => {
    const { publisher, set, sent, turn, at } = setUp();
    publisher.receivedAt(0);
    set('a');
    await turn();
    at(7);
    sent[0]!.apply();
    await turn();
    const { bounds, counts, sumSeconds } = publisher.convergence;
    expect(sumSeconds).toBeCloseTo(0.007);
    expect(counts[bounds.indexOf(0.01)]).toBe(1);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1);
  });
});
