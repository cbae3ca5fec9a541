// What many instances of Upriver ask of one Consul cluster: three servers and a client agent, services of ten
// endpoints each, and more and more watchers at the client agent, each of them the product's own provider with
// connections of its own. Counted are questions and bytes, and the CPU time and memory of the agents, while
// instances come and go, or while nothing changes (idle). A straight line through the numbers of watchers gives what one costs, and what
// as many as are asked for would (docs/scaling.md).
// usage: npm run bench:scaling [-- [idle] [SERVICES [INSTANCES]]]
import { setTimeout as pause } from 'node:timers/promises';
import { silentLogger } from '../src/base/log.ts';
import type { ConsulChannel, OpenConsul } from '../src/discovery/consul/transport.ts';
import { nodeDoors } from '../src/doors.ts';
import { plainSource } from '../src/model/source.ts';
import { type ConsulAgent, startConsulCluster } from '../test/support/consul.ts';
import { consulSettings, guardSettings } from '../test/support/discovery.ts';
import { cpuUs, residentBytes } from './measure.ts';
import { ENDPOINTS, Registry, serviceNames } from './wide-registry.ts';

const numbers = process.argv.slice(2).filter((text) => /^\d+$/.test(text));
const SERVICES = Number(numbers[0] ?? 1000);
const INSTANCES = Number(numbers[1] ?? 100);
/** What is measured: instances that come and go, seldom enough that no two share an answer, or nothing that changes. */
const isIdle = process.argv.includes('idle');
/** Numbers of watchers that are measured. */
const WATCHERS = isIdle ? [0, 8] : [0, 4, 8];
/** A question is asked again after 60 s, and up to a sixteenth more, which Consul adds at random: each is counted once. */
const IDLE_MS = 62_000;
/** And so long without watchers, where nothing is asked. */
const NONE_MS = 8000;
const CHURN_MS = 8000;
/** An instance comes and goes so often each second: two changes. */
const PAIRS_PER_SECOND = 1;
/** Watchers have settled when they ask no more than this each second, twice in a row, and ... */
const SETTLED_QUESTIONS = 4;
/** ... are measured after so long, s, in any case. */
const SETTLE_S_MAX = 20;
const SYNC_MS_MAX = 60_000;
const PLACE = { address: '127.0.0.1', port: 9 };

/** What came of one number of watchers. Rates are per second, over all watchers. */
interface Point {
  readonly watchers: number;
  readonly figures: Readonly<Record<string, number>>;
}

// One address has the connections of many here; elsewhere each instance has an agent of its own.
const cluster = await startConsulCluster(['-hcl', 'limits { http_max_conns_per_client = 2000 }']);
const agents: readonly ConsulAgent[] = [...cluster.servers, cluster.client];
const names = serviceNames(SERVICES);
const registry = new Registry(cluster.client.url);
const counted = { questions: 0, bytes: 0 };
const { ConsulProvider, open } = await nodeDoors.loadConsul();
const stops: (() => Promise<void>)[] = [];
const points: Point[] = [];
try {
  await registry.registerAll(names, PLACE.port);
  console.log(`registered after ${Math.round(performance.now() / 1000)} s`);
  for (const watchers of WATCHERS) {
    while (stops.length < watchers) await addWatcher();
    await untilSettled(watchers);
    const idleMs = watchers === 0 ? NONE_MS : IDLE_MS;
    const rates = isIdle
      ? await during(idleMs, () => pause(idleMs))
      : await during(CHURN_MS, change);
    const figures = { ...rates, ...memory() };
    points.push({ watchers, figures });
    console.log(
      JSON.stringify({ watchers, atS: Math.round(performance.now() / 1000), ...figures }),
    );
  }
  report();
} finally {
  for (const stop of stops) await stop();
  registry.close();
  await cluster.stop();
}

/** One more watcher; elsewhere each has a client agent of its own. */
async function addWatcher(): Promise<void> {
  const provider = new ConsulProvider({
    ...{
      settings: consulSettings(cluster.client.url),
      clock: nodeDoors.clock,
      random: Math.random,
    },
    ...{ log: silentLogger, open: counting, guard: guardSettings, resolve: nodeDoors.resolve },
  });
  provider.follow(names.map((name) => plainSource('consul', name)));
  provider.start(() => {});
  stops.push(() => provider.stop());
  const deadline = performance.now() + SYNC_MS_MAX;
  while (!provider.status().isSynced) {
    if (performance.now() > deadline) throw new Error(`not synced: ${provider.status().lastError}`);
    await pause(20);
  }
}

