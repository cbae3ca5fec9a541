// The supervisor over real worker threads, with real connections through them.
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import type { LogFields, Logger } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import type { ListenAddress, ListenError } from '../../src/model/listener.ts';
import type { ListenerSnapshot, ServiceSnapshot, SnapshotDelta } from '../../src/model/snapshot.ts';
import { nodeThreads } from '../../src/supervisor/node-thread.ts';
import { Supervisor, type SupervisorOptions } from '../../src/supervisor/supervisor.ts';
import { ManualClock } from '../support/clock.ts';
import { freePorts } from '../support/ports.ts';
import {
  loopback,
  makeListener,
  makePassive,
  makeService,
  makeSnapshot,
} from '../support/service.ts';

const failingWorker = new URL('../support/failing-worker.ts', import.meta.url);

let ledger: Ledger;
let supervisor: Supervisor;
let published: SnapshotDelta | null;
let version: number;
let records: { level: string; fields: LogFields; message: string }[];
let streaks: { slot: number; count: number; reason: string }[];
let suspects: { slot: number; reason: string }[];
let refusals: (readonly ListenError[])[];
const servers: Server[] = [];
const sockets = new Set<Socket>();

const log: Logger = {
  debug: (fields, message) => void records.push({ level: 'debug', fields, message }),
  info: (fields, message) => void records.push({ level: 'info', fields, message }),
  warn: (fields, message) => void records.push({ level: 'warn', fields, message }),
  error: (fields, message) => void records.push({ level: 'error', fields, message }),
};

beforeEach(() => {
  ledger = new Ledger();
  published = null;
  version = 0;
  records = [];
  streaks = [];
  suspects = [];
  refusals = [];
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
  await supervisor.stop();
});

async function start(count: number, more: Partial<SupervisorOptions> = {}): Promise<void> {
  supervisor = new Supervisor({
    count,
    ledger,
    clock: systemClock,
    random: seededRandom(1),
    log,
    writeAccess: null,
    startThread: nodeThreads(),
    full: () => published,
    onStreak: (streak) => void streaks.push(streak),
    onSuspect: (slot, reason) => void suspects.push({ slot, reason }),
    onListenErrors: (errors) => void refusals.push(errors),
    ...more,
  });
  await supervisor.start();
}

/** Publishes exactly these services and listeners. */
function publish(
  services: readonly ServiceSnapshot[],
  listeners: readonly ListenerSnapshot[],
): ReturnType<Supervisor['apply']> {
  version += 1;
  const names = services.map((snapshot) => snapshot.service.name);
  const before = published?.upsert.map((snapshot) => snapshot.service.name) ?? [];
  const remove = before.filter((name) => !names.includes(name));
  published = { version, upsert: services, remove: [], listeners };
  return supervisor.apply({ version, upsert: services, remove, listeners });
}

/** A tcp service on `port` in front of these endpoints. */
function tcp(name: string, address: ListenAddress, endpoints: readonly number[]) {
  const service = makeService({ name, protocol: 'tcp' });
  return {
    snapshot: makeSnapshot(service, endpoints),
    listener: makeListener(service, address),
  };
}

async function echoServer(): Promise<number> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function dial(target: { port: number } | { path: string }): Socket {
  const socket = connect({ host: '127.0.0.1', ...target });
  sockets.add(socket);
  socket.on('error', () => {});
  return socket;
}

/** What comes back for `text`, or '' when the connection ends first. */
function echo(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  return new Promise((resolve) => {
    socket.once('data', (bytes: Buffer) => resolve(`${bytes}`));
    socket.once('close', () => resolve(''));
  });
}

const logged = (part: string) => records.filter(({ message }) => message.includes(part));

