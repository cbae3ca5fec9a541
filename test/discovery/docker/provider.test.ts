import { afterEach, describe, expect, it } from 'vitest';
import { isGoodSetting } from '../../../src/config/describe.ts';
import { nodeDoors } from '../../../src/doors.ts';
import { parseEngineAddress } from '../../../src/model/engine-address.ts';
import type { DockerSettings } from '../../../src/model/registries/docker.ts';
import { plainSource, type ServiceSource } from '../../../src/model/source.ts';
import type { ContainerSpec } from '../../support/containers.ts';
import { keepingLogger, Receiver, startSynced, untilTrue } from '../../support/discovery.ts';
import { dockerSettings } from '../../support/docker.ts';
import {
  event,
  idOf,
  type ScriptedEngine,
  startScriptedEngine,
} from '../../support/scripted-engine.ts';

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const [A, B] = [idOf(1), idOf(2)];
const web = plainSource('docker', 'web');
const inWeb: ContainerSpec = { name: 'w1', image: 'web', published: { '80/tcp': '1001' } };

interface Given {
  readonly containers?: Readonly<Record<string, ContainerSpec>>;
  readonly settings?: Partial<DockerSettings>;
  readonly sources?: readonly ServiceSource[];
  readonly hostname?: string;
  readonly isGood?: (key: string, value: string) => boolean;
}

async function followed({
  containers = {},
  settings = {},
  sources = [web],
  hostname = 'here',
  isGood = isGoodSetting,
}: Given) {
  const engine = await startScriptedEngine();
  stops.push(() => engine.stop());
  for (const [id, spec] of Object.entries(containers)) engine.containers.set(id, spec);
  const { DockerProvider, ...ways } = await nodeDoors.loadDocker();
  const { log, lines } = keepingLogger();
  const { clock, resolve } = nodeDoors;
  const provider = new DockerProvider({
    settings: dockerSettings({ addresses: [parseEngineAddress(engine.socket)], ...settings }),
    ...{ clock, resolve, log, random: () => 0, isGoodSetting: isGood, ...ways, hostname },
  });
  provider.follow(sources);
  stops.push(() => provider.stop());
  const receiver = await startSynced(provider);
  await untilTrue(
    () => engine.subscribers === 1,
    () => 'subscribed',
  );
  return { engine, provider, receiver, lines };
}

function change(engine: ScriptedEngine, id: string, spec: ContainerSpec, action: string): void {
  engine.containers.set(id, spec);
  engine.tell(event(id, action, action === 'die' ? { exitCode: '0' } : {}));
}

