// What a provider takes for gone. When one that takes another's place has named everything: what it
// has not spoken of until then is removed (Provider.hasNamedAll). When a service that described
// itself is followed no more. Time is turned by hand, and the agent answers as told.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConsulProvider } from '../../../src/discovery/consul/provider.ts';
import type { Known } from '../../../src/discovery/provider.ts';
import type { ServiceSource } from '../../../src/model/source.ts';
import { ManualClock } from '../../support/clock.ts';
import {
  consulSettings,
  guardSettings,
  keepingLogger,
  Receiver,
  source,
} from '../../support/discovery.ts';
import { QuietAgent } from '../../support/quiet-agent.ts';

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
  for (let passed = 0; passed < ms; passed += 500) {
    clock.advance(Math.min(500, ms - passed));
    await settle();
  }
}

interface StartOptions {
  readonly selfDescribed?: boolean;
  readonly known?: Known;
  readonly directMax?: number;
  readonly sources?: readonly ServiceSource[];
}

function start(options: StartOptions = {}): void {
  const { selfDescribed = true, known = { endpoints: [], isHeld: false }, directMax } = options;
  const { sources = [source('web')] } = options;
  provider = new ConsulProvider({
    settings: consulSettings('http://agent', { selfDescribed }),
    clock,
    random: () => 0,
    guard: guardSettings,
    log: keepingLogger().log,
    resolve: () => Promise.reject(new Error('no names')),
    known: () => known,
    ...(directMax === undefined ? {} : { directMax }),
    open: () => ({
      to: () => ({ get: (request) => agent.get(request), recycle: () => {} }),
      isMultiplexed: () => false,
      close: () => Promise.resolve(),
    }),
  });
  provider.follow(sources);
  provider.inherit([source('old')]);
  receiver = new Receiver();
  provider.start(receiver.take);
}

beforeEach(() => {
  clock = new ManualClock();
  agent = new QuietAgent(clock);
  agent.bodies.set('/v1/catalog/services', {});
  agent.bodies.set('/v1/catalog/nodes', []);
  agent.bodies.set('/v1/health/service/web', []);
});
afterEach(() => provider.stop());

describe('a provider in the place of another', () => {
  it('has named everything as soon as it is synced, where nothing describes itself', async () => {
    start({ selfDescribed: false });
    expect(provider.hasNamedAll()).toBe(false);
    await settle();
    expect(provider.hasNamedAll()).toBe(true);
  });

  it('waits for as long as a server may be behind', async () => {
    start();
    await settle();
    await pass(19_500);
    expect(provider.hasNamedAll()).toBe(false);
    await pass(500);
    expect(provider.hasNamedAll()).toBe(true);
  });

  it('waits for the lists of the nodes, which tell who describes itself by Meta', async () => {
    agent.bodies.delete('/v1/catalog/nodes');
    start();
    await pass(30_000);
    expect(provider.hasNamedAll()).toBe(false);
    agent.bodies.set('/v1/catalog/nodes', []);
    await pass(10_000);
    expect(provider.hasNamedAll()).toBe(true);
  });

  it('waits two minutes where what it inherits was held', async () => {
    start({ known: { endpoints: [], isHeld: true } });
    await pass(119_500);
    expect(provider.hasNamedAll()).toBe(false);
    await pass(500);
    expect(provider.hasNamedAll()).toBe(true);
  });

  it('says itself that it is in doubt, to who comes after it', async () => {
    start({ known: { endpoints: [], isHeld: true } });
    await pass(119_500);
    expect(provider.status().isInDoubt).toBe(true);
    await pass(500);
    expect(provider.status().isInDoubt).toBe(false);
  });

  it('waits while the catalog fails, and two minutes from when it is back', async () => {
    start();
    await pass(10_000);
    agent.isDown = true;
    agent.cut();
    await pass(20_000);
    expect(provider.hasNamedAll()).toBe(false);
    agent.isDown = false;
    await pass(100_000);
    expect(provider.hasNamedAll()).toBe(false);
    await pass(60_000);
    expect(provider.hasNamedAll()).toBe(true);
  });
});

