// Two real datacenters of Consul, joined over their WAN pool: the local one is preferred, the other one
// takes over when its instances die, and gives back when they live again, under load.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { ConsulProvider } from '../../src/discovery/consul/provider.ts';
import { type ConsulAgent, hasConsul, startConsul } from '../support/consul.ts';
import {
  consulDoors,
  consulSettings,
  guardSettings,
  keepingLogger,
  source,
  startSynced,
} from '../support/discovery.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const endings: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

/** Two servers, each a datacenter of its own, that know each other. */
async function startDatacenters(): Promise<{
  readonly near: ConsulAgent;
  readonly far: ConsulAgent;
}> {
  const [one = 0, other = 0] = await freePorts(2);
  const start = (name: string, wan: number, more: readonly string[] = []) =>
    startConsul({
      node: `${name}-node`,
      args: [
        '-datacenter',
        name,
        '-serf-wan-port',
        `${wan}`,
        '-advertise-wan',
        '127.0.0.1',
        ...more,
      ],
    });
  const near = await start('dc1', one);
  endings.push(() => near.stop());
  const join = ['-retry-join-wan', `127.0.0.1:${one}`, '-retry-interval-wan', '1s'];
  const far = await start('dc2', other, join);
  endings.push(() => far.stop());
  // Asked through the WAN, with an answer of its leader.
  await expect
    .poll(() =>
      near.get('/v1/health/service/consul?dc=dc2').then(
        (all) => (all as unknown[]).length,
        () => 0,
      ),
    )
    .toBe(1);
  return { near, far };
}

async function launch(consul: ConsulAgent, id: string, port = 0): Promise<EndpointProcess> {
  const endpoint = await startEndpoint(id, port);
  endings.push(() => endpoint.kill());
  await consul.register({ Name: 'web', ID: id, Address: '127.0.0.1', Port: endpoint.port });
  return endpoint;
}

async function serviceOf(upriver: UpriverProcess) {
  const response = await fetch(`${upriver.statsUrl}/api/v1/services/web`);
  // The API's own shape (docs/reference/admin-api.md).
  return (await response.json()) as {
    priority: number;
    problems: string[];
    endpoints: {
      id: string;
      state: string;
      priority: number;
      reason: string;
      sources: { source: string }[];
    }[];
  };
}

describe.skipIf(!hasConsul)('two datacenters', () => {
  it('take over for each other by a prepared query, and give back', async () => {
    const { near, far } = await startDatacenters();
    await launch(near, 'a');
    await launch(far, 'c');
    const Service = { Service: 'web', OnlyPassing: true, Failover: { Datacenters: ['dc2'] } };
    const body = JSON.stringify({ Name: 'near-web', Service });
    const made = await fetch(`${near.url}/v1/query`, { method: 'POST', body });
    expect(made.status).toBe(200);
    const { log } = keepingLogger();
    const provider = new ConsulProvider({
      ...consulDoors,
      guard: guardSettings,
      settings: consulSettings(near.url),
      clock: systemClock,
      random: seededRandom(1),
      log,
    });
    endings.push(() => provider.stop());
    provider.follow([source('web', { query: 'near-web' })]);
    const receiver = await startSynced(provider);
    const untilIds = (ids: string) =>
      receiver.until(() => receiver.ids('web').join() === ids, `web is ${ids}`);
    await untilIds('dc1-node/a');
    await near.deregister('a');
    await untilIds('dc2-node/c');
    const by = 'consul: query near-web answered by';
    const { cause, service } = receiver.last('web')!;
    expect(cause.text).toBe(`${by} dc2 (service web, failover 1)`);
    // No second of what is gone: Consul has said so twice.
    expect(service).toMatchObject({ doubt: '', isConfirmed: true });
    await launch(near, 'b');
    await untilIds('dc1-node/b');
    expect(receiver.last('web')!.cause.text).toBe(`${by} dc1 (service web)`);
  });

  it('back each other up: no request is lost when the local instances die and live again', async () => {
    const { near, far } = await startDatacenters();
    const locals = [await launch(near, 'a'), await launch(near, 'b')];
    await launch(far, 'c');
    const [port = 0] = await freePorts(1);
    const folder = mkdtempSync(join(tmpdir(), 'upriver-datacenters-'));
    endings.push(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, 'upriver.yaml');
    writeFileSync(
      path,
      `registries: { consul: { address: '${near.url}' } }
services:
  web:
    listen: "127.0.0.1:${port}"
    from: [ {}, { datacenter: dc2, priority: 2 } ]
    health: { interval: 200ms, rise: 2, fall: 2 }
    failover: { return_after: 1s }
`,
    );
    const upriver = await startUpriver({ args: ['--config', path] });
    endings.push(() => upriver.stop());
    const state = async () =>
      (await serviceOf(upriver)).endpoints.map((one) => [one.id, one.state, one.priority]);
    await expect.poll(state).toEqual([
      ['dc1-node/a', 'up', 1],
      ['dc1-node/b', 'up', 1],
      ['dc2-node/c', 'up', 2],
    ]);
    const { endpoints } = await serviceOf(upriver);
    expect(endpoints[2]).toMatchObject({
      reason: 'standby: priority 2, while priority 1 is in use',
      sources: [{ source: 'consul web (datacenter dc2)' }],
    });

    const load = startLoad({
      url: `http://127.0.0.1:${port}/`,
      ...{ perSecond: 200, timeoutMs: 15_000, repeatsStale: true },
    });
    await load.next(200);
    await Promise.all(locals.map((one) => one.kill()));
    await load.next(100);
    await expect.poll(async () => (await serviceOf(upriver)).priority).toBe(2);
    expect((await serviceOf(upriver)).problems.join()).toContain('failover: sources of priority 2');
    await load.next(100);

    for (const { id, port: at } of locals) {
      const again = await startEndpoint(id, at);
      endings.push(() => again.kill());
    }
    await expect.poll(async () => (await serviceOf(upriver)).priority).toBe(1);
    await load.next(200);
    const { failures, byEndpoint } = await load.stop();
    expect(failures).toEqual([]);
    expect([...byEndpoint.keys()].sort()).toEqual(['a', 'b', 'c']);
    // Between the deaths and the return alone.
    const events = (await (
      await fetch(`${upriver.statsUrl}/api/v1/events?format=json`)
    ).json()) as {
      from: string;
      to: string;
    }[];
    const moves = events.filter(({ to }) => to.startsWith('priority')).map(({ to }) => to);
    expect(moves.slice(-2)).toEqual(['priority 2', 'priority 1']);
  });
});
