// What a member of etcd, or whoever answers in its place, may send on a watch to stretch memory or time, or to be
// asked without end.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { EtcdClient } from '../../../src/discovery/etcd/client.ts';
import type { EtcdError } from '../../../src/discovery/etcd/error.ts';
import { V3Watch } from '../../../src/discovery/etcd/v3-watch.ts';
import type { WatchEvents } from '../../../src/discovery/etcd/watch.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import { ManualClock } from '../../support/clock.ts';
import { etcdSettings, untilTrue } from '../../support/discovery.ts';
import { type StartedEtcd, startProvider } from '../../support/etcd-provider.ts';
import { created, events, header, kv, listed } from '../../support/etcd-v3-messages.ts';
import {
  type Asked,
  type Reply,
  type Script,
  Stream,
  scriptEtcd,
} from '../../support/scripted-etcd.ts';
import { watchTurns } from '../../support/turn-times.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** What a member asks of the test, in `ms` of its clock. */
async function storm(script: Script, ms: number) {
  const clock = new ManualClock();
  const { open, asked } = scriptEtcd(script);
  const settings = etcdSettings(['http://a:2379', 'http://b:2379']);
  const client = new EtcdClient({ settings, clock, open, password: () => '' });
  const errors: string[] = [];
  const receiver: WatchEvents = {
    ...{ onListing: () => {}, onStep: () => {}, onAnswer: () => {}, onEnd: () => {} },
    onError: (_, error: EtcdError) => void errors.push(error.code),
    count: () => 1,
  };
  const watch = new V3Watch({ client, clock, random: () => 0.5, prefix: '/backends' }, receiver);
  cleanups.push(() => watch.stop());
  watch.start();
  for (let at = 0; at < ms; at += 10) {
    for (let i = 0; i < 3; i += 1) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(10);
  }
  const watches = asked.filter(({ path }) => path === '/v3/watch');
  return { asked, errors, watches };
}

describe('a member that', () => {
  const answer = (stream: () => Stream): Script => {
    return ({ path }: Asked): Reply =>
      path === '/v3/watch' ? { stream: stream() } : { body: listed(10, ['web/a']) };
  };
  const compacted = { result: { header: header(10), compact_revision: '99', canceled: true } };

  it.each([
    ['compacts whatever is asked for', () => new Stream().send(compacted)],
    ['opens each watch and compacts it', () => new Stream().send(created(10)).send(compacted)],
    ['opens each watch and ends it', () => new Stream().send(created(10)).end()],
    [
      'opens each watch and breaks it',
      () => new Stream().send(created(10)).end(new Error('reset')),
    ],
  ])('%s is asked ever more slowly', async (_, stream) => {
    const { asked, watches } = await storm(answer(stream), 30_000);
    expect(watches.length).toBeGreaterThan(2);
    expect(asked.length).toBeLessThan(40);
  });

  it('lists more keys in a page than were asked for is refused', async () => {
    const keys = Array.from({ length: 1001 }, (_, i) => `web/${i}`);
    const { errors, watches } = await storm(
      () => ({ body: { ...listed(10, keys), count: '1', more: true } }),
      500,
    );
    expect(watches).toHaveLength(0);
    expect(errors).toContain('too-large');
  });
});

/** A member by a real socket. Its watch is open when `web/a` is known. */
async function follow(): Promise<
  StartedEtcd & { readonly watch: ServerResponse; readonly lists: string[] }
> {
  let watch: ServerResponse | null = null;
  const lists: string[] = [];
  const server = createServer((request, response) => {
    if (request.url === '/v3/kv/range') {
      // A look at what has changed asks for one key.
      request.on('data', (body: Buffer) => {
        if (!body.includes('min_mod_revision')) lists.push(body.toString());
      });
    }
    if (request.url === '/v3/watch') {
      watch = response;
      return void response.write(`${JSON.stringify(created(10))}\n`);
    }
    const version = { etcdserver: '3.5.0', etcdcluster: '3.5.0' };
    response.end(JSON.stringify(request.url === '/version' ? version : listed(10, ['web/a'])));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const started = await startProvider(`http://127.0.0.1:${port}`, { follow: ['web'], api: 'v3' });
  cleanups.push(() => started.provider.stop());
  await untilTrue(
    () => watch !== null && started.addresses('web').length === 1,
    () => 'no watch',
  );
  return { ...started, watch: watch!, lists };
}

describe('on an open watch', () => {
  it('a line without an end is refused at its bound, and what was known stays', async () => {
    const { watch, provider, addresses } = await follow();
    const piece = Buffer.alloc(1024 * 1024, ' ');
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 17 && !watch.destroyed; i += 1) {
      await new Promise<void>((resolve) => {
        watch.write(piece, () => resolve());
      });
    }
    await untilTrue(
      () => provider.status().lastError.includes('answered more than is taken'),
      () => provider.status().lastError,
    );
    expect((process.memoryUsage().rss - before) / 1024 ** 2).toBeLessThan(200);
    expect(addresses('web')).toEqual(['10.0.0.1:80']);
  });

  it('a line that is nested without end is refused', async () => {
    const { watch, provider, addresses } = await follow();
    watch.write(`${'{"result":['.repeat(100_000)}\n`);
    await untilTrue(
      () => provider.status().lastError.includes('too long to read'),
      () => provider.status().lastError,
    );
    expect(addresses('web')).toEqual(['10.0.0.1:80']);
  });

  it('an event that is longer than a value may be is left out, and that is told', async () => {
    const { watch, receiver } = await follow();
    watch.write(`${JSON.stringify(events(11, { kv: kv('web/b', 11, 'x'.repeat(1_000_000)) }))}\n`);
    await receiver.until(
      () => (receiver.last('web')?.service.problems ?? []).length > 0,
      'the problem',
    );
    expect(receiver.endpoints('web')).toHaveLength(1);
  });

  it.each([
    [BOUNDS.etcdEventItems.max, 0],
    [BOUNDS.etcdEventItems.max + 1, 1],
    [60_000, 1],
  ])('%i events in one line hold up no turn for long', async (count, errors) => {
    const { watch, provider, lists } = await follow();
    const all = Array.from({ length: count }, (_, i) => ({ kv: kv(`s${i % 100}/${i}`, 11 + i) }));
    const line = `${JSON.stringify(events(60_000, ...all))}\n`;
    expect(line.length).toBeLessThan(BOUNDS.etcdEvents.max);
    const turns = watchTurns();
    watch.write(line);
    const before = lists.length;
    // Beyond the bound the keys are listed again, and the watch goes on behind that.
    await untilTrue(
      () => (errors === 0 ? provider.count('v3') > count : lists.length > before),
      () => JSON.stringify(provider.status()),
    );
    turns.stop();
    expect(turns.longest()).toBeLessThan(250);
    expect(provider.status().errors).toBe(errors);
  });
});
