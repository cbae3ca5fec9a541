import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { type ContainerChange, ContainerWatch } from '../../src/containers/container-watch.ts';
import { hasSocket, openEngine } from '../../src/containers/door.ts';
import { EngineClient, type EngineError } from '../../src/containers/engine-client.ts';
import { parseEngineAddress } from '../../src/model/engine-address.ts';
import { untilTrue } from '../support/discovery.ts';
import {
  event,
  idOf,
  type ScriptedEngine,
  type ScriptedEngineOptions,
  startScriptedEngine,
} from '../support/scripted-engine.ts';

const stops: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const [A, B, C] = [idOf(1), idOf(2), idOf(3)];

interface Watched {
  readonly engine: ScriptedEngine;
  readonly watch: ContainerWatch;
  readonly changes: ContainerChange[];
  readonly errors: EngineError[];
  /** How often everything was known. */
  readonly syncs: () => number;
  /** Ids that are known, with why they are about to end. */
  readonly state: () => Record<string, string>;
}

async function watched(
  options: ScriptedEngineOptions = {},
  prepare: (engine: ScriptedEngine) => void = () => {},
): Promise<Watched> {
  const engine = await startScriptedEngine(options);
  stops.push(() => engine.stop());
  prepare(engine);
  const client = new EngineClient({
    addresses: [parseEngineAddress(engine.socket)],
    tls: { caFile: '', certFile: '', keyFile: '', serverName: '', verify: true },
    clock: systemClock,
    open: openEngine,
    hasSocket,
  });
  const changes: ContainerChange[] = [];
  const errors: EngineError[] = [];
  let syncs = 0;
  const watch = new ContainerWatch({
    client,
    clock: systemClock,
    random: () => 0,
    onChange: (change) => changes.push(change),
    onSynced: () => {
      syncs += 1;
    },
    onError: (error) => errors.push(error),
  });
  watch.start();
  stops.push(async () => {
    watch.stop();
    await client.close();
  });
  const state = () =>
    Object.fromEntries([...watch.containers].map((one) => [one.container.id, one.stopping]));
  const made = { engine, watch, changes, errors, syncs: () => syncs, state };
  await untilTrue(
    () => syncs > 0 && (engine.subscribers === 1 || errors.length > 0),
    () => `first sync: ${errors.map(String).join()}`,
  );
  return made;
}

const until = (holds: () => boolean, one: Watched) =>
  untilTrue(holds, () => JSON.stringify([one.state(), one.errors.map(String), one.engine.asked]));

