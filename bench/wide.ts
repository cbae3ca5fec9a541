// Many services on one agent with its default limits: 1,000 services of 10 endpoints each, every
// one with a check. How long until all are followed, how long a change takes to be routed, what it
// costs to follow them while nothing changes, and what a storm of 200 changes a second does to
// running traffic. A second Upriver with one static endpoint has the same traffic at the same time:
// what the storm does to it is the machine's doing (Consul, this program), and not ours.
// usage: npm run bench:wide [-- SERVICES]
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, createServer, request, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startConsul } from '../test/support/consul.ts';
import { startLoad } from '../test/support/load.ts';
import { freePorts } from '../test/support/ports.ts';
import { startUpriver, type UpriverProcess } from '../test/support/upriver.ts';
import { cpuUs, residentBytes } from './measure.ts';
import { quantile } from './statistics.ts';

const SERVICES = Number(process.argv[2] ?? 1000);
const ENDPOINTS = 10;
const SAMPLES = 50;
const IDLE_MS = 20_000;
const STORM_MS = 30_000;
const STORM_PER_SECOND = 200;
const REQUESTS_PER_SECOND = 200;
const REGISTER_AT_A_TIME = 32;
const ROUTED_MS_MAX = 20_000;
/** After many changes the agent and Upriver have caught up. */
const SETTLE_MS = 5000;

const names = Array.from({ length: SERVICES }, (_, i) => `s${String(i).padStart(4, '0')}`);
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const folder = mkdtempSync(join(tmpdir(), 'upriver-wide-'));
const old = await startEndpoint('old');
const fresh = await startEndpoint('new');
const consul = await startConsul();
const [port = 0, plainPort = 0] = await freePorts(2);
const running: UpriverProcess[] = [];
const figures: Record<string, number> = { services: SERVICES, endpoints: SERVICES * ENDPOINTS };
try {
  await registerAll();
  const startMs = performance.now();
  const upriver = await startUpriver({ args: ['--config', configFile(), '--workers', '1'] });
  running.push(upriver);
  tell('all_followed_ms', performance.now() - startMs);
  const plain = await startUpriver({
    args: [`--static=plain=127.0.0.1:${portOf(old)}`, '--workers', '1'].concat(
      `--service=plain=${plainPort},from.registry=static`,
    ),
  });
  running.push(plain);
  await pause(SETTLE_MS);
  await measureChanges();
  await pause(SETTLE_MS);
  await measureIdle(upriver);
  await measureStorm();
  tell('memory_after_mib', residentBytes(upriver.pid) / 1024 ** 2);
} finally {
  for (const one of running) await one.stop();
  await consul.stop();
  agent.destroy();
  for (const server of [old, fresh]) server.close();
  rmSync(folder, { recursive: true });
}
console.table(figures);
if (process.env.BENCH_JSON) writeFileSync(process.env.BENCH_JSON, JSON.stringify(figures));
process.exit(0);

async function measureChanges(): Promise<void> {
  const ms: number[] = [];
  for (let i = 0; i < SAMPLES; i += 1) {
    const name = names[Math.floor((i * SERVICES) / SAMPLES)]!;
    await register(name, 'extra', { address: '127.0.0.1', port: portOf(fresh) });
    ms.push(await untilRouted(name));
    await deregister(name, 'extra');
    await pause(200);
  }
  tell('change_median_ms', quantile(ms, 0.5));
  tell('change_p90_ms', quantile(ms, 0.9));
  tell('change_worst_ms', Math.max(...ms));
}

async function measureIdle({ pid }: UpriverProcess): Promise<void> {
  const [cpu, consulCpu] = [cpuUs(pid), cpuUs(consul.pid)];
  await pause(IDLE_MS);
  tell('idle_cpu_percent', (cpuUs(pid) - cpu) / IDLE_MS / 10);
  tell('idle_consul_cpu_percent', (cpuUs(consul.pid) - consulCpu) / IDLE_MS / 10);
  tell('memory_mib', residentBytes(pid) / 1024 ** 2);
}

async function measureStorm(): Promise<void> {
  const before = await measureLoad(STORM_MS / 2);
  const cpu = cpuUs(running[0]!.pid);
  const [changes, during] = await Promise.all([storm(), measureLoad(STORM_MS)]);
  tell('storm_changes_per_second', (changes / STORM_MS) * 1000);
  tell('storm_cpu_percent', (cpuUs(running[0]!.pid) - cpu) / STORM_MS / 10);
  for (const [name, at] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const) {
    tell(`calm_${name}_ms`, quantile(before.ours, at));
    tell(`storm_${name}_ms`, quantile(during.ours, at));
    tell(`calm_${name}_ms_of_the_plain_one`, quantile(before.plain, at));
    tell(`storm_${name}_ms_of_the_plain_one`, quantile(during.plain, at));
  }
  tell('failures', before.failures + during.failures);
  const lastMs = performance.now();
  await register(names[0]!, 'extra', { address: '127.0.0.1', port: portOf(fresh) });
  await untilRouted(names[0]!);
  tell('caught_up_after_ms', performance.now() - lastMs);
}

