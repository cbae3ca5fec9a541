// The whole program on three members of ZooKeeper, of which the leader is killed under load, and then the
// quorum: no request is lost, and what was known stays.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';
import { startEnsemble, zookeeper } from '../support/zookeeper.ts';
import { NODE_EXISTS, openWriter, type ZookeeperWriter } from '../support/zookeeper-writer.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

describe.skipIf(zookeeper === null)('three members', () => {
  let ensemble: Awaited<ReturnType<typeof startEnsemble>>;
  beforeAll(async () => {
    ensemble = await startEnsemble();
  });
  afterAll(() => ensemble.stop());

  it('lose nothing when the leader is killed, and keep the table without a quorum', async () => {
    const [port] = (await freePorts(1)) as [number];
    const members = await ensemble.ranked();
    const [leader, other] = members as [(typeof members)[0], (typeof members)[0]];
    const registrars: ZookeeperWriter[] = [];
    // Through a member that stays; sessions outlive the leader.
    const launch = async (id: string): Promise<EndpointProcess> => {
      const endpoint = await startEndpoint(id);
      cleanups.push(() => endpoint.kill());
      const labels = { 'upriver.listen': String(port) };
      const data = JSON.stringify({ host: '127.0.0.1', port: endpoint.port, name: id, labels });
      // It ends sessions' connections while no one leads, also in the middle of this.
      const register = async () => {
        const registrar = await openWriter(other.port, { timeoutMs: 60_000 });
        registrars.push(registrar);
        await registrar.create(`/nerve/services/web/${id}`, data, { isEphemeral: true });
      };
      const isThere = ({ error }: { error?: number }) => error === NODE_EXISTS;
      await expect.poll(() => register().then(() => true, isThere)).toBe(true);
      return endpoint;
    };
    const [a, b] = [await launch('a'), await launch('b')];
    const hosts = members.map((member) => `127.0.0.1:${member.port}`).join();
    const upriver = await startUpriver({ args: ['--zookeeper', `${hosts}/nerve`] });
    cleanups.push(() => upriver.stop());
    const places = (...list: EndpointProcess[]) => list.map((one) => one.port).sort();
    await expect.poll(() => portsOf(upriver, 'web')).toEqual(places(a, b));

    const url = `http://127.0.0.1:${port}/`;
    const load = startLoad({ url, perSecond: 200, timeoutMs: 15_000, keepAlive: false });
    await load.next(100);
    await leader.kill();
    await load.next(100);
    const c = await launch('c');
    // Sessions of the others live on at the new leader's.
    await expect.poll(() => portsOf(upriver, 'web')).toEqual(places(a, b, c));
    while (!load.byEndpoint.has('c')) await load.next(20);
    await expect.poll(() => registryOf(upriver)).toMatchObject({ last_error: '' });
    expect((await registryOf(upriver)).address).not.toBe(`127.0.0.1:${leader.port}`);

    // One member of three can't decide anything.
    await members[2]!.kill();
    await expect.poll(async () => (await registryOf(upriver)).last_error).not.toBe('');
    await load.next(100);
    expect(await portsOf(upriver, 'web')).toEqual(places(a, b, c));
    await Promise.all([leader.restart(), members[2]!.restart()]);
    await expect.poll(() => registryOf(upriver)).toMatchObject({ last_error: '' });
    await load.next(100);
    expect(await portsOf(upriver, 'web')).toEqual(places(a, b, c));
    expect((await load.stop()).failures).toEqual([]);
    for (const registrar of registrars) registrar.die();
  });
});

async function portsOf(upriver: UpriverProcess, name: string): Promise<number[]> {
  const response = await fetch(`${upriver.statsUrl}/api/v1/services/${name}`);
  if (response.status !== 200) return [];
  // The API's own shape (docs/reference/admin-api.md).
  const { endpoints } = (await response.json()) as { endpoints: { port: number }[] };
  return endpoints.map((one) => one.port).sort();
}

async function registryOf(upriver: UpriverProcess) {
  const response = await fetch(`${upriver.statsUrl}/api/v1/status`);
  // The same.
  const { registries } = (await response.json()) as {
    registries: { name: string; address: string; last_error: string }[];
  };
  return registries.find((one) => one.name === 'zookeeper')!;
}
