// Which listeners of a starting process wait for first checks: the control plane as a whole, with checks that
// answer when they are told to.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/base/prng.ts';
import { Controller } from '../../src/control/controller.ts';
import { Checker } from '../../src/health/checker.ts';
import type { CheckOutcome } from '../../src/health/outcome.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import type { Route } from '../../src/model/route.ts';
import type { Service } from '../../src/model/service.ts';
import type { RouterSettings, Settings } from '../../src/model/settings.ts';
import { onlySource, plainSource } from '../../src/model/source.ts';
import { makeCheck } from '../support/check.ts';
import { ManualClock } from '../support/clock.ts';
import { keepingLogger, type Logged } from '../support/discovery.ts';
import { makeService, plainListen, sourceOf } from '../support/service.ts';

const health = makeCheck({ intervalMs: 2000, timeoutMs: 1000, rise: 2, fall: 1 });
const { limits, timeouts } = makeService();
const WAIT_MS = 5000;

let clock: ManualClock;
let controller: Controller;
let logged: readonly Logged[];
/** Checks that wait for their answer, by the port of the endpoint. */
let asked: Map<number, (isGood: boolean) => void>;

beforeEach(() => {
  clock = new ManualClock();
  asked = new Map();
  const { log, lines } = keepingLogger();
  logged = lines;
  const probe = (_: unknown, { port }: { readonly port: number }): Promise<CheckOutcome> => {
    const { promise, resolve } = Promise.withResolvers<CheckOutcome>();
    asked.set(port, (isGood) => resolve({ isGood, text: isGood ? 'ok' : 'answered 500' }));
    return promise;
  };
  controller = new Controller({
    ...{ clock, log, ledger: new Ledger() },
    send: () => Promise.resolve([]),
    makeChecker: (onChange) =>
      new Checker({ clock, random: seededRandom(1), log, onChange, probe }),
    describe: (source) => ({ service: makeService({ name: source.service }), problems: [] }),
  });
});
afterEach(() => controller.close());

const turn = () => new Promise((resolve) => setImmediate(resolve));
const on = (port: number) => plainListen({ kind: 'tcp', host: '', port });
const named = (name: string, parts: Partial<Service> = {}) =>
  makeService({ name, from: onlySource(plainSource('static', name)), health, ...parts });

function routerOf(port: number, ...services: string[]): RouterSettings {
  const routes = services.map((service): Route => {
    const changes = { stripPrefix: '', addPrefix: '', rewriteHost: '', redirect: null };
    return { host: `${service}.test`, path: '/', service, ...changes };
  });
  return { listen: [on(port)], routes, limits, timeouts };
}

/** These services are configured; each has endpoints at these ports. Their first checks are asked. */
async function begin(
  services: readonly (readonly [Service, ...number[]])[],
  routers: readonly RouterSettings[] = [],
): Promise<void> {
  for (const [service, ...ports] of services) {
    const endpoints = ports.map((port) => ({
      ...{ id: String(port), address: '10.0.0.1', port, weight: 1 },
      ...{ status: 'passing' as const, statusText: '' },
    }));
    controller.onUpdate({
      kind: 'upsert',
      provider: 'static',
      service: {
        ...{ source: sourceOf(service), endpoints, settings: null },
        ...{ doubt: '', order: 0, problems: [] },
      },
      cause: { kind: 'registry', text: 'test' },
      receivedMs: clock.nowMs(),
    });
  }
  const settings: Settings = {
    ...{ registries: {}, static: {}, routers, overlayListeners: [] },
    services: services.map(([service]) => service),
    stats: { listen: null, tls: null, adminToken: '', read: ['any'], readToken: '', hosts: [] },
    guard: { enabled: true, holdMs: 30_000, maxRemovedShare: 0.5 },
    state: { file: '' },
    memoryMaxBytes: 0,
    log: { level: 'info', format: 'json', access: 'off' },
    ...{ workers: 1, shutdownGraceMs: 1000 },
  };
  controller.setSettings(settings, { kind: 'start', text: 'start' });
  await turn();
  clock.advance(1);
}

/** The check of the endpoint at this port ends so, and the listeners are looked at. */
async function answer(port: number, isGood: boolean): Promise<void> {
  asked.get(port)!(isGood);
  await turn();
  controller.openListeners(false);
  await turn();
}

const open = () => controller.full().listeners!.map(({ key }) => key);

