// What a member of ZooKeeper, or whoever answers in its place, may send to stretch memory or time, or to keep a
// table as it is for ever.
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Frames } from '../../../src/discovery/zookeeper/frames.ts';
import { JuteReader, JuteWriter } from '../../../src/discovery/zookeeper/jute.ts';
import { ZookeeperProvider } from '../../../src/discovery/zookeeper/provider.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import { ManualClock } from '../../support/clock.ts';
import { keepingLogger, Receiver } from '../../support/discovery.ts';
import { freePorts } from '../../support/ports.ts';
import { children, data, scriptZookeeper } from '../../support/scripted-zookeeper.ts';
import { watchTurns } from '../../support/turn-times.ts';
import {
  startZookeeperProvider,
  zookeeperSettings,
  zookeeperSource,
} from '../../support/zookeeper-provider.ts';
import { startZookeeperTree } from '../../support/zookeeper-tree.ts';

const CHANGED = 3;
const CHILDREN = 4;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** All that is known of by now has been done. */
async function turn(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

/** Follows `web` at a scripted member, where it has `10.0.0.1:1`. */
async function follow(timeoutMs = 3000) {
  const clock = new ManualClock();
  const { open, connections } = scriptZookeeper();
  const provider = new ZookeeperProvider({
    settings: zookeeperSettings([1, 2], { selfDescribed: false }),
    ...{ clock, random: () => 0, log: keepingLogger().log, open },
    resolve: () => Promise.reject(new Error('no names')),
  });
  cleanups.push(() => provider.stop());
  const receiver = new Receiver();
  provider.follow([zookeeperSource('web')]);
  provider.start(receiver.take);
  await turn();
  const at = connections.at(-1)!;
  at.accept(timeoutMs);
  await turn();
  at.answer((to) => void to.text('/services'));
  await turn();
  at.answer(children('1'));
  await turn();
  at.answer(data('10.0.0.1:1'));
  await turn();
  expect(receiver.ids('web')).toEqual(['10.0.0.1:1']);
  return { clock, provider, receiver, connections, at };
}

const pong = new JuteWriter().int(-2).long(10n).int(0).frame();

describe('a member that', () => {
  it.each([
    ['begins a message and never ends it', (at) => at.events.onData(Buffer.of(0))],
    [
      'answers pings and not what it was asked',
      (at) => at.events.onData(pong),
      (at) => at.event(CHILDREN, '/services/web'),
    ],
  ] as [string, (at: Member) => void, ((at: Member) => void)?][])(
    '%s is left for the next one',
    async (_, dribble, begin = (at) => at.events.onData(Buffer.of(0, 0, 4, 0))) => {
      const { clock, at, connections, receiver } = await follow();
      begin(at);
      for (let i = 0; i < 10 && !at.isOver; i += 1) {
        clock.advance(500);
        dribble(at);
        await turn();
      }
      expect(at.isOver).toBe(true);
      clock.advance(100);
      await turn();
      expect(connections.at(-1)).not.toBe(at);
      expect(receiver.ids('web')).toEqual(['10.0.0.1:1']);
    },
  );

  it('grants a session of weeks is left when it falls silent', async () => {
    const { clock, at, provider } = await follow(0x7fff_ffff);
    for (let i = 0; i < 4; i += 1) clock.advance(1000);
    expect(at.isOver).toBe(true);
    expect(provider.status().lastError).toMatch(/was not heard/);
  });

  it('grants a session of no time is not pinged all the time', async () => {
    const { clock, at } = await follow(1);
    const before = at.asked.length;
    for (let i = 0; i < 100; i += 1) {
      clock.advance(1);
      at.events.onData(pong);
    }
    expect(at.isOver).toBe(false);
    expect(at.asked.length - before).toBeLessThanOrEqual(1);
  });

  it.each([
    ['more names than there are bytes', (to) => to.int(0x7fff_ffff)],
    ['fewer than none', (to) => to.int(-2)],
    ['a name that is longer than the message', (to) => to.int(1).int(0x00ff_ffff)],
    ['a name of a negative length', (to) => to.int(1).int(-5)],
    ['nothing behind the names', (to) => to.int(0)],
  ] as [string, (to: JuteWriter) => void][])(
    'lists %s is left, and the table stays',
    async (...of) => {
      const [, write] = of;
      const { at, provider, receiver } = await follow();
      at.event(CHILDREN, '/services/web');
      at.answer(write);
      await turn();
      expect(at.isOver).toBe(true);
      expect(provider.status().lastError).toMatch(/message that/);
      expect(receiver.all).toHaveLength(1);
    },
  );

  it('lists a million names in 4 MiB is refused before they are read', async () => {
    const { at, provider } = await follow();
    at.event(CHILDREN, '/services/web');
    const count = 1_000_000;
    const names = Buffer.alloc(4 * count);
    const before = process.threadCpuUsage();
    at.answer((to) => {
      to.int(count);
      (to as unknown as { pieces: Buffer[] }).pieces.push(names);
    });
    await turn();
    const { user } = process.threadCpuUsage(before);
    expect(provider.status().lastError).toMatch(/more znodes .* at most 50,000/);
    expect(user / 1000).toBeLessThan(60);
  });

  it('lists what no znode is called is not asked about that', async () => {
    const { at, receiver } = await follow();
    at.event(CHILDREN, '/services/web');
    const long = 'n'.repeat(BOUNDS.zookeeperName.max + 1);
    at.answer(children('1', '', '.', '..', '../../secret', 'a\0b', long, '2'));
    await turn();
    expect(at.asked.at(-1)).toBe('getData /services/web/2');
    at.answer(data('10.0.0.2:2'));
    await turn();
    expect(receiver.ids('web')).toEqual(['10.0.0.1:1', '10.0.0.2:2']);
    expect(at.asked.join()).not.toMatch(/secret|nnn/);
  });

  it('has a znode of megabytes loses that one alone', async () => {
    const { at, receiver } = await follow();
    at.event(CHILDREN, '/services/web');
    at.answer(children('1', '2'));
    await turn();
    at.answer(data(`{"host":"10.0.0.2","port":2,"x":"${'x'.repeat(3_000_000)}"}`));
    await turn();
    expect(receiver.ids('web')).toEqual(['10.0.0.1:1']);
    expect(receiver.last('web')?.service.problems?.join()).toMatch(/more than 65536 bytes/);
  });
});

type Member = Awaited<ReturnType<typeof follow>>['at'];

it('a message that comes byte by byte takes the memory of its bytes', () => {
  const frames = new Frames(BOUNDS.zookeeperAnswer);
  const bytes = Buffer.alloc(2_000_000, 1);
  frames.take(Buffer.from([0, 0x3f, 0, 0]));
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < bytes.length; i += 1) frames.take(bytes.subarray(i, i + 1));
  expect((process.memoryUsage().heapUsed - before) / 1024 ** 2).toBeLessThan(60);
  expect(frames.take(Buffer.alloc(0x3f_0000 - bytes.length))[0]).toHaveLength(0x3f_0000);
});

