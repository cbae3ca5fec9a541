// What many instances of Upriver ask of one Consul cluster: three servers and a client agent, services of ten
// endpoints each, and more and more watchers, each of them the product's own provider with connections of
// its own. Counted are questions and bytes, and the CPU time and memory of the agents, while nothing
// changes and while instances come and go. A straight line through the numbers of watchers gives what one costs, and what
// as many as are asked for would (docs/scaling.md).
// usage: npm run bench:scaling [-- SERVICES [INSTANCES]]
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
/** Numbers of watchers that are measured. */
const WATCHERS = [0, 2, 4];
const IDLE_MS = 8000;
const CHURN_MS = 8000;
const CHANGES_PER_SECOND = 5;
const SETTLE_MS = 2000;
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
  for (const watchers of WATCHERS) {
    while (stops.length < watchers) await addWatcher(stops.length);
    await pause(SETTLE_MS);
    const idle = await during(IDLE_MS, async () => pause(IDLE_MS));
    const churn = await during(CHURN_MS, change);
    const named = [...prefixed('idle', idle), ...prefixed('churn', churn), ...memory()];
    const figures = Object.fromEntries(named);
    points.push({ watchers, figures });
    console.log(JSON.stringify({ watchers, ...figures }));
  }
  report();
} finally {
  for (const stop of stops) await stop();
  registry.close();
  await cluster.stop();
}

/** One more watcher, at the next of the agents: each has the same share of them. */
async function addWatcher(index: number): Promise<void> {
  const agent = agents[index % agents.length]!;
  const provider = new ConsulProvider({
    ...{ settings: consulSettings(agent.url), clock: nodeDoors.clock, random: Math.random },
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

/** The way of the program, with a count of what is asked and answered. */
function counting(...given: Parameters<OpenConsul>): ReturnType<OpenConsul> {
  const transport = open(...given);
  const channelOf = (address: string): ConsulChannel => {
    const channel = transport.to(address);
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
  };
}

/** Instances come and go, at a steady pace, all over the services. */
async function change(): Promise<void> {
  const startMs = performance.now();
  const total = (CHURN_MS / 1000) * CHANGES_PER_SECOND;
  for (let i = 0; i < total; i += 1) {
    const name = names[(i * 7919) % SERVICES]!;
    await registry.register(name, 'extra', PLACE);
    await pause(Math.max(0, startMs + ((i + 0.5) * 1000) / CHANGES_PER_SECOND - performance.now()));
    await registry.deregister(name, 'extra');
    await pause(Math.max(0, startMs + ((i + 1) * 1000) / CHANGES_PER_SECOND - performance.now()));
  }
}

function memory(): [string, number][] {
  const mib = agents.map(({ pid }) => residentBytes(pid) / 1024 ** 2);
  const servers = mib.slice(0, 3).reduce((sum, one) => sum + one, 0);
  return [
    ['servers_memory_mib', servers],
    ['client_memory_mib', mib[3]!],
  ];
}

function prefixed(when: string, rates: Record<string, number>): [string, number][] {
  return Object.entries(rates).map(([key, value]) => [`${when}_${key}`, value]);
}

function report(): void {
  const changes = 2 * CHANGES_PER_SECOND;
  console.log(`${SERVICES} services of ${ENDPOINTS}; ${changes} changes a second while churning\n`);
  console.log(
    `${'figure'.padEnd(28)} ${'of none'.padStart(9)} ${'each'.padStart(9)} ${`of ${INSTANCES}`.padStart(10)}`,
  );
  for (const key of Object.keys(points[0]!.figures)) {
    const { slope, start } = lineThrough(
      points.map(({ watchers, figures }) => [watchers, figures[key]!]),
    );
    const all = start + slope * INSTANCES;
    const shown = [
      start.toFixed(2).padStart(9),
      slope.toFixed(3).padStart(9),
      all.toFixed(1).padStart(10),
    ];
    console.log(`${key.padEnd(28)} ${shown.join(' ')}`);
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
