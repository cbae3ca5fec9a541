// The provider on members that a test scripts: what real ones do too seldom, or never.
import { afterEach, describe, expect, it } from 'vitest';
import type { Known } from '../../../src/discovery/provider.ts';
import { JuteWriter } from '../../../src/discovery/zookeeper/jute.ts';
import { ZookeeperProvider } from '../../../src/discovery/zookeeper/provider.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import type { ZookeeperSettings } from '../../../src/model/registries/zookeeper.ts';
import { ManualClock } from '../../support/clock.ts';
import { keepingLogger, Receiver } from '../../support/discovery.ts';
import { children, data, scriptZookeeper } from '../../support/scripted-zookeeper.ts';
import { zookeeperSettings, zookeeperSource } from '../../support/zookeeper-provider.ts';

const NO_NODE = -101;
const NO_AUTH = -102;
const DELETED = 2;
const CHANGED = 3;
const CHILDREN = 4;

let running: ZookeeperProvider | null = null;
afterEach(() => running?.stop());

interface Options extends Partial<ZookeeperSettings> {
  readonly follow?: readonly string[];
  readonly isHeld?: boolean;
}

async function start({ follow = ['web'], isHeld = false, ...more }: Options = {}) {
  const clock = new ManualClock();
  const { log, lines } = keepingLogger();
  const { open, connections } = scriptZookeeper();
  const settings = zookeeperSettings([1, 2], { selfDescribed: false, ...more });
  const resolve = () => Promise.reject(new Error('no names'));
  const known = (): Known => ({ endpoints: [], isHeld });
  const provider = new ZookeeperProvider({
    ...{ settings, clock, random: () => 0, log, open, resolve, known },
  });
  running = provider;
  const receiver = new Receiver();
  provider.follow(follow.map(zookeeperSource));
  provider.start(receiver.take);
  await turn();
  return { clock, lines, provider, receiver, connections, last: () => connections.at(-1)! };
}

type Started = Awaited<ReturnType<typeof start>>;

