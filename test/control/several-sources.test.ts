// A service of several sources in the control plane as a whole: what is shown of it, what a source that
// fails may take away, and which priority gets the traffic.
import { beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { Controller } from '../../src/control/controller.ts';
import { Checker } from '../../src/health/checker.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { Service } from '../../src/model/service.ts';
import type { SnapshotDelta } from '../../src/model/snapshot.ts';
import { plainSource, type ServiceSource } from '../../src/model/source.ts';
import { makeCheck } from '../support/check.ts';
import { ManualClock } from '../support/clock.ts';
import { settingsOf } from '../support/config.ts';
import { makeService } from '../support/service.ts';

const FIXED = plainSource('static', 'web');
const CONSUL = plainSource('consul', 'web');
const FAR = { ...CONSUL, datacenter: 'far' };

let clock: ManualClock;
let controller: Controller;
let deltas: SnapshotDelta[];
let bad: Set<number>;

beforeEach(() => {
  clock = new ManualClock();
  deltas = [];
  bad = new Set();
  controller = new Controller({
    ...{ clock, log: silentLogger, ledger: new Ledger() },
    send: (delta) => {
      deltas.push(delta);
      return Promise.resolve([]);
    },
    makeChecker: (onChange) =>
      new Checker({
        ...{ clock, random: seededRandom(1), log: silentLogger, onChange },
        probe: (_, { port }) => Promise.resolve({ isGood: !bad.has(port), text: 'as told' }),
      }),
    describe: () => ({ service: null, problems: [] }),
  });
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

function configure(...services: Service[]): void {
  const settings = settingsOf({ file: 'registries: { consul: {} }' });
  controller.setSettings({ ...settings, services }, { kind: 'reload', text: 'reload' });
}

/** `web` from these sources, in this order, by priority. */
function web(...from: readonly (readonly [ServiceSource, number])[]): Service {
  return makeService({ from: from.map(([source, priority]) => ({ source, priority })) });
}

type Said = Partial<Pick<Endpoint, 'status' | 'weight' | 'address' | 'check' | 'transport'>> & {
  id: string;
  port: number;
};

function provide(source: ServiceSource, said: readonly Said[], doubt = ''): void {
  const plain = { address: '10.0.0.1', weight: 1, status: 'passing', statusText: '' } as const;
  controller.onUpdate({
    ...{ kind: 'upsert', provider: source.registry, receivedMs: clock.nowMs() },
    cause: { kind: 'registry', text: source.registry },
    service: {
      source,
      endpoints: said.map((one) => ({ ...plain, ...one })),
      settings: null,
      doubt,
    },
  });
}

const view = () => controller.service('web')!;
const ids = () => view().endpoints.map(({ id }) => id);
const slotOf = (id: string) => view().endpoints.find((one) => one.id === id)!.slot;
const priorities = () =>
  controller.events
    .since(0)
    .flatMap(({ from, to, reason, cause }) =>
      to.startsWith('priority') ? [`${from} -> ${to}: ${reason} (${cause.kind})`] : [],
    );

describe('a service that moves from one registry to another', () => {
  it('keeps its endpoints with their rows, operator and history, at every step', async () => {
    configure(web([FIXED, 1]));
    provide(FIXED, [{ id: '10.0.0.1:80', port: 80 }]);
    controller.operate('web', '10.0.0.1:80', { kind: 'weight', weight: 7 });
    const slot = slotOf('10.0.0.1:80');
    const isSame = (): void => {
      expect(ids()).toEqual(['10.0.0.1:80']);
      expect(slotOf('10.0.0.1:80')).toBe(slot);
      expect(view().endpoints[0]).toMatchObject({ state: 'up', weight: 7 });
    };
    configure(web([FIXED, 1], [CONSUL, 1]));
    isSame();
    provide(CONSUL, [{ id: 'n/web-1', port: 80 }]);
    isSame();
    expect(view().endpoints[0]!.namings).toEqual([
      { source: FIXED, id: '10.0.0.1:80' },
      { source: CONSUL, id: 'n/web-1' },
    ]);
    provide(FIXED, []);
    isSame();
    configure(web([CONSUL, 1]));
    isSame();
    provide(CONSUL, [{ id: 'n/web-1', port: 80, weight: 3 }]);
    isSame();
    await turn();
    const gone = controller.events
      .since(0)
      .filter(({ to, endpoint }) => to === '' && endpoint !== '');
    expect(gone).toEqual([]);
  });

  it('moves in one reload as well, also where the new registry answers late', () => {
    configure(web([FIXED, 1]));
    provide(FIXED, [
      { id: 'a', port: 80 },
      { id: 'b', port: 81 },
    ]);
    const slots = [slotOf('a'), slotOf('b')];
    configure(web([CONSUL, 1]));
    controller.onUpdate({
      ...{ kind: 'remove', provider: 'static', source: FIXED, receivedMs: 0 },
      cause: { kind: 'reload', text: 'not followed any more' },
    });
    expect(ids(), 'not answered yet').toEqual(['a', 'b']);
    provide(CONSUL, [{ id: 'n/1', port: 80 }]);
    expect(ids(), 'what the new one does not name goes').toEqual(['a']);
    expect(slotOf('a')).toBe(slots[0]);
  });
});

describe('a source', () => {
  it('that comes back empty holds its own endpoints alone', () => {
    configure(web([FIXED, 1], [CONSUL, 1]));
    provide(FIXED, [{ id: 'f', port: 80 }]);
    provide(CONSUL, [
      { id: 'c', port: 81 },
      { id: 'both', port: 80 },
    ]);
    provide(CONSUL, [], 'index went backwards');
    expect(view().endpoints.map(({ id, reason }) => [id, reason !== ''])).toEqual([
      ['f', false],
      ['c', true],
    ]);
    provide(FIXED, []);
    // Nobody says that it is there, but Consul, which is in doubt, did.
    expect(view().endpoints.map(({ id, reason }) => [id, reason !== ''])).toEqual([
      ['f', true],
      ['c', true],
    ]);
    clock.advance(31_000);
    expect(ids()).toEqual([]);
  });

  it('that is gone loses its own endpoints alone', () => {
    configure(web([FIXED, 1], [CONSUL, 1]));
    provide(FIXED, [{ id: 'f', port: 80 }]);
    provide(CONSUL, [{ id: 'c', port: 81 }]);
    controller.onUpdate({
      ...{ kind: 'remove', provider: 'consul', source: CONSUL, receivedMs: 0 },
      cause: { kind: 'reload', text: 'consul is not configured any more' },
    });
    expect(ids()).toEqual(['f']);
  });

  it('may not name an endpoint where its registry denies it; another may', () => {
    const settings = settingsOf({
      file: 'registries: { consul: { endpoint_deny: [10.0.0.0/8] } }',
    });
    const services = [web([FIXED, 1], [CONSUL, 1])];
    controller.setSettings({ ...settings, services }, { kind: 'reload', text: 'reload' });
    provide(CONSUL, [{ id: 'c', port: 81 }]);
    expect(view().endpoints[0]).toMatchObject({ state: 'down' });
    expect(view().endpoints[0]!.reason).toContain('denied by registries.consul.endpoint_deny');
    provide(FIXED, [{ id: 'f', port: 81 }]);
    expect(view().endpoints[0]).toMatchObject({ id: 'c', state: 'up', reason: '' });
    provide(FIXED, []);
    expect(view().endpoints[0]).toMatchObject({ state: 'down' });
  });
});

describe('a check that an endpoint declares', () => {
  const check = makeCheck({ type: 'http', path: '/up', intervalMs: 1000, rise: 1, fall: 1 });

  it("is made where the service has none, and the service's own goes before it", async () => {
    configure(web([CONSUL, 1]));
    provide(CONSUL, [
      { id: 'a', port: 80, check },
      { id: 'b', port: 81 },
    ]);
    const state = () => view().endpoints.map((one) => [one.state, one.check !== null]);
    const pass = async (): Promise<void> => {
      for (let i = 0; i < 6; i += 1) {
        clock.advance(500);
        await turn();
      }
    };
    expect(view().endpoints[0]).toMatchObject({
      state: 'down',
      reason: 'waits for its first check',
    });
    await pass();
    expect(state()).toEqual([
      ['up', true],
      ['up', false],
    ]);
    bad.add(80).add(81);
    await pass();
    expect(state()).toEqual([
      ['down', true],
      ['up', false],
    ]);
    // It is declared no longer.
    provide(CONSUL, [
      { id: 'a', port: 80 },
      { id: 'b', port: 81 },
    ]);
    expect(state()).toEqual([
      ['up', false],
      ['up', false],
    ]);
    configure({ ...web([CONSUL, 1]), health: { ...check, path: '/own' } });
    await pass();
    expect(state()).toEqual([
      ['down', true],
      ['down', true],
    ]);
    controller.close();
  });
});

describe('priorities', () => {
  const sent = () => deltas.flatMap(({ upsert }) => upsert).at(-1)!;

  it('lead to the next source when the first has nothing that works, and back after a while', async () => {
    configure(web([CONSUL, 1], [FAR, 2]));
    provide(FAR, [{ id: 'far', port: 90 }]);
    provide(CONSUL, [{ id: 'near', port: 80 }]);
    await turn();
    expect(sent()).toMatchObject({ priority: 1 });
    expect(view().problems).toEqual([]);
    provide(CONSUL, [{ id: 'near', port: 80, status: 'critical' }]);
    await turn();
    expect(sent()).toMatchObject({ priority: 2 });
    expect(view().problems).toEqual([
      'failover: sources of priority 2 are in use instead of consul web',
    ]);
    provide(CONSUL, [{ id: 'near', port: 80 }]);
    clock.advance(29_000);
    await turn();
    expect(sent()).toMatchObject({ priority: 2 });
    clock.advance(2000);
    await turn();
    expect(sent()).toMatchObject({ priority: 1 });
    expect(priorities().slice(-2)).toEqual([
      'priority 1 -> priority 2: no endpoint of priority 1 works, 1 of priority 2 do (registry)',
      'priority 2 -> priority 1: 1 endpoints of priority 1 work (failover)',
    ]);
  });

  it('follow our own checks as well', async () => {
    const plain = settingsOf({
      file: `services: { web: { listen: 1, health: { interval: 1s, rise: 1, fall: 1 },
               from: [ { registry: consul }, { registry: consul, datacenter: far, priority: 2 } ] } }`,
    });
    controller.setSettings(plain, { kind: 'start', text: 'start' });
    provide(CONSUL, [{ id: 'near', port: 80 }]);
    provide(FAR, [{ id: 'far', port: 90 }]);
    const until = async (priority: number): Promise<void> => {
      for (let i = 0; i < 100 && view().priority !== priority; i += 1) {
        clock.advance(500);
        await turn();
      }
      expect(view().priority).toBe(priority);
    };
    await until(1);
    for (let i = 0; i < 10 && view().endpoints.some(({ state }) => state !== 'up'); i += 1) {
      clock.advance(500);
      await turn();
    }
    bad.add(80);
    await until(2);
    expect(priorities().at(-1)).toContain('(check)');
    // The fallback fails as well: in the panic that follows the first priority is not preferred.
    bad.add(90);
    for (let i = 0; i < 10; i += 1) {
      clock.advance(500);
      await turn();
    }
    expect(view()).toMatchObject({ priority: 2, isPanicking: true });
    bad.clear();
    await until(1);
    expect(view().isPanicking).toBe(false);
    expect(clock.nowMs()).toBeLessThan(60_000);
    controller.close();
  });

  it('are those that a reload says', async () => {
    configure(web([CONSUL, 1], [FAR, 2]));
    provide(CONSUL, [{ id: 'near', port: 80 }]);
    provide(FAR, [{ id: 'far', port: 90 }]);
    await turn();
    expect(sent()).toMatchObject({ priority: 1 });
    const slots = [slotOf('near'), slotOf('far')];
    configure(web([CONSUL, 5], [FAR, 2]));
    await turn();
    expect(sent()).toMatchObject({ priority: 2 });
    expect(sent().endpoints.map(({ id, priority }) => [id, priority])).toEqual([
      ['near', 5],
      ['far', 2],
    ]);
    expect([slotOf('near'), slotOf('far')]).toEqual(slots);
  });

  it('leave a service of one priority alone', async () => {
    configure(web([FIXED, 3]));
    provide(FIXED, [{ id: 'f', port: 80 }]);
    await turn();
    expect(sent()).toMatchObject({ priority: 3 });
    expect(sent().endpoints[0]).toMatchObject({ priority: 3 });
    provide(FIXED, [{ id: 'f', port: 80, status: 'critical' }]);
    expect([priorities(), view().problems]).toEqual([[], []]);
  });
});

describe('instances of UDP and of TCP under one name', () => {
  const both = [
    { id: 'tcp', port: 53 },
    { id: 'udp', port: 53, transport: 'udp' },
  ] as const;
  const served = (protocol: Service['protocol']) => ({ ...web([CONSUL, 1]), protocol });

  it('are endpoints of services of their own kind alone', () => {
    for (const protocol of ['http', 'tcp'] as const) {
      configure(served(protocol));
      provide(CONSUL, both);
      expect(ids()).toEqual(['tcp']);
    }
    configure(served('udp'));
    expect(ids()).toEqual(['udp']);
    configure(served('tcp'));
    expect(ids()).toEqual(['tcp']);
  });

  it('serve a udp service where none is told to be of UDP', () => {
    configure(served('udp'));
    provide(CONSUL, [{ id: 'a', port: 53 }]);
    expect(ids()).toEqual(['a']);
    expect(view().problems).toEqual([]);
  });

  it('do not take the place of each other when the last of one kind leaves', () => {
    configure(served('udp'));
    provide(CONSUL, both);
    provide(CONSUL, both.slice(0, 1));
    expect(ids()).toEqual([]);
    expect(view().problems).toEqual([
      'consul web: no instance is of use to a udp service: none has the tag udp',
    ]);
    provide(CONSUL, both);
    expect(ids()).toEqual(['udp']);
    expect(view().problems).toEqual([]);
  });

  it('are told where all are of the other kind', () => {
    configure(served('http'));
    provide(CONSUL, both.slice(1));
    expect(ids()).toEqual([]);
    expect(view().problems).toEqual([
      'consul web: no instance is of use to a http service: they have the tag udp',
    ]);
  });

  it('on one place stay two, of several sources too', () => {
    const service = { ...web([CONSUL, 1], [FIXED, 1]), protocol: 'udp' as const };
    configure(service);
    provide(CONSUL, both);
    provide(FIXED, [{ id: 'fixed', port: 53 }]);
    expect(ids()).toEqual(['udp']);
    expect(view().endpoints[0]!.namings.map(({ id }) => id)).toEqual(['udp', 'fixed']);
  });
});
