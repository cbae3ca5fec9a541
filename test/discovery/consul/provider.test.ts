// The provider as a whole against an agent that answers as the test writes it: one service that
// can't be followed is no matter for the others.
import { afterEach, expect, it } from 'vitest';
import { ConsulProvider } from '../../../src/discovery/consul/provider.ts';
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
import { type Asked, type Scripted, startScriptedAgent } from '../../support/scripted-agent.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const instance = (ID: string) => ({
  Node: { Node: 'n', Address: '10.0.0.1' },
  Service: { ID, Port: 80, Tags: ['upriver.listen=8000'] },
  Checks: [],
});

/** Follows an agent with these services; `health` answers for one of them, the first time. */
async function follow(
  services: readonly string[],
  health: (name: string) => Scripted,
  configured: readonly string[] = [],
) {
  const catalog = Object.fromEntries(services.map((name) => [name, ['upriver.listen=8000']]));
  const agent = await startScriptedAgent(({ path, query }: Asked) => {
    if (query.has('index')) return null;
    if (path === '/v1/catalog/services') return { index: 5, body: catalog };
    if (path === '/v1/catalog/nodes') return { index: 5, body: [] };
    const name = /^\/v1\/health\/service\/(.+)$/.exec(path)?.[1];
    return name === undefined ? { status: 404, body: '' } : health(decodeURIComponent(name));
  });
  const { log } = keepingLogger();
  const provider = new ConsulProvider({
    ...consulDoors,
    settings: consulSettings(agent.url, { selfDescribed: true }),
    clock: fastClock(50),
    random: () => 0.5,
    guard: guardSettings,
    log,
  });
  ends.push(() => agent.stop());
  ends.push(() => provider.stop());
  const receiver = new Receiver();
  provider.follow(configured.map((name) => source(name)));
  provider.start(receiver.take);
  return { agent, provider, receiver };
}

const good: Scripted = { index: 7, body: [instance('a')] };

it.each(['..', '.', 'a/../../kv', '/x', 'x//y', 'x/'])(
  'a service named %j is not asked for, told, and holds up nobody',
  async (name) => {
    const { agent, provider, receiver } = await follow(['web', name], () => good);
    await untilTrue(
      () => provider.status().isSynced,
      () => JSON.stringify(provider.status()),
    );
    expect(receiver.ids('web')).toEqual(['n/a']);
    expect(receiver.last(name)!.service).toMatchObject({
      endpoints: [],
      settings: null,
      problems: [
        `Consul can't be asked for a service named ${JSON.stringify(name)}: its path would be another`,
      ],
    });
    const known = /^\/v1\/(health\/service\/web|catalog\/(services|nodes)|acl\/token\/self)$/;
    expect(agent.asked.map(({ path }) => path).filter((path) => !known.test(path))).toEqual([]);
  },
);

it.each(['a b', 'a?b', 'a#b', 'a%2e', 'ä', 'a/b', '...', '%2e%2e'])(
  'a service named %j is asked for by exactly that name',
  async (name) => {
    const asked: string[] = [];
    const { provider, receiver } = await follow([name], (one) => {
      asked.push(one);
      return good;
    });
    await untilTrue(
      () => provider.status().isSynced,
      () => JSON.stringify(provider.status()),
    );
    expect(asked[0]).toBe(name);
    expect(receiver.ids(name)).toEqual(['n/a']);
  },
);

it.each<[string, Scripted]>([
  ['is refused', { status: 403, body: 'Permission denied' }],
  ['is answered with what is no JSON', { index: 7, body: 'nonsense' }],
  ['is answered with what is no list', { index: 7, body: { a: 1 } }],
  ['fails again and again', { status: 500, index: 1, body: 'rpc error' }],
])('one service whose question %s does not hold up readiness', async (_, answer) => {
  const { provider, receiver } = await follow(['bad', 'web'], (name) =>
    name === 'bad' ? answer : good,
  );
  await untilTrue(
    () => provider.status().isSynced,
    () => JSON.stringify(provider.status()),
  );
  expect(receiver.ids('web')).toEqual(['n/a']);
  expect(provider.status().lastError).toMatch(/^service bad: answered /);
});

it('a registry that answers nothing is waited for', async () => {
  const failing: Scripted = { status: 500, index: 1, body: 'No cluster leader' };
  const { agent, provider } = await follow([], () => failing, ['web', 'api']);
  await agent.askedTimes(12);
  expect(provider.status().isSynced).toBe(false);
});