describe('a container', () => {
  it('is known from the list, and tells of its start, health and end', async () => {
    const one = await watched({}, ({ containers }) => containers.set(A, { health: 'starting' }));
    const { engine, watch, changes } = one;
    expect(one.state()).toEqual({ [A]: '' });
    expect(changes).toHaveLength(1);
    engine.containers.set(A, { health: 'healthy' });
    engine.tell(event(A, 'health_status: healthy'));
    await until(() => watch.get(A)?.container.health === 'healthy', one);
    engine.containers.set(B, {});
    engine.tell(event(B, 'start'));
    // Told at the end of a turn, with what else has changed in it.
    await until(() => changes.at(-1)!.changed.has(B), one);
    engine.containers.set(A, { status: 'exited' });
    engine.tell(event(A, 'die', { exitCode: '3' }));
    await until(() => changes.at(-1)!.ended.has(A), one);
    expect(watch.get(A)).toBeNull();
    expect(changes.at(-1)!.ended.get(A)).toBe(3);
    expect(changes.at(-1)!.cause).toBe('die, exit code 3');
  });

  it('stays while it is paused, as paused', async () => {
    const one = await watched({}, ({ containers }) => containers.set(A, {}));
    one.engine.containers.set(A, { status: 'paused' });
    one.engine.tell(event(A, 'pause'));
    await until(() => one.watch.get(A)?.container.phase === 'paused', one);
    one.engine.containers.set(A, {});
    one.engine.tell(event(A, 'unpause'));
    await until(() => one.watch.get(A)?.container.phase === 'running', one);
  });

  it('is about to end at a signal that stops it, and at no other', async () => {
    const one = await watched({}, ({ containers }) => {
      containers.set(A, { stopSignal: 'SIGWINCH' });
      containers.set(B, {});
      containers.set(C, {});
    });
    one.engine.tell(event(A, 'kill', { signal: '28' }));
    one.engine.tell(event(B, 'kill', { signal: '1' }));
    one.engine.tell(event(B, 'kill'));
    one.engine.tell(event(C, 'kill', { signal: '15' }));
    await until(() => one.state()[C] !== '', one);
    expect(one.state()).toEqual({ [A]: 'signal 28', [B]: '', [C]: 'signal 15' });
  });

  it('that is started again is not about to end any more', async () => {
    const one = await watched({}, ({ containers }) => containers.set(A, {}));
    one.engine.tell(event(A, 'kill', { signal: '15' }));
    await until(() => one.state()[A] !== '', one);
    one.engine.containers.set(A, { startedAt: '2026-11-21T19:00:00Z' });
    one.engine.tell(event(A, 'start', {}, Date.parse('2026-11-21T19:00:00Z') * 1e6 + 1e6));
    await until(() => one.state()[A] === '', one);
  });

  it('takes no event of its earlier life for one of this', async () => {
    const one = await watched({}, ({ containers }) => containers.set(A, {}));
    const before = Date.parse('2026-11-21T18:50:00Z') * 1e6;
    one.engine.tell(event(A, 'kill', { signal: '15' }, before));
    one.engine.tell(event(A, 'die', { exitCode: '0' }, before));
    one.engine.containers.set(B, {});
    one.engine.tell(event(B, 'start'));
    await until(() => one.watch.get(B) !== null, one);
    expect(one.state()).toEqual({ [A]: '', [B]: '' });
  });

  it('that is told to stop before it was looked at is about to end', async () => {
    const one = await watched();
    let answered = false;
    one.engine.containers.set(A, {});
    one.engine.override = (path) => {
      if (!path.startsWith(`/containers/${A}`) || answered) return undefined;
      answered = true;
      // Told between the question and the answer.
      one.engine.tell(event(A, 'kill', { signal: '15' }));
      return undefined;
    };
    one.engine.tell(event(A, 'start'));
    await until(() => one.state()[A] === 'signal 15', one);
  });

  it('that ends while it is looked at is not taken for running', async () => {
    const one = await watched();
    one.engine.containers.set(A, {});
    const held: (() => void)[] = [];
    let looks = 0;
    one.engine.override = (path) => {
      if (!path.startsWith(`/containers/${A}`)) return undefined;
      looks += 1;
      if (looks === 1) {
        held.push(() => one.engine.tell(event(A, 'die', { exitCode: '0' })));
        held.pop()!();
      } else one.engine.containers.set(A, { status: 'exited' });
      return undefined;
    };
    one.engine.tell(event(A, 'start'));
    await until(() => looks === 2, one);
    one.engine.containers.set(B, {});
    one.engine.tell(event(B, 'start'));
    await until(() => one.watch.get(B) !== null, one);
    expect(one.watch.get(A)).toBeNull();
  });
});

describe("what Podman's answers say late", () => {
  it('a container that has ended is not taken for running by an older description', async () => {
    const one = await watched({}, ({ containers }) => containers.set(A, {}));
    // It still says that it runs.
    one.engine.tell(event(A, 'die', { exitCode: '0' }));
    one.engine.containers.set(B, {});
    one.engine.tell(event(B, 'start'));
    await until(() => one.watch.get(B) !== null, one);
    expect(Object.keys(one.state())).toEqual([B]);
    const startedAt = '2026-11-21T19:00:00Z';
    one.engine.containers.set(A, { startedAt });
    one.engine.tell(event(A, 'start', {}, Date.parse(startedAt) * 1e6 + 1e6));
    await until(() => one.watch.get(A) !== null, one);
  });

  it('a container that is being removed is gone, and no failure of the engine', async () => {
    const one = await watched({}, ({ containers }) => containers.set(A, {}));
    const message = `container ${A} does not exist in database: no such container`;
    one.engine.override = (path) =>
      path.startsWith(`/containers/${A}`) ? { status: 500, body: { message } } : undefined;
    one.engine.tell(event(A, 'update'));
    await until(() => one.watch.get(A) === null, one);
    expect(one.errors).toEqual([]);
  });
});

