import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { UpdateQueue } from '../../src/control/update-queue.ts';
import type { Update } from '../../src/discovery/provider.ts';
import { source } from '../support/discovery.ts';

/** An update with so many endpoints, of which nothing but their number counts here. */
function update(name: string, count = 0): Update {
  const endpoint = {
    ...{ id: 'n/a', address: '10.0.0.1', port: 80, weight: 1 },
    ...{ status: 'passing' as const, statusText: '' },
  };
  const endpoints = Array.from({ length: count }, () => endpoint);
  return {
    kind: 'upsert',
    provider: 'consul',
    service: { source: source(name), endpoints, settings: null, doubt: '' },
    cause: { kind: 'registry', text: '' },
    receivedMs: 0,
  };
}

const nameOf = (one: Update) =>
  one.kind === 'upsert' ? one.service.source.service : one.source.service;
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('updates', () => {
  it('that are small are applied at once', () => {
    const applied: string[] = [];
    const queue = new UpdateQueue({
      clock: systemClock,
      apply: (one) => applied.push(nameOf(one)),
    });
    queue.push(update('a'));
    queue.push(update('b', 511));
    expect(applied).toEqual(['a', 'b']);
  });

  it('that are large have a turn each, and what comes behind them keeps its place', async () => {
    const applied: string[] = [];
    const queue = new UpdateQueue({
      clock: systemClock,
      apply: (one) => applied.push(nameOf(one)),
    });
    for (const one of [update('a', 512), update('b', 512), update('c')]) queue.push(one);
    expect(applied).toEqual([]);
    await turn();
    expect(applied.length).toBeLessThan(3);
    await queue.drained();
    expect(applied).toEqual(['a', 'b', 'c']);
    queue.push(update('d'));
    expect(applied.at(-1)).toBe('d');
    await queue.drained();
  });

  it('that were not applied when it closes never are', async () => {
    const applied: string[] = [];
    const queue = new UpdateQueue({
      clock: systemClock,
      apply: (one) => applied.push(nameOf(one)),
    });
    queue.push(update('a', 512));
    const drained = queue.drained();
    queue.close();
    await drained;
    await turn();
    expect(applied).toEqual([]);
  });
});
