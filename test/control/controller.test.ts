// The control plane as a whole, with time turned by hand and checks that answer as told.
import { beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { Controller } from '../../src/control/controller.ts';
import { Checker } from '../../src/health/checker.ts';
import { Ledger, WorkerLedger } from '../../src/ledger/ledger.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { Service } from '../../src/model/service.ts';
import type { Settings } from '../../src/model/settings.ts';
import type { SnapshotDelta } from '../../src/model/snapshot.ts';
import { ManualClock } from '../support/clock.ts';
import { makeService } from '../support/service.ts';

const health = {
  type: 'http',
  path: '/health',
  host: '',
  method: 'GET',
  port: 0,
  intervalMs: 2000,
  timeoutMs: 1000,
  rise: 2,
  fall: 3,
  expectStatus: [{ from: 200, to: 399 }],
  initial: 'down',
} as const;

let clock: ManualClock;
let ledger: Ledger;
let worker: WorkerLedger;
let deltas: SnapshotDelta[];
let isHealthy: boolean;
let controller: Controller;

beforeEach(() => {
  clock = new ManualClock();
  ledger = new Ledger();
  worker = new WorkerLedger(ledger.buffersFor(0));
  deltas = [];
  isHealthy = true;
  controller = new Controller({
    clock,
    log: silentLogger,
    ledger,
    send: (delta) => {
      deltas.push(delta);
      return Promise.resolve([]);
    },
    makeChecker: (onChange) =>
      new Checker({
        clock,
        random: seededRandom(1),
        onChange,
        probe: () =>
          Promise.resolve({ isGood: isHealthy, text: isHealthy ? 'ok' : 'answered 500' }),
      }),
    describe: (source, settings) => ({
      service: makeService({
        name: source.service,
        from: source,
        listen: [{ kind: 'tcp', host: '', port: Number(settings.listen) }],
      }),
      problems: [],
    }),
  });
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

function settingsOf(...services: Service[]): Settings {
  return {
    consul: null,
    static: {},
    services,
    routers: [],
    stats: { listen: null, adminToken: '' },
    guard: { enabled: true, holdMs: 30_000 },
    log: { level: 'info', format: 'json', access: 'off' },
    workers: 1,
    shutdownGraceMs: 1000,
  };
}

function configure(...services: Service[]): void {
  controller.setSettings(settingsOf(...services), { kind: 'start', text: 'start' });
}

/** The registry says that these endpoints are there. */
function provide(
  service: Service,
  ids: string[],
  parts: { doubt?: string; settings?: Record<string, string> } = {},
): void {
  const endpoints = ids.map(
    (id): Endpoint => ({
      id,
      address: '10.0.0.1',
      port: 8000 + id.charCodeAt(0),
      weight: 1,
      status: 'passing',
      statusText: '',
    }),
  );
  controller.onUpdate({
    kind: 'upsert',
    provider: 'static',
    service: {
      source: service.from,
      endpoints,
      settings: parts.settings ?? null,
      doubt: parts.doubt ?? '',
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
    clock.advance(1);
    await turn();
    expect(states()).toEqual({ a: 'down' });
  });

  it('ejects an endpoint for failed requests, longer each time, and takes it back', () => {
    const web = makeService();
    configure(web);
    provide(web, ['a', 'b', 'c']);
    controller.onStreak(slotOf('a'), 5, 'reset');
    expect(states()).toEqual({ a: 'ejected', b: 'up', c: 'up' });
    clock.advance(9_999);
    expect(states().a).toBe('ejected');
    clock.advance(1);
    expect(states().a).toBe('up');
    controller.onStreak(slotOf('a'), 5, 'reset');
    clock.advance(19_999);
    expect(states().a).toBe('ejected');
    clock.advance(1);
    expect(states().a).toBe('up');
  });

  it('ejects no more than the share that may be', () => {
    const web = makeService();
    configure(web);
    provide(web, ['a', 'b', 'c', 'd']);
    for (const id of ['a', 'b', 'c', 'd']) controller.onStreak(slotOf(id), 5, 'reset');
    expect(Object.values(states()).filter((state) => state === 'ejected').length).toBe(2);
  });

  it('never ejects the only endpoint', () => {
    const web = makeService();
    configure(web);
    provide(web, ['a']);
    controller.onStreak(slotOf('a'), 50, 'reset');
    expect(states()).toEqual({ a: 'up' });
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
    const described = makeService({ name: 'self' });
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
        listen: [{ kind: 'tcp', host: '', port: 9000 }],
      }),
    );
    await turn();
    expect(deltas.at(-1)!.listeners!.map(({ key }) => key)).toEqual([':9000']);
    expect(states('self')).toEqual({ x: 'up' });
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
});