describe('deltas', () => {
  it('are live in every worker when apply resolves; listeners open and close', async () => {
    await start(2);
    const endpoint = await echoServer();
    const [port, other] = (await freePorts(2)) as [number, number];
    const one = tcp('one', loopback(port), [endpoint]);
    expect(await publish([one.snapshot], [one.listener])).toEqual({ listenErrors: [] });
    const session = dial({ port });
    expect(await echo(session, 'a')).toBe('a');

    const two = tcp('two', loopback(other), [endpoint]);
    await publish([one.snapshot, two.snapshot], [one.listener, two.listener]);
    expect(await echo(dial({ port: other }), 'b')).toBe('b');

    // The session outlives its listener, and its service.
    await publish([two.snapshot], [two.listener]);
    expect(await echo(dial({ port }), 'c')).toBe('');
    expect(await echo(session, 'd')).toBe('d');
    expect(supervisor.liveness()).toEqual({ ok: true, reason: '' });
  });

  it('name the service and the port of a listener that is in use, and open it later', async () => {
    await start(2);
    const endpoint = await echoServer();
    const blocker = createServer().listen(0, '127.0.0.1');
    servers.push(blocker);
    await once(blocker, 'listening');
    const { port } = blocker.address() as { port: number };
    const one = tcp('one', loopback(port), [endpoint]);
    const { listenErrors } = await publish([one.snapshot], [one.listener]);
    expect(listenErrors).toEqual([
      {
        listener: `127.0.0.1:${port}`,
        service: 'one',
        code: 'EADDRINUSE',
        message: `service one can't listen on 127.0.0.1:${port}: the address is already in use by another process`,
      },
    ]);
    blocker.close();
    servers.pop();
    await expect.poll(() => refusals.at(-1)).toEqual([]);
    expect(supervisor.listenErrors).toEqual([]);
    expect(await echo(dial({ port }), 'x')).toBe('x');
  });

  it('turn a listener from http to tcp where it is', async () => {
    await start(1);
    const endpoint = await echoServer();
    const [port] = (await freePorts(1)) as [number];
    const http = makeService({ name: 'one' });
    await publish([makeSnapshot(http, [endpoint])], [makeListener(http, loopback(port))]);
    // The endpoint echoes the request, which is no response.
    const response = await fetch(`http://127.0.0.1:${port}/`);
    expect(response.headers.get('x-upriver-reason')).toBe('bad-response');
    const one = tcp('one', loopback(port), [endpoint]);
    expect(await publish([one.snapshot], [one.listener])).toEqual({ listenErrors: [] });
    expect(await echo(dial({ port }), 'now tcp')).toBe('now tcp');
  });

  it('turn a listener on a unix socket from http to tcp', async () => {
    await start(2);
    const endpoint = await echoServer();
    const path = join(tmpdir(), `upriver-${process.pid}-${Date.now()}-turn.sock`);
    const address = { kind: 'unix', path } as const;
    const http = makeService({ name: 'one' });
    await publish([makeSnapshot(http, [endpoint])], [makeListener(http, address)]);
    const one = tcp('one', address, [endpoint]);
    expect(await publish([one.snapshot], [one.listener])).toEqual({ listenErrors: [] });
    expect(await echo(dial({ path }), 'now tcp')).toBe('now tcp');
  });

  it('open a unix socket, also where a dead process left its file', async () => {
    await start(2);
    const endpoint = await echoServer();
    const path = join(tmpdir(), `upriver-${process.pid}-${Date.now()}.sock`);
    try {
      const one = tcp('one', { kind: 'unix', path }, [endpoint]);
      expect(await publish([one.snapshot], [one.listener])).toEqual({ listenErrors: [] });
      expect(await echo(dial({ path }), 'x')).toBe('x');
      await publish([one.snapshot], []);
      // A process that is killed leaves its file behind.
      const { spawnSync } = await import('node:child_process');
      const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
      spawnSync(process.execPath, ['-e', script]);
      expect(await publish([one.snapshot], [one.listener])).toEqual({ listenErrors: [] });
      expect(await echo(dial({ path }), 'y')).toBe('y');
    } finally {
      await rm(path, { force: true });
    }
  });
});

