// The walk-through of docker-register and docker-discover, with this program in the place of
// docker-discover: ETCD_HOST alone says where etcd is, and each service that docker-register writes
// there is served on its port.
import { createServer, type Server } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { type EtcdMember, etcd34, startEtcd } from '../support/etcd.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

/** docker-register writes each key again every ten seconds; here each is written once. */
const TTL = '300';

describe.skipIf(etcd34 === '')('ETCD_HOST=host:port', () => {
  let etcd: EtcdMember;
  let upriver: UpriverProcess | null = null;
  const endpoints: EndpointProcess[] = [];

  beforeAll(async () => {
    etcd = await startEtcd();
  });
  afterEach(async () => {
    await upriver?.stop();
    upriver = null;
    await Promise.all(endpoints.splice(0).map((endpoint) => endpoint.kill()));
    await etcd.v2.delete('/backends', 'recursive=true').catch(() => {});
  });
  afterAll(() => etcd.stop());

  const start = async () => {
    upriver = await startUpriver({ env: { ETCD_HOST: etcd.url.replace('http://', '') } });
    return upriver;
  };

  /** Starts a container with one exposed port, as docker-register finds it. */
  async function launch(service: string, id: string, port: number) {
    const endpoint = await startEndpoint(id);
    endpoints.push(endpoint);
    const place = `127.0.0.1:${endpoint.port}`;
    await etcd.v2.set(`/backends/${service}/${id}`, place, { ttl: TTL });
    await etcd.v2.set(`/backends/${service}/port`, String(port), { ttl: TTL });
    return endpoint;
  }

  const ask = async (port: number): Promise<string> => {
    const headers = { connection: 'close' };
    const answer = await fetch(`http://127.0.0.1:${port}/`, { headers }).catch(() => null);
    return answer === null ? 'nothing' : (answer.headers.get('x-endpoint') ?? '');
  };
  const problems = async (): Promise<string> => {
    const answer = await fetch(`${upriver!.statsUrl}/api/v1/services`);
    return answer.text();
  };

  it('serves each service on its port, and loses no request while containers come and go', async () => {
    const [web, api] = (await freePorts(2)) as [number, number];
    await start();
    await launch('whoami', 'a1b2c3d4e5f6', web);
    await expect.poll(() => ask(web)).toBe('a1b2c3d4e5f6');
    await launch('team/api', '0123456789ab', api);
    await expect.poll(() => ask(api)).toBe('0123456789ab');

    const load = startLoad({
      ...{ url: `http://127.0.0.1:${web}/`, perSecond: 200, timeoutMs: 15_000, keepAlive: false },
    });
    await load.next(50);
    const second = await launch('whoami', 'b1b2c3d4e5f6', web);
    const third = await launch('whoami', 'c1b2c3d4e5f6', web);
    for (const id of ['b1b2c3d4e5f6', 'c1b2c3d4e5f6']) {
      while (!load.byEndpoint.has(id)) await load.next(20);
    }
    // Killed: its key stays for a while, and sessions go on to the others.
    await second.kill();
    await load.next(200);
    // Its registrar is gone: its key expires, and it is served no more.
    await etcd.v2.set('/backends/whoami/c1b2c3d4e5f6', `127.0.0.1:${third.port}`, { ttl: '1' });
    await expect.poll(() => served(upriver!, 'whoami')).not.toContain('c1b2c3d4e5f6');
    await load.next(100);
    const result = await load.stop();
    expect(result.failures).toEqual([]);
    expect([...result.byEndpoint.keys()].sort()).toEqual([
      'a1b2c3d4e5f6',
      'b1b2c3d4e5f6',
      'c1b2c3d4e5f6',
    ]);
    expect(await served(upriver!, 'team-api')).toEqual(['0123456789ab']);
  });

  it('checks the endpoints as docker-discover did, and spreads by least connections', async () => {
    const [port] = (await freePorts(1)) as [number];
    const first = await launch('whoami', 'a1b2c3d4e5f6', port);
    await launch('whoami', 'b1b2c3d4e5f6', port);
    await start();
    await expect.poll(() => ask(port)).not.toBe('nothing');
    const whoami = await serviceOf(upriver!, 'whoami');
    expect(whoami).toMatchObject({ protocol: 'tcp', balance: 'least-conn' });
    await first.kill();
    await expect.poll(() => stateOf(upriver!, 'whoami', 'a1b2c3d4e5f6')).toBe('down');
    expect(await ask(port)).toBe('b1b2c3d4e5f6');
  });

  it('follows the port key where it changes, and closes the port when it goes', async () => {
    const [one, two] = (await freePorts(2)) as [number, number];
    await launch('whoami', 'a1b2c3d4e5f6', one);
    await start();
    await expect.poll(() => ask(one)).toBe('a1b2c3d4e5f6');
    await etcd.v2.set('/backends/whoami/port', String(two), { ttl: TTL });
    await expect.poll(() => ask(two)).toBe('a1b2c3d4e5f6');
    // Each worker closes it for itself.
    await expect.poll(() => ask(one)).toBe('nothing');
    // A key that is wrong spoils nothing that runs.
    await etcd.v2.set('/backends/whoami/port', 'eighty', { ttl: TTL });
    await expect.poll(problems).toContain("'eighty': expected a port");
    expect(await ask(two)).toBe('a1b2c3d4e5f6');
    await etcd.v2.delete('/backends/whoami/port');
    await expect.poll(() => ask(two)).toBe('nothing');
  });

  it('gives a port that two want to the first, and says so', async () => {
    const [port] = (await freePorts(1)) as [number];
    await launch('zebra', 'a1b2c3d4e5f6', port);
    await launch('ant', 'b1b2c3d4e5f6', port);
    await start();
    await expect.poll(() => ask(port)).toBe('a1b2c3d4e5f6');
    const told = `listener :${port} is taken by service zebra`;
    await expect.poll(problems).toContain(told);
    // docker-register writes its keys again and again; the first stays the first, also over a restart.
    for (const service of ['zebra', 'ant']) {
      await etcd.v2.set(`/backends/${service}/port`, String(port), { ttl: TTL });
    }
    await upriver!.stop();
    await start();
    await expect.poll(problems).toContain(told);
    expect(await ask(port)).toBe('a1b2c3d4e5f6');
    await etcd.v2.delete('/backends/zebra', 'recursive=true');
    await expect.poll(() => ask(port)).toBe('b1b2c3d4e5f6');
  });

  it("takes no port of another process, and not the stats port's", async () => {
    const [port] = (await freePorts(1)) as [number];
    const other = await listen(port);
    try {
      await start();
      const stats = Number(new URL(upriver!.statsUrl).port);
      await launch('whoami', 'a1b2c3d4e5f6', port);
      await launch('thief', 'b1b2c3d4e5f6', stats);
      await expect.poll(problems).toContain(`listener :${port} is taken by another process`);
      await expect.poll(problems).toContain(`listener :${stats} is taken by the stats port`);
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
    await expect.poll(() => ask(port)).toBe('a1b2c3d4e5f6');
  });
});

interface ServiceView {
  readonly protocol: string;
  readonly balance: string;
  readonly endpoints: readonly { readonly id: string; readonly state: string }[];
}

async function serviceOf(upriver: UpriverProcess, name: string): Promise<ServiceView> {
  const response = await fetch(`${upriver.statsUrl}/api/v1/services/${name}`);
  // The API's own shape (docs/reference/admin-api.md).
  return (await response.json()) as ServiceView;
}

async function served(upriver: UpriverProcess, name: string): Promise<string[]> {
  const { endpoints } = await serviceOf(upriver, name);
  return endpoints.map(({ id }) => id).sort();
}

async function stateOf(upriver: UpriverProcess, name: string, id: string): Promise<string> {
  const { endpoints } = await serviceOf(upriver, name);
  return endpoints.find((one) => one.id === id)?.state ?? 'gone';
}

async function listen(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, '0.0.0.0', resolve));
  return server;
}