describe('a service that configuration follows', () => {
  it('has its containers as endpoints, as they come and go', async () => {
    const { engine, receiver } = await followed({ containers: { [A]: inWeb } });
    expect(receiver.endpoints('web')).toMatchObject([
      { id: 'w1:80', address: '127.0.0.1', port: 1001 },
    ]);
    expect(receiver.last('web')!.service).toMatchObject({ settings: null, doubt: '' });
    change(engine, B, { ...inWeb, name: 'w2' }, 'start');
    await receiver.until(() => receiver.ids('web').join() === 'w1:80,w2:80', 'both');
    change(engine, A, { ...inWeb, status: 'exited' }, 'die');
    await receiver.until(() => receiver.ids('web').join() === 'w2:80', 'the other');
    expect(receiver.last('web')!.cause.text).toBe('docker: container w1: die, exit code 0');
    change(engine, B, { ...inWeb, name: 'w2', status: 'paused' }, 'pause');
    await receiver.until(() => receiver.ids('web').length === 0, 'none');
  });

  it('without containers is answered with none', async () => {
    const { receiver } = await followed({});
    expect(receiver.last('web')!.service.endpoints).toEqual([]);
  });

  it('is told at once when it is followed later, and taken back when it is not any more', async () => {
    const { provider, receiver } = await followed({ containers: { [A]: inWeb }, sources: [] });
    expect(receiver.all).toEqual([]);
    provider.follow([web]);
    expect(receiver.ids('web')).toEqual(['w1:80']);
    provider.follow([]);
    expect(receiver.about('web').at(-1)!.update.kind).toBe('remove');
  });

  it('may be asked for by a tag', async () => {
    const tagged = { ...web, tag: 'blue' };
    const containers = { [A]: inWeb, [B]: { ...inWeb, name: 'w2', env: ['SERVICE_TAGS=x,blue'] } };
    const { receiver } = await followed({ containers, sources: [tagged] });
    expect(receiver.ids('web')).toEqual(['w2:80']);
  });

  it('by TCP and UDP on one port is told apart', async () => {
    const dns = { name: 'd', image: 'dns', published: { '53/tcp': '1', '53/udp': '2' } };
    const [tcp, udp] = ['', 'udp'].map((tag) => ({ ...plainSource('docker', 'dns-53'), tag }));
    const { receiver } = await followed({ containers: { [A]: dns }, sources: [tcp!, udp!] });
    const told = receiver.all.map(({ update }) =>
      update.kind === 'upsert'
        ? update.service.endpoints.map(({ id, transport = '' }) => `${id} ${transport}`)
        : [],
    );
    expect(told).toEqual([['d:53 ', 'd:53/udp udp'], ['d:53/udp udp']]);
  });

  it('is told nothing where nothing has changed for it', async () => {
    const { engine, receiver } = await followed({ containers: { [A]: inWeb } });
    change(engine, A, inWeb, 'update');
    change(engine, B, { ...inWeb, name: 'o', image: 'other' }, 'start');
    change(engine, B, { ...inWeb, name: 'w2' }, 'rename');
    await receiver.until(() => receiver.ids('web').length === 2, 'both');
    expect(receiver.about('web')).toHaveLength(2);
  });

  it('stays as it is while the engine is away', async () => {
    const { engine, provider, receiver, lines } = await followed({ containers: { [A]: inWeb } });
    await engine.end();
    await untilTrue(
      () => provider.status().errors > 1,
      () => 'errors',
    );
    expect(receiver.about('web')).toHaveLength(1);
    expect(provider.status()).toMatchObject({ isSynced: true });
    expect(provider.status().lastError).not.toBe('');
    engine.containers.set(A, { ...inWeb, published: { '80/tcp': '1002' } });
    await engine.begin();
    await receiver.until(() => receiver.endpoints('web')[0]?.port === 1002, 'the new port');
    expect(provider.status().lastError).toBe('');
    const said = lines.map(({ message }) => message).filter((text) => /registry/.test(text));
    expect(said[0]).toContain('the last known table stays');
    expect(said.at(-1)).toBe('the registry answers again');
  });
});

