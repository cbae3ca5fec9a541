// The loop of the article that this program replaces the proxy of: a registry, a balancer that is
// told two environment variables, and services that come and go while requests run.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ConsulAgent, hasConsul, startConsul } from '../support/consul.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

describe.skipIf(!hasConsul)('CONSUL=host:port SERVICE=name', () => {
  let consul: ConsulAgent;
  let upriver: UpriverProcess | null = null;
  const endpoints: EndpointProcess[] = [];

  beforeAll(async () => {
    consul = await startConsul();
  });
  afterEach(async () => {
    await upriver?.stop();
    upriver = null;
    await Promise.all(endpoints.splice(0).map((endpoint) => endpoint.kill()));
    await consul.deregisterAll();
  });
  afterAll(async () => {
    await consul.stop();
  });

  /** Starts an endpoint and registers it, as a registrar would. */
  async function launch(id: string): Promise<EndpointProcess> {
    const endpoint = await startEndpoint(id);
    endpoints.push(endpoint);
    await consul.register({ Name: 'simple', ID: id, Address: '127.0.0.1', Port: endpoint.port });
    return endpoint;
  }

  it('balances the service on port 80', async () => {
    upriver = await startUpriver({
      env: { CONSUL: `127.0.0.1:${consul.port}`, SERVICE: 'simple' },
    });
    const before = await fetch('http://127.0.0.1:80/');
    expect(before.status).toBe(503);
    expect(before.headers.get('x-upriver-reason')).toBe('no-endpoint');
    expect(await before.text()).toContain('no healthy endpoint');

    await launch('s1');
    await expect.poll(async () => (await fetch('http://127.0.0.1:80/')).status).toBe(200);
    expect((await fetch('http://127.0.0.1:80/')).headers.get('x-endpoint')).toBe('s1');
  });

  it('loses no request while services start, stop and are killed', async () => {
    const [port] = await freePorts(1);
    upriver = await startUpriver({
      args: ['--consul', consul.url, '--service', `simple=${port}`],
    });
    await launch('a');
    await launch('b');
    await expect.poll(() => endpointsSeen(upriver!)).toEqual(['a', 'b']);

    const load = startLoad({
      url: `http://127.0.0.1:${port}/`,
      perSecond: 300,
      timeoutMs: 15_000,
    });
    await load.next(100);
    const c = await launch('c');
    await load.next(200);
    // Killed without a word: its registration stays, and requests go on to the others.
    await c.kill();
    await load.next(300);
    await consul.deregister('c');
    await launch('d');
    await load.next(300);
    // An orderly stop: first it leaves the registry, then it ends.
    await consul.deregister('a');
    await expect.poll(() => endpointsSeen(upriver!)).toEqual(['b', 'd']);
    await endpoints.find((endpoint) => endpoint.id === 'a')!.terminate();
    await load.next(300);
    const result = await load.stop();

    expect(result.failures).toEqual([]);
    expect(result.ok).toBeGreaterThan(1000);
    expect([...result.byEndpoint.keys()].sort()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('goes to 503 at once when the last instance leaves, and back when one comes', async () => {
    const [port] = await freePorts(1);
    upriver = await startUpriver({
      args: ['--consul', consul.url, '--service', `simple=${port}`],
    });
    const status = async () => (await fetch(`http://127.0.0.1:${port}/`)).status;
    for (const id of ['one', 'two']) {
      const endpoint = await launch(id);
      await expect.poll(status).toBe(200);
      await consul.deregister(id);
      await expect.poll(status).toBe(503);
      await endpoint.terminate();
    }
  });
});

/** Ids of the endpoints of `simple` that are up, without the registry's node name. */
async function endpointsSeen(upriver: UpriverProcess): Promise<string[]> {
  const response = await fetch(`${upriver.statsUrl}/api/v1/services/simple`);
  // The API's own shape (docs/reference/admin-api.md).
  const service = (await response.json()) as { endpoints: { id: string; state: string }[] };
  return service.endpoints
    .filter((endpoint) => endpoint.state === 'up')
    .map((endpoint) => endpoint.id.split('/').at(-1)!)
    .sort();
}
