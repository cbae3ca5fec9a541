// Many services on one agent with its default limits: 1,000 services of 10 endpoints each, every
// one with a check. How long until all are followed, how long a change takes to be routed, what it
// costs to follow them while nothing changes, and what a storm of 200 changes a second does to
// running traffic. A second Upriver with one static endpoint has the same traffic at the same time,
// and the same storm comes before anybody follows it: what it does then is the machine's doing.
// The agent, and whoever makes the storm, are on a core of their own, as they would be elsewhere.
// --split puts Upriver's main thread there too: its worker then shares a core with the load alone.
// usage: npm run bench:wide [-- SERVICES] [--split]
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, createServer, request, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startConsul } from '../test/support/consul.ts';
import { startLoad } from '../test/support/load.ts';
import { freePorts } from '../test/support/ports.ts';
import { startUpriver, type UpriverProcess } from '../test/support/upriver.ts';
import { cpuUs, residentBytes } from './measure.ts';
import { LOAD_CORE, PROXY_CORE } from './pinned.ts';
import { median, quantile } from './statistics.ts';
import { ENDPOINTS, Registry, type Storm, serviceNames } from './wide-registry.ts';

const isSplit = process.argv.includes('--split');
const SERVICES = Number(process.argv.slice(2).find((text) => /^\d+$/.test(text)) ?? 1000);
const SAMPLES = 50;
const APART_MS = 500;
const IDLE_MS = 20_000;
const STORM_MS = 30_000;
const WINDOW_MS = 5000;
const STORM_PER_SECOND = 200;
const REQUESTS_PER_SECOND = 200;
const ROUTED_MS_MAX = 20_000;
/** After many changes the agent and Upriver have caught up. */
const SETTLE_MS = 5000;

const names = serviceNames(SERVICES);
const agent = new Agent({ keepAlive: true });
const folder = mkdtempSync(join(tmpdir(), 'upriver-wide-'));
const old = await startEndpoint('old');
const fresh = await startEndpoint('new');
const consul = await startConsul();
pin(consul.pid, LOAD_CORE);
pin(process.pid, PROXY_CORE);
const registry = new Registry(consul.url);
const [port = 0, plainPort = 0] = await freePorts(2);
const running: UpriverProcess[] = [];
const figures: Record<string, number> = { services: SERVICES, endpoints: SERVICES * ENDPOINTS };
try {
  await registry.registerAll(names, portOf(old));
  const fixed = `--static=plain=127.0.0.1:${portOf(old)}`;
  const service = `--service=plain=${plainPort},from.registry=static`;
  running.push(await startUpriver({ args: [fixed, service, '--workers', '1'] }));
  await measureLoad('calm', STORM_MS / 2, [plainPort]);
  await measureStorm('storm_unfollowed', [plainPort]);

  const startMs = performance.now();
  // Two hundred lines of log a second would be read by this program.
  const upriver = await startUpriver({
    args: ['--config', configFile(), '--workers', '1', '--log-level', 'warn'],
  });
  running.push(upriver);
  // The thread with the number of the process is the main one.
  if (isSplit) execFileSync('taskset', ['-c', '-p', LOAD_CORE, String(upriver.pid)]);
  tell('all_followed_ms', performance.now() - startMs);
  await pause(SETTLE_MS);
  await measureChanges();
  await pause(SETTLE_MS);
  await measureIdle(upriver);
  await measureLoad('calm_followed', STORM_MS / 2, [plainPort, port]);
  const cpu = cpuUs(upriver.pid);
  await measureStorm('storm_followed', [plainPort, port]);
  tell('storm_followed_cpu_percent', (cpuUs(upriver.pid) - cpu) / STORM_MS / 10);
  tell('caught_up_after_ms', await change(names[0]!));
  tell('memory_after_mib', residentBytes(upriver.pid) / 1024 ** 2);
} finally {
  for (const one of running) await one.stop();
  await consul.stop();
  registry.close();
  agent.destroy();
  for (const server of [old, fresh]) server.close();
  rmSync(folder, { recursive: true });
}
if (process.env.BENCH_JSON) writeFileSync(process.env.BENCH_JSON, JSON.stringify(figures));