/** After their start watchers ask some things twice. */
async function untilSettled(watchers: number): Promise<void> {
  let quiet = 0;
  for (let s = 0; s < SETTLE_S_MAX && quiet < 2; s += 1) {
    const before = counted.questions;
    await pause(1000);
    quiet = counted.questions - before <= watchers * SETTLED_QUESTIONS ? quiet + 1 : 0;
  }
  if (quiet < 2) console.warn('watchers still ask much: the machine is busy');
}

/** The way of the program, with a count of what is asked and answered. */
function counting(...given: Parameters<OpenConsul>): ReturnType<OpenConsul> {
  const transport = open(...given);
  const channelOf = async (address: string): Promise<ConsulChannel> => {
    const channel = await transport.to(address);
    return {
      ...channel,
      get: async (request) => {
        counted.questions += 1;
        const response = await channel.get(request);
        return { ...response, body: countedBody(response.body) };
      },
    };
  };
  return {
    to: channelOf,
    isMultiplexed: (address) => transport.isMultiplexed(address),
    close: () => transport.close(),
  };
}

async function* countedBody(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const piece of body) {
    counted.bytes += piece.length;
    yield piece;
  }
}

/** Rates while `run` runs, over all watchers and agents. */
async function during(ms: number, run: () => Promise<unknown>): Promise<Record<string, number>> {
  const [questions, bytes] = [counted.questions, counted.bytes];
  const before = agents.map(({ pid }) => cpuUs(pid));
  const own = process.cpuUsage();
  const startMs = performance.now();
  await run();
  const seconds = (performance.now() - startMs) / 1000;
  const cpu = agents.map(({ pid }, i) => (cpuUs(pid) - before[i]!) / 1e4 / seconds);
  if (seconds * 1000 > ms * 1.5) console.warn(`took ${seconds.toFixed(1)} s: the machine is busy`);
  return {
    questions: (counted.questions - questions) / seconds,
    kib: (counted.bytes - bytes) / 1024 / seconds,
    servers_cpu_percent: cpu.slice(0, 3).reduce((sum, one) => sum + one, 0),
    client_cpu_percent: cpu[3]!,
    watchers_cpu_percent: process.cpuUsage(own).user / 1e4 / seconds,
  };
}

/** Instances come and go, at a steady pace, all over the services. */
async function change(): Promise<void> {
  const startMs = performance.now();
  const total = (CHURN_MS / 1000) * PAIRS_PER_SECOND;
  for (let i = 0; i < total; i += 1) {
    const name = names[(i * 7919) % SERVICES]!;
    await registry.register(name, 'extra', PLACE);
    await pause(Math.max(0, startMs + ((i + 0.5) * 1000) / PAIRS_PER_SECOND - performance.now()));
    await registry.deregister(name, 'extra');
    await pause(Math.max(0, startMs + ((i + 1) * 1000) / PAIRS_PER_SECOND - performance.now()));
  }
}

function memory(): Record<string, number> {
  const mib = agents.map(({ pid }) => residentBytes(pid) / 1024 ** 2);
  const servers = mib.slice(0, 3).reduce((sum, one) => sum + one, 0);
  return { servers_memory_mib: servers, client_memory_mib: mib[3]! };
}

function report(): void {
  const how = isIdle ? 'nothing changes' : `${2 * PAIRS_PER_SECOND} changes a second`;
  console.log(`${SERVICES} services of ${ENDPOINTS}; ${how}\n`);
  const columns = ['of none', 'each', 'misfit', `of ${INSTANCES}`];
  console.log(''.padEnd(26) + columns.map((name) => name.padStart(10)).join(''));
  for (const key of Object.keys(points[0]!.figures)) {
    const values = points.map(({ watchers, figures }) => [watchers, figures[key]!] as const);
    const { slope, start } = lineThrough(values);
    const off = values.map(([x, y]) => Math.abs(y - start - slope * x));
    const numbers = [start, slope, Math.max(...off), start + slope * INSTANCES];
    console.log(key.padEnd(26) + numbers.map((one) => one.toFixed(2).padStart(10)).join(''));
  }
}

/** Least squares. */
function lineThrough(values: readonly (readonly [number, number])[]) {
  const mean = (list: readonly number[]) => list.reduce((sum, one) => sum + one, 0) / list.length;
  const [x, y] = [mean(values.map(([one]) => one)), mean(values.map(([, one]) => one))];
  const over = values.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0);
  const under = values.reduce((sum, [a]) => sum + (a - x) ** 2, 0);
  const slope = over / under;
  return { slope, start: y - slope * x };
}
