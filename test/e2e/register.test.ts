// `upriver register` with a real engine: into Consul, field by field; into Consul's key-value store; into
// etcd by both APIs, as docker-register and Registrator do.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ConsulAgent, hasConsul, startConsul } from '../support/consul.ts';
import { type Engine, hasEngine, startEngine } from '../support/engine.ts';
import { type EtcdMember, etcd34, startEtcd } from '../support/etcd.ts';
import { lostIn, startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { spawnUpriver, startUpriver, type UpriverProcess } from '../support/upriver.ts';

const canRun = hasEngine && hasConsul;
let engine: Engine;
let consul: ConsulAgent;
const endings: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  if (!canRun) return;
  [engine, consul] = await Promise.all([startEngine(), startConsul()]);
});
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
  await engine?.removeAll();
  await consul?.deregisterAll();
});
afterAll(async () => {
  await Promise.all([engine?.stop(), consul?.stop()]);
});

/** Starts a registrar with these arguments; ids are of the host `h`. */
async function register(args: readonly string[], env: Record<string, string> = {}) {
  const all = ['register', '-hostname', 'h', '-ip', engine.address, ...args];
  const registrar = spawnUpriver(all, { DOCKER_HOST: `unix://${engine.socket}`, ...env });
  endings.push(() => registrar.stop());
  await registrar.waitForLog(({ msg }) => msg === 'following containers', 'start');
  return registrar;
}

const toConsul = () => consul.url.replace('http:', 'consul:');

interface Registered {
  readonly ID: string;
}

async function services(): Promise<Record<string, Registered>> {
  return (await consul.get('/v1/agent/services')) as Record<string, Registered>;
}

const ids = async (): Promise<string> =>
  Object.keys(await services())
    .sort()
    .join();

/** `passing`, `warning`, `critical`, or `maintenance` for what is taken out of service. */
async function statusOf(id: string): Promise<string> {
  const checks = Object.values((await consul.get('/v1/agent/checks')) as object) as {
    CheckID: string;
    ServiceID: string;
    Status: string;
  }[];
  const own = checks.filter(({ ServiceID }) => ServiceID === id);
  if (own.some(({ CheckID }) => CheckID.startsWith('_service_maintenance'))) return 'maintenance';
  return own.map(({ Status }) => Status).join() || 'passing';
}