describe('a listener of a starting process', () => {
  it('waits for the first endpoint that is found good, and keeps no other waiting', async () => {
    controller.withholdListeners(false, WAIT_MS);
    const services = [
      [named('slow', { listen: [on(80)] }), 1, 2],
      [named('unchecked', { listen: [on(81)], health: null }), 3],
      [named('trusted', { listen: [on(82)], health: { ...health, initial: 'up' } }), 4],
      [named('empty', { listen: [on(83)] })],
    ] as const;
    await begin(services);
    expect(open()).toEqual([':81', ':82', ':83']);
    expect(controller.openListeners(false)).toBe(1);
    await answer(1, false);
    expect(open()).toHaveLength(3);
    await answer(2, true);
    expect(open()).toEqual([':80', ':81', ':82', ':83']);
    expect(controller.openListeners(false)).toBe(0);
  });

  it('opens when its first checks are over, though all were bad', async () => {
    controller.withholdListeners(true, WAIT_MS);
    await begin([[named('web', { listen: [on(80)] }), 1, 2]]);
    await answer(1, false);
    expect(open()).toEqual([]);
    await answer(2, false);
    expect(open()).toEqual([':80']);
  });

  it('stays open, whatever becomes of its endpoints', async () => {
    controller.withholdListeners(true, WAIT_MS);
    await begin([
      [named('web', { listen: [on(80)] }), 1],
      [named('slow', { listen: [on(81)] }), 2],
    ]);
    await answer(1, true);
    expect(open()).toEqual([':80']);
    clock.advance(5000);
    await answer(1, false);
    expect(controller.service('web')!.endpoints[0]!.state).toBe('down');
    await answer(2, true);
    expect(open()).toEqual([':80', ':81']);
  });

  it('with routes waits for all services, where another process serves meanwhile', async () => {
    controller.withholdListeners(true, WAIT_MS);
    await begin(
      [
        [named('a'), 1],
        [named('b'), 2],
      ],
      [routerOf(80, 'a', 'b')],
    );
    await answer(1, true);
    expect(open()).toEqual([]);
    await answer(2, true);
    expect(open()).toEqual([':80']);
  });

  it('with routes waits for one that can serve, where no other process does', async () => {
    controller.withholdListeners(false, WAIT_MS);
    await begin(
      [
        [named('a'), 1],
        [named('b'), 2],
      ],
      [routerOf(80, 'a', 'b')],
    );
    await answer(1, false);
    expect(open()).toEqual([]);
    await answer(2, true);
    expect(open()).toEqual([':80']);
  });

  it('waits for nothing where it redirects all the same', async () => {
    controller.withholdListeners(true, WAIT_MS);
    const redirecting = { ...on(80), redirectHttps: 443 };
    const router = routerOf(81, 'moved');
    const redirect = { status: 301, location: 'https://elsewhere.test$request_uri' };
    const routes = router.routes.map((route) => ({ ...route, redirect }));
    const services = [[named('web', { listen: [redirecting, on(443)] }), 1]] as const;
    await begin([...services, [named('moved'), 2]], [{ ...router, routes }]);
    expect(open()).toEqual([':81', ':80']);
  });

  it('does not wait for what is known from before a restart, up or down', async () => {
    controller.withholdListeners(true, WAIT_MS);
    controller.remember([
      { service: 'up', up: ['1'], down: [] },
      { service: 'down', up: [], down: ['2'] },
      { service: 'other', up: [], down: ['3'] },
    ]);
    await begin([
      [named('up', { listen: [on(80)] }), 1],
      [named('down', { listen: [on(81)] }), 2],
      [named('other', { listen: [on(82)] }), 3, 4],
    ]);
    expect(open()).toEqual([':80', ':81']);
    await answer(4, true);
    expect(open()).toEqual([':80', ':81', ':82']);
  });

  it('opens without its first checks when it is told to, and so do those that come later', async () => {
    controller.withholdListeners(true, WAIT_MS);
    await begin([[named('web', { listen: [on(80)] }), 1]]);
    expect(open()).toEqual([]);
    expect(controller.openListeners(true)).toBe(1);
    await turn();
    expect(open()).toEqual([':80']);
    await begin([[named('web', { listen: [on(80), on(81)] }), 1]]);
    expect(open()).toEqual([':80', ':81']);
  });

  it('waits no longer than it may, and that is logged', async () => {
    controller.withholdListeners(true, WAIT_MS);
    await begin([[named('web', { listen: [on(80)] }), 1]]);
    clock.advance(WAIT_MS - 2);
    expect([controller.openListeners(false), open()]).toEqual([1, []]);
    clock.advance(1);
    expect(controller.openListeners(false)).toBe(1);
    await turn();
    expect(open()).toEqual([':80']);
    expect(controller.openListeners(false)).toBe(0);
    const told = logged.filter(({ message }) => message.startsWith('first checks take too long'));
    expect(told).toMatchObject([{ level: 'warn', fields: { listeners: [':80'] } }]);
  });

  it('waits only where that is wanted', async () => {
    await begin([[named('web', { listen: [on(80)] }), 1]]);
    expect(open()).toEqual([':80']);
  });
});
