// Services that are followed by wide questions: what comes and goes between two answers of the lists,
// and is fetched meanwhile. Time is turned by hand, and the agent answers as told.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConsulProvider } from '../../../src/discovery/consul/provider.ts';
import { ManualClock } from '../../support/clock.ts';
import {
  consulSettings,
  guardSettings,
  keepingLogger,
  Receiver,
  source,
} from '../../support/discovery.ts';
import { QuietAgent } from '../../support/quiet-agent.ts';

const WEB = '/v1/health/service/web';
const ON_NODE = '/v1/catalog/node/n';
const CRITICAL = '/v1/health/state/critical';

let clock: ManualClock;
let agent: QuietAgent;
let provider: ConsulProvider;
let receiver: Receiver;

/** Lets what has been answered be taken. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) {
    clock.advance(0);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    clock.advance(100);
    await settle();
  }
}

const check = (CheckID: string, Status: string, ModifyIndex: number) => {
  return { Node: 'n', CheckID, Status, ServiceName: 'web', ModifyIndex };
};

const instance = (ID: string, ModifyIndex: number, Checks: object[] = []) => ({
  Node: { Node: 'n', Address: '10.0.0.1', ModifyIndex: 2 },
  Service: { ID, Service: 'web', Port: 80, ModifyIndex },
  Checks,
});

/** What the lists of the nodes have. */
function list(...instances: [string, number][]): void {
  const Services = Object.fromEntries(
    instances.map(([ID, ModifyIndex]) => [ID, { ID, Service: 'web', ModifyIndex }]),
  );
  agent.bodies.set(ON_NODE, { Services });
}

const fetches = () => agent.asked.filter((path) => path.startsWith(WEB));

beforeEach(() => {
  clock = new ManualClock();
  agent = new QuietAgent(clock);
  agent.bodies.set('/v1/catalog/services', { web: [] });
  agent.bodies.set('/v1/catalog/nodes', [{ Node: 'n' }]);
  agent.bodies.set('/v1/health/state/warning', []);
  agent.bodies.set(CRITICAL, []);
  agent.bodies.set(WEB, [instance('a', 5)]);
  list(['a', 5]);
  provider = new ConsulProvider({
    settings: consulSettings('http://agent'),
    clock,
    random: () => 0,
    guard: guardSettings,
    log: keepingLogger().log,
    resolve: () => Promise.reject(new Error('no names')),
    directMax: 0,
    open: () => ({
      to: () => ({ get: (request) => agent.get(request), recycle: () => {} }),
      isMultiplexed: () => false,
      close: () => Promise.resolve(),
    }),
  });
  provider.follow([source('web')]);
  receiver = new Receiver();
});
afterEach(() => provider.stop());

async function start(): Promise<void> {
  provider.start(receiver.take);
  await pass(2000);
  expect(receiver.ids('web')).toEqual(['n/a']);
  agent.asked.length = 0;
}

const idsIn = ({ update }: Receiver['all'][number]) =>
  update.kind === 'upsert' ? update.service.endpoints.map(({ id }) => id) : [];

/** The tags of the service in the catalog change, for which it is fetched. */
function changeTags(tag: string): void {
  agent.bodies.set('/v1/catalog/services', { web: [tag] });
  agent.change();
}

describe('an instance that comes and goes between two readings of the lists', () => {
  beforeEach(start);

  it('is not kept where it was fetched meanwhile', async () => {
    agent.holding = '/v1/catalog/node';
    agent.bodies.set(WEB, [instance('a', 5), instance('b', 6)]);
    changeTags('new');
    await settle();
    expect(receiver.ids('web')).toEqual(['n/a', 'n/b']);
    // It deregisters, and only then the lists are read: they are what they were.
    agent.bodies.set(WEB, [instance('a', 5)]);
    agent.index = 7;
    agent.release();
    await pass(2000);
    expect(receiver.ids('web')).toEqual(['n/a']);
    expect(fetches()).toHaveLength(2);
  });

  it('is not kept where the answer with it arrives after the lists', async () => {
    agent.holding = WEB;
    changeTags('new');
    await pass(2000);
    expect(fetches()).toHaveLength(1);
    agent.bodies.set(WEB, [instance('a', 5), instance('b', 6)]);
    agent.release();
    agent.bodies.set(WEB, [instance('a', 5)]);
    await pass(2000);
    expect(receiver.ids('web')).toEqual(['n/a']);
    expect(fetches()).toHaveLength(2);
  });

  it('is not kept where its node went with it', async () => {
    agent.holding = '/v1/catalog/node';
    const other = instance('b', 6);
    agent.bodies.set(WEB, [
      instance('a', 5),
      { ...other, Node: { Node: 'm', Address: '10.0.0.2', ModifyIndex: 6 } },
    ]);
    changeTags('new');
    await settle();
    expect(receiver.ids('web')).toEqual(['m/b', 'n/a']);
    agent.bodies.set(WEB, [instance('a', 5)]);
    agent.index = 7;
    agent.release();
    await pass(2000);
    expect(receiver.ids('web')).toEqual(['n/a']);
  });
});