/** All threads of a process; what it starts is there too. */
function pin(pid: number, core: string): void {
  execFileSync('taskset', ['-a', '-c', '-p', core, String(pid)]);
}

async function measureChanges(): Promise<void> {
  const ms: number[] = [];
  for (let i = 0; i < SAMPLES; i += 1) {
    ms.push(await change(names[Math.floor((i * SERVICES) / SAMPLES)]!));
    await pause(APART_MS);
  }
  tell('change_median_ms', quantile(ms, 0.5));
  tell('change_p90_ms', quantile(ms, 0.9));
  tell('change_worst_ms', Math.max(...ms));
}

/** From the return of a registration to the first answer of the new endpoint. */
async function change(name: string): Promise<number> {
  await registry.register(name, 'extra', { address: '127.0.0.1', port: portOf(fresh) });
  const ms = await untilRouted(name);
  await registry.deregister(name, 'extra');
  return ms;
}

async function measureIdle({ pid }: UpriverProcess): Promise<void> {
  const [cpu, consulCpu] = [cpuUs(pid), cpuUs(consul.pid)];
  await pause(IDLE_MS);
  tell('idle_cpu_percent', (cpuUs(pid) - cpu) / IDLE_MS / 10);
  tell('idle_consul_cpu_percent', (cpuUs(consul.pid) - consulCpu) / IDLE_MS / 10);
  tell('memory_mib', residentBytes(pid) / 1024 ** 2);
}

/** In a process of its own: what it costs must not be seen as a latency here. */
async function measureStorm(what: string, ports: readonly number[]): Promise<void> {
  const given: Storm = {
    ...{ url: consul.url, services: SERVICES, perSecond: STORM_PER_SECOND, forMs: STORM_MS },
    place: { address: '127.0.0.1', port: portOf(old) },
  };
  const program = join(import.meta.dirname, 'wide-registry.ts');
  const cpu = cpuUs(consul.pid);
  const [{ stdout }] = await Promise.all([
    promisify(execFile)('taskset', [
      ...['-c', LOAD_CORE, process.execPath, program, JSON.stringify(given)],
    ]),
    measureLoad(what, STORM_MS, ports),
  ]);
  tell(`${what}_changes_per_second`, (Number(stdout) / STORM_MS) * 1000);
  tell(`${what}_consul_cpu_percent`, (cpuUs(consul.pid) - cpu) / STORM_MS / 10);
}

/**
 * The first port is the static one's. Told are medians over windows of a few seconds: what else the
 * machine does for a moment spoils one of them.
 */
async function measureLoad(what: string, forMs: number, ports: readonly number[]): Promise<void> {
  const windows = ports.map(() => ({ p50: [] as number[], p99: [] as number[], failures: 0 }));
  for (let leftMs = forMs; leftMs > 0; leftMs -= WINDOW_MS) {
    const loads = ports.map((to) => {
      const url = `http://127.0.0.1:${to}/`;
      return startLoad({ url, perSecond: REQUESTS_PER_SECOND, timeoutMs: 5000 });
    });
    await pause(WINDOW_MS);
    for (const [i, load] of loads.entries()) {
      const { latenciesMs, failures } = await load.stop();
      windows[i]!.p50.push(quantile(latenciesMs, 0.5));
      windows[i]!.p99.push(quantile(latenciesMs, 0.99));
      windows[i]!.failures += failures.length;
    }
  }
  for (const [i, { p50, p99, failures }] of windows.entries()) {
    const whose = `${what}_${i === 0 ? 'static' : 'wide'}`;
    tell(`${whose}_p50_ms`, median(p50));
    tell(`${whose}_p99_ms`, median(p99));
    tell(`${whose}_p99_worst_window_ms`, Math.max(...p99));
    tell(`${whose}_failures`, failures);
  }
}

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
