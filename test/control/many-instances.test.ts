// 50,000 instances of five services arrive at once, from an agent over HTTP to the deltas for the
// workers. The main thread serves the stats port meanwhile: how long it works between two turns of its
// event loop is measured in CPU time, since a busy machine stretches the other; the bound is generous.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { describeService } from '../../src/config/describe.ts';
import { loadSettings } from '../../src/config/load.ts';
import { Controller } from '../../src/control/controller.ts';
import { UpdateQueue } from '../../src/control/update-queue.ts';
import { ConsulProvider } from '../../src/discovery/consul/provider.ts';
import { nodeDoors } from '../../src/doors.ts';
import { Checker } from '../../src/health/checker.ts';
import { ENDPOINT_SLOTS, Ledger } from '../../src/ledger/ledger.ts';
import { DeltaPacker } from '../../src/model/delta-packing.ts';
import { consulDoors, consulSettings, guardSettings } from '../support/discovery.ts';
import { fastClock } from '../support/fast-clock.ts';
import { sourceOf } from '../support/service.ts';

const SERVICES = 5;
const INSTANCES = 10_000;
/** The rest of the rows is kept from services that have many already. */
const FULL = (ENDPOINT_SLOTS / 8) * 7;
/** About 100 ms on a machine where much else runs. */
const TURN_CPU_MS_MAX = 400;

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** As a real one: two checks, tags, some Meta. */
function instance(service: number, i: number) {
  const id = `s${service}-${i}`;
  return {
    Node: { Node: `node-${i % 500}`, Address: `10.${service}.${i >> 8}.${i & 255}` },
    Service: {
      ...{ ID: id, Service: `s${service}`, Address: '', Port: 8000, ModifyIndex: i },
      ...{ Tags: ['v1', 'blue', 'zone-a'], Meta: { version: '1.2.3' } },
      Weights: { Passing: 1, Warning: 1 },
    },
    Checks: [
      { CheckID: 'serfHealth', Status: 'passing', Output: 'Agent alive and reachable' },
      { CheckID: `service:${id}`, Status: 'passing', Output: `200 OK ${'x'.repeat(200)}` },
    ],
  };
}

/** Answers each service once, all of them at a time, when they are all asked for. */
async function startAgent(): Promise<string> {
  const bodies = Array.from({ length: SERVICES }, (_, service) =>
    Buffer.from(JSON.stringify(Array.from({ length: INSTANCES }, (_, i) => instance(service, i)))),
  );
  const server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://agent');
    const service = /^\/v1\/health\/service\/s(\d)$/.exec(url.pathname)?.[1];
    response.setHeader('x-consul-index', '5');
    if (service === undefined) response.writeHead(404).end();
    else if (!url.searchParams.has('index')) response.end(bodies[Number(service)]);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('50,000 instances at once', () => {
  // What is judged is the time of the processor; the whole takes a minute where others use most of it.
  it('do not hold up the main thread', { timeout: 480_000 }, async () => {
    const url = await startAgent();
    const file = `registries: { consul: {} }\nservices:\n${Array.from({ length: SERVICES }, (_, i) => `  s${i}: { listen: ${9000 + i} }\n`).join('')}`;
    const { settings } = loadSettings({
      ...{ flags: {}, env: {}, kv: null },
      file: { path: 'upriver.yaml', text: file },
    });
    const packer = new DeltaPacker();
    const controller = new Controller({
      ...{ clock: systemClock, log: silentLogger, ledger: new Ledger(), describe: describeService },
      makeChecker: (onChange) =>
        new Checker({
          ...{ clock: systemClock, log: silentLogger, probe: nodeDoors.probe },
          ...{ random: () => 0.5, onChange },
        }),
      send: (delta) => {
        structuredClone(packer.pack(delta));
        return Promise.resolve([]);
      },
    });
    ends.push(() => controller.close());
    const updates = new UpdateQueue({
      clock: systemClock,
      apply: (update) => void controller.onUpdate(update),
    });
    controller.setSettings(settings!, { kind: 'start', text: 'start' });
    const provider = new ConsulProvider({
      // A machine that is slow must not run into deadlines: answers that are late are asked for again.
      ...{ settings: consulSettings(url), clock: fastClock(0.1), random: () => 0.5 },
      ...{ log: silentLogger, guard: guardSettings, ...consulDoors },
    });
    ends.push(() => provider.stop());
    provider.follow(settings!.services.map(sourceOf));

    const longest = measureTurns();
    provider.start((update) => updates.push(update));
    const count = () =>
      controller.services().reduce((sum, { endpoints }) => sum + endpoints.length, 0);
    // Looked at now and then: looking takes its time too.
    while (count() < FULL) await new Promise((resolve) => setTimeout(resolve, 100));
    await updates.drained();
    const turnMs = longest();
    expect(turnMs).toBeLessThan(TURN_CPU_MS_MAX);
    // What is too much for the table is counted, not listed.
    const all = SERVICES * INSTANCES;
    // A service that comes late still gets the few rows that each may have.
    await expect.poll(() => leftOut(controller) + count(), { timeout: 180_000 }).toBe(all);
    expect(controller.services().every(({ problems }) => problems.length <= 11)).toBe(true);
  });
});

/** Begins to measure; returns what ends it, with the longest turn in ms of CPU time. */
function measureTurns(): () => number {
  let longestMs = 0;
  let isOver = false;
  let before = process.threadCpuUsage();
  const look = (): void => {
    const { user, system } = process.threadCpuUsage(before);
    before = process.threadCpuUsage();
    longestMs = Math.max(longestMs, (user + system) / 1000);
    if (!isOver) setImmediate(look);
  };
  setImmediate(look);
  return () => {
    isOver = true;
    return longestMs;
  };
}

/** How many endpoints the problems of the services tell of. */
function leftOut(controller: Controller): number {
  const problems = controller.services().flatMap((service) => service.problems);
  return problems.reduce((sum, text) => {
    return sum + Number(/^and (\d+) more/.exec(text)?.[1] ?? 1);
  }, 0);
}
