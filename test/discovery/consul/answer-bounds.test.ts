// What an agent, or whoever may register at one, can make an answer: beyond the bounds it is an error
// that says which, what was known stays, and memory stays too.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { boundedInstance } from '../../../src/discovery/consul/answer-bounds.ts';
import { ConsulClient } from '../../../src/discovery/consul/client.ts';
import { ConsulProvider } from '../../../src/discovery/consul/provider.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import {
  consulDoors,
  consulSettings,
  guardSettings,
  keepingLogger,
  Receiver,
  source,
  untilTrue,
} from '../../support/discovery.ts';
import { fastClock } from '../../support/fast-clock.ts';
import { type Scripted, startScriptedAgent } from '../../support/scripted-agent.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const signal = new AbortController().signal;

/** An agent that begins each answer with `first` and goes on with `more` until nobody reads. */
async function startEndless(first: string, more: Buffer, status = 200) {
  let written = 0;
  const server = createServer((_, response) => {
    response.statusCode = status;
    response.setHeader('x-consul-index', '5');
    response.write(first);
    const write = (to: ServerResponse): void => {
      while (to.write(more)) written += more.length;
      to.once('drain', () => write(to));
    };
    write(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, written: () => written };
}

async function errorAt(url: string, path: string): Promise<string> {
  const client = new ConsulClient(consulSettings(url), systemClock, consulDoors.open);
  ends.push(() => client.close());
  const question = { path, deadlineMs: 60_000, signal };
  return client.get(question).then(
    () => 'an answer',
    (error: Error) => error.message,
  );
}

const element = JSON.stringify({ Service: { ID: 'x'.repeat(300) } });
const endless = (count: number) => Buffer.from(`,${element}`.repeat(count));

// Bounds: consulAnswer, consulQuery, consulItem, consulItems, consulKey
describe('an answer without an end', () => {
  it.each([
    ['instances', '/v1/health/service/web', '[1', endless(500), 'instances is at most 10,000'],
    ['checks', '/v1/health/state/critical', '[1', Buffer.from(',1'.repeat(9999)), '50,000'],
    ['services', '/v1/catalog/services', '{"a":[]', Buffer.from(',"b":[]'.repeat(999)), '50,000'],
    ['one string', '/v1/health/service/web', '["', Buffer.alloc(60_000, 'x'), 'at most 8MiB'],
    ['white space', '/v1/health/service/web', '[', Buffer.alloc(60_000, ' '), 'at most 8MiB'],
    ['space before it', '/v1/health/service/web', ' ', Buffer.alloc(60_000, ' '), 'at most 64MiB'],
    ['brackets', '/v1/health/service/web', '[', Buffer.alloc(60_000, '['), 'nested too deeply'],
    ['a query', '/v1/query/near/execute', '{"Nodes":[', endless(500), 'at most 8MiB'],
    ['a value', '/v1/kv/upriver/config', '[{"Value":"', Buffer.alloc(60_000, 'x'), 'at most 1MiB'],
  ])('of %s is not read on', async (_, path, first, more, bound) => {
    const agent = await startEndless(first, more);
    const before = process.memoryUsage.rss();
    expect(await errorAt(agent.url, path)).toContain(bound);
    // 64 MiB at the most were read, and what is kept of them is less.
    expect(process.memoryUsage.rss() - before).toBeLessThan(400 * 1024 ** 2);
    expect(agent.written()).toBeLessThan(100 * 1024 ** 2);
  });
});

it('an answer other than 200 is not read to its end', async () => {
  const agent = await startEndless('no', Buffer.alloc(60_000, 'o'), 500);
  expect(await errorAt(agent.url, '/v1/health/service/web')).toContain('500');
  // What kernels keep, beside what is read.
  expect(agent.written()).toBeLessThan(64 * 1024 ** 2);
  expect(BOUNDS.consulError.max).toBeLessThan(60_000);
});

describe('an answer beyond a bound', () => {
  const instance = (i: number) => ({
    Node: { Node: 'n', Address: '10.0.0.1' },
    Service: { ID: `web-${i}`, Port: 1000 + i },
    Checks: [],
  });
  const list = (count: number) => Array.from({ length: count }, (_, i) => instance(i));

  async function follow(script: readonly Scripted[], other = '') {
    let n = 0;
    const agent = await startScriptedAgent(({ path }) => {
      if (!path.startsWith('/v1/health/service/')) return { status: 404 };
      return script[n++] ?? null;
    });
    ends.push(() => agent.stop());
    const { log, lines } = keepingLogger();
    const addresses = other === '' ? agent.url : [agent.url, other];
    const provider = new ConsulProvider({
      ...consulDoors,
      guard: guardSettings,
      settings: consulSettings(addresses),
      // A machine that is slow must not run into deadlines.
      clock: fastClock(2),
      random: () => 0.5,
      log,
    });
    ends.push(() => provider.stop());
    const receiver = new Receiver();
    provider.follow([source('web')]);
    provider.start(receiver.take);
    return { provider, receiver, lines };
  }

  it('changes nothing, is said with the bound, and is over with the next good one', async () => {
    const { provider, receiver, lines } = await follow([
      { index: 5, body: list(3) },
      { index: 6, body: list(10_001) },
      { index: 7, body: list(4) },
    ]);
    await receiver.until(() => receiver.ids('web').length === 4, 'the good answer');
    expect(provider.status().lastError).toBe('');
    expect(lines.find(({ level }) => level === 'warn')?.message).toContain('at most 10,000');
    const sizes = receiver.about('web').map(({ update }) => {
      if (update.kind !== 'upsert') throw new Error('web was removed');
      return update.service.endpoints.length;
    });
    expect(new Set(sizes)).toEqual(new Set([3, 4]));
  });

  it('is not asked of the next agent', async () => {
    const other = await startScriptedAgent(() => ({ index: 9, body: [] }));
    ends.push(() => other.stop());
    const { provider } = await follow([{ index: 6, body: list(10_001) }], other.url);
    await untilTrue(
      () => provider.status().lastError !== '',
      () => 'no error',
    );
    // It stays until there is a good answer.
    expect(provider.status().lastError).toContain('instances is at most 10,000');
    expect(other.asked).toEqual([]);
  });

  // Bounds: consulName, consulTags
  it('within an instance takes no more of it than the bound, and spoils no other', async () => {
    const strange = {
      ...instance(1),
      Service: { ID: 'many', Port: 7, Tags: Array.from({ length: 300 }, (_, i) => `t${i}`) },
    };
    const long = { ...instance(2), Service: { ID: 'x'.repeat(600), Port: 7 } };
    const { receiver, lines } = await follow([{ index: 5, body: [strange, long, instance(0)] }]);
    await receiver.until(() => receiver.ids('web').length > 0, 'an answer');
    expect(receiver.ids('web')).toEqual(['n/many', 'n/web-0']);
    expect(lines.map(({ message }) => message)).toContain(
      'instance many: its tags or Meta are not all read: at most 256',
    );
  });
});

describe('an instance', () => {
  const bounded = (item: unknown) => {
    const told: string[] = [];
    return { item: boundedInstance(item, (one) => told.push(one)), told };
  };

  it('that is usual is as it was', () => {
    const usual = {
      Node: { Node: 'n', Address: 'a' },
      Service: { ID: 'i', Port: 8, Tags: ['a', 'b'], Meta: { k: 'v' }, Weights: { Passing: 1 } },
      Checks: [{ CheckID: 'c', Output: 'fine', Notes: '' }],
    };
    expect(bounded(usual)).toEqual({ item: usual, told: [] });
  });

  it.each([null, 5, 'x', [], {}, { Service: null }, { Service: { Tags: 5, Meta: [] } }])(
    'that is none has nothing: %j',
    (item) => {
      const nothing = { Tags: [], Meta: {}, Weights: {} };
      expect(bounded(item)).toEqual({ item: { Node: {}, Service: nothing, Checks: [] }, told: [] });
    },
  );

  it('loses what is of another type', () => {
    const odd = {
      Node: { Node: 5, Address: { toString: 1 } },
      Service: { ID: 'i', Port: '80', Tags: ['a', null, 5], Meta: { k: 1, l: 'v' }, Weights: [] },
      Checks: [null, 'x', { Status: {}, CheckID: 'c', ModifyIndex: {} }],
    };
    expect(bounded(odd).item).toEqual({
      Node: {},
      Service: { ID: 'i', Tags: ['a'], Meta: { l: 'v' }, Weights: {} },
      Checks: [{ CheckID: 'c' }],
    });
  });

  // Bounds: consulTag, consulOutput
  it('loses the rest of a long output, long tags, and odd Meta', () => {
    const { item, told } = bounded({
      Service: { ID: 'i', Tags: ['x'.repeat(5000), 'ok'], Meta: { k: 'x'.repeat(5000), l: 'v' } },
      Checks: [{ Output: 'x'.repeat(5000) }],
    });
    expect(item).toMatchObject({ Service: { Tags: ['ok'], Meta: { l: 'v' } } });
    expect(item?.Checks?.[0]?.Output).toHaveLength(1024);
    expect(told).toEqual(['instance i: its long tags or Meta are not all read: at most 4KiB']);
  });

  // Bounds: consulChecks
  it('with too many checks to judge it by is left out', () => {
    const checks = Array.from({ length: 257 }, () => ({ Status: 'passing' }));
    expect(bounded({ Service: { ID: 'i' }, Checks: checks })).toEqual({
      item: null,
      told: ['instance i: left out: it has more than 256 checks'],
    });
  });
});