/** Half of the load goes through the one that follows the registry, half through the other. */
async function measureLoad(forMs: number) {
  const timeoutMs = 5000;
  const perSecond = REQUESTS_PER_SECOND;
  const ours = startLoad({ url: `http://127.0.0.1:${port}/`, perSecond, timeoutMs });
  const plain = startLoad({ url: `http://127.0.0.1:${plainPort}/`, perSecond, timeoutMs });
  await pause(forMs);
  const [one, other] = [await ours.stop(), await plain.stop()];
  const failures = one.failures.length + other.failures.length;
  return { ours: one.latenciesMs, plain: other.latenciesMs, failures };
}

/** Instances come and go all over the services; returns how many changes there were. */
async function storm(): Promise<number> {
  const startMs = performance.now();
  const there = new Set<string>();
  let begun = 0;
  const open = new Set<Promise<void>>();
  while (performance.now() - startMs < STORM_MS) {
    const due = ((performance.now() - startMs) / 1000) * STORM_PER_SECOND;
    for (; begun < due && open.size < 64; begun += 1) {
      const name = names[(begun * 7919) % SERVICES]!;
      const isThere = there.delete(name);
      if (!isThere) there.add(name);
      const at = { address: '127.0.0.1', port: portOf(old) };
      const change = isThere ? deregister(name, 'storm') : register(name, 'storm', at);
      open.add(change);
      void change.finally(() => open.delete(change));
    }
    await pause(5);
  }
  await Promise.all(open);
  return begun;
}

async function registerAll(): Promise<void> {
  const left = names.flatMap((name) => Array.from({ length: ENDPOINTS }, (_, i) => ({ name, i })));
  await Promise.all(
    Array.from({ length: REGISTER_AT_A_TIME }, async () => {
      for (let one = left.pop(); one !== undefined; one = left.pop()) {
        const address = `127.0.1.${one.i + 1}`;
        await register(one.name, `${one.i}`, { address, port: portOf(old) });
      }
    }),
  );
}

/** On one of ten nodes, by the number of the instance. */
async function register(
  name: string,
  id: string,
  { address, port: Port }: { address: string; port: number },
): Promise<void> {
  const ID = `${name}-${id}`;
  const node = nodeOf(id);
  await put('/v1/catalog/register', {
    ...{ Node: node, Address: '127.0.0.1', SkipNodeUpdate: true },
    Service: { ID, Service: name, Address: address, Port },
    Check: {
      Node: node,
      CheckID: `service:${ID}`,
      Name: 'alive',
      Status: 'passing',
      ServiceID: ID,
    },
  });
}

async function deregister(name: string, id: string): Promise<void> {
  await put('/v1/catalog/deregister', { Node: nodeOf(id), ServiceID: `${name}-${id}` });
}

function nodeOf(id: string): string {
  return `node-${/^\d+$/.test(id) ? id : '0'}`;
}

/** Over a bounded number of connections: an agent allows 200 from one address. */
function put(path: string, body: object): Promise<void> {
  return new Promise((resolve, reject) => {
    request(consul.url + path, { method: 'PUT', agent }, (response) => {
      response.resume();
      response.on('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`${path} answered ${response.statusCode}`));
      });
    })
      .on('error', reject)
      .end(JSON.stringify(body));
  });
}

/** From now to the first answer of the new endpoint. */
async function untilRouted(name: string): Promise<number> {
  const startMs = performance.now();
  while (performance.now() - startMs < ROUTED_MS_MAX) {
    if ((await askFor(name)) === 'new') return performance.now() - startMs;
  }
  throw new Error(`the change of ${name} was not routed within ${ROUTED_MS_MAX} ms`);
}

function askFor(name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { host: name };
    request({ host: '127.0.0.1', port, agent, headers }, (response) => {
      response.resume();
      response.on('end', () => resolve(String(response.headers['x-endpoint'] ?? '')));
    })
      .on('error', reject)
      .end();
  });
}

/** Every service behind one router, by its host; any other host is the first one's. */
function configFile(): string {
  const file = join(folder, 'upriver.json');
  const routes = names.map((name) => ({ host: name, service: name }));
  const config = {
    registries: { consul: { address: consul.url, self_described: false } },
    services: Object.fromEntries(names.map((name) => [name, {}])),
    routers: [{ listen: port, routes: [...routes, { service: names[0] }] }],
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

function startEndpoint(id: string): Promise<Server> {
  const server = createServer((_, response) => response.setHeader('x-endpoint', id).end('ok'));
  return new Promise((resolve) => server.listen(0, '0.0.0.0', () => resolve(server)));
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function tell(name: string, value: number): void {
  figures[name] = Math.round(value * 100) / 100;
  console.log(`${name.padEnd(36)} ${figures[name]}`);
}