describe('a service that containers describe', () => {
  const labels = { 'upriver.listen': '8000', 'upriver.balance': 'random' };

  it('is provided with its settings, and lingers without containers', async () => {
    const { engine, receiver } = await followed({
      containers: { [A]: { ...inWeb, labels } },
      sources: [],
    });
    expect(receiver.last('web')!.service).toMatchObject({
      source: web,
      settings: { listen: '8000', balance: 'random' },
    });
    change(engine, A, { ...inWeb, labels, status: 'exited' }, 'die');
    await receiver.until(() => receiver.ids('web').length === 0, 'none');
    expect(receiver.last('web')!.service.settings).toEqual({ listen: '8000', balance: 'random' });
    change(engine, A, { ...inWeb, labels, startedAt: '2026-11-21T19:00:00Z' }, 'start');
    await receiver.until(() => receiver.ids('web').length === 1, 'again');
  });

  it('is not, where that is turned off', async () => {
    const containers = { [A]: { ...inWeb, labels, env: ['VIRTUAL_HOST=a'] } };
    const { receiver } = await followed({
      containers,
      sources: [],
      settings: { selfDescribed: false },
    });
    expect(receiver.all).toEqual([]);
  });

  it('by VIRTUAL_HOST has a route, and the containers that name it as endpoints', async () => {
    const env = ['VIRTUAL_HOST=a.example.com', 'VIRTUAL_PATH=/api'];
    const labelled = { 'upriver.balance': 'random', 'upriver.listen': '9' };
    const containers = {
      [A]: { ...inWeb, env, labels: labelled },
      [B]: { ...inWeb, name: 'o', image: 'other', env },
    };
    const { receiver } = await followed({ containers, sources: [] });
    const { settings, endpoints } = receiver.last('a.example.com~api')!.service;
    expect(endpoints.map(({ id }) => id)).toEqual(['o:80', 'w1:80']);
    expect(settings).toEqual({
      balance: 'random',
      'route.listen': ':80',
      'route.host': 'a.example.com',
      'route.path': '/api',
    });
  });

  it('is spoilt by nobody: what is wrong is said', async () => {
    const containers = {
      [A]: { ...inWeb, labels: { ...labels, 'upriver.weight': 'much' } },
      [B]: { ...inWeb, name: 'w2', labels: { 'upriver.listen': 'x' } },
    };
    const { receiver } = await followed({ containers, sources: [] });
    const { settings, problems, endpoints } = receiver.last('web')!.service;
    expect(settings).toMatchObject({ listen: '8000' });
    expect(endpoints.map(({ weight }) => weight)).toEqual([1, 1]);
    expect(problems!.join()).toContain('weight');
    expect(problems!.join()).toContain('disagree about listen');
  });

  it('is described once for each change', async () => {
    const containers = {
      [A]: { ...inWeb, labels: { 'upriver.listen': '8000' } },
      [B]: { ...inWeb, name: 'w2', labels: { 'upriver.listen': '8001' } },
    };
    const looked: string[] = [];
    const isGood = (key: string, value: string) => looked.push(`${key}=${value}`) > 0;
    const { engine, receiver } = await followed({ containers, isGood });
    expect(looked).toEqual(['listen=8000']);
    change(engine, B, { ...inWeb, name: 'w2', status: 'exited' }, 'die');
    await receiver.until(() => receiver.ids('web').length === 1, 'one');
    // One value is left: nothing is to be chosen.
    expect(looked).toHaveLength(1);
  });

  it('says what is wrong with the checks of its containers', async () => {
    const env = ['SERVICE_CHECK_HTTP=/health', 'SERVICE_CHECK_INTERVAL=soon'];
    const { receiver } = await followed({ containers: { [A]: { ...inWeb, env } } });
    const { endpoints, problems } = receiver.last('web')!.service;
    expect(endpoints).toMatchObject([{ id: 'w1:80', check: { type: 'http', path: '/health' } }]);
    expect(problems!.join()).toContain(
      "instance w1:80: check_interval 'soon': expected a duration",
    );
  });
});

it('inside a container of the engine takes the addresses of containers', async () => {
  const self = {
    name: 'upriver',
    image: 'upriver',
    published: {},
    networks: { bridge: '172.17.0.9' },
  };
  const containers = { [A]: { ...inWeb, networks: { bridge: '172.17.0.5' } }, [B]: self };
  const { receiver } = await followed({ containers, hostname: B.slice(0, 12) });
  expect(receiver.endpoints('web')).toMatchObject([{ address: '172.17.0.5', port: 80 }]);
});

it('says what it can not serve once', async () => {
  const bad = { ...inWeb, env: ['VIRTUAL_HOST=~^x'] };
  const { engine, receiver, lines } = await followed({ containers: { [A]: bad } });
  change(engine, A, bad, 'update');
  change(engine, B, { ...inWeb, name: 'w2' }, 'start');
  await receiver.until(() => receiver.ids('web').length === 2, 'both');
  expect(lines.filter(({ message }) => message.includes('VIRTUAL_HOST'))).toHaveLength(1);
});

it('waits for the address of a host that has a name', async () => {
  const receiver = new Receiver();
  const engine = await startScriptedEngine();
  stops.push(() => engine.stop());
  engine.containers.set(A, inWeb);
  const { DockerProvider, ...ways } = await nodeDoors.loadDocker();
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  const provider = new DockerProvider({
    settings: dockerSettings({
      addresses: [parseEngineAddress(engine.socket)],
      host: 'engine.test',
    }),
    ...{ clock: nodeDoors.clock, log: keepingLogger().log, random: () => 0, ...ways },
    resolve: async () => {
      await promise;
      return { addresses: ['192.0.2.7'], ttlMs: 60_000 };
    },
  });
  stops.push(() => provider.stop());
  provider.follow([web]);
  provider.start(receiver.take);
  await untilTrue(
    () => engine.subscribers === 1,
    () => 'subscribed',
  );
  expect(provider.status().isSynced).toBe(false);
  answer();
  await receiver.until(() => receiver.endpoints('web').length === 1, 'endpoint');
  expect(receiver.endpoints('web')[0]!.address).toBe('192.0.2.7');
});
