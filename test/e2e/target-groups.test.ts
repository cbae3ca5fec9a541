// The whole program on target groups: a file that is replaced, and a URL that answers otherwise, under
// load.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver } from '../support/upriver.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function launch(...names: string[]): Promise<EndpointProcess[]> {
  const started = await Promise.all(names.map((name) => startEndpoint(name)));
  for (const endpoint of started) cleanups.push(() => endpoint.kill());
  return started;
}

const groups = (service: string, endpoints: readonly { port: number }[], more = {}) => {
  const targets = endpoints.map(({ port }) => `127.0.0.1:${port}`);
  return JSON.stringify([{ targets, labels: { service, ...more } }]);
};

it('follows files and URLs, and loses nothing when all endpoints are replaced', async () => {
  const [one, two, three] = (await launch('one', 'two', 'three')) as [
    EndpointProcess,
    EndpointProcess,
    EndpointProcess,
  ];
  const [webPort, apiPort] = (await freePorts(2)) as [number, number];
  const dir = mkdtempSync(join(tmpdir(), 'upriver-targets-'));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  const write = (text: string) => {
    writeFileSync(join(dir, 'new'), text);
    renameSync(join(dir, 'new'), join(dir, 'targets.json'));
  };
  // A service that says itself where it wants to be served.
  write(groups('web', [one], { upriver_listen: `127.0.0.1:${webPort}` }));
  let answer = groups('api', [one]);
  const server = createServer((_, response) => void response.end(answer));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/sd`;
  writeFileSync(
    join(dir, 'upriver.yaml'),
    `registries:
  file: { path: "${dir}/targets*.json" }
  http: { url: "${url}", interval: 1s }
services:
  api: { listen: "127.0.0.1:${apiPort}", from: { registry: http } }
`,
  );
  const upriver = await startUpriver({ args: ['--config', join(dir, 'upriver.yaml')] });
  cleanups.push(() => upriver.stop());

  const loads = [webPort, apiPort].map((port) =>
    startLoad({ url: `http://127.0.0.1:${port}/`, perSecond: 100, timeoutMs: 15_000 }),
  );
  const sees = async (name: string) => {
    for (const load of loads) while (!load.byEndpoint.has(name)) await load.next(10);
  };
  await sees('one');
  write(groups('web', [two, three], { upriver_listen: `127.0.0.1:${webPort}` }));
  answer = groups('api', [two, three]);
  await sees('two');
  await sees('three');
  for (const load of loads) expect((await load.stop()).failures).toEqual([]);
});