/** All that is known of by now has been done. */
async function turn(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

const nerve = (n: number) => JSON.stringify({ host: '10.0.0.1', port: n });

/** A session in which `/services/web` has these. */
async function list({ last }: Started, names: readonly string[], zxid = 10): Promise<void> {
  const at = last();
  at.accept();
  await turn();
  at.answer((to) => void to.text('/services'), { zxid });
  await turn();
  at.answer(children(...names), { zxid });
  await turn();
  for (const name of names) at.answer(data(nerve(Number(name))), { zxid });
  await turn();
}

const ids = ({ receiver }: Started) => receiver.ids('web').join();

describe('a provider in the place of another', () => {
  it('does not end services that described themselves while what is held is in doubt', async () => {
    const started = await start({ isHeld: true });
    const { provider, clock } = started;
    provider.inherit([zookeeperSource('shop')]);
    expect(provider.hasNamedAll()).toBe(false);
    await list(started, ['1']);
    expect(provider.hasNamedAll()).toBe(false);
    clock.advance(30_001);
    expect(provider.hasNamedAll()).toBe(true);
  });

  it('doubts a state that is older than the one that the other had', async () => {
    const before = await start();
    await list(before, ['1', '2'], 50);
    const started = await start();
    started.provider.inherit([zookeeperSource('web')], before.provider);
    await list(started, ['1'], 9);
    expect(started.receiver.last('web')?.service.doubt).toMatch(/older state/);
    expect(started.provider.status().isInDoubt).toBe(true);
    await before.provider.stop();
  });
});

describe('a session', () => {
  it('catches up with the leader before anything is read', async () => {
    const started = await start();
    await list(started, ['1', '2']);
    expect(started.last().asked).toEqual([
      ...['connect', 'sync /services', 'getChildren2 /services/web'],
      ...['getData /services/web/1', 'getData /services/web/2'],
    ]);
    expect(ids(started)).toBe('10.0.0.1:1,10.0.0.1:2');
    expect(started.provider.status()).toMatchObject({ isSynced: true, address: '127.0.0.1:1' });
  });

  it('is kept by pings, and left for the next member where nothing is heard', async () => {
    const started = await start();
    await list(started, ['1']);
    const first = started.last();
    started.clock.advance(1000);
    expect(first.asked.at(-1)).toBe('ping');
    first.events.onData(new JuteWriter().int(-2).long(10n).int(0).frame());
    const { lastSyncMs } = started.provider.status();
    expect(lastSyncMs).toBe(started.clock.nowMs());
    for (let i = 0; i < 3; i += 1) started.clock.advance(1000);
    expect(first.isOver).toBe(true);
    await turn();
    expect(started.last()).not.toBe(first);
    expect(started.last().port).toBe(2);
    expect(started.provider.status().lastError).toMatch(/was not heard for [12]\d{3} ms/);
    // Nothing is said before all is read anew.
    expect(ids(started)).toBe('10.0.0.1:1');
    expect(started.receiver.all).toHaveLength(1);
    await list(started, ['1', '3']);
    expect(ids(started)).toBe('10.0.0.1:1,10.0.0.1:3');
    expect(started.provider.status().lastError).toBe('');
  });

  it('that is refused, or never granted, is tried at the next member', async () => {
    const started = await start();
    started.last().accept(0);
    await turn();
    started.clock.advance(1);
    await turn();
    expect(started.connections.map(({ port }) => port)).toEqual([1, 2]);
    started.clock.advance(4001);
    await turn();
    expect(started.provider.status()).toMatchObject({
      ...{ errors: 2, isSynced: false, lastError: 'znodes: no session within 4000 ms' },
    });
  });

  it('is closed at the member when the provider stops', async () => {
    const started = await start();
    await list(started, ['1']);
    await started.provider.stop();
    expect(started.last().asked.at(-1)).toBe('close');
    expect(started.last().isOver).toBe(true);
  });

  it.each([
    ['a number that was not asked', new JuteWriter().int(99).long(1n).int(0).frame()],
    ['a negative length', Buffer.from([0xff, 0xff, 0xff, 0xff])],
    ['a length beyond what is taken', Buffer.from([0x7f, 0, 0, 0])],
    ['a message that ends too early', new JuteWriter().int(1).frame()],
  ])('with %s in it is ended, and the table stays', async (_, bytes) => {
    const started = await start();
    await list(started, ['1']);
    const first = started.last();
    first.events.onData(bytes);
    await turn();
    expect(first.isOver).toBe(true);
    expect(ids(started)).toBe('10.0.0.1:1');
    expect(started.receiver.all).toHaveLength(1);
  });

  it('with more znodes than are taken is given up', async () => {
    const started = await start();
    await list(started, ['1']);
    const at = started.last();
    at.event(CHILDREN, '/services/web');
    at.answer(
      children(...Array.from({ length: BOUNDS.zookeeperNodes.max + 1 }, (_, i) => `n${i}`)),
    );
    await turn();
    expect(at.isOver).toBe(true);
    expect(started.provider.status().lastError).toMatch(/more znodes .* at most 50,000/);
    expect(ids(started)).toBe('10.0.0.1:1');
  });
});

describe('a change', () => {
  it('is shown once what came in the place of what went is read', async () => {
    const started = await start();
    await list(started, ['1']);
    const at = started.last();
    at.event(DELETED, '/services/web/1');
    at.event(CHILDREN, '/services/web');
    at.answer(children('2'));
    await turn();
    expect(ids(started)).toBe('10.0.0.1:1');
    // ... also where that is gone by then, and the list is another.
    at.event(CHILDREN, '/services/web');
    at.answer(undefined, { error: NO_NODE });
    await turn();
    expect(ids(started)).toBe('10.0.0.1:1');
    at.answer(children('3'));
    await turn();
    at.answer(data(nerve(3)));
    await turn();
    expect(ids(started)).toBe('10.0.0.1:3');
    expect(started.receiver.all).toHaveLength(2);
  });

  it('that goes on while it is read is not shown as instances that are gone', async () => {
    const started = await start();
    await list(started, ['1', '2']);
    let next = 3;
    // What is listed is gone when it is asked for, and others are there.
    const replaceWhileRead = async (): Promise<void> => {
      const at = started.last();
      at.answer(children(`${next++}`, `${next++}`, `${next++}`));
      await turn();
      at.event(CHILDREN, '/services/web');
      at.answer(data(nerve(next)));
      at.answer(undefined, { error: NO_NODE });
      at.answer(undefined, { error: NO_NODE });
      await turn();
    };
    started.last().event(CHILDREN, '/services/web');
    for (let round = 0; round < 8; round += 1) await replaceWhileRead();
    expect(ids(started)).toBe('10.0.0.1:1,10.0.0.1:2');
    started.clock.advance(200);
    await turn();
    started.last().answer(children('80', '81'));
    await turn();
    for (const n of [80, 81]) started.last().answer(data(nerve(n)));
    await turn();
    expect(ids(started)).toBe('10.0.0.1:80,10.0.0.1:81');
    expect(started.receiver.all).toHaveLength(2);
    // ... but not for ever.
    started.last().event(CHILDREN, '/services/web');
    for (let rest = 0; rest <= 10; rest += 1) {
      expect(ids(started)).toBe('10.0.0.1:80,10.0.0.1:81');
      for (let round = 0; round < 8; round += 1) await replaceWhileRead();
      started.last().events.onData(new JuteWriter().int(-2).long(10n).int(0).frame());
      started.clock.advance(200);
      await turn();
    }
    expect(started.receiver.endpoints('web')).toHaveLength(1);
  });

  it('of data that is told while it is read is read again', async () => {
    const started = await start();
    await list(started, ['1']);
    const at = started.last();
    at.event(CHANGED, '/services/web/1');
    at.event(CHANGED, '/services/web/1');
    at.answer(data(nerve(4)));
    await turn();
    at.answer(data(nerve(5)));
    await turn();
    expect(ids(started)).toBe('10.0.0.1:5');
  });

  it('of a znode that is made again under its name is seen', async () => {
    const started = await start();
    await list(started, ['1']);
    const at = started.last();
    at.event(DELETED, '/services/web/1');
    at.event(CHILDREN, '/services/web');
    at.answer(children('1'));
    await turn();
    at.answer(data(nerve(9)));
    await turn();
    at.answer(children('1'));
    await turn();
    expect(ids(started)).toBe('10.0.0.1:9');
  });

  it('of a place that registers twice leaves it there once, as said last', async () => {
    const started = await start();
    const at = started.last();
    at.accept();
    await turn();
    at.answer();
    await turn();
    at.answer(children('a', 'b'));
    await turn();
    const weighted = (weight: number) => JSON.stringify({ host: '10.0.0.1', port: 1, weight });
    at.answer(data(weighted(7), { created: 9 }));
    at.answer(data(weighted(3), { created: 5 }));
    await turn();
    expect(started.receiver.endpoints('web')).toMatchObject([{ id: '10.0.0.1:1', weight: 7 }]);
  });

  it('that may not be read keeps what was known, and is looked at again', async () => {
    const started = await start();
    await list(started, ['1']);
    const at = started.last();
    at.event(CHILDREN, '/services/web');
    at.answer(undefined, { error: NO_AUTH });
    await turn();
    expect(ids(started)).toBe('10.0.0.1:1');
    expect(started.receiver.last('web')?.service.problems).toEqual([
      "znode /services/web: can't be read: NoAuth (-102)",
    ]);
    for (let i = 0; i < 11; i += 1) {
      started.clock.advance(1000);
      at.events.onData(new JuteWriter().int(-2).long(10n).int(0).frame());
    }
    at.answer(children('1'));
    await turn();
    expect(started.receiver.last('web')?.service.problems).toBeUndefined();
  });
});

describe('a doubt', () => {
  it('is what is missing after an outage of some seconds, for a while', async () => {
    const started = await start();
    await list(started, ['1', '2']);
    started.last().events.onEnd(new Error('reset'));
    started.clock.advance(3100);
    await turn();
    while (started.last().isOver) {
      started.clock.advance(10);
      await turn();
    }
    await list(started, ['1']);
    const { last } = started.receiver;
    expect(last.call(started.receiver, 'web')?.service).toMatchObject({
      ...{ doubt: 'first answers after an outage: reset', isLasting: true },
    });
    for (let i = 0; i < 31; i += 1) {
      started.clock.advance(1000);
      started.last().events.onData(new JuteWriter().int(-2).long(10n).int(0).frame());
    }
    expect(started.receiver.last('web')?.service.doubt).toBe('');
  });

  it('is everything that goes at once', async () => {
    const started = await start();
    await list(started, ['1']);
    const at = started.last();
    at.event(CHILDREN, '/services/web');
    at.answer(children());
    await turn();
    expect(started.receiver.last('web')?.service.doubt).toMatch(/every znode is gone/);
  });

  it('is an older state', async () => {
    const started = await start();
    await list(started, ['1', '2'], 50);
    const at = started.last();
    at.events.onEnd(new Error('reset'));
    started.clock.advance(1);
    await turn();
    await list(started, ['1'], 9);
    expect(started.receiver.last('web')?.service.doubt).toMatch(/older state/);
  });

  it('is the first answer while endpoints are held', async () => {
    const started = await start({ isHeld: true });
    await list(started, ['1']);
    expect(started.receiver.last('web')?.service.doubt).toMatch(/while endpoints are held/);
  });
});

describe('a service that describes itself', () => {
  const own = JSON.stringify({
    ...{ host: '10.0.0.1', port: 1, labels: { 'upriver.listen': '9000' } },
  });

  async function described() {
    const started = await start({ selfDescribed: true, follow: [] });
    const at = started.last();
    at.accept();
    await turn();
    at.answer();
    await turn();
    at.answer(children('web'));
    await turn();
    at.answer(data('', { isEphemeral: false }));
    await turn();
    at.answer(children('i1'));
    await turn();
    at.answer(data(own));
    await turn();
    expect(started.receiver.last('web')?.service.settings).toEqual({ listen: '9000' });
    return { ...started, at };
  }

  const beat = (started: Pick<Started, 'clock' | 'last'>, seconds: number) => {
    for (let i = 0; i < seconds; i += 1) {
      started.clock.advance(1000);
      started.last().events.onData(new JuteWriter().int(-2).long(10n).int(0).frame());
    }
  };

  it('is served no more a while after its last instance is gone', async () => {
    const { at, receiver, ...started } = await described();
    at.event(CHILDREN, '/services');
    at.answer(children('other', 'web'));
    await turn();
    at.answer(data('10.0.0.9:1'));
    await turn();
    at.event(CHILDREN, '/services/web');
    at.answer(children());
    await turn();
    expect(receiver.last('web')?.service).toMatchObject({ endpoints: [], settings: {} });
    // All are gone: until something registers again there is doubt, and then for 30 s.
    beat(started, 70);
    expect(receiver.last('web')).not.toBeNull();
    at.event(CHILDREN, '/services/web');
    at.answer(children('i2'));
    await turn();
    at.answer(data(own));
    await turn();
    expect(receiver.ids('web')).toEqual(['10.0.0.1:1']);
    beat(started, 31);
    expect(receiver.last('web')?.service).toMatchObject({ settings: { listen: '9000' } });
  });

  it('may take its listener back at once', async () => {
    const { at, receiver } = await described();
    at.event(CHANGED, '/services/web/i1');
    at.answer(data('10.0.0.1:1'));
    await turn();
    expect(receiver.about('web').at(-1)?.update.kind).toBe('remove');
  });

  it('is not lost where all of it may not be read for a moment', async () => {
    const { at, receiver, provider } = await described();
    at.event(CHILDREN, '/services');
    at.answer(undefined, { error: NO_AUTH });
    await turn();
    expect(at.isOver).toBe(true);
    expect(provider.status().lastError).toMatch(/NoAuth \(-102\) for \/services/);
    expect(receiver.last('web')?.service.endpoints).toHaveLength(1);
  });
});
