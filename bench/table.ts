// What one change costs the control plane while it holds 10,000 endpoints: from the update of a
// provider, through table, guard and reconcile, to the delta that leaves for the workers. The same
// endpoints are held as many small services and as a few large ones: the work must grow with the
// service that changed, and not with the table.
// usage: node bench/table.ts [--json]
import { silentLogger } from '../src/base/log.ts';
import { seededRandom } from '../src/base/prng.ts';
import { Controller } from '../src/control/controller.ts';
import { Checker } from '../src/health/checker.ts';
import { probe } from '../src/health/probe.ts';
import { Ledger } from '../src/ledger/ledger.ts';
import type { Endpoint } from '../src/model/endpoint.ts';
import type { Service } from '../src/model/service.ts';
import { ManualClock } from '../test/support/clock.ts';
import { makeService } from '../test/support/service.ts';

const ROUNDS = 300;
const WARM_UP = 100;

function endpointsOf(count: number, weight: number): Endpoint[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `node-${i}/web-${i}`,
    address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
    port: 8080,
    // The first one is what changes.
    weight: i === 0 ? weight : 1,
    status: 'passing',
    statusText: '',
  }));
}

interface Held {
  readonly controller: Controller;
  readonly services: readonly Service[];
  /** Endpoints in the last delta. */
  readonly sent: () => number;
}

async function hold(serviceCount: number, endpointCount: number): Promise<Held> {
  const clock = new ManualClock();
  let sent = 0;
  const controller = new Controller({
    clock,
    log: silentLogger,
    ledger: new Ledger(),
    send: (delta) => {
      sent = delta.upsert.reduce((sum, { endpoints }) => sum + endpoints.length, 0);
      return Promise.resolve([]);
    },
    makeChecker: (onChange) =>
      new Checker({ clock, random: seededRandom(1), log: silentLogger, probe, onChange }),
    describe: () => ({ service: null, problems: [] }),
  });
  const services = Array.from({ length: serviceCount }, (_, i) => makeService({ name: `s${i}` }));
  controller.setSettings(
    {
      registries: {},
      static: {},
      services,
      routers: [],
      overlayListeners: [],
      stats: { listen: null, tls: null, adminToken: '', read: ['any'], readToken: '', hosts: [] },
      guard: { enabled: true, holdMs: 30_000, maxRemovedShare: 0.5 },
      state: { file: '' },
      memoryMaxBytes: 0,
      log: { level: 'info', format: 'json', access: 'off' },
      workers: 1,
      shutdownGraceMs: 1000,
    },
    { kind: 'start', text: 'start' },
  );
  for (const service of services) provide(controller, service, endpointsOf(endpointCount, 1));
  await published();
  return { controller, services, sent: () => sent };
}

function provide(controller: Controller, { from }: Service, endpoints: Endpoint[]): void {
  controller.onUpdate({
    kind: 'upsert',
    provider: 'static',
    service: { source: from[0]!.source, endpoints, settings: null, doubt: '' },
    cause: { kind: 'registry', text: 'bench' },
    receivedMs: 0,
  });
}

/** Deltas leave, and are acknowledged, within microtasks. */
async function published(): Promise<void> {
  for (let i = 0; i < 5; i += 1) await Promise.resolve();
}

async function measure(serviceCount: number, endpointCount: number) {
  const { controller, services, sent } = await hold(serviceCount, endpointCount);
  const samplesUs: number[] = [];
  for (let i = 0; i < WARM_UP + ROUNDS; i += 1) {
    const service = services[(i * 7) % services.length]!;
    // Other than what it had: the weight goes up with the round.
    const endpoints = endpointsOf(endpointCount, 2 + i);
    const begin = process.hrtime.bigint();
    provide(controller, service, endpoints);
    await published();
    const us = Number(process.hrtime.bigint() - begin) / 1000;
    if (sent() !== endpointCount) throw new Error('a delta held more than the changed service');
    if (i >= WARM_UP) samplesUs.push(us);
  }
  controller.close();
  samplesUs.sort((a, b) => a - b);
  const at = (q: number) => Math.round(samplesUs[Math.floor(q * (ROUNDS - 1))]!);
  return {
    services: serviceCount,
    endpoints_each: endpointCount,
    median_us: at(0.5),
    p99_us: at(0.99),
  };
}

const results: Awaited<ReturnType<typeof measure>>[] = [];
for (const [services, endpoints] of [
  [10, 10],
  [1000, 10],
  [100, 100],
  [10, 1000],
  [1, 10_000],
] as const) {
  results.push(await measure(services, endpoints));
}
if (process.argv.includes('--json'))
  console.log(JSON.stringify({ node: process.version, results }));
else {
  console.log('one endpoint changes -> the delta has left, microseconds');
  console.table(results);
}