describe('a service that describes itself by Meta', () => {
  const service = { ID: 'a', Service: 'meta', Port: 80, Meta: { 'upriver-listen': '8000' } };
  const node = { Node: 'n', Address: '10.0.0.1' };
  const isFollowed = () => receiver.about('meta').at(-1)?.update.kind === 'upsert';

  beforeEach(async () => {
    agent.bodies.set('/v1/catalog/services', { meta: [] });
    agent.bodies.set('/v1/catalog/nodes', [{ Node: 'n' }]);
    agent.bodies.set('/v1/catalog/node/n', { Services: { a: service } });
    agent.bodies.set('/v1/health/service/meta', [{ Node: node, Service: service }]);
    start();
    await pass(1000);
    expect(isFollowed()).toBe(true);
  });

  /** The registry begins anew, and is empty. */
  async function beginAnew(): Promise<void> {
    agent.isDown = true;
    agent.cut();
    await pass(1000);
    agent.isDown = false;
    agent.bodies.set('/v1/catalog/services', {});
    agent.bodies.set('/v1/catalog/nodes', []);
    agent.bodies.set('/v1/health/service/meta', []);
  }

  it('is followed on when it comes back and its own answers alone can tell', async () => {
    const gone = { services: {}, health: [] as unknown[], node: { Services: {} } };
    agent.bodies.set('/v1/catalog/services', gone.services);
    agent.bodies.set('/v1/catalog/node/n', gone.node);
    agent.bodies.set('/v1/health/service/meta', gone.health);
    agent.change();
    await pass(2000);
    expect(receiver.ids('meta')).toEqual([]);
    // It registers again while the lists of the nodes can't be had.
    agent.bodies.set('/v1/catalog/services', { meta: [] });
    agent.bodies.set('/v1/health/service/meta', [{ Node: node, Service: service }]);
    agent.bodies.delete('/v1/catalog/nodes');
    agent.change();
    await pass(20_000);
    expect(isFollowed()).toBe(true);
    expect(receiver.ids('meta')).toEqual(['n/a']);
    // And ceases to describe itself.
    const { Meta: _, ...plain } = service;
    agent.bodies.set('/v1/health/service/meta', [{ Node: node, Service: plain }]);
    agent.change();
    await pass(10_000);
    expect(isFollowed()).toBe(false);
  });

  it('is followed for two minutes when the registry began anew', async () => {
    await beginAnew();
    await pass(115_000);
    expect(isFollowed()).toBe(true);
    await pass(30_000);
    expect(isFollowed()).toBe(false);
  });

  it('is so too where it was missing a moment before the registry was known to begin anew', async () => {
    agent.bodies.set('/v1/catalog/services', {});
    agent.bodies.set('/v1/catalog/node/n', { Services: {} });
    agent.bodies.set('/v1/health/service/meta', []);
    agent.change();
    await pass(2000);
    agent.cut();
    await pass(110_000);
    expect(isFollowed()).toBe(true);
    await pass(30_000);
    expect(isFollowed()).toBe(false);
  });

  it('is so too where the lists of the nodes are had before the catalog', async () => {
    // They could not be had after the last answer, and are asked for again.
    agent.bodies.delete('/v1/catalog/nodes');
    await pass(70_000);
    await beginAnew();
    agent.bodies.delete('/v1/catalog/services');
    await pass(110_000);
    expect(isFollowed()).toBe(true);
  });
});

it('doubts what was fetched while the connections of the wide questions broke', async () => {
  const web = {
    Node: { Node: 'n', Address: '10.0.0.1' },
    Service: { ID: 'a', Service: 'web', Port: 80 },
  };
  agent.bodies.set('/v1/health/service/web', [web]);
  for (const state of ['passing', 'warning', 'critical']) {
    agent.bodies.set(`/v1/health/state/${state}`, []);
  }
  agent.bodies.set('/v1/catalog/services', { web: [] });
  start({ selfDescribed: false, directMax: 0 });
  await pass(2000);
  expect(receiver.ids('web')).toEqual(['n/a']);
  // It is fetched again, and meanwhile the registry begins anew and answers the wide questions.
  agent.holding = '/v1/health/service/';
  agent.bodies.set('/v1/catalog/services', { web: ['new'] });
  agent.change();
  await settle();
  agent.cut();
  await pass(1000);
  agent.bodies.set('/v1/health/service/web', []);
  agent.release();
  await settle();
  expect(receiver.last('web')!.service).toMatchObject({ endpoints: [], isLasting: true });
});

it('doubts what is fetched after a break that other questions alone have noticed', async () => {
  const instance = (service: string) => ({
    Node: { Node: 'n', Address: '10.0.0.1' },
    Service: { ID: service, Service: service, Port: 80 },
  });
  for (const name of ['web', 'api']) {
    agent.bodies.set(`/v1/health/service/${name}`, [instance(name)]);
  }
  for (const state of ['warning', 'critical']) agent.bodies.set(`/v1/health/state/${state}`, []);
  agent.bodies.set('/v1/catalog/services', { web: [], api: [] });
  // The first has a question of its own, the second is fetched.
  start({ selfDescribed: false, directMax: 1, sources: [source('web'), source('api')] });
  await pass(2000);
  expect(receiver.ids('api')).toEqual(['n/api']);
  // It can't be fetched for a moment, in which the registry begins anew.
  agent.bodies.delete('/v1/health/service/api');
  agent.bodies.set('/v1/catalog/services', { web: [], api: ['new'] });
  agent.change();
  await settle();
  agent.cut('/v1/health/service/web');
  agent.bodies.set('/v1/health/service/api', []);
  await pass(1000);
  expect(receiver.last('api')!.service).toMatchObject({ endpoints: [], isLasting: true });
});

it('doubts what a prepared query leaves out after a break that others have noticed', async () => {
  const path = '/v1/query/near/execute';
  const Nodes = [{ Node: { Node: 'n', Address: '10.0.0.1' }, Service: { ID: 'a', Port: 80 } }];
  agent.bodies.set(path, { Service: 'api', Nodes });
  start({ selfDescribed: false, sources: [source('web'), source('api', { query: 'near' })] });
  await pass(2000);
  expect(receiver.ids('api')).toEqual(['n/a']);
  // The registry begins anew between two executions.
  agent.cut('/v1/health/service/web');
  agent.bodies.set(path, { Service: 'api', Nodes: [] });
  await pass(3000);
  expect(receiver.last('api')!.service).toMatchObject({ endpoints: [], isLasting: true });
});
