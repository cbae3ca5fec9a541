// Hostile names, numbers and types from registries into a real Upriver, and everything that it says:
// pages, API, metrics, streams, commands, log, state file. Each registry is given the same fixture.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { HOSTILE_NAMES, looksHarmless } from '../support/hostile-names.ts';
import { HOSTILE_NUMBERS } from '../support/hostile-numbers.ts';
import { freePorts } from '../support/ports.ts';
import { outputOf, startUpriver, type UpriverProcess } from '../support/upriver.ts';

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

/** The long ones are refused as a whole by a bound on their bytes; what is left is shown. */
const NAMES = [...Object.values(HOSTILE_NAMES), '..', '.', 'a/../../b', '%2e%2e', '?x#y'].filter(
  (name) => name.length < 1000,
);
/** What may stand in the place of any field. */
const ODD: readonly unknown[] = [null, 1, true, 'x', [], [null], {}, { __proto__: null }];

/** Target groups, as files and URLs have them. */
function targetGroups(port: number): unknown[] {
  const named = NAMES.map((name, i) => ({
    targets: [`127.9.0.${i + 1}:80`, `${name}:80`, name],
    labels: { service: name, 'upriver.listen': `127.0.0.1:${port}`, [`upriver.${name}`]: name },
  }));
  const numbered = HOSTILE_NUMBERS.map((weight, i) => ({
    targets: [`127.9.1.${i + 1}:80`, `127.9.1.1:${String(weight)}`],
    labels: { service: 'numbers', weight },
  }));
  return [...named, ...numbered, ...ODD, ...ODD.map((odd) => ({ targets: odd, labels: odd }))];
}

/** Keys of docker-register, by the first API of etcd. */
function etcdTree(port: number): object {
  const leaf = (key: string, value: unknown) => ({ key, value, createdIndex: 1, modifiedIndex: 1 });
  const services = NAMES.filter((name) => !name.includes('/')).map((name) => ({
    ...{ key: `/backends/${name}`, dir: true, createdIndex: 1 },
    nodes: [
      leaf(`/backends/${name}/port`, String(port)),
      leaf(`/backends/${name}/${name}`, '127.9.2.1:80'),
      leaf(`/backends/${name}/two`, name),
      leaf(`/backends/${name}/upriver.${name}`, name),
    ],
  }));
  const numbers = HOSTILE_NUMBERS.map((weight, i) =>
    leaf(
      `/backends/numbers/${i}`,
      JSON.stringify({ host: `127.9.3.${i + 1}`, port: weight, weight }),
    ),
  );
  numbers.push(leaf('/backends/numbers/good', '127.9.3.99:80'));
  const odd = ODD.map((value, i) => leaf(`/backends/numbers/odd${i}`, value));
  const numbered = { key: '/backends/numbers', dir: true, nodes: [...numbers, ...odd, ...ODD] };
  return {
    action: 'get',
    node: { key: '/backends', dir: true, nodes: [...services, numbered, ...ODD] },
  };
}

/** Instances in Consul; every service of the catalog is one of these. */
function consulEntries(name: string, port: number): unknown[] {
  const check = { CheckID: name, Status: 'critical', Output: name, Name: name, Notes: name };
  const service = {
    ...{ ID: name, Service: name, Address: '127.9.4.1', Port: 80 },
    Tags: [`upriver.listen=127.0.0.1:${port}`, `upriver.${name}=${name}`, name, null, 1],
    Meta: { [name]: name, upriver: null },
  };
  const numbers = HOSTILE_NUMBERS.map((number, i) => ({
    Node: { Node: name, Address: '127.0.0.1' },
    Service: {
      ...{ ID: `n${i}`, Service: name, Address: '127.9.5.1', Port: 1000 + i },
      ...{ Weights: { Passing: number, Warning: number }, ModifyIndex: number },
    },
    Checks: null,
  }));
  const odd = ODD.flatMap((one) => [
    one,
    { Node: one, Service: one, Checks: one },
    { Node: { Node: 'n', Address: '127.0.0.1' }, Service: service, Checks: [one, check] },
    { Node: { Node: 'n', Address: one }, Service: { ...service, ID: one, Port: one }, Checks: [] },
  ]);
  return [{ Node: { Node: name, Address: '127.0.0.1' }, Service: service, Checks: [check] }]
    .concat(numbers as never)
    .concat(odd as never);
}