it('an answer from before what the leader said last changes nothing', async () => {
  await start();
  const { length } = receiver.about('web');
  agent.holding = `${WEB}?consistent`;
  agent.bodies.set(WEB, [instance('b', 9)]);
  changeTags('new');
  await settle();
  // The first one is doubted; this one waits for the leader's word.
  changeTags('newer');
  await settle();
  expect(fetches().map((path) => path.includes('consistent'))).toEqual([false, true, false]);
  agent.bodies.set(WEB, [instance('a', 10), instance('b', 9)]);
  list(['a', 10], ['b', 9]);
  agent.index = 10;
  agent.release();
  await pass(2000);
  const named = receiver.about('web').slice(length).map(idsIn);
  expect(named.length).toBeGreaterThan(0);
  for (const ids of named) expect(ids).toEqual(['n/a', 'n/b']);
});

it('a check that fails and passes between two answers is not kept as it was fetched', async () => {
  await start();
  agent.holding = CRITICAL;
  agent.bodies.set(WEB, [instance('a', 5, [check('c', 'critical', 6)])]);
  changeTags('new');
  await settle();
  expect(receiver.endpoints('web')[0]!.status).toBe('critical');
  agent.bodies.set(WEB, [instance('a', 5, [check('c', 'passing', 7)])]);
  agent.index = 7;
  agent.release();
  await pass(2000);
  expect(receiver.endpoints('web')[0]!.status).toBe('passing');
});

describe('what the lists lack', () => {
  beforeEach(start);

  it('is left as it is while they are older than the answer', async () => {
    agent.bodies.set(WEB, [instance('a', 5), instance('b', 9)]);
    changeTags('new');
    await pass(2000);
    expect(receiver.ids('web')).toEqual(['n/a', 'n/b']);
    expect(fetches()).toHaveLength(1);
    // They come to know of it.
    list(['a', 5], ['b', 9]);
    agent.index = 8;
    agent.change();
    await pass(2000);
    expect(fetches()).toHaveLength(2);
    expect(receiver.ids('web')).toEqual(['n/a', 'n/b']);
  });

  it('is asked about once, with the leader made sure of, where that still has it', async () => {
    agent.bodies.set(WEB, [instance('a', 5), instance('b', 6)]);
    changeTags('new');
    await pass(2000);
    expect(fetches().map((path) => path.includes('consistent'))).toEqual([false, true]);
    for (let i = 0; i < 5; i += 1) {
      changeTags(`${i}`);
      await pass(2000);
    }
    // Once more for each change of the tags.
    expect(fetches()).toHaveLength(7);
    expect(fetches().filter((path) => path.includes('consistent'))).toHaveLength(1);
    expect(receiver.ids('web')).toEqual(['n/a', 'n/b']);
  });

  it('is asked about until there is an answer', async () => {
    agent.bodies.set(WEB, [instance('a', 5), instance('b', 6)]);
    agent.holding = '/v1/catalog/node';
    changeTags('new');
    await settle();
    agent.bodies.delete(WEB);
    agent.release();
    await pass(2000);
    agent.bodies.set(WEB, [instance('a', 5)]);
    await pass(10_000);
    expect(receiver.ids('web')).toEqual(['n/a']);
    expect(fetches().at(-1)).toContain('consistent');
  });

  it('says nothing where an instance has no index', async () => {
    agent.bodies.set(WEB, [instance('a', 5), instance('b', 0)]);
    changeTags('new');
    await pass(2000);
    expect(fetches()).toHaveLength(1);
    expect(receiver.ids('web')).toEqual(['n/a', 'n/b']);
  });
});

it('a first answer of any server, for want of a leader, is asked of the leader again', async () => {
  agent.hasLeader = false;
  await start();
  // That server was behind: the lists have had both from the beginning.
  agent.bodies.set(WEB, [instance('a', 5), instance('b', 5)]);
  agent.hasLeader = true;
  await pass(10_000);
  expect(receiver.ids('web')).toEqual(['n/a', 'n/b']);
  const last = fetches().at(-1)!;
  expect(last).not.toContain('stale');
  // And then no more.
  const count = fetches().length;
  await pass(60_000);
  expect(fetches()).toHaveLength(count);
});