describe.skipIf(!canRun)('in Consul', () => {
  it('a container is what Registrator makes of it, field by field', async () => {
    await engine.run({
      ...{ name: 'redis.0', publish: { '80/tcp': '10000' } },
      env: [
        ...['SERVICE_NAME=db', 'SERVICE_TAGS=master,backups', 'SERVICE_REGION=us2'],
        ...['SERVICE_80_CHECK_HTTP=/', 'SERVICE_80_CHECK_INTERVAL=1s', 'SERVICE_CHECK_TIMEOUT=1s'],
      ],
    });
    await register(['-tags', 'host-{{.Config.Hostname}}', toConsul()]);
    await expect.poll(ids).toBe('h:redis.0:80');
    const { Config } = (await engine.inspect('redis.0')) as { Config: { Hostname: string } };
    expect((await services())['h:redis.0:80']).toMatchObject({
      ...{ ID: 'h:redis.0:80', Service: 'db', Port: 10000, Address: engine.address },
      Tags: ['master', 'backups', `host-${Config.Hostname}`],
      Meta: { region: 'us2', check_http: '/', check_interval: '1s', check_timeout: '1s' },
    });
    const checks = (await consul.get('/v1/agent/checks')) as Record<string, { Type: string }>;
    expect(checks['service:h:redis.0:80']).toMatchObject({ Type: 'http', ServiceName: 'db' });
    await expect.poll(() => statusOf('h:redis.0:80')).toBe('passing');
  });

  it('several ports, own ids, UDP, -internal and -explicit', async () => {
    await engine.run({
      ...{ name: 'n1', publish: { '80/tcp': '8000', '443/tcp': '4443', '53/udp': '5353' } },
      env: ['SERVICE_443_NAME=https', 'SERVICE_443_ID=https.12345', 'SERVICE_443_SNI=enabled'],
    });
    await engine.run({
      name: 'plain',
      publish: {},
      expose: ['80/tcp'],
      env: ['SERVICE_NAME=inner'],
    });
    const outer = await register([toConsul()]);
    await expect.poll(ids).toBe('h:n1:53:udp,h:n1:80,https.12345');
    expect(await services()).toMatchObject({
      'h:n1:80': { Service: 'whoami-80', Port: 8000, Tags: [] },
      'h:n1:53:udp': { Service: 'whoami-53', Port: 5353, Tags: ['udp'] },
      'https.12345': { Service: 'https', Port: 4443, Meta: { sni: 'enabled' } },
    });
    await outer.stop();
    await consul.deregisterAll();
    await register(['-internal', '-explicit', toConsul()]);
    await expect.poll(ids).toBe('h:plain:80,https.12345');
    const { NetworkSettings } = (await engine.inspect('plain')) as {
      NetworkSettings: { Networks: { bridge: { IPAddress: string } } };
    };
    expect((await services())['h:plain:80']).toMatchObject({
      ...{ Service: 'inner', Port: 80, Address: NetworkSettings.Networks.bridge.IPAddress },
    });
  });

  it('waits for HEALTHCHECK; is in maintenance while bad, paused or stopping', async () => {
    const script = 'trap : TERM; while :; do sleep 1; done';
    await engine.run({
      ...{ name: 'w1', healthCommand: 'test -e /tmp/good', command: ['/bin/sh', '-c', script] },
    });
    await engine.run({ name: 'w2' });
    await register([toConsul()]);
    await expect.poll(ids).toBe('h:w2:80');
    await engine.exec('w1', 'touch /tmp/good');
    await expect.poll(ids).toBe('h:w1:80,h:w2:80');
    await engine.exec('w1', 'rm /tmp/good');
    await expect.poll(() => statusOf('h:w1:80')).toBe('maintenance');
    await engine.exec('w1', 'touch /tmp/good');
    await expect.poll(() => statusOf('h:w1:80')).toBe('passing');
    await engine.act('w2', 'pause');
    await expect.poll(() => statusOf('h:w2:80')).toBe('maintenance');
    await engine.act('w2', 'unpause');
    await expect.poll(() => statusOf('h:w2:80')).toBe('passing');
    await engine.act('w1', 'kill?signal=SIGTERM');
    await expect.poll(() => statusOf('h:w1:80')).toBe('maintenance');
    await engine.act('w1', 'kill');
    await expect.poll(ids).toBe('h:w2:80');
  });

  it('an operator keeps the maintenance that he set', async () => {
    await engine.run({ name: 'w1' });
    const first = await register([toConsul()]);
    await expect.poll(ids).toBe('h:w1:80');
    await consul.maintenance('h:w1:80', true, 'by hand');
    await engine.act('w1', 'pause');
    await first.waitForLog(({ msg }) => msg === 'taken out of service', 'pause');
    await engine.act('w1', 'unpause');
    const times = () => first.log.filter(({ msg }) => msg === 'registered').length;
    await expect.poll(times).toBe(2);
    expect(await statusOf('h:w1:80')).toBe('maintenance');
    await first.stop();
    const again = await register([toConsul()]);
    await again.waitForLog(({ msg }) => msg === 'registered', 'registered');
    expect(await statusOf('h:w1:80')).toBe('maintenance');
  });

  it('removes its own ghosts and nobody else, outlives engine and agent, and leaves if asked', async () => {
    for (const ID of ['h:ghost:80', 'other:ghost:80', 'h:w1', 'custom']) {
      await consul.register({ Name: 'ghost', ID, Port: 1 });
    }
    await engine.run({ name: 'w1', restart: 'always' });
    await engine.run({ name: 'w2' });
    const registrar = await register(['-cleanup', '-deregister-on-exit', toConsul()]);
    await expect.poll(ids).toBe('custom,h:w1,h:w1:80,h:w2:80,other:ghost:80');
    // The engine is killed, and w1 alone is started again, on another port.
    await engine.kill();
    await registrar.waitForLog(({ msg }) => msg.includes('what is registered stays'), 'outage');
    expect(await ids()).toContain('h:w2:80');
    await engine.start();
    await registrar.waitForLog(({ msg }) => msg === 'the engine answers again', 'return');
    await expect.poll(ids).toBe('custom,h:w1,h:w1:80,other:ghost:80');
    const port = await engine.portOf('w1');
    await expect.poll(async () => (await services())['h:w1:80']).toMatchObject({ Port: port });
    // An agent that begins with nothing is told again.
    await consul.restart();
    await expect.poll(ids).toBe('h:w1:80');
    registrar.signal('SIGTERM');
    expect(await registrar.exited).toBe(0);
    expect(await ids()).toBe('');
  });

  it('-deregister on-success keeps what failed', async () => {
    const wait = 'while [ ! -e /tmp/end ]; do sleep 0.1; done';
    await engine.run({ name: 'bad', command: ['/bin/sh', '-c', `${wait}; exit 3`] });
    await engine.run({ name: 'good', command: ['/bin/sh', '-c', `${wait}; exit 0`] });
    const registrar = await register(['-deregister', 'on-success', toConsul()]);
    await expect.poll(ids).toBe('h:bad:80,h:good:80');
    await engine.exec('bad', 'touch /tmp/end');
    await engine.exec('good', 'touch /tmp/end');
    await registrar.waitForLog(({ msg }) => msg.startsWith('stays registered'), 'failed');
    await expect.poll(ids).toBe('h:bad:80');
    await engine.remove('bad');
    await expect.poll(ids).toBe('');
  });

  it('a balancer behind it loses no request while containers are stopped and replaced', async () => {
    const [port] = (await freePorts(1)) as [number];
    const env = ['SERVICE_NAME=web'];
    await engine.run({ name: 'w1', env });
    await engine.run({ name: 'w2', env });
    await register([toConsul()]);
    const upriver = await startUpriver({
      args: ['--consul', consul.url, '--service', `web=${port}`, '--workers', '1'],
    });
    endings.push(() => upriver.stop());
    await expect.poll(() => up(upriver)).toBe('h:w1:80,h:w2:80');
    const load = startLoad({ url: `http://127.0.0.1:${port}/`, perSecond: 100, timeoutMs: 15_000 });
    await load.next(30);
    await engine.act('w1', 'stop');
    await expect.poll(() => up(upriver)).toBe('h:w2:80');
    await engine.run({ name: 'w3', env });
    await expect.poll(() => up(upriver)).toBe('h:w2:80,h:w3:80');
    await engine.act('w2', 'kill');
    await expect.poll(() => up(upriver)).toBe('h:w3:80');
    await load.next(30);
    const { failures } = await load.stop();
    const response = await fetch(`${upriver.statsUrl}/api/v1/services/web`);
    const { reasons } = (await response.json()) as { reasons: Record<string, number> };
    expect(lostIn(failures, reasons['response-cut'] ?? 0)).toEqual([]);
  });
});