describe('a worker that dies', () => {
  it('tells at once what its successor can not open', async () => {
    const clock = new ManualClock();
    await start(1, { startThread: nodeThreads(failingWorker), clock });
    const endpoint = await echoServer();
    const blocker = createServer();
    servers.push(blocker);
    const [port] = (await freePorts(1)) as [number];
    const one = tcp('one', loopback(port), [endpoint]);
    await publish([one.snapshot], [one.listener]);
    // Not part of the table that a new worker gets: only this one dies of it.
    const crash = makeSnapshot(makeService({ name: 'crash' }), []);
    await supervisor.apply({ version: 99, upsert: [crash], remove: [], listeners: null });
    blocker.listen(port, '127.0.0.1');
    await once(blocker, 'listening');
    clock.advance(200);
    const refused = () => refusals.at(-1)?.map(({ listener }) => listener);
    await expect.poll(refused).toEqual([`127.0.0.1:${port}`]);
  });

  it('is replaced by one that knows the whole table; its counts are taken back', async () => {
    await start(1, { startThread: nodeThreads(failingWorker) });
    const endpoint = await echoServer();
    const [port] = (await freePorts(1)) as [number];
    const one = tcp('one', loopback(port), [endpoint]);
    await publish([one.snapshot], [one.listener]);
    const session = dial({ port });
    expect(await echo(session, 'a')).toBe('a');
    expect(ledger.inFlight(0)).toBe(1);

    // Not part of the table that a new worker gets: only this one dies of it.
    const crash = makeSnapshot(makeService({ name: 'crash' }), []);
    await supervisor.apply({ version: 99, upsert: [crash], remove: [], listeners: null });
    expect(ledger.inFlight(0)).toBe(0);
    expect(ledger.connections(0)).toBe(0);
    expect(logged('worker died')[0]).toMatchObject({ level: 'error', fields: { worker: 0 } });
    expect(String(logged('worker died')[0]!.fields.err)).toContain('crashed as told');
    expect(supervisor.liveness().ok).toBe(false);

    await expect.poll(() => supervisor.liveness().ok).toBe(true);
    await expect.poll(() => echo(dial({ port }), 'b')).toBe('b');
  });

  it('at its start ends the start', async () => {
    const entry = new URL('data:text/javascript,throw new Error("not today")');
    const started = start(1, { startThread: nodeThreads(entry) });
    await expect(started).rejects.toThrow(/worker 0 did not start: .*not today/);
  });

  it('by not answering is reported, and then ended and replaced', async () => {
    const clock = new ManualClock();
    await start(1, { startThread: nodeThreads(failingWorker), clock });
    const tick = async (): Promise<void> => {
      clock.advance(1000);
      // A worker that can answer gets the time to.
      await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const nothing = { version: 1, upsert: [], remove: [], listeners: null };
    for (let i = 0; i < 5; i += 1) {
      await tick();
      // It answers in order: when this is applied it has answered the question of the tick as well.
      await supervisor.apply(nothing);
    }
    expect(supervisor.liveness()).toEqual({ ok: true, reason: '' });
    const hang = makeSnapshot(makeService({ name: 'hang' }), []);
    void supervisor.apply({ version: 2, upsert: [hang], remove: [], listeners: null });
    // On a loaded machine it answers for a while before it has read what hangs it.
    const afterTicks = async <T>(look: () => T): Promise<T> => {
      await tick();
      return look();
    };
    const reason = () => afterTicks(() => supervisor.liveness().reason);
    await expect.poll(reason).toMatch(/worker 0 has not answered for \d s/);
    const deaths = () => afterTicks(() => logged('worker died').length);
    await expect.poll(deaths).toBe(1);
    clock.advance(200);
    await expect.poll(() => supervisor.liveness().ok).toBe(true);
  });
});

describe('what workers report', () => {
  it('arrives: failures in a row, and records of the log', async () => {
    await start(1);
    const [port, dead] = (await freePorts(2)) as [number, number];
    const service = makeService({
      name: 'one',
      protocol: 'tcp',
      passive: makePassive({
        consecutiveFailures: 2,
        connectFailures: 0,
        ejectionMs: 1000,
        maxEjectedShare: 1,
      }),
    });
    const snapshot = makeSnapshot(service, [dead]);
    await publish([snapshot], [makeListener(service, loopback(port))]);
    await echo(dial({ port }), 'x');
    await expect
      .poll(() => streaks)
      .toContainEqual({
        type: 'streak',
        slot: 0,
        kind: 'failure',
        count: 2,
        reason: 'connect-refused',
      });
    expect(suspects).toContainEqual({ slot: 0, reason: 'connect-refused' });
    await expect.poll(() => logged('refused').map(({ fields }) => fields.worker)).toContain(0);
  });
});

describe('drain', () => {
  it('stops accepting, lets sessions finish, and counts none as cut', async () => {
    await start(2);
    const endpoint = await echoServer();
    const [port] = (await freePorts(1)) as [number];
    const one = tcp('one', loopback(port), [endpoint]);
    await publish([one.snapshot], [one.listener]);
    const session = dial({ port });
    expect(await echo(session, 'a')).toBe('a');
    const drained = supervisor.drain(10_000);
    // Who comes while it closes may be let in, and leaves again.
    const comeAndGo = async () => {
      const late = dial({ port });
      const text = await echo(late, 'b');
      late.end();
      return text;
    };
    await expect.poll(comeAndGo).toBe('');
    expect(await echo(session, 'c')).toBe('c');
    session.end();
    expect(await drained).toBe(0);
  });

  it('cuts what is left after the grace, and says how many', async () => {
    await start(2);
    const endpoint = await echoServer();
    const [port] = (await freePorts(1)) as [number];
    const one = tcp('one', loopback(port), [endpoint]);
    await publish([one.snapshot], [one.listener]);
    const session = dial({ port });
    expect(await echo(session, 'a')).toBe('a');
    const closed = new Promise((resolve) => session.once('close', resolve));
    expect(await supervisor.drain(100)).toBe(1);
    await closed;
  });
});
