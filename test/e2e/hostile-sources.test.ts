// Hostile text from every registry but those of hostile-registries.test.ts, from checks and from clients, into a
// real Upriver: etcd v3, containers, ZooKeeper, DNS, answers to checks; then everything that it says, and the
// dashboard in a browser.
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { afterEach, expect, it } from 'vitest';
import { HOSTILE_NAMES, looksHarmless } from '../support/hostile-names.ts';
import { freePorts } from '../support/ports.ts';
import { startDns } from '../support/scripted-dns.ts';
import { idOf, startScriptedEngine } from '../support/scripted-engine.ts';
import { outputOf, startUpriver, type UpriverProcess } from '../support/upriver.ts';
import { startZookeeperTree } from '../support/zookeeper-tree.ts';

const browserPath = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

const NAMES = [...Object.values(HOSTILE_NAMES), '..', '.', 'a/../../b', '%2e%2e', '?x#y'].filter(
  (name) => name.length < 1000,
);
const ALL = NAMES.join(' ');

/** etcd 3.5: keys below /backends. */
async function startEtcd(): Promise<string> {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const key = (name: string, value: string) => ({
    ...{ key: base64(`/backends/${name}`), value: base64(value) },
    ...{ create_revision: '3', mod_revision: '4', lease: '77' },
  });
  const kvs = [
    key('keys/good', '127.9.2.1:80'),
    ...NAMES.flatMap((name) => [
      ...[key(`keys/${name}`, '127.9.2.2:80'), key(`keys/x${name}`, name)],
      ...[key(`${name}/port`, '30'), key(`${name}/a`, name), key(`keys/upriver.${name}`, name)],
    ]),
  ].sort((a, b) => Buffer.compare(Buffer.from(a.key, 'base64'), Buffer.from(b.key, 'base64')));
  const header = { cluster_id: '5', revision: '9' };
  const server = createServer((request, response) => {
    const { url } = request;
    if (url === '/version') return void response.end('{"etcdserver":"3.5.0"}');
    if (url === '/v3/kv/range') {
      return void response.end(JSON.stringify({ header, kvs, count: String(kvs.length) }));
    }
    if (url !== '/v3/watch') return void response.writeHead(404).end('{}');
    response.write(`${JSON.stringify({ result: { header, created: true } })}\n`);
    const events = [{ kv: key(`keys/new${NAMES[0]}`, '127.9.2.3:80') }];
    response.write(
      `${JSON.stringify({ result: { header: { ...header, revision: '10' }, events } })}\n`,
    );
  });
  return listening(server);
}

async function listening(server: ReturnType<typeof createTcp>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => {
    (server as { closeAllConnections?: () => void }).closeAllConnections?.();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function startEngine(): Promise<string> {
  const engine = await startScriptedEngine();
  endings.push(() => engine.stop());
  NAMES.forEach((name, i) => {
    engine.containers.set(idOf(i + 1), {
      ...{ name: `c${name}`, image: `r/${name}:v1`, published: { '80/tcp': String(40_000 + i) } },
      env: [`SERVICE_NAME=${i % 2 === 0 ? 'boxes' : name}`, `SERVICE_ID=${name}`],
      labels: { 'upriver.listen': '1', [`upriver.${name}`]: name, [name]: name },
      ...{ health: 'unhealthy', healthOutput: name },
    });
  });
  return engine.socket;
}

async function startNodes(): Promise<number> {
  const fit = NAMES.filter((name) => !/[\0/]/.test(name) && name !== '.' && name !== '..');
  const tree = new Map([['/services/nodes/good', '127.9.3.1:80']]);
  for (const name of fit) {
    tree.set(`/services/nodes/${name}`, JSON.stringify({ host: '127.9.3.2', port: 80, name }));
    tree.set(`/services/nodes/x${name}`, name);
    const labels = { 'upriver.listen': '2', [`upriver.${name}`]: name };
    tree.set(`/services/${name}/one`, JSON.stringify({ host: name, port: 1, labels }));
  }
  const { port, stop } = await startZookeeperTree(tree);
  endings.push(stop);
  return port;
}

async function startNames(): Promise<number> {
  const targets = NAMES.map((name) => Buffer.from(name).toString('latin1').replaceAll('.', '_'))
    .map((name) => name.slice(0, 60))
    .filter((name) => name !== '' && !name.includes(' '));
  const dns = await startDns(({ name, type }) => {
    if (type !== 'SRV') return { answers: [{ name, type: 'A', data: '127.9.4.1' }] };
    return {
      answers: [...targets, 'good'].map((target, i) => ({
        ...{ name, type: 'SRV' as const, data: `0 1 ${1000 + i} ${target}.test` },
      })),
    };
  });
  endings.push(() => dns.stop());
  return dns.port;
}

/** Answers whatever is asked with all of the names: to checks of any kind, and to requests. */
async function startLiar(): Promise<number> {
  const liar = createTcp((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes) => {
      const isHttp = bytes.toString('latin1').startsWith('GET ');
      const head = `HTTP/1.1 500 ${NAMES[0]}\r\nX: ${NAMES[0]}\r\n\r\n`;
      socket.end(`${isHttp ? head : '-ERR '}${ALL}\r\n`);
    });
  });
  const at = await listening(liar);
  return Number(at.split(':')[1]);
}

