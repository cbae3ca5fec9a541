// Three members of etcd, of which the leader is killed under load: no request is lost, and changes
// are followed on by the others.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { etcd34, startEtcdCluster } from '../support/etcd.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

describe.skipIf(etcd34 === '')('three members', () => {
  let cluster: Awaited<ReturnType<typeof startEtcdCluster>>;
  let upriver: UpriverProcess | null = null;
  const endpoints: EndpointProcess[] = [];

  beforeAll(async () => {
    cluster = await startEtcdCluster();
  });
  afterEach(async () => {
    await upriver?.stop();
    upriver = null;
    await Promise.all(endpoints.splice(0).map((endpoint) => endpoint.kill()));
  });
  afterAll(() => cluster.stop());

  it.each(['v2', 'v3'] as const)('lose nothing by %s when the leader is killed', async (api) => {
    const [port] = (await freePorts(1)) as [number];
    const service = `web-${api}`;
    const leader = await cluster.leader();
    const others = cluster.members.filter((member) => member !== leader);
    const [other] = others as [(typeof others)[number]];
    /** Written through a member that stays; the next leader may have to be found first. */
    const write = async (key: string, value: string): Promise<void> => {
      const path = `/backends/${service}/${key}`;
      const put = () => (api === 'v2' ? other.v2.set(path, value) : other.v3.put(path, value));
      await expect
        .poll(() =>
          put().then(
            () => true,
            () => false,
          ),
        )
        .toBe(true);
    };
    const launch = async (id: string): Promise<EndpointProcess> => {
      const endpoint = await startEndpoint(id);
      endpoints.push(endpoint);
      await write(id, `127.0.0.1:${endpoint.port}`);
      return endpoint;
    };
    await launch('a');
    await launch('b');
    await write('port', String(port));
    // The leader is the one that is followed.
    const members = [leader, ...others].flatMap(({ url }) => ['--etcd', url]);
    upriver = await startUpriver({ args: members });
    const seen = () => idsOf(upriver!, service);
    await expect.poll(seen).toEqual(['a', 'b']);

    const url = `http://127.0.0.1:${port}/`;
    const load = startLoad({ url, perSecond: 200, timeoutMs: 15_000, keepAlive: false });
    await load.next(100);
    await leader.kill();
    await load.next(100);
    const third = await launch('c');
    await expect.poll(seen).toEqual(['a', 'b', 'c']);
    // While the leader is away: an election later on may lead back to it.
    const registry = () => registryOf(upriver!);
    await expect.poll(async () => (await registry()).address).not.toBe(leader.url);
    await load.next(200);
    const path = `/backends/${service}/c`;
    await (api === 'v2' ? other.v2.delete(path) : other.v3.delete(path));
    await expect.poll(seen).toEqual(['a', 'b']);
    await third.terminate();
    await leader.restart();
    await load.next(100);
    const result = await load.stop();
    expect(result.failures).toEqual([]);
    expect(result.byEndpoint.get('c')).toBeGreaterThan(0);
    // What v2 asks the quorum during an election is answered by none, and asked again.
    await expect.poll(registry).toMatchObject({ last_error: '' });
  });
});

async function idsOf(upriver: UpriverProcess, name: string): Promise<string[]> {
  const response = await fetch(`${upriver.statsUrl}/api/v1/services/${name}`);
  if (response.status !== 200) return [];
  // The API's own shape (docs/reference/admin-api.md).
  const { endpoints } = (await response.json()) as { endpoints: { id: string }[] };
  return endpoints.map(({ id }) => id).sort();
}

async function registryOf(upriver: UpriverProcess) {
  const response = await fetch(`${upriver.statsUrl}/api/v1/status`);
  // The same.
  const { registries } = (await response.json()) as {
    registries: { name: string; address: string; last_error: string }[];
  };
  return registries.find(({ name }) => name === 'etcd')!;
}