describe('an engine', () => {
  it('that ends changes nothing; what happened meanwhile is found when it is back', async () => {
    const one = await watched({}, ({ containers }) => {
      containers.set(A, { published: { '80/tcp': '1000' } });
      containers.set(B, {});
    });
    await one.engine.end();
    await until(() => one.errors.length > 2, one);
    expect(Object.keys(one.state())).toEqual([A, B]);
    expect(one.changes).toHaveLength(1);
    expect(one.watch.isSynced).toBe(false);
    // Another port, though it runs as before.
    one.engine.containers.set(A, { published: { '80/tcp': '1001' } });
    one.engine.containers.set(B, { status: 'exited' });
    one.engine.containers.set(C, {});
    await one.engine.begin();
    await until(() => one.syncs() === 2, one);
    expect(Object.keys(one.state())).toEqual([A, C]);
    expect(one.watch.get(A)!.container.ports.get('80/tcp')![0]!.hostPort).toBe(1001);
    // All in one change: no half table in between.
    expect(one.changes).toHaveLength(2);
    expect(one.changes[1]!.ended.get(B)).toBe(0);
  });

  it('that ends the stream of events is asked for it again, and everything is listed', async () => {
    const one = await watched({}, ({ containers }) => containers.set(A, {}));
    one.engine.containers.delete(A);
    one.engine.cut();
    await until(() => one.syncs() === 2, one);
    expect(one.state()).toEqual({});
    expect(one.errors.map(({ code }) => code)).toEqual(['ended']);
  });

  it('like Podman sends no head before the first event', async () => {
    const one = await watched({ isPodman: true }, ({ containers }) => containers.set(A, {}));
    await until(() => one.engine.subscribers === 1, one);
    one.engine.containers.set(A, { status: 'exited' });
    one.engine.tell(event(A, 'died', { containerExitCode: '0' }));
    await until(() => one.watch.get(A) === null, one);
    expect(one.errors).toEqual([]);
  });

  it('is asked in its own version, in none that is newer than known, and in none', async () => {
    for (const [apiVersion, base] of [
      ['1.41', '/v1.41'],
      ['1.99', '/v1.52'],
      ['', ''],
    ]) {
      const one = await watched({ apiVersion: apiVersion! });
      expect(one.engine.asked[0]).toBe('/_ping');
      expect(one.engine.asked).toContain(`${base}/containers/json`);
    }
  });

  it('that answers nonsense is an error that says so', async () => {
    const one = await watched();
    one.engine.override = (path) =>
      path === '/containers/json' ? { status: 200, body: '<html>' } : undefined;
    one.engine.cut();
    await until(() => one.errors.some(({ code }) => code === 'not-json'), one);
    one.engine.override = () => ({ status: 403, body: { message: 'not allowed here' } });
    await until(() => one.errors.some(({ status }) => status === 403), one);
    expect(one.errors.at(-1)!.message).toContain('not allowed here');
    one.engine.override = () => undefined;
    await until(() => one.syncs() === 2, one);
  });

  it('may send events in pieces, and some that are none', async () => {
    const one = await watched({}, ({ containers }) => containers.set(A, {}));
    one.engine.containers.set(A, { status: 'exited' });
    const text = JSON.stringify(event(A, 'die', { exitCode: '0' }));
    one.engine.tell(`nonsense\n\n${text.slice(0, 20)}`);
    one.engine.tell(`${text.slice(20)}\n`);
    await until(() => one.watch.get(A) === null, one);
  });

  it('with more containers than are looked at at a time has all of them known', async () => {
    const ids = Array.from({ length: 50 }, (_, i) => idOf(i + 1));
    const one = await watched({}, ({ containers }) => {
      for (const id of ids) containers.set(id, {});
    });
    expect(Object.keys(one.state()).sort()).toEqual([...ids].sort());
    expect(one.changes).toHaveLength(1);
  });
});

describe('a container that comes and goes all the time', () => {
  it('is looked at now and then, gone when it ends, and there in the end; others do not wait', async () => {
    const one = await watched();
    const { engine, state } = one;
    const beganMs = performance.now();
    for (let i = 0; i < 60; i += 1) {
      engine.containers.set(A, { startedAt: new Date().toISOString() });
      engine.tell(event(A, 'start', {}, Date.now() * 1_000_000));
      engine.containers.delete(A);
      engine.tell(event(A, 'die', {}, Date.now() * 1_000_000));
      // What was told is read, and what that leads to begins.
      await new Promise((resolve) => setImmediate(resolve));
    }
    engine.containers.set(B, {});
    engine.tell(event(B, 'start'));
    await untilTrue(
      () => B in state(),
      () => JSON.stringify(state()),
    );
    const looks = engine.asked.filter((path) => path.includes(A)).length;
    expect(looks).toBeLessThanOrEqual(8 + (performance.now() - beganMs) / 2000 + 1);
    engine.containers.set(A, { startedAt: new Date().toISOString() });
    engine.tell(event(A, 'start', {}, Date.now() * 1_000_000));
    await expect.poll(state).toHaveProperty(A);
    // An end is not waited with: a look, up to 2 s later, would not find what the event says of it.
    engine.containers.delete(A);
    engine.tell(event(A, 'die', { exitCode: '3' }, Date.now() * 1_000_000));
    await expect.poll(state).not.toHaveProperty(A);
    await expect.poll(() => one.changes.at(-1)!.ended.get(A)).toBe(3);
  });
});
