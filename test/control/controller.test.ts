// The control plane as a whole, with time turned by hand and checks that answer as told.
import { beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/base/prng.ts';
import { Controller } from '../../src/control/controller.ts';
import { Checker } from '../../src/health/checker.ts';
import { EndpointColumn, ServiceColumn } from '../../src/ledger/layout.ts';
import { Ledger, WorkerLedger } from '../../src/ledger/ledger.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { Service } from '../../src/model/service.ts';
import type { Settings } from '../../src/model/settings.ts';
import type { SnapshotDelta } from '../../src/model/snapshot.ts';
import { onlySource, plainSource } from '../../src/model/source.ts';
import { makeCheck } from '../support/check.ts';
import { ManualClock } from '../support/clock.ts';
import { consulSettings, keepingLogger, type Logged } from '../support/discovery.ts';
import { makePassive, makeService, plainListen, sourceOf } from '../support/service.ts';

const health = makeCheck({ intervalMs: 2000, timeoutMs: 1000, rise: 2, fall: 3 });

let clock: ManualClock;
let ledger: Ledger;
let worker: WorkerLedger;
let deltas: SnapshotDelta[];
let isHealthy: boolean;
let isFailing: boolean;
let controller: Controller;
let lines: Logged[];
let local: string[];

beforeEach(() => {
  clock = new ManualClock();
  ledger = new Ledger();
  worker = new WorkerLedger(ledger.buffersFor(0));
  deltas = [];
  isHealthy = true;
  isFailing = false;
  const kept = keepingLogger();
  lines = kept.lines;
  local = [];
  controller = new Controller({
    clock,
    log: kept.log,
    ledger,
    isFailing: () => isFailing,
    localAddresses: () => local,
    send: (delta) => {
      deltas.push(delta);
      return Promise.resolve([]);
    },
    makeChecker: (onChange) =>
      new Checker({
        clock,
        random: seededRandom(1),
        log: kept.log,
        onChange,
        probe: () =>
          Promise.resolve({ isGood: isHealthy, text: isHealthy ? 'ok' : 'answered 500' }),
      }),
    describe: (source, settings) => ({
      service: makeService({
        name: source.service,
        from: onlySource(source),
        listen: [plainListen({ kind: 'tcp', host: '', port: Number(settings.listen) })],
      }),
      problems: [],
    }),
  });
});

/** Timers that always wait: the next look at how endpoints do beside their peers. */
const TICKING = 1;

const turn = () => new Promise((resolve) => setImmediate(resolve));

function settingsOf(...services: Service[]): Settings {
  return {
    registries: { consul: consulSettings('http://127.0.0.1:8500') },
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
  };
}

/** A worker reports so many failures in a row. */
function fail(id: string, count: number): void {
  controller.onStreak({ slot: slotOf(id), kind: 'failure', count, reason: 'reset' });
}

function configure(...services: Service[]): void {
  controller.setSettings(settingsOf(...services), { kind: 'start', text: 'start' });
}

/** The registry says that these endpoints are there. */
function provide(
  service: Service,
  ids: string[],
  parts: {
    doubt?: string;
    settings?: Record<string, string>;
    order?: number;
    problems?: readonly string[];
    address?: string;
    port?: number;
  } = {},
): void {
  const endpoints = ids.map(
    (id): Endpoint => ({
      id,
      address: parts.address ?? '10.0.0.1',
      port: parts.port ?? 8000 + id.charCodeAt(0),
      weight: 1,
      status: 'passing',
      statusText: '',
    }),
  );
  controller.onUpdate({
    kind: 'upsert',
    provider: 'static',
    service: {
      source: sourceOf(service),
      endpoints,
      settings: parts.settings ?? null,
      doubt: parts.doubt ?? '',
      order: parts.order ?? 0,
      problems: parts.problems ?? [],
    },
    cause: { kind: 'registry', text: 'test' },
    receivedMs: clock.nowMs(),
  });
}

const states = (name = 'web') =>
  Object.fromEntries(controller.service(name)!.endpoints.map(({ id, state }) => [id, state]));
const slotOf = (id: string) =>
  controller.service('web')!.endpoints.find((one) => one.id === id)!.slot;

describe('Controller', () => {
  it('publishes what a registry provides, and what leaves it, each with its cause', async () => {
    const web = makeService();
    configure(web);
    provide(web, ['a', 'b']);
    await turn();
    expect(states()).toEqual({ a: 'up', b: 'up' });
    provide(web, ['b']);
    await turn();
    expect(deltas.at(-1)!.upsert[0]!.endpoints.map(({ id }) => id)).toEqual(['b']);
    expect(
      controller.events
        .since(0)
        .map(({ endpoint, from, to, cause }) => [endpoint, from, to, cause.kind]),
    ).toEqual([
      ['', '', 'served', 'start'],
      ['a', '', 'up', 'registry'],
      ['b', '', 'up', 'registry'],
      ['a', 'up', '', 'registry'],
    ]);
  });

  it('publishes nothing where nothing changed', async () => {
    const web = makeService();
    configure(web);
    provide(web, ['a']);
    await turn();
    const before = deltas.length;
    provide(web, ['a']);
    await turn();
    expect(deltas.length).toBe(before);
  });

  it('lets a new endpoint wait for its first good check, and follows the checks', async () => {
    const web = makeService({ health });
    configure(web);
    provide(web, ['a']);
    expect(states()).toEqual({ a: 'down' });
    clock.advance(1);
    await turn();
    expect(states()).toEqual({ a: 'up' });
    isHealthy = false;
    for (let i = 0; i < 12 && states().a === 'up'; i += 1) {
      clock.advance(1000);
      await turn();
    }
    expect(states()).toEqual({ a: 'down' });
    expect(controller.service('web')!.endpoints[0]!.reason).toBe('check: answered 500');
  });

  it('checks a suspect at once', async () => {
    const web = makeService({ health: { ...health, intervalMs: 60_000, fall: 1 } });
    configure(web);
    provide(web, ['a']);
    clock.advance(1);
    await turn();
    isHealthy = false;
    controller.onSuspect(slotOf('a'));
    clock.advance(100);
    await turn();
    expect(states()).toEqual({ a: 'down' });
  });

  it('ejects an endpoint for failed requests, longer each time, and takes it back', () => {
    const web = makeService();
    configure(web);
    provide(web, ['a', 'b', 'c']);
    fail('a', 5);
    expect(states()).toEqual({ a: 'ejected', b: 'up', c: 'up' });
    clock.advance(9_999);
    expect(states().a).toBe('ejected');
    clock.advance(1);
    expect(states().a).toBe('up');
    fail('a', 5);
    clock.advance(19_999);
    expect(states().a).toBe('ejected');
    clock.advance(1);
    expect(states().a).toBe('up');
  });

  it('ejects no more than the share that may be', () => {
    const web = makeService();
    configure(web);
    provide(web, ['a', 'b', 'c', 'd']);
    for (const id of ['a', 'b', 'c', 'd']) fail(id, 5);
    expect(Object.values(states()).filter((state) => state === 'ejected').length).toBe(2);
  });

  /** Requests of the last moment: so many to each, and so many of them that failed. */
  function answers(requests: Record<string, [count: number, faults: number]>): void {
    worker.addService(0, ServiceColumn.requests, 1);
    for (const [id, [count, faults]] of Object.entries(requests)) {
      worker.addEndpoint(slotOf(id), EndpointColumn.outcomes, count);
      worker.addEndpoint(slotOf(id), EndpointColumn.faults, faults);
    }
  }
  const successRate = { windowMs: 60_000, minRequests: 10, minEndpoints: 2, excess: 0.01 };

  it('ejects an endpoint that fails while its peers do not, and tells the numbers', () => {
    configure(makeService({ passive: makePassive({ successRate }) }));
    provide(makeService(), ['a', 'b', 'c', 'd']);
    clock.advance(1000);
    answers({ a: [20, 0], b: [20, 0], c: [20, 20], d: [20, 0] });
    clock.advance(50);
    expect(states()).toEqual({ a: 'up', b: 'up', c: 'ejected', d: 'up' });
    const { endpoints, ejections } = controller.service('web')!;
    const text =
      /^20 of 20 requests failed within 0\.1 s, 0 of 60 of its 3 peers' \(evidence 10\^1\d\)$/;
    expect(endpoints[2]!.reason).toMatch(text);
    expect([...ejections]).toEqual([['success-rate', 1]]);
    expect(controller.events.since(0).at(-1)).toMatchObject({
      ...{ endpoint: 'c', from: 'up', to: 'ejected', cause: { kind: 'ejection' } },
      reason: expect.stringMatching(text),
    });
    // What it failed before is not held against it when it is back.
    clock.advance(10_000);
    expect(states().c).toBe('up');
    answers({ a: [20, 0], b: [20, 0], c: [20, 0], d: [20, 0] });
    clock.advance(10_000);
    expect(states().c).toBe('up');
  });

  it('ejects nobody where all fail alike, or where endpoints are not to be compared', () => {
    configure(makeService({ passive: makePassive({ successRate }) }));
    provide(makeService(), ['a', 'b', 'c']);
    clock.advance(1000);
    answers({ a: [100, 100], b: [100, 100], c: [100, 100] });
    clock.advance(1000);
    expect(Object.values(states())).toEqual(['up', 'up', 'up']);
    configure(makeService());
    answers({ a: [100, 0], b: [100, 100], c: [100, 0] });
    clock.advance(1000);
    expect(Object.values(states())).toEqual(['up', 'up', 'up']);
    // The numbers are there all the same.
    expect(controller.service('web')!.endpoints[1]!.compared()).toMatchObject({
      own: { requests: 200, faults: 200 },
      peers: { requests: 400, faults: 200 },
    });
  });

  it('says why an endpoint stays that fails everything, once for as long as it does', () => {
    configure(makeService({ passive: makePassive({ successRate, maxEjectedShare: 0.25 }) }));
    provide(makeService(), ['a', 'b', 'c', 'd']);
    clock.advance(1000);
    for (let second = 0; second < 5; second += 1) {
      answers({ a: [60, 60], b: [60, 60], c: [60, 0], d: [60, 0] });
      clock.advance(1000);
    }
    expect(states()).toEqual({ a: 'ejected', b: 'up', c: 'up', d: 'up' });
    const why = 'passive.max_ejected is 25%: 1 of 4 endpoints are ejected';
    const { stay } = controller.service('web')!.endpoints[1]!;
    expect(stay).toMatchObject({ why, text: expect.stringMatching(/^\d+ of \d+ requests failed/) });
    const told = controller.events
      .since(0)
      .filter(({ reason }) => reason === `not ejected: ${why}`);
    expect(told).toMatchObject([{ endpoint: 'b', from: 'up', to: 'up' }]);
  });

  it('ejects an endpoint that is slow beside its peers, where that is asked for', () => {
    const latency = { factor: 3, minMs: 20 };
    configure(makeService({ passive: makePassive({ latency }) }));
    provide(makeService(), ['a', 'b', 'c']);
    for (let tick = 0; tick < 4; tick += 1) {
      clock.advance(500);
      for (const id of ['a', 'b', 'c']) {
        for (let i = 0; i < 50; i += 1) {
          worker.addResponse(slotOf(id), 200, id === 'b' ? 400_000 : 10_000 + i * 100);
        }
      }
    }
    clock.advance(500);
    expect(states()).toEqual({ a: 'up', b: 'ejected', c: 'up' });
    expect([...controller.service('web')!.ejections]).toEqual([['latency', 1]]);
  });

  it('ends an ejection when the check went down meanwhile and came back', async () => {
    const web = makeService({ health: { ...health, rise: 1, fall: 1 } });
    configure(web);
    provide(web, ['a', 'b', 'c']);
    clock.advance(1);
    await turn();
    const passive = { ...makePassive(), ejectionMs: 600_000 };
    configure(makeService({ health: { ...health, rise: 1, fall: 1 }, passive }));
    fail('a', 5);
    expect(states().a).toBe('ejected');
    for (const [healthy, state] of [
      [false, 'down'],
      [true, 'up'],
    ] as const) {
      isHealthy = healthy;
      for (let i = 0; i < 12 && states().a !== state; i += 1) {
        clock.advance(1000);
        await turn();
      }
      expect(states().a).toBe(state);
    }
  });

  it('never ejects the only endpoint', () => {
    const web = makeService();
    configure(web);
    provide(web, ['a']);
    fail('a', 50);
    expect(states()).toEqual({ a: 'up' });
  });

  describe('panic', () => {
    const panics = () => deltas.at(-1)!.upsert.at(-1)!.isPanicking;
    const told = () =>
      controller.events
        .since(0)
        .filter(({ from, to }) => from === 'panic' || to === 'panic')
        .map(({ to, reason }) => `${to}: ${reason}`);

    async function takeDown(): Promise<void> {
      isHealthy = false;
      for (let i = 0; i < 12 && states().a !== 'down'; i += 1) {
        clock.advance(1000);
        await turn();
      }
    }

    it('begins when less than the share works, and ends, with an event for each', async () => {
      const web = makeService({ health });
      configure(web);
      provide(web, ['a', 'b', 'c']);
      clock.advance(1);
      await turn();
      expect(controller.service('web')!.isPanicking).toBe(false);
      await takeDown();
      expect(controller.service('web')!.isPanicking).toBe(true);
      await turn();
      expect(panics()).toBe(true);
      isHealthy = true;
      for (let i = 0; i < 12 && states().c !== 'up'; i += 1) {
        clock.advance(1000);
        await turn();
      }
      expect(controller.service('web')!.isPanicking).toBe(false);
      expect(told()).toEqual(['panic: 1 of 3 endpoints work', 'served: 2 of 3 endpoints work']);
    });

    it("never counts what waits for its first good check, or is out by others' word", async () => {
      isHealthy = false;
      const web = makeService({ health });
      configure(web);
      provide(web, ['a', 'b']);
      clock.advance(5000);
      await turn();
      controller.operate('web', 'b', { kind: 'maint' });
      expect(states()).toEqual({ a: 'down', b: 'maint' });
      expect(told()).toEqual([]);
    });

    it('can be turned off', async () => {
      const web = makeService({ health, panic: { threshold: 0, spread: 'spill' } });
      configure(web);
      provide(web, ['a', 'b']);
      clock.advance(1);
      await turn();
      await takeDown();
      expect(told()).toEqual([]);
    });
  });

  it("keeps the operator's word over a re-registration", () => {
    const web = makeService();
    configure(web);
    provide(web, ['a', 'b']);
    expect(controller.operate('web', 'a', { kind: 'drain' })).toBe('');
    provide(web, ['b']);
    provide(web, ['a', 'b']);
    expect(states()).toEqual({ a: 'drain', b: 'up' });
    controller.operate('web', 'a', { kind: 'ready' });
    expect(states().a).toBe('up');
    expect(controller.operate('web', 'x', { kind: 'drain' })).toContain("no endpoint 'x'");
    expect(controller.operate('nope', 'x', { kind: 'drain' })).toContain("no service 'nope'");
  });

  it('holds endpoints that a registry which came back leaves out, until their time is up', () => {
    const web = makeService();
    configure(web);
    provide(web, ['a', 'b']);
    provide(web, [], { doubt: 'index went backwards' });
    expect(states()).toEqual({ a: 'up', b: 'up' });
    expect(controller.service('web')!.endpoints[0]!.reason).toContain('held');
    provide(web, ['a']);
    clock.advance(30_000);
    expect(states()).toEqual({ a: 'up' });
  });

  it('goes empty at once when a service really lost its last instance', async () => {
    const web = makeService();
    configure(web);
    provide(web, ['a']);
    provide(web, []);
    await turn();
    expect(states()).toEqual({});
    expect(deltas.at(-1)!.upsert[0]!.endpoints).toEqual([]);
  });

  it('serves what describes itself, and prefers what is configured', async () => {
    const described = makeService({
      name: 'self',
      from: onlySource(plainSource('consul', 'self')),
    });
    configure(makeService({ name: 'web' }));
    provide(described, ['x'], { settings: { listen: '8055' } });
    await turn();
    expect(deltas.at(-1)!.listeners!.map(({ key, service }) => [key, service])).toContainEqual([
      ':8055',
      'self',
    ]);
    configure(
      makeService({
        name: 'self',
        from: described.from,
        listen: [plainListen({ kind: 'tcp', host: '', port: 9000 })],
      }),
    );
    await turn();
    expect(deltas.at(-1)!.listeners!.map(({ key }) => key)).toEqual([':9000']);
    expect(states('self')).toEqual({ x: 'up' });
  });

  it.each([
    ['leaves all its instances out', []],
    ['leaves out the one that describes it', ['b']],
  ])('keeps a service that describes itself while a doubtful answer %s', (_, ids) => {
    const self = makeService({ name: 'self' });
    configure();
    provide(self, ['a', 'b'], { settings: { listen: '8055' } });
    provide(self, ids, { doubt: 'no known leader' });
    expect(states('self')).toEqual({ a: 'up', b: 'up' });
    provide(self, ['a', 'b'], { settings: { listen: '8055' } });
    expect(controller.events.since(0).filter(({ to }) => to === '')).toEqual([]);
  });

  it('keeps one whose description alone a doubtful answer leaves out, for as long as it holds', () => {
    const self = makeService({ name: 'self' });
    configure();
    provide(self, ['a', 'b'], { settings: { listen: '8055' } });
    provide(self, ['a', 'b'], { doubt: 'the registry was away' });
    clock.advance(20_000);
    provide(self, ['a', 'b', 'c'], { doubt: 'the registry was away' });
    expect(states('self')).toEqual({ a: 'up', b: 'up', c: 'up' });
    clock.advance(9999);
    expect(states('self')).toEqual({ a: 'up', b: 'up', c: 'up' });
    clock.advance(1);
    expect(controller.service('self')).toBeNull();
  });

  it('lets one go whose description an answer without doubt leaves out', () => {
    const self = makeService({ name: 'self' });
    configure();
    provide(self, ['a', 'b'], { settings: { listen: '8055' } });
    provide(self, ['a', 'b'], { doubt: 'the registry was away' });
    expect(states('self')).toEqual({ a: 'up', b: 'up' });
    provide(self, ['a', 'b']);
    expect(controller.service('self')).toBeNull();
    expect(clock.waiting).toBe(TICKING);
  });

  it('lets a service go when the instance that describes it was held long enough', () => {
    const self = makeService({ name: 'self' });
    configure();
    provide(self, ['a', 'b'], { settings: { listen: '8055' } });
    provide(self, ['b'], { doubt: 'no known leader' });
    clock.advance(29_999);
    expect(states('self')).toEqual({ a: 'up', b: 'up' });
    clock.advance(1);
    expect(controller.service('self')).toBeNull();
  });

  it.each([
    ['the instance that describes it', ['b']],
    ['its description alone', ['a', 'b']],
  ])('keeps a service of which %s is held while the registry does not answer', (_, ids) => {
    const self = makeService({ name: 'self' });
    configure();
    provide(self, ['a', 'b'], { settings: { listen: '8055' } });
    provide(self, ids, { doubt: 'the registry was away' });
    isFailing = true;
    clock.advance(90_000);
    expect(states('self')).toEqual({ a: 'up', b: 'up' });
    isFailing = false;
    clock.advance(1000);
    expect(controller.service('self')).toBeNull();
  });

  it('keeps the listener of a service whose last instance has left', () => {
    const self = makeService({ name: 'self' });
    configure();
    provide(self, ['a'], { settings: { listen: '8055' } });
    provide(self, []);
    expect(states('self')).toEqual({});
    provide(self, ['a']);
    expect(controller.service('self')).toBeNull();
  });

  it('gives a slot to another endpoint only when nothing is in flight on it', async () => {
    const web = makeService();
    configure(web);
    provide(web, ['a']);
    const slot = slotOf('a');
    worker.acquire(slot);
    provide(web, ['b']);
    await turn();
    provide(web, ['b', 'c']);
    await turn();
    expect(slotOf('c')).not.toBe(slot);
    worker.release(slot);
    provide(web, ['b']);
    await turn();
    provide(web, ['b', 'd']);
    await turn();
    provide(web, ['b', 'd', 'e']);
    await turn();
    expect([slotOf('d'), slotOf('e')]).toContain(slot);
  });

  it('keeps serving what is up when a check is added, until the check has spoken', async () => {
    configure(makeService());
    provide(makeService(), ['a']);
    isHealthy = false;
    configure(makeService({ health }));
    expect(states()).toEqual({ a: 'up' });
    clock.advance(1);
    await turn();
    expect(states()).toEqual({ a: 'down' });
    configure(makeService());
    expect(states()).toEqual({ a: 'up' });
    expect(clock.waiting).toBe(TICKING);
  });

  it('publishes only the services that a reload concerns', async () => {
    const [web, api] = [makeService(), makeService({ name: 'api' })];
    configure(web, api);
    await turn();
    configure(web, { ...api, slowStartMs: 1000 });
    await turn();
    expect(deltas.at(-1)!.upsert.map(({ service }) => service.name)).toEqual(['api']);
    expect(deltas.at(-1)!.listeners).toBeNull();
    const count = deltas.length;
    configure(web, { ...api, slowStartMs: 1000 });
    await turn();
    expect(deltas.length).toBe(count);
  });

  it('sees a change of what is retried', async () => {
    const web = makeService();
    configure(web);
    await turn();
    configure({ ...web, retry: { ...web.retry, on: new Set(['connect']) } });
    await turn();
    expect(deltas.length).toBe(2);
  });

  it('publishes only the service that a registry spoke of', async () => {
    const services = Array.from({ length: 20 }, (_, i) => makeService({ name: `s${i}` }));
    configure(...services);
    for (const service of services) provide(service, ['a', 'b']);
    await turn();
    provide(services[7]!, ['a', 'b', 'c']);
    await turn();
    expect(deltas.at(-1)!.upsert.map(({ service }) => service.name)).toEqual(['s7']);
  });

  it('times only answers that changed something', async () => {
    const web = makeService();
    const measured = () => controller.convergence.counts.reduce((sum, count) => sum + count, 0);
    provide(web, ['a']);
    configure(web);
    await turn();
    expect(measured()).toBe(0);
    provide(web, ['a', 'b']);
    await turn();
    expect(measured()).toBe(1);
    provide(web, ['a', 'b']);
    await turn();
    clock.advance(60_000);
    controller.operate('web', 'a', { kind: 'drain' });
    await turn();
    expect(measured()).toBe(1);
  });

  it("keeps the operator's word when the whole service was away", () => {
    const self = makeService({ name: 'self' });
    configure();
    provide(self, ['a'], { settings: { listen: '8055' } });
    controller.operate('self', 'a', { kind: 'maint' });
    const source = sourceOf(self);
    const cause = { kind: 'registry', text: 'gone' } as const;
    controller.onUpdate({ kind: 'remove', provider: 'static', source, cause, receivedMs: 0 });
    expect(controller.service('self')).toBeNull();
    provide(self, ['a'], { settings: { listen: '8055' } });
    expect(states('self')).toEqual({ a: 'maint' });
  });

  it('tells of a change of weight', () => {
    const web = makeService();
    configure(web);
    provide(web, ['a']);
    controller.operate('web', 'a', { kind: 'weight', weight: 5 });
    expect(controller.events.since(0).at(-1)).toMatchObject({
      endpoint: 'a',
      from: 'up',
      to: 'up',
      reason: 'weight 1 -> 5',
      cause: { kind: 'operator' },
    });
  });

  it('ends slow start in its time, also when that was made longer meanwhile', () => {
    const web = makeService({ slowStartMs: 10_000 });
    configure(web);
    provide(web, ['a']);
    clock.advance(5000);
    configure({ ...web, slowStartMs: 20_000 });
    clock.advance(14_999);
    expect(states()).toEqual({ a: 'slow-start' });
    clock.advance(1);
    expect(states()).toEqual({ a: 'up' });
    expect(clock.waiting).toBe(TICKING);
  });

  it('does not eject the last that takes work', () => {
    const web = makeService();
    configure(web);
    provide(web, ['a', 'b']);
    controller.operate('web', 'b', { kind: 'drain' });
    fail('a', 5);
    expect(states()).toEqual({ a: 'up', b: 'drain' });
  });

  it('forgets the ejection of an endpoint that left', () => {
    const web = makeService();
    configure(web);
    provide(web, ['a', 'b']);
    fail('a', 5);
    provide(web, ['b']);
    expect(clock.waiting).toBe(TICKING);
    provide(web, ['a', 'b']);
    expect(states()).toEqual({ a: 'up', b: 'up' });
  });

  it('takes an endpoint at another address for another endpoint', async () => {
    const web = makeService();
    configure(web);
    provide(web, ['a']);
    await turn();
    const slot = slotOf('a');
    const [before] = controller.service('web')!.endpoints;
    const moved: Endpoint = {
      id: 'a',
      address: '10.0.0.2',
      port: before!.port,
      weight: 1,
      status: 'passing',
      statusText: '',
    };
    controller.onUpdate({
      kind: 'upsert',
      provider: 'static',
      service: { source: sourceOf(web), endpoints: [moved], settings: null, doubt: '' },
      cause: { kind: 'registry', text: 'test' },
      receivedMs: 0,
    });
    expect(slotOf('a')).not.toBe(slot);
    expect(states()).toEqual({ a: 'up' });
  });

  it('shows a listener that a service did not get, and gives it when it is free', async () => {
    const listen = [plainListen({ kind: 'tcp', host: '', port: 80 })];
    const [a, b] = [makeService({ name: 'a', listen }), makeService({ name: 'b', listen })];
    configure(a, b);
    await turn();
    expect(controller.service('b')!.problems).toEqual(['listener :80 is taken by service a']);
    configure(b);
    await turn();
    expect(controller.service('b')!.problems).toEqual([]);
    expect(deltas.at(-1)!.listeners!.map(({ service }) => service)).toEqual(['b']);
  });

  it('keeps the endpoints of a service whose new source has not answered yet', async () => {
    const web = makeService({ from: onlySource(plainSource('consul', 'web')) });
    configure(web);
    provide(web, ['a', 'b']);
    const moved = makeService({ from: onlySource({ ...sourceOf(web), tag: 'blue' }) });
    configure(moved);
    controller.onUpdate({
      kind: 'remove',
      provider: 'consul',
      source: sourceOf(web),
      cause: { kind: 'registry', text: 'not followed any more' },
      receivedMs: 0,
    });
    expect(states()).toEqual({ a: 'up', b: 'up' });
    // A restart at this moment loses nothing either.
    const source = sourceOf(moved);
    const endpoints = [expect.objectContaining({ id: 'a' }), expect.objectContaining({ id: 'b' })];
    expect(controller.kept().sources).toEqual([{ source, settings: null, endpoints }]);
    provide(moved, ['b']);
    expect(states()).toEqual({ b: 'up' });
    expect(controller.kept().sources).toMatchObject([{ source, endpoints: [{ id: 'b' }] }]);
  });

  it('keeps what a service has of other sources for none that another service follows', () => {
    const web = makeService({ from: onlySource(plainSource('consul', 'web')) });
    configure(web);
    provide(web, ['a']);
    const from = onlySource(plainSource('consul', 'both'));
    configure(makeService({ from }), makeService({ name: 'other', from }));
    expect(states()).toEqual({ a: 'up' });
    const { source } = web.from[0]!;
    controller.onUpdate({
      ...{ kind: 'remove', provider: 'consul', source, receivedMs: 0 },
      cause: { kind: 'registry', text: 'not followed any more' },
    });
    expect(states()).toEqual({ a: 'up' });
    expect(states('other')).toEqual({});
    expect(controller.kept().sources).toEqual([]);
  });

  it('leaves nothing running when it is closed', () => {
    const web = makeService({ health, slowStartMs: 10_000 });
    configure(web);
    provide(web, ['a', 'b']);
    provide(web, [], { doubt: 'index went backwards' });
    controller.close();
    expect(clock.waiting).toBe(0);
  });
});

describe('what a registry may not', () => {
  const warnings = () =>
    lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
  const named = (name: string) =>
    makeService({ name, from: onlySource(plainSource('consul', name)) });
  const listeners = () =>
    controller.full().listeners!.map(({ key, service }) => `${key} ${service}`);

  it('lead to a listener of ours: such an endpoint is down, told, and never checked', async () => {
    const web = makeService({
      health,
      listen: [plainListen({ kind: 'tcp', host: '', port: 8000 })],
    });
    configure(web);
    provide(web, ['a'], { address: '127.0.0.1', port: 8000 });
    provide(web, ['a', 'b'], { address: '127.0.0.1', port: 8000 });
    await turn();
    clock.advance(5000);
    await turn();
    expect(states()).toEqual({ a: 'down', b: 'down' });
    const reason = 'refused: it is the listener :8000 of Upriver itself';
    const view = controller.service('web')!;
    expect(view.endpoints[0]).toMatchObject({ reason, check: null, isSpare: false });
    expect(view.isPanicking).toBe(false);
    expect(view.problems).toEqual([`endpoint a: ${reason}`, `endpoint b: ${reason}`]);
    expect(warnings().filter((text) => text === `endpoint a: ${reason}`)).toHaveLength(1);
    // An operator can't have it either.
    controller.operate('web', 'a', { kind: 'ready' });
    expect(states()).toMatchObject({ a: 'down' });
  });

  it('lead to a listener that is opened later, and only while it is there', async () => {
    configure(makeService());
    provide(makeService(), ['a'], { address: '127.0.0.1', port: 8000 });
    await turn();
    expect(states()).toEqual({ a: 'up' });
    const late = named('late');
    provide(late, ['x'], { settings: { listen: '8000' } });
    await turn();
    expect(listeners()).toEqual([':8000 late']);
    expect(states()).toEqual({ a: 'down' });
    // The workers learn both with one delta.
    const delta = deltas.find((one) => one.listeners?.some(({ key }) => key === ':8000'))!;
    const sent = delta.upsert.find(({ service }) => service.name === 'web')!;
    expect(sent.endpoints[0]!.state).toBe('down');
    controller.onUpdate({
      kind: 'remove',
      provider: 'consul',
      source: sourceOf(late),
      cause: { kind: 'registry', text: '' },
      receivedMs: 0,
    });
    await turn();
    expect(states()).toEqual({ a: 'up' });
    expect(controller.service('web')!.problems).toEqual([]);
    expect(lines.at(-1)!.message).not.toContain('refused');
  });

  it('lead to an address that this machine got later', async () => {
    const web = makeService({ listen: [plainListen({ kind: 'tcp', host: '', port: 8000 })] });
    configure(web);
    provide(web, ['a'], { address: '10.0.0.77', port: 8000 });
    await turn();
    expect(states()).toEqual({ a: 'up' });
    local = ['10.0.0.77'];
    controller.reviewAddresses();
    expect(states()).toEqual({ a: 'down' });
    local = [];
    controller.reviewAddresses();
    expect(states()).toEqual({ a: 'up' });
  });

  it('decide by who speaks first who gets a port', async () => {
    configure();
    provide(named('b'), ['x'], { settings: { listen: '8000' }, order: 20 });
    await turn();
    expect(listeners()).toEqual([':8000 b']);
    // It came earlier, and is heard of later.
    provide(named('c'), ['x'], { settings: { listen: '8000' }, order: 10 });
    await turn();
    expect(listeners()).toEqual([':8000 c']);
    // One that asks later gets nothing, whatever its name; nor when all of c is replaced.
    provide(named('a'), ['x'], { settings: { listen: '8000' }, order: 30 });
    provide(named('c'), ['y'], { settings: { listen: '8000' }, order: 40 });
    await turn();
    expect(listeners()).toEqual([':8000 c']);
    expect(controller.service('a')!.problems).toEqual(['listener :8000 is taken by service c']);
    const kept = controller.kept().sources.map(({ source, order }) => [source.service, order]);
    expect(Object.fromEntries(kept)).toEqual({ a: 30, b: 20, c: 10 });
  });

  it('fill the log: a problem is said once, and when all are over', () => {
    const web = makeService();
    configure(web);
    for (let i = 0; i < 5; i += 1) provide(web, [`${i}`], { problems: ['odd'] });
    provide(web, ['a'], { problems: ['odd', 'odder'] });
    expect(warnings()).toEqual(['odd', 'odder']);
    expect(controller.service('web')!.problems).toEqual(['odd', 'odder']);
    provide(web, ['a']);
    expect(lines.at(-1)).toMatchObject({ level: 'info', fields: { service: 'web' } });
    for (let i = 0; i < 1000; i += 1) provide(web, ['a'], { problems: [`p${i}`] });
    expect(warnings().length).toBeLessThan(210);
  });

  it('take every row of the ledger: some are for what is configured', () => {
    configure();
    for (let i = 0; i < 4200; i += 1) provide(named(`s${i}`), [], { settings: { listen: '9000' } });
    expect(controller.services()).toHaveLength(3584);
    const problems = controller.problems();
    expect(problems).toContain('service s3584: too many services');
    // Bounds: problems
    expect(problems).toContain('and 606 more of the kind');
    const web = makeService();
    configure(web);
    expect(controller.service('web')).not.toBeNull();
  });

  it('keep a configured service waiting for a row behind those that get none', async () => {
    configure();
    for (let i = 0; i < 3600; i += 1) provide(named(`s${i}`), [], { settings: { listen: '9000' } });
    const own = Array.from({ length: 520 }, (_, i) => named(`own${i}`));
    configure(...own);
    expect(controller.service('own519')).toBeNull();
    configure(...own.slice(10));
    // A row is free when no worker has it any more.
    await turn();
    await turn();
    provide(named('late'), [], { settings: { listen: '9001' } });
    expect(controller.service('own519')).not.toBeNull();
    expect(controller.service('s3599')).toBeNull();
  });

  it('take every endpoint row for one service', () => {
    const [web, api] = [makeService(), named('api')];
    configure(web, api);
    provide(
      api,
      Array.from({ length: 33_000 }, (_, i) => `${i}`),
    );
    expect(controller.service('api')!.endpoints).toHaveLength(28_672);
    provide(web, ['a']);
    expect(states()).toEqual({ a: 'up' });
  });

  it('hide what is wrong with a service that is not served', () => {
    configure();
    provide(named('..'), [], { problems: ["can't be asked for"] });
    expect(controller.service('..')).toBeNull();
    expect([...controller.unserved()]).toEqual([['..', ["can't be asked for"]]]);
    expect(controller.problems()).toEqual(["service ..: can't be asked for"]);
    expect(warnings()).toEqual(["can't be asked for"]);
  });
});