async function up(upriver: UpriverProcess): Promise<string> {
  const response = await fetch(`${upriver.statsUrl}/api/v1/services/web`);
  // The API's own shape (docs/reference/admin-api.md).
  const { endpoints } = (await response.json()) as { endpoints: { id: string; state: string }[] };
  const good = endpoints.filter(({ state }) => state === 'up');
  return good
    .map(({ id }) => id.replace(/^.*\//, ''))
    .sort()
    .join();
}

describe.skipIf(!canRun)("in Consul's key-value store", () => {
  it('a container has a key, while it is in service', async () => {
    await engine.run({ name: 'w1', publish: { '80/tcp': '8081' } });
    await consul.put('/v1/kv/services/whoami/h:ghost:80', 'x');
    await register(['-cleanup', `${consul.url.replace('http', 'consulkv')}/services`]);
    const keys = () => consul.get('/v1/kv/services?keys').catch(() => []);
    await expect.poll(keys).toEqual(['services/whoami/h:w1:80']);
    const [entry] = (await consul.get('/v1/kv/services/whoami/h:w1:80')) as { Value: string }[];
    expect(Buffer.from(entry!.Value, 'base64').toString()).toBe(
      `"${engine.address}:8081"`.slice(1, -1),
    );
    await engine.act('w1', 'pause');
    await expect.poll(keys).toEqual([]);
    await engine.act('w1', 'unpause');
    await expect.poll(keys).toEqual(['services/whoami/h:w1:80']);
    await engine.act('w1', 'stop');
    await expect.poll(keys).toEqual([]);
  });
});

describe.skipIf(!canRun || etcd34 === '')('in etcd', () => {
  let etcd: EtcdMember;
  beforeAll(async () => {
    etcd = await startEtcd();
  });
  afterAll(() => etcd.stop());

  async function v2(prefix: string): Promise<Record<string, { value: string; ttl: number }>> {
    const response = await fetch(`${etcd.url}/v2/keys${prefix}?recursive=true`);
    const leaves: [string, { value: string; ttl: number }][] = [];
    const walk = (node: { key: string; nodes?: never[]; value?: string; ttl?: number }): void => {
      if (node.value !== undefined)
        leaves.push([node.key, { value: node.value, ttl: node.ttl ?? 0 }]);
      for (const one of node.nodes ?? []) walk(one);
    };
    const { node } = (await response.json()) as { node?: never };
    if (node !== undefined) walk(node);
    return Object.fromEntries(leaves);
  }

  async function v3(prefix: string): Promise<Record<string, { value: string; lease: string }>> {
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const range = { key: base64(`${prefix}/`), range_end: base64(`${prefix}0`) };
    const { kvs = [] } = (await etcd.v3.call('/v3/kv/range', range)) as {
      kvs?: { key: string; value: string; lease?: string }[];
    };
    const text = (value: string) => Buffer.from(value, 'base64').toString();
    return Object.fromEntries(
      kvs.map(({ key, value, lease = '' }) => [text(key), { value: text(value), lease }]),
    );
  }

  /** Seconds that a key has to live. */
  const lifeV2 = async (key: string) => (await v2(key))[key]?.ttl ?? 0;
  const lifeV3 = async (key: string) => {
    const ID = (await v3(key.replace(/\/[^/]*$/, '')))[key]?.lease ?? '';
    return Number(((await etcd.v3.call('/v3/lease/timetolive', { ID })) as { TTL?: string }).TTL);
  };

  it("docker-register's environment makes its keys, with their time to live", async () => {
    const id = await engine.run({ name: 'w1', publish: { '80/tcp': '8082' } });
    const env = { ETCD_HOST: new URL(etcd.url).host, HOST_IP: engine.address };
    await register([], env);
    const own = `/backends/whoami/${id.slice(0, 12)}`;
    await expect
      .poll(async () => Object.keys(await v2('/backends')).sort())
      .toEqual([own, '/backends/whoami/port'].sort());
    const keys = await v2('/backends');
    expect(keys[own]!.value).toBe(`${engine.address}:8082`);
    expect(keys['/backends/whoami/port']!.value).toBe('80');
    for (const { ttl } of Object.values(keys)) expect(ttl).toBeGreaterThan(10);
    await engine.act('w1', 'stop');
    await expect.poll(async () => Object.keys(await v2('/backends'))).not.toContain(own);
  });

  it.each(['etcd2', 'etcd3'])('%s has keys that live on while they are refreshed', async (api) => {
    const keys = api === 'etcd2' ? v2 : v3;
    await engine.run({ name: 'w1', env: ['SERVICE_NAME=web'], publish: { '80/tcp': '8083' } });
    const uri = `${etcd.url.replace('http', api)}/services`;
    const registrar = await register(['-ttl', '30', '-ttl-refresh', '2', uri]);
    const key = '/services/web/h:w1:80';
    await expect
      .poll(async () => (await keys('/services'))[key]?.value)
      .toBe(`${engine.address}:8083`);
    // It has less and less time to live, and then more again; never did it lapse.
    const life = api === 'etcd2' ? lifeV2 : lifeV3;
    let least = await life(key);
    const isRenewed = async () => {
      const now = await life(key);
      const isMore = now > least;
      least = Math.min(least, now);
      return isMore;
    };
    await expect.poll(isRenewed).toBe(true);
    // Killed, the registrar leaves them to end.
    await registrar.stop();
    const left = await life(key);
    await expect.poll(async () => (await life(key)) < left).toBe(true);
  });

  it('what was lost is there again', async () => {
    await engine.run({ name: 'w1', env: ['SERVICE_NAME=web'], publish: { '80/tcp': '8084' } });
    const uri = `${etcd.url.replace('http', 'etcd3')}/services`;
    await register(['-ttl', '3', '-ttl-refresh', '1', uri]);
    const key = '/services/web/h:w1:80';
    const leaseOf = async () => (await v3('/services'))[key]?.lease ?? '';
    await expect.poll(leaseOf).not.toBe('');
    const lost = await leaseOf();
    // Its key goes with it.
    await etcd.v3.revoke(lost);
    await expect.poll(leaseOf).toMatch(new RegExp(`^(?!${lost}$).`));
  });

  it("SkyDNS' records are made", async () => {
    await engine.run({ name: 'w1', env: ['SERVICE_NAME=web'], publish: { '80/tcp': '8085' } });
    await register([`${etcd.url.replace('http', 'skydns2')}/cluster.local`]);
    const key = '/skydns/local/cluster/web/h:w1:80';
    await expect
      .poll(async () => (await v2('/skydns'))[key]?.value)
      .toBe(`{"host":"${engine.address}","port":8085}`);
  });
});

describe.skipIf(!canRun)('upriver run --docker --register', () => {
  it('serves the containers, and registers them for others', async () => {
    const [port] = (await freePorts(1)) as [number];
    await engine.run({ name: 'w1', env: ['SERVICE_NAME=web'] });
    const folder = mkdtempSync(join(tmpdir(), 'upriver-register-'));
    endings.push(async () => rmSync(folder, { recursive: true }));
    const file = join(folder, 'upriver.yaml');
    writeFileSync(
      file,
      `registries: { docker: { host: ${engine.address} } }
register: { ip: ${engine.address}, hostname: h, deregister_on_exit: true }`,
    );
    const upriver = await startUpriver({
      args: [
        ...['--docker', engine.socket, '--register', toConsul(), '--config', file],
        ...['--service', `web=${port},from.registry=docker`, '--workers', '1'],
      ],
    });
    endings.push(() => upriver.stop());
    await expect.poll(ids).toBe('h:w1:80');
    // A container has started before its server listens.
    await expect
      .poll(() => fetch(`http://127.0.0.1:${port}/`).then(({ status }) => status))
      .toBe(200);
    upriver.signal('SIGTERM');
    expect(await upriver.exited).toBe(0);
    expect(await ids()).toBe('');
  });
});

describe.skipIf(!canRun)('a registrar', () => {
  it('ends with 1 where the registry is not there, or tries on', async () => {
    const [port] = (await freePorts(1)) as [number];
    const env = { DOCKER_HOST: `unix://${engine.socket}` };
    const to = `consul://127.0.0.1:${port}`;
    const failing = spawnUpriver(['register', to], env);
    endings.push(() => failing.stop());
    expect(await failing.exited).toBe(1);
    expect(failing.output()).toContain(`can't reach consul http://127.0.0.1:${port}`);
    const trying = spawnUpriver(
      ['register', '-retry-attempts', '-1', '-retry-interval', '10', to],
      env,
    );
    endings.push(() => trying.stop());
    await trying.waitForLog(({ attempt }) => Number(attempt) > 3, 'tries');
    trying.signal('SIGTERM');
    expect(await trying.exited).toBe(0);
  });

  it.each([
    [[], 'a registry is missing'],
    [['-deregister', 'never', 'consul:'], 'expected always or on-success'],
    [['-nonsense', 'consul:'], "no flag '--nonsense'"],
  ])('%j is refused with 2', async (args, said) => {
    const refused = spawnUpriver(['register', ...args], {});
    endings.push(() => refused.stop());
    expect(await refused.exited).toBe(2);
    expect(refused.output()).toContain(said);
  });
});