/** Longer than a starved machine takes to read what a flood leaves in between. */
const SESSION_MS = 40_000;

/** A member by real sockets that sends `flood` again and again once all has been read. */
async function floodingMember(flood: Buffer): Promise<number> {
  const [port] = (await freePorts(1)) as [number];
  const sockets = new Set<Socket>();
  let isStopped = false;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let isFirst = true;
    let isFlooding = false;
    const pour = (): void => {
      while (!isStopped && socket.write(flood)) if (socket.destroyed) return;
    };
    socket.on('drain', pour);
    socket.on('data', (all: Buffer) => {
      for (const bytes of new Frames(BOUNDS.zookeeperAnswer).take(all)) {
        if (isFirst) {
          isFirst = false;
          socket.write(
            new JuteWriter().int(0).int(SESSION_MS).long(7n).buffer(Buffer.alloc(16)).frame(),
          );
          continue;
        }
        const reader = new JuteReader(bytes);
        const [xid, op] = [reader.int(), reader.int()];
        const reply = new JuteWriter().int(xid).long(1n).int(0);
        if (op === 9) reply.text('/services');
        if (op === 12) children('1')(reply);
        if (op === 4) data('10.0.0.1:1')(reply);
        socket.write(reply.frame());
        if (op !== 4 || isFlooding) continue;
        isFlooding = true;
        setImmediate(pour);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  cleanups.push(async () => {
    isStopped = true;
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return port;
}

it.each([
  ['znodes that nobody follows', CHILDREN, '/nowhere'],
  ['a folder that is read', CHILDREN, '/services/web'],
  ['a znode that is read', CHANGED, '/services/web/1'],
])('a flood of events about %s holds up nothing', async (_, type, path) => {
  const event = new JuteWriter().int(-1).long(-1n).int(0).int(type).int(3).text(path).frame();
  const port = await floodingMember(Buffer.concat(Array<Buffer>(8000).fill(event)));
  const { provider, receiver } = await startZookeeperProvider([port], {
    ...{ follow: ['web'], selfDescribed: false, sessionTimeoutMs: SESSION_MS },
  });
  cleanups.push(() => provider.stop());
  await receiver.until(() => receiver.ids('web').length === 1, 'the instance');
  const turns = watchTurns();
  await new Promise((resolve) => setTimeout(resolve, 300));
  turns.stop();
  expect(turns.longest()).toBeLessThan(100);
});

it('znodes are read as many levels deep as the bound says', async () => {
  const folders = (levels: number) => Array.from({ length: levels }, (_, i) => `f${i}`).join('/');
  // The instance is a level itself.
  const [deepest, deeper] = [BOUNDS.zookeeperDepth.max - 1, BOUNDS.zookeeperDepth.max].map(folders);
  const tree = await startZookeeperTree(
    new Map([
      [`/services/${deepest}/one`, '{"host":"10.0.0.1","port":1}'],
      [`/services/${deeper}/one`, '{"host":"10.0.0.2","port":1}'],
    ]),
  );
  cleanups.push(() => tree.stop());
  const follow = [deepest!, deeper!];
  const { provider, receiver, has } = await startZookeeperProvider([tree.port], { follow });
  cleanups.push(() => provider.stop());
  await has(deepest!, '10.0.0.1:1');
  expect(receiver.ids(deeper!)).toEqual([]);
});
