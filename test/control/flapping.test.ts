// A source that replaces thousands of endpoints again and again: what that makes of work, counted and
// not timed, from the update to the deltas for the workers.
import { expect, it } from 'vitest';
import { seededRandom } from '../../src/base/prng.ts';
import { loadSettings } from '../../src/config/load.ts';
import { Controller } from '../../src/control/controller.ts';
import { Checker } from '../../src/health/checker.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { Service } from '../../src/model/service.ts';
import type { SnapshotDelta } from '../../src/model/snapshot.ts';
import { onlySource, plainSource } from '../../src/model/source.ts';
import { ManualClock } from '../support/clock.ts';
import { keepingLogger } from '../support/discovery.ts';
import { makeService, sourceOf } from '../support/service.ts';

/** On which reading the time takes a while: work that looks at it has to stop now and then. */
class TiringClock extends ManualClock {
  private readings = 0;

  override nowMs(): number {
    this.readings += 3;
    return super.nowMs() + this.readings;
  }
}

const COUNT = 5000;
const flapping = makeService({
  name: 'flapping',
  from: onlySource(plainSource('file', 'flapping')),
});
const calm = makeService({ name: 'calm', from: onlySource(plainSource('file', 'calm')) });

function stage(clock: ManualClock) {
  const deltas: SnapshotDelta[] = [];
  const { log, lines } = keepingLogger();
  const controller = new Controller({
    ...{ clock, log, ledger: new Ledger() },
    send: (delta) => {
      deltas.push(delta);
      return Promise.resolve([]);
    },
    makeChecker: (onChange) =>
      new Checker({
        ...{ clock, log, onChange, random: seededRandom(1) },
        probe: () => Promise.reject(new Error('nothing is checked here')),
      }),
    describe: () => ({ service: null, problems: [] }),
  });
  const { settings } = loadSettings({ flags: {}, env: {}, kv: null, file: null });
  if (settings === null) throw new Error('the defaults are not valid');
  const services = [flapping, calm];
  controller.setSettings({ ...settings, services }, { kind: 'start', text: 'test' });
  return { controller, deltas, lines };
}

function endpoint(part: number, i: number): Endpoint {
  const address = `10.${part}.${i >> 8}.${i & 255}`;
  const plain = { port: 80, weight: 1, status: 'passing' as const, statusText: '' };
  return { id: address, address, ...plain };
}

const list = (part: number) => Array.from({ length: COUNT }, (_, i) => endpoint(part, i));

function provide(controller: Controller, service: Service, endpoints: readonly Endpoint[]): void {
  controller.onUpdate({
    kind: 'upsert',
    provider: 'file',
    service: { source: sourceOf(service), endpoints, settings: null, doubt: '' },
    cause: { kind: 'registry', text: 'test' },
    receivedMs: 0,
  });
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const idsOf = (controller: Controller, name: string) =>
  controller.service(name)!.endpoints.map(({ id }) => id);
const sentOf = (deltas: readonly SnapshotDelta[], name: string) =>
  deltas.flatMap(({ upsert }) => upsert.filter(({ service }) => service.name === name));

it('costs what its account allows, while others are served as they come', async () => {
  const clock = new ManualClock();
  const { controller, deltas } = stage(clock);
  await turn();
  const before = deltas.length;
  for (let i = 0; i < 100; i += 1) {
    provide(controller, flapping, list(i % 2));
    provide(controller, calm, [endpoint(9, i)]);
    expect(idsOf(controller, 'calm')).toEqual([endpoint(9, i).id]);
    await turn();
    clock.advance(10);
  }
  expect(sentOf(deltas.slice(before), 'calm').length).toBe(100);
  // Twice it is replaced, and then it has to wait for some seconds.
  expect(sentOf(deltas.slice(before), 'flapping').length).toBeLessThanOrEqual(3);
  clock.advance(30_000);
  await turn();
  expect(idsOf(controller, 'flapping')).toEqual(list(1).map(({ id }) => id));
  expect(sentOf(deltas, 'flapping').at(-1)!.endpoints[0]!.address).toBe('10.1.0.0');
  controller.close();
});

it('holds what an answer in doubt leaves out, though other answers were passed over', async () => {
  const clock = new ManualClock();
  const { controller } = stage(clock);
  for (let i = 0; i < 6; i += 1) provide(controller, flapping, list(i % 2));
  const [first, ...others] = list(1);
  const doubtful = { source: sourceOf(flapping), settings: null, doubt: 'the list is empty' };
  controller.onUpdate({
    ...{ kind: 'upsert', provider: 'file', receivedMs: 0 },
    ...{ service: { ...doubtful, endpoints: [] }, cause: { kind: 'registry', text: 'test' } },
  });
  provide(controller, flapping, [first!]);
  clock.advance(20_000);
  await turn();
  const held = controller.service('flapping')!.endpoints.filter((one) => one.reason !== '');
  expect(held.length).toBe(others.length);
  expect(held[0]!.reason).toContain('held: the registry left it out');
  controller.close();
});

it('reaches workers whole, when it takes many turns', async () => {
  const clock = new TiringClock();
  const { controller, deltas, lines } = stage(clock);
  provide(controller, flapping, list(0));
  await turn();
  // A service that had nothing has something at once, and the rest as time goes on.
  const [first] = sentOf(deltas, 'flapping').filter(({ endpoints }) => endpoints.length > 0);
  expect(first!.endpoints.length).toBeLessThan(COUNT);
  while (sentOf(deltas, 'flapping').at(-1)!.endpoints.length < COUNT) {
    clock.advance(10);
    await turn();
  }
  const before = sentOf(deltas, 'flapping').length;
  // A row of the ledger that workers write to is nobody else's.
  const theirs = new Set(sentOf(deltas, 'flapping').at(-1)!.endpoints.map(slotOf));
  provide(controller, flapping, list(1));
  let turns = 0;
  while (sentOf(deltas, 'flapping').length === before) {
    turns += 1;
    provide(controller, calm, list(9).slice(0, turns));
    const given = controller.service('calm')!.endpoints.filter((one) => theirs.has(one.slot));
    expect(given).toEqual([]);
    clock.advance(10);
    await turn();
  }
  expect(turns).toBeGreaterThan(10);
  const [sent, ...more] = sentOf(deltas, 'flapping').slice(before);
  expect(sent!.endpoints.map(({ id }) => id)).toEqual(list(1).map(({ id }) => id));
  expect(more).toEqual([]);
  const about = lines.filter(({ fields }) => fields.service === 'flapping' && fields.endpoint);
  expect(about.length).toBeLessThanOrEqual(200);
  const rest = lines.filter(({ fields }) => fields.service === 'flapping' && fields.endpoints);
  expect(rest.map(({ fields }) => fields.endpoints)).toEqual([COUNT - 100, 2 * COUNT - 100]);
  controller.close();
});

function slotOf({ slot }: { readonly slot: number }): number {
  return slot;
}
