import { describe, expect, it } from 'vitest';
import { type Answer, ConsulError } from '../../../src/discovery/consul/answer.ts';
import type { ConsulContext } from '../../../src/discovery/consul/blocking-query.ts';
import type { ConsulClient } from '../../../src/discovery/consul/client.ts';
import { Summary } from '../../../src/discovery/consul/summary.ts';
import { ManualClock } from '../../support/clock.ts';
import { keepingLogger } from '../../support/discovery.ts';

const line = (Name: string, InstanceCount: number) => ({ Name, InstanceCount, ChecksPassing: 1 });

/** A summary of an agent whose answers the test gives. */
function make() {
  const clock = new ManualClock();
  const told: string[][] = [];
  let answer: unknown = [line('a', 1), line('b', 1)];
  let asked = 0;
  const get = (): Promise<Answer> => {
    asked += 1;
    if (answer instanceof Error) return Promise.reject(answer);
    return Promise.resolve({ index: 1n, body: answer, doubt: '', receivedMs: 1, bodyBytes: 1 });
  };
  const context: ConsulContext = {
    // Of the client nothing else is used here.
    client: { get } as unknown as ConsulClient,
    ...{ clock, random: () => 0.5, log: keepingLogger().log, waitMs: 60_000 },
  };
  const summary = new Summary({
    context,
    scope: {},
    onRead: (changed) => told.push([...changed].sort()),
  });
  /** The catalog changes; the agent answers this from now on. */
  const change = async (next: unknown) => {
    answer = next;
    summary.refresh();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { clock, summary, told, change, asked: () => asked };
}

describe('the summary', () => {
  it('tells which services have more or fewer instances, are new, or gone', async () => {
    const { change, clock, told, summary } = make();
    await change([line('a', 1), line('b', 1), line('c', 1)]);
    expect(told).toEqual([]);
    expect(summary.isOfUse).toBe(true);
    clock.advance(100);
    await change([line('a', 2), line('c', 1), line('d', 1)]);
    expect(told).toEqual([['a', 'b', 'd']]);
  });

  it('is not asked for more often than every 100 ms, and for the last change all the same', async () => {
    const { change, clock, told, asked } = make();
    await change([line('a', 1)]);
    await change([line('a', 2)]);
    await change([line('a', 3)]);
    expect(asked()).toBe(1);
    clock.advance(100);
    await change([line('a', 3)]);
    expect([asked(), told]).toEqual([2, [['a']]]);
  });

  it.each([
    ['refused', new ConsulError('http-403', 'answered 403', { status: 403 })],
    ['no list', { some: 'thing' }],
    ['a list of something else', [{ Name: 'a' }]],
  ])('is given up when the answer is %s', async (_, answer) => {
    const { change, clock, asked, summary } = make();
    await change(answer);
    clock.advance(10_000);
    await change([line('a', 1)]);
    expect(asked()).toBe(1);
    expect(summary.isOfUse).toBe(false);
  });

  it('compares nothing over an outage', async () => {
    const { change, clock, told } = make();
    await change([line('a', 1)]);
    clock.advance(100);
    await change(new ConsulError('ECONNREFUSED', 'refused'));
    clock.advance(100);
    await change([line('a', 2)]);
    expect(told).toEqual([]);
    clock.advance(100);
    await change([line('a', 3)]);
    expect(told).toEqual([['a']]);
  });
});
