// What a container engine, or whoever answers in its place, may send on its stream of events to stretch memory or
// time.
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { type ContainerChange, ContainerWatch } from '../../src/containers/container-watch.ts';
import { hasSocket, openEngine } from '../../src/containers/door.ts';
import { EngineClient } from '../../src/containers/engine-client.ts';
import { LookQueue } from '../../src/containers/look-queue.ts';
import { BOUNDS } from '../../src/model/bounds.ts';
import { parseEngineAddress } from '../../src/model/engine-address.ts';
import { untilTrue } from '../support/discovery.ts';
import { event, idOf, startScriptedEngine } from '../support/scripted-engine.ts';
import { watchTurns } from '../support/turn-times.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const [A, B] = [idOf(1), idOf(2)];

/** Follows an engine on which A runs. */
async function watched() {
  const engine = await startScriptedEngine();
  cleanups.push(() => engine.stop());
  engine.containers.set(A, {});
  const client = new EngineClient({
    addresses: [parseEngineAddress(engine.socket)],
    tls: { caFile: '', certFile: '', keyFile: '', serverName: '', verify: true },
    ...{ clock: systemClock, open: openEngine, hasSocket },
  });
  const errors: string[] = [];
  const changes: ContainerChange[] = [];
  let syncs = 0;
  const watch = new ContainerWatch({
    ...{ client, clock: systemClock, random: () => 0 },
    onChange: (change) => changes.push(change),
    onSynced: () => {
      syncs += 1;
    },
    onError: ({ message }) => errors.push(message),
  });
  cleanups.push(() => client.close());
  cleanups.push(() => watch.stop());
  watch.start();
  const until = (isSo: () => boolean) => untilTrue(isSo, () => JSON.stringify({ errors, syncs }));
  await until(() => syncs === 1 && engine.subscribers === 1);
  const isThere = (id: string) => watch.get(id) !== null;
  return { engine, errors, changes, until, isThere, syncs: () => syncs };
}

/** The engine is followed as before: what starts is seen. */
async function goesOn({ engine, until, isThere }: Awaited<ReturnType<typeof watched>>) {
  await until(() => engine.subscribers === 1);
  engine.containers.set(B, {});
  engine.tell(event(B, 'start'));
  await until(() => isThere(B));
  expect(isThere(A)).toBe(true);
}

it('an event without an end ends the stream at its bound, and what was known stays', async () => {
  const one = await watched();
  one.engine.tell(`{"Type":"${'x'.repeat(BOUNDS.containerEvent.max)}`);
  await one.until(() => one.errors.length > 0);
  expect(one.errors[0]).toMatch(/size of one is at most 256KiB/);
  expect(one.isThere(A)).toBe(true);
  await one.until(() => one.syncs() === 2);
  await goesOn(one);
});

const LARGE = Array.from({ length: BOUNDS.containerList.max / 2 ** 20 + 1 }, (_, i) => ({
  ...{ Id: idOf(i), Names: ['x'.repeat(2 ** 20)] },
}));
const TOO_MANY = Array.from({ length: BOUNDS.containers.max + 1 }, (_, i) => ({ Id: idOf(i) }));
it.each([
  ['containers', () => TOO_MANY],
  ['bytes of one', () => `[${' '.repeat(BOUNDS.containerInspection.max + 1)}]`],
  ['bytes', () => LARGE],
])('a list of more %s than are taken is refused, and what was known stays', async (_, list) => {
  const one = await watched();
  const body = list();
  one.engine.override = (path) =>
    path.includes('/containers/json') ? { status: 200, body } : undefined;
  one.engine.cut();
  await one.until(() => one.errors.some((error) => error.includes('is at most')));
  expect(one.isThere(A)).toBe(true);
  one.engine.override = () => undefined;
  await goesOn(one);
});

it('a container that is described at length is left out, and no other', async () => {
  const one = await watched();
  const body = ' '.repeat(BOUNDS.containerInspection.max + 1);
  one.engine.override = (path) => (path.includes(B) ? { status: 200, body } : undefined);
  one.engine.containers.set(B, {});
  one.engine.tell(event(B, 'start'));
  await one.until(() => one.engine.asked.some((path) => path.includes(B)));
  one.engine.override = () => undefined;
  await goesOn(one);
});

it.each([
  ['is nested without end', `${'{"Actor":['.repeat(20_000)}\n`],
  [
    'has labels beyond number',
    `${JSON.stringify(event(A, 'die', Object.fromEntries(Array.from({ length: 12_000 }, (_, i) => [i, '']))))}\n`,
  ],
  ['is no text', `${Buffer.alloc(10_000, 0xff).toString('latin1')}\n`],
])('an event that %s is none', async (_, line) => {
  const one = await watched();
  one.engine.tell(line);
  await goesOn(one);
  expect(one.errors).toEqual([]);
});

it('one with the labels of a large container is read', async () => {
  const one = await watched();
  const labels = Object.fromEntries(
    Array.from({ length: 1000 }, (_, i) => [`label-${i}`, 'x'.repeat(200)]),
  );
  one.engine.containers.set(A, { status: 'exited' });
  one.engine.tell(event(A, 'die', { ...labels, exitCode: '3' }));
  await one.until(() => !one.isThere(A));
  expect(one.changes.at(-1)!.ended.get(A)).toBe(3);
});

it('a flood of events of one container is looked after now and then, and holds up no turn', async () => {
  const one = await watched();
  const lines = Array.from({ length: 20_000 }, () => `${JSON.stringify(event(A, 'update'))}\n`);
  const turns = watchTurns();
  one.engine.tell(lines.join(''));
  await goesOn(one);
  turns.stop();
  expect(turns.longest()).toBeLessThan(100);
  expect(one.engine.asked.filter((path) => path.includes(A)).length).toBeLessThan(15);
});

it('events of containers without number end the stream, and what was known stays', async () => {
  const one = await watched();
  // They are never described.
  one.engine.override = (path) =>
    path.includes(A) || !path.startsWith('/containers/0') ? undefined : null;
  const lines = Array.from(
    { length: BOUNDS.containerLooks.max + 100 },
    (_, i) => `${JSON.stringify(event(idOf(1000 + i), 'start'))}\n`,
  );
  one.engine.tell(lines.join(''));
  await one.until(() => one.errors.length > 0);
  expect(one.errors[0]).toMatch(/more containers are to be looked at/);
  one.engine.override = () => undefined;
  await one.until(() => one.syncs() === 2);
  await goesOn(one);
});

it('a queue without a bound of its own takes any number', async () => {
  const errors: unknown[] = [];
  const queue = new LookQueue<null>({
    width: 1,
    look: () => new Promise(() => {}),
    onError: (error) => errors.push(error),
  });
  for (let i = 0; i < 30_000; i += 1) queue.mark(String(i), null);
  expect(errors).toEqual([]);
  queue.close();
});