/** One server is all of the registries. */
async function startRegistries(port: number): Promise<string> {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url!, 'http://registry');
    const isWaiting = searchParams.has('index') || searchParams.has('wait');
    const answer = answerOf(pathname, request, port);
    response.setHeader('x-consul-index', '5').setHeader('x-etcd-index', '5');
    // A question for what is next waits for good.
    if (isWaiting && (searchParams.get('index') === '5' || searchParams.has('wait'))) {
      if (searchParams.get('wait') === 'true' || searchParams.has('index')) return;
    }
    if (answer === undefined) response.writeHead(404).end('{}');
    else response.end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function answerOf(path: string, _: IncomingMessage, port: number): unknown {
  if (path === '/sd') return targetGroups(port);
  if (path === '/version') return { etcdserver: '2.3.8', etcdcluster: '2.3.0' };
  if (path.startsWith('/v2/keys')) return etcdTree(port);
  if (path === '/v1/catalog/services') {
    return Object.fromEntries(NAMES.map((name) => [name, ['upriver.listen=1', name]]));
  }
  const service = /^\/v1\/health\/service\/(.+)$/.exec(path)?.[1];
  if (service !== undefined) return consulEntries(decodeURIComponent(service), port);
  return undefined;
}

const PATHS = [
  ...['/stats', '/stats;csv', '/metrics', '/readyz', '/api/v1/status', '/api/v1/services'],
  ...['/api/v1/events?format=json', '/api/v1/services/__proto__', '/api/v1/services/..%2f..'],
];

async function pages(upriver: UpriverProcess): Promise<Map<string, string>> {
  const said = new Map<string, string>();
  for (const path of PATHS) {
    const response = await fetch(upriver.statsUrl + path);
    expect(response.status, path).toBeLessThan(500);
    said.set(path, JSON.stringify([...response.headers]) + (await response.text()));
  }
  return said;
}

interface Shown {
  readonly name: string;
  readonly endpoints: readonly { id: string; weight: number; port?: number; address: string }[];
}

it.each(['json', 'pretty'])(
  'say nothing that acts, and serve what is good, log %s',
  async (log) => {
    const folder = mkdtempSync(join(tmpdir(), 'upriver-hostile-'));
    endings.push(() => rmSync(folder, { recursive: true }));
    const [port = 0] = await freePorts(1);
    const at = await startRegistries(port);
    writeFileSync(join(folder, 'targets.json'), JSON.stringify(targetGroups(port)));
    const config = join(folder, 'upriver.yaml');
    writeFileSync(
      config,
      `registries:
  file: { path: "${folder}/targets.json" }
  http: { url: "http://${at}/sd" }
  etcd: { address: "http://${at}", api: v2 }
  consul: { address: "http://${at}", self_described: true, kv_key: "" }
services:
  by-file: { from: { registry: file, service: numbers } }
  by-url: { from: { registry: http, service: numbers } }
  by-etcd: { from: { registry: etcd, service: numbers } }
  by-consul: { from: { registry: consul, service: constructor } }
state: { file: ${folder}/state }
log: { level: debug }
`,
    );
    const upriver = await startUpriver({ args: ['--config', config, '--log-format', log] });
    endings.push(() => upriver.stop());
    const services = async () =>
      (await (await fetch(`${upriver.statsUrl}/api/v1/services`)).json()) as readonly Shown[];
    // Configured ones have what could be read of them, and others are there by their own names.
    const names = ['by-file', 'by-url', 'by-etcd', 'by-consul'];
    await expect
      .poll(async () => {
        const all = await services();
        return names.filter((name) => all.find((one) => one.name === name)?.endpoints.length === 0);
      })
      .toEqual([]);
    await expect.poll(async () => (await services()).length).toBeGreaterThan(names.length);
    for (const { endpoints } of await services()) {
      for (const { weight, address } of endpoints) {
        expect(weight >= 0 && weight <= 1_000_000, `${address}: ${weight}`).toBe(true);
      }
    }
    const said = await pages(upriver);
    const { statsUrl } = upriver;
    for (const command of [['status'], ['explain', 'constructor'], ['explain', '\x1b[2J']]) {
      said.set(command.join(' '), await outputOf([...command, '--stats', statsUrl]));
    }
    upriver.signal('SIGTERM');
    expect(await upriver.exited).toBe(0);
    said.set('output', upriver.output());
    said.set('state', readFileSync(join(folder, 'state'), 'utf8'));
    expect(said.get('status')).toContain('by-file');
    expect(said.get('output')).not.toMatch(/uncaught|unhandled|TypeError|RangeError/i);
    for (const [where, text] of said) {
      for (const line of text.split('\n')) {
        expect(looksHarmless(line), `${where}: ${JSON.stringify(line.slice(0, 2000))}`).toBe(true);
      }
    }
  },
);
