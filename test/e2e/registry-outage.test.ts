// The registry goes away, comes back empty, or loses its leader: traffic must not notice.
import { afterEach, describe, expect, it } from 'vitest';
import { type ConsulAgent, hasConsul, startConsul, startConsulCluster } from '../support/consul.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const endings: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

async function launch(consul: ConsulAgent, id: string): Promise<EndpointProcess> {
  const endpoint = await startEndpoint(id);
  endings.push(() => endpoint.kill());
  await register(consul, id, endpoint);
  return endpoint;
}

function register(consul: ConsulAgent, id: string, { port }: EndpointProcess): Promise<void> {
  return consul.register({ Name: 'web', ID: id, Address: '127.0.0.1', Port: port });
}

async function balance(consul: ConsulAgent): Promise<{ upriver: UpriverProcess; url: string }> {
  const [port] = await freePorts(1);
  const upriver = await startUpriver({
    args: ['--consul', consul.url, '--service', `web=${port}`],
  });
  endings.push(() => upriver.stop());
  return { upriver, url: `http://127.0.0.1:${port}/` };
}

async function isInCatalog(consul: ConsulAgent, id: string): Promise<boolean> {
  const entries = (await consul.get('/v1/catalog/service/web?stale')) as { ServiceID: string }[];
  return entries.some(({ ServiceID }) => ServiceID === id);
}

interface EndpointAnswer {
  readonly id: string;
  readonly state: string;
  readonly reason: string;
}

async function endpointsOf(upriver: UpriverProcess): Promise<EndpointAnswer[]> {
  const response = await fetch(`${upriver.statsUrl}/api/v1/services/web`);
  // The API's own shape (docs/reference/admin-api.md).
  return ((await response.json()) as { endpoints: EndpointAnswer[] }).endpoints;
}

describe.skipIf(!hasConsul)('the registry', () => {
  it('may be away, and come back empty: no request is lost', async () => {
    const consul = await startConsul();
    endings.push(() => consul.stop());
    const a = await launch(consul, 'a');
    const b = await launch(consul, 'b');
    const { upriver, url } = await balance(consul);
    const load = startLoad({ url, perSecond: 200, timeoutMs: 15_000 });
    await load.next(100);
    await consul.kill();
    await load.next(300);
    await consul.restart();
    // What came back is empty; both are kept, and it is said why.
    await expect
      .poll(
        async () =>
          (await endpointsOf(upriver)).filter(({ reason }) => reason.includes('held')).length,
      )
      .toBe(2);
    await load.next(200);
    await register(consul, 'a', a);
    await expect
      .poll(async () =>
        (await endpointsOf(upriver))
          .filter(({ reason }) => reason === '')
          .map(({ id }) => id.split('/')[1]),
      )
      .toEqual(['a']);
    await register(consul, 'b', b);
    await expect
      .poll(async () => (await endpointsOf(upriver)).every(({ reason }) => reason === ''))
      .toBe(true);
    await load.next(100);
    const result = await load.stop();
    expect(result.failures).toEqual([]);
    expect([...result.byEndpoint.keys()].sort()).toEqual(['a', 'b']);

    // From here on the registry is believed again.
    await consul.deregister('b');
    await expect.poll(async () => (await endpointsOf(upriver)).length).toBe(1);
  });

  it('may lose its leader: no request is lost, and changes are followed afterwards', async () => {
    const cluster = await startConsulCluster();
    endings.push(() => cluster.stop());
    const { client } = cluster;
    await launch(client, 'a');
    await launch(client, 'b');
    const { upriver, url } = await balance(client);
    const load = startLoad({ url, perSecond: 200, timeoutMs: 15_000 });
    await load.next(100);
    const leader = await cluster.leader();
    await leader.kill();
    await load.next(200);
    const c = await startEndpoint('c');
    endings.push(() => c.kill());
    // An agent that found no leader waits half a minute before it tells the servers again, unless
    // it is asked again.
    await expect
      .poll(() => register(client, 'c', c).then(() => isInCatalog(client, 'c'), String))
      .toBe(true);
    await expect
      .poll(async () => (await endpointsOf(upriver)).map(({ id }) => id.split('/')[1]).sort())
      .toEqual(['a', 'b', 'c']);
    await load.next(100);
    const result = await load.stop();
    expect(result.failures).toEqual([]);
    expect([...result.byEndpoint.keys()].sort()).toEqual(['a', 'b', 'c']);
  });
});
