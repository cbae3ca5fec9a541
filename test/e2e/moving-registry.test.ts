// A service moves from one registry to another under load, step by step and in one reload: no request is
// lost, and its endpoints are those that they were.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { hasConsul, startConsul } from '../support/consul.ts';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { etcd34, startEtcd } from '../support/etcd.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const endings: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

interface EndpointAnswer {
  readonly id: string;
  readonly state: string;
  readonly requests: number;
  readonly sources: readonly { readonly source: string }[];
}

async function endpointsOf(upriver: UpriverProcess): Promise<EndpointAnswer[]> {
  const response = await fetch(`${upriver.statsUrl}/api/v1/services/web`);
  // The API's own shape (docs/reference/admin-api.md).
  return ((await response.json()) as { endpoints: EndpointAnswer[] }).endpoints;
}

type Registry = 'static' | 'consul' | 'etcd';

/** The configuration, as a file that is replaced. */
function configFile(
  port: number,
  urls: { readonly consul: string; readonly etcd: string },
  endpoints: readonly EndpointProcess[],
) {
  const folder = mkdtempSync(join(tmpdir(), 'upriver-moving-'));
  endings.push(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'upriver.yaml');
  const places = endpoints.map((one) => `127.0.0.1:${one.port}`);
  const write = (...registries: Registry[]): void => {
    const from = registries.map((registry) => ({ registry }));
    const has = (name: Registry) => registries.includes(name);
    // JSON is YAML.
    const config = {
      registries: {
        ...(has('consul') ? { consul: { address: urls.consul } } : {}),
        ...(has('etcd') ? { etcd: { address: [urls.etcd] } } : {}),
      },
      ...(has('static') ? { static: { web: places } } : {}),
      services: { web: { listen: `127.0.0.1:${port}`, from } },
    };
    writeFileSync(path, JSON.stringify(config));
  };
  return { path, write };
}

/** Where each endpoint is registered as docker-register does it. */
async function startOld(registry: 'static' | 'etcd', endpoints: readonly EndpointProcess[]) {
  if (registry === 'static') return '';
  const etcd = await startEtcd();
  endings.push(() => etcd.stop());
  for (const { id, port } of endpoints) {
    await etcd.v2.set(`/backends/web/${id}`, `127.0.0.1:${port}`);
  }
  return etcd.url;
}

describe.skipIf(!hasConsul || etcd34 === '')('a service that moves to Consul and back', () => {
  it.each(['static', 'etcd'] as const)(
    'from %s loses no request, no endpoint and no counter',
    async (old) => {
      const consul = await startConsul();
      endings.push(() => consul.stop());
      const endpoints = await Promise.all(['a', 'b'].map((id) => startEndpoint(id)));
      for (const one of endpoints) endings.push(() => one.kill());
      const [port = 0] = await freePorts(1);
      const urls = { consul: consul.url, etcd: await startOld(old, endpoints) };
      const { path, write } = configFile(port, urls, endpoints);
      write(old);
      const upriver = await startUpriver({ args: ['--config', path] });
      endings.push(() => upriver.stop());
      const url = `http://127.0.0.1:${port}/`;
      const load = startLoad({ url, perSecond: 200, timeoutMs: 15_000, repeatsStale: true });
      await load.next(50);
      const ids = (await endpointsOf(upriver)).map(({ id }) => id);
      let requests = 0;
      /** What each step comes to, and that nothing began anew in it. */
      const untilFrom = async (...sources: string[]): Promise<void> => {
        await expect
          .poll(async () =>
            (await endpointsOf(upriver)).map((one) => one.sources.map(({ source }) => source)),
          )
          .toEqual([sources, sources]);
        await load.next(100);
        const now = await endpointsOf(upriver);
        expect(now.map(({ id }) => id)).toEqual(ids);
        const sum = now.reduce((total, one) => total + one.requests, 0);
        expect(sum).toBeGreaterThanOrEqual(requests + 100);
        requests = sum;
      };
      await untilFrom(`${old} web`);

      write(old, 'consul');
      for (const { id, port: Port } of endpoints) {
        await consul.register({ Name: 'web', ID: id, Address: '127.0.0.1', Port });
      }
      await untilFrom(`${old} web`, 'consul web');
      write('consul');
      await untilFrom('consul web');

      // And back at one go, although Consul is gone by then.
      await consul.kill();
      write(old);
      await untilFrom(`${old} web`);

      const { failures, byEndpoint } = await load.stop();
      expect(failures).toEqual([]);
      expect([...byEndpoint.keys()].sort()).toEqual(['a', 'b']);
      const events = (await (
        await fetch(`${upriver.statsUrl}/api/v1/events?format=json`)
      ).json()) as {
        endpoint: string;
        to: string;
      }[];
      expect(events.filter(({ endpoint, to }) => endpoint !== '' && to !== 'up')).toEqual([]);
    },
  );
});
