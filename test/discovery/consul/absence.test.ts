// What a provider takes for gone. When one that takes another's place has named everything: what it
// has not spoken of until then is removed (Provider.hasNamedAll). When a service that described
// itself is followed no more. Time is turned by hand, and the agent answers as told.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConsulProvider } from '../../../src/discovery/consul/provider.ts';
import type { ConsulRequest, ConsulResponse } from '../../../src/discovery/consul/transport.ts';
import type { Known } from '../../../src/discovery/provider.ts';
import { ManualClock } from '../../support/clock.ts';
import {
  consulSettings,
  guardSettings,
  keepingLogger,
  Receiver,
  source,
} from '../../support/discovery.ts';

/** An agent in memory, in which nothing changes: answers what it has, or fails. */
class Agent {
  /** Paths without a query -> the body; without one it answers 500. */
  readonly bodies = new Map<string, unknown>();
  isDown = false;
  private readonly open = new Set<(error: Error) => void>();

  get({ path, signal }: ConsulRequest): Promise<ConsulResponse> {
    const { pathname, searchParams } = new URL(path, 'http://agent');
    if (this.isDown) return Promise.reject(new Error('connect ECONNREFUSED'));
    const waitMs = Number.parseInt(searchParams.get('wait') ?? '0', 10);
    return new Promise((resolve, reject) => {
      this.open.add(reject);
      signal.addEventListener('abort', () => reject(new Error('aborted')));
      clock.setTimer(waitMs, () => resolve(this.answer(pathname)));
    });
  }

  /** All connections break. */
  cut(): void {
    for (const reject of this.open) reject(new Error('other side closed'));
    this.open.clear();
  }

  private answer(path: string): ConsulResponse {
    const body = this.bodies.get(path);
    const bytes = Buffer.from(JSON.stringify(body ?? 'rpc error'));
    return {
      status: body === undefined ? 500 : 200,
      headers: { 'x-consul-index': '5', 'x-consul-knownleader': 'true' },
      body: (async function* () {
        yield bytes;
      })(),
    };
  }
}

let clock: ManualClock;
let agent: Agent;
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

function start(options: { selfDescribed?: boolean; known?: Known } = {}): void {
  const { selfDescribed = true, known = { endpoints: [], isHeld: false } } = options;
  provider = new ConsulProvider({
    settings: consulSettings('http://agent', { selfDescribed }),
    clock,
    random: () => 0,
    guard: guardSettings,
    log: keepingLogger().log,
    resolve: () => Promise.reject(new Error('no names')),
    known: () => known,
    open: () => ({
      to: () => ({ get: (request) => agent.get(request), recycle: () => {} }),
      isMultiplexed: () => false,
      close: () => Promise.resolve(),
    }),
  });
  provider.follow([source('web')]);
  provider.inherit([source('old')]);
  receiver = new Receiver();
  provider.start(receiver.take);
}

beforeEach(() => {
  clock = new ManualClock();
  agent = new Agent();
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
  const service = { ID: 'a', Service: 'meta', Meta: { 'upriver-listen': '8000' } };
  const isFollowed = () => receiver.about('meta').at(-1)?.update.kind === 'upsert';

  beforeEach(async () => {
    agent.bodies.set('/v1/catalog/services', { meta: [] });
    agent.bodies.set('/v1/catalog/nodes', [{ Node: 'n' }]);
    agent.bodies.set('/v1/catalog/node/n', { Services: { a: service } });
    agent.bodies.set('/v1/health/service/meta', [{ Node: { Node: 'n' }, Service: service }]);
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

  it('is followed for two minutes when the registry began anew', async () => {
    await beginAnew();
    await pass(115_000);
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