/** A request with the name wherever a client can put one, as bytes; well-formed or not. */
async function askWith(port: number, name: string): Promise<void> {
  const raw = Buffer.from(name)
    .toString('latin1')
    .replaceAll(/[\r\n ]/g, '');
  const encoded = encodeURIComponent(name.toWellFormed());
  for (const target of [`/${raw}`, `/${encoded}?${encoded}`]) {
    for (const host of ['a', raw]) {
      const head = `Host: ${host}\r\nX-Request-Id: ${raw}\r\nUser-Agent: ${raw}\r\nConnection: close`;
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {}).resume();
      socket.end(`GET ${target} HTTP/1.1\r\n${head}\r\n\r\n`, 'latin1');
      await once(socket, 'close');
    }
  }
}

const PATHS = [
  ...['/stats', '/stats;csv', '/metrics', '/readyz', '/api/v1/status', '/api/v1/services'],
  ...['/api/v1/events?format=json', '/api/v1/events', '/stats/live'],
];

async function pages(statsUrl: string): Promise<Map<string, string>> {
  const said = new Map<string, string>();
  for (const path of PATHS) {
    const response = await fetch(statsUrl + path, { headers: { 'last-event-id': '0' } });
    expect(response.status, path).toBeLessThan(500);
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
    const reader = response.body!.getReader();
    const decoder = new TextDecoder();
    let text = '';
    for (let i = 0; !isStream || i < 3; i += 1) {
      const { value, done } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
    await reader.cancel();
    said.set(path, JSON.stringify([...response.headers]) + text);
  }
  return said;
}

interface Shown {
  readonly name: string;
  readonly endpoints: readonly { readonly id: string }[];
}

async function servicesOf({ statsUrl }: UpriverProcess): Promise<readonly Shown[]> {
  return (await (await fetch(`${statsUrl}/api/v1/services`)).json()) as readonly Shown[];
}

/** Nothing of it runs, and everything is there. */
async function lookAt(upriver: UpriverProcess, services: readonly Shown[]): Promise<void> {
  const args = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run'];
  const browser = await chromium.launch({ executablePath: browserPath, args });
  endings.push(() => browser.close());
  const page = await browser.newPage();
  const wrong: string[] = [];
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on('dialog', (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.goto(`${upriver.statsUrl}/stats`);
  const sections = page.locator('#services [data-service]');
  await expect.poll(() => sections.count()).toBe(services.length);
  const endpoints = services.flatMap((service) => service.endpoints).length;
  expect(await page.locator('#services tr.endpoint').count()).toBe(endpoints);
  // What attributes and tags of ours there are, and no others.
  expect(await page.locator('#services script, #services [onmouseover]').count()).toBe(0);
  for (const heading of await page.locator('#services h2').allInnerTexts()) {
    expect(looksHarmless(heading), heading).toBe(true);
  }
  expect(wrong).toEqual([]);
}

it.each(['json', 'pretty'])(
  'says nothing that acts, and serves what is good, log %s',
  async (log) => {
    const folder = mkdtempSync(join(tmpdir(), 'upriver-sources-'));
    endings.push(() => rmSync(folder, { recursive: true }));
    const [web, tcp] = (await freePorts(2)) as [number, number];
    const liar = await startLiar();
    const config = join(folder, 'upriver.yaml');
    writeFileSync(
      config,
      `registries:
  etcd: { address: "http://${await startEtcd()}", api: v3 }
  docker: { address: "${await startEngine()}" }
  zookeeper: { address: ["127.0.0.1:${await startNodes()}"] }
  dns: { address: ["127.0.0.1:${await startNames()}"] }
static: { web: ["127.0.0.1:${liar}"], cache: ["127.0.0.1:${liar}"], sql: ["127.0.0.1:${liar}"], mail: ["127.0.0.1:${liar}"], db: ["127.0.0.1:${liar}"] }
services:
  keys: { from: { registry: etcd } }
  boxes: { from: { registry: docker } }
  nodes: { from: { registry: zookeeper } }
  names: { from: { registry: dns, service: _web._tcp.test } }
  web: { listen: "127.0.0.1:${web}", health: { path: /x } }
  cache: { protocol: tcp, listen: "127.0.0.1:${tcp}", health: { type: redis } }
  sql: { protocol: tcp, health: { type: mysql } }
  db: { protocol: tcp, health: { type: postgres } }
  mail: { protocol: tcp, health: { type: smtp } }
state: { file: ${folder}/state }
log: { level: debug, access: ${folder}/access }
`,
    );
    const upriver = await startUpriver({ args: ['--config', config, '--log-format', log] });
    endings.push(() => upriver.stop());
    const sources = ['keys', 'boxes', 'nodes', 'names', 'web'];
    const empty = async () => {
      const all = await servicesOf(upriver);
      return sources.filter((name) => !all.find((one) => one.name === name)?.endpoints.length);
    };
    await expect.poll(empty).toEqual([]);
    // Each check has answered.
    const checked = async () => await (await fetch(`${upriver.statsUrl}/api/v1/services`)).text();
    await expect.poll(checked).toMatch(/ERR/);
    for (const name of NAMES) await askWith(web, name);
    const services = await servicesOf(upriver);
    const said = await pages(upriver.statsUrl);
    const { statsUrl } = upriver;
    const [box] = services.find(({ name }) => name === 'boxes')!.endpoints;
    const commands = [
      ...[['status'], ['explain', 'boxes'], ['explain', 'keys'], ['explain', 'cache']],
      ...[
        ['drain', 'boxes', box!.id],
        ['drain', '\x1b[2J', '\n'],
        ['check', '--config', config],
      ],
    ];
    for (const command of commands) {
      const isLocal = command[0] === 'check';
      said.set(
        command.join(' '),
        await outputOf([...command, ...(isLocal ? [] : ['--stats', statsUrl])]),
      );
    }
    for (const name of ['\x1b[2J', 'a\r\nX: y', '\u202e'].map(encodeURIComponent)) {
      const path = `/api/v1/services/${name}/endpoints/${name}/drain`;
      const response = await fetch(statsUrl + path, { method: 'POST' });
      said.set(`POST ${path}`, JSON.stringify([...response.headers]) + (await response.text()));
    }
    if (log === 'json' && existsSync(browserPath)) await lookAt(upriver, services);
    upriver.signal('SIGTERM');
    expect(await upriver.exited).toBe(0);
    said.set('output', upriver.output());
    for (const name of ['state', 'access'])
      said.set(name, readFileSync(join(folder, name), 'utf8'));
    expect(said.get('explain boxes')).toContain('unhealthy');
    // They have come as far as that: what is shown of them is escaped.
    for (const name of ['keys', 'boxes', 'nodes', 'names']) {
      const shown = JSON.stringify(services.find((one) => one.name === name));
      expect(shown, name).toMatch(/u001b|u\{1b\}|\\\\027|\\\\x1b/);
    }
    expect(services.length).toBeGreaterThan(9);
    expect(said.get('access')!.split('\n').length).toBeGreaterThan(20);
    expect(said.get('output')).not.toMatch(/uncaught|unhandled|TypeError|RangeError/i);
    for (const [where, text] of said) {
      for (const line of text.split('\n')) {
        expect(looksHarmless(line), `${where}: ${JSON.stringify(line.slice(0, 2000))}`).toBe(true);
      }
    }
  },
);
