// TCP sessions over loopback, between raw clients and scripted endpoints.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { seededRandom } from '../../../src/base/prng.ts';
import { TimerWheel } from '../../../src/base/timer-wheel.ts';
import { EndpointColumn, ServiceColumn } from '../../../src/ledger/layout.ts';
import { Ledger, WorkerLedger } from '../../../src/ledger/ledger.ts';
import { type ReasonCode, reason } from '../../../src/model/reason.ts';
import type { Service } from '../../../src/model/service.ts';
import type { WorkerContext } from '../../../src/proxy/context.ts';
import { LiveListener } from '../../../src/proxy/listener.ts';
import { LiveService } from '../../../src/proxy/live-service.ts';
import { Memory, SHORT_MAX } from '../../../src/proxy/memory.ts';
import { Room } from '../../../src/proxy/room.ts';
import { TcpSession } from '../../../src/proxy/tcp/session.ts';
import { makeNodeNetwork } from '../../../src/proxy/wire/node-network.ts';
import type { FromWorker } from '../../../src/worker/messages.ts';
import { freePorts } from '../../support/ports.ts';
import { loopback, makeListener, makeService, makeSnapshot } from '../../support/service.ts';

let ledger: Ledger;
let wheel: TimerWheel;
let messages: FromWorker[];
let listener: LiveListener;
const servers: Server[] = [];
const sockets = new Set<Socket>();

beforeEach(() => {
  ledger = new Ledger();
  wheel = new TimerWheel(systemClock.nowMs);
  wheel.start(systemClock);
  messages = [];
});
afterEach(async () => {
  listener.abort();
  await listener.drain();
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
  wheel.stop();
});

/** An endpoint that hands each connection to `serve`. */
async function listenPeer(serve: (socket: Socket) => void, port = 0): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  servers.push(server);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

let memory: Memory;

/** A tcp service in front of these ports, listening. */
async function serve(
  ports: readonly number[],
  parts: Partial<Service> = {},
  weights: readonly number[] = [],
): Promise<LiveService> {
  const service = makeService({ protocol: 'tcp', ...parts });
  memory = new Memory(wheel);
  const services: WorkerContext['services'] = new Map();
  const context: WorkerContext = {
    index: 0,
    ledger: new WorkerLedger(ledger.buffersFor(0)),
    clock: systemClock,
    network: makeNodeNetwork(silentLogger),
    wheel,
    services,
    random: seededRandom(1),
    log: silentLogger,
    accessLog: null,
    report: (message) => messages.push(message),
    memory,
    room: new Room(services, wheel, silentLogger),
  };
  const live = new LiveService(makeSnapshot(service, ports, weights), context);
  context.services.set(service.name, live);
  const snapshot = makeListener(service, loopback());
  listener = new LiveListener(snapshot, context);
  listener.apply(snapshot, context.services);
  await listener.open((wire, from) => new TcpSession(wire, from, context));
  return live;
}

/** A client that may close one direction; it has connected, and may have been reset already. */
async function dial(localAddress = '127.0.0.1'): Promise<Socket> {
  const { port } = listener;
  const socket = connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true });
  sockets.add(socket);
  socket.on('error', () => {});
  await new Promise((resolve) => {
    socket.once('connect', resolve);
    socket.once('close', resolve);
  });
  return socket;
}

/** Everything up to the end; by events, for iterating closes both directions. */
function readAll(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  return new Promise((resolve, reject) => {
    socket.once('end', () => resolve(Buffer.concat(pieces)));
    socket.once('error', reject);
  });
}

/** How the connection ends: `end` in order, or the code of its error. */
function ending(socket: Socket): Promise<string> {
  socket.resume();
  return new Promise((resolve) => {
    const error: NodeJS.ErrnoException | null = socket.errored;
    if (error !== null) resolve(error.code ?? 'error');
    socket.once('end', () => resolve('end'));
    socket.once('error', (later: NodeJS.ErrnoException) => resolve(later.code ?? 'error'));
  });
}

const endpointCount = (slot: number, key: keyof typeof EndpointColumn) =>
  ledger.endpointTotal(slot, EndpointColumn[key]);
const serviceCount = (key: keyof typeof ServiceColumn) =>
  ledger.serviceTotal(0, ServiceColumn[key]);
/** Until every session has ended and is accounted for. */
const quiet = () => expect.poll(() => listener.connectionCount + ledger.connections(0)).toBe(0);
/** Sessions that ended for this reason; a client sees the end a moment before it is counted. */
const ended = (code: ReasonCode) =>
  expect.poll(() => ledger.reasonTotal(0, reason(code).index), { interval: 5 });

describe('a relay', () => {
  it('carries both directions and counts exactly', async () => {
    const port = await listenPeer((socket) => {
      socket.on('data', (bytes) => socket.write(`<${bytes}>`));
      socket.on('end', () => socket.end('bye'));
    });
    await serve([port]);
    const client = await dial();
    client.write('hello');
    const [first] = (await once(client, 'data')) as [Buffer];
    expect(`${first}`).toBe('<hello>');
    expect(ledger.inFlight(0)).toBe(1);
    expect(ledger.connections(0)).toBe(1);
    client.end();
    expect(`${await readAll(client)}`).toBe('bye');
    await quiet();
    expect(ledger.inFlight(0)).toBe(0);
    expect(ledger.connections(0)).toBe(0);
    expect(serviceCount('connections')).toBe(1);
    expect(serviceCount('requests')).toBe(1);
    expect(serviceCount('bytesIn')).toBe(5);
    expect(serviceCount('bytesOut')).toBe(10);
    expect(endpointCount(0, 'bytesIn')).toBe(5);
    expect(endpointCount(0, 'bytesOut')).toBe(10);
    expect(endpointCount(0, 'attempts')).toBe(1);
    expect(endpointCount(0, 'connects')).toBe(1);
    expect(endpointCount(0, 'failures')).toBe(0);
  });

  it('lets an endpoint answer after the client has ended its side', async () => {
    const port = await listenPeer(async (socket) => {
      const asked = await readAll(socket);
      // Well after the end has arrived: the client's end must not close the way back.
      setTimeout(() => socket.end(`${asked.length} bytes`), 50);
    });
    await serve([port]);
    const client = await dial();
    client.end('x'.repeat(100_000));
    expect(`${await readAll(client)}`).toBe('100000 bytes');
    await quiet();
  });

  it('lets a client send on after the endpoint has ended its side', async () => {
    let received: Promise<Buffer> | null = null;
    const port = await listenPeer((socket) => {
      socket.end('greeting');
      received = readAll(socket);
    });
    await serve([port]);
    const client = await dial();
    expect(`${await readAll(client)}`).toBe('greeting');
    client.write('still ');
    await new Promise((resolve) => setTimeout(resolve, 20));
    client.end('here');
    expect(`${await received}`).toBe('still here');
    await quiet();
  });

  it('carries an endpoint that speaks first, and one that closes at once', async () => {
    const port = await listenPeer((socket) => void socket.end('220 ready\r\n'));
    await serve([port]);
    const client = await dial();
    const all = readAll(client);
    client.end();
    expect(`${await all}`).toBe('220 ready\r\n');
    await quiet();
  });

  it('is byte-exact under back-pressure, both ways at once', async () => {
    const up = randomBytes(12 * 1024 * 1024);
    const down = randomBytes(12 * 1024 * 1024);
    let received: Promise<string> | null = null;
    const port = await listenPeer((socket) => {
      received = slowDigest(socket);
      socket.end(down);
    });
    await serve([port]);
    const client = await dial();
    const answered = slowDigest(client);
    client.end(up);
    expect(await answered).toBe(digest(down));
    expect(await received).toBe(digest(up));
    await quiet();
    expect(serviceCount('bytesIn')).toBe(up.length);
    expect(serviceCount('bytesOut')).toBe(down.length);
  });

  it('holds the sender back while the receiver does not read', async () => {
    let endpoint: Socket | null = null;
    const port = await listenPeer((socket) => {
      endpoint = socket.pause();
    });
    await serve([port]);
    const client = await dial();
    const piece = Buffer.alloc(1024 * 1024);
    let sent = 0;
    const push = (): void => {
      while (sent < 64 && client.write(piece)) sent += 1;
    };
    client.on('drain', () => {
      sent += 1;
      push();
    });
    push();
    // Nothing moves any more: the buffers in between are full, and they are bounded.
    await expect
      .poll(async () => {
        const before = serviceCount('bytesIn');
        await new Promise((resolve) => setTimeout(resolve, 100));
        return before > 0 && serviceCount('bytesIn') === before;
      })
      .toBe(true);
    expect(serviceCount('bytesIn')).toBeLessThan(32 * 1024 * 1024);
    const before = serviceCount('bytesIn');
    endpoint!.resume();
    await expect.poll(() => serviceCount('bytesIn')).toBeGreaterThan(before);
  });

  it('passes a reset on, to either side', async () => {
    const resetByEndpoint = await listenPeer((socket) => {
      socket.once('data', () => socket.resetAndDestroy());
    });
    await serve([resetByEndpoint]);
    const client = await dial();
    const end = ending(client);
    client.write('x');
    expect(await end).toBe('ECONNRESET');
    await quiet();
    await ended('session-refused').toBe(1);

    let endpointEnd: Promise<string> | null = null;
    servers.pop()!.close();
    listener.abort();
    await listener.drain();
    const port = await listenPeer((socket) => {
      endpointEnd = ending(socket);
      socket.write('hello');
    });
    await serve([port]);
    const other = await dial();
    await once(other, 'data');
    other.resetAndDestroy();
    await quiet();
    expect(await endpointEnd).toBe('ECONNRESET');
  });
});

describe('connecting', () => {
  it('goes to the next endpoint, with what the client sent meanwhile', async () => {
    const [dead] = await freePorts(1);
    const alive = await listenPeer((socket) => void socket.pipe(socket));
    // The heavier one is asked first.
    const live = await serve([dead!, alive], {}, [9, 1]);
    const client = await dial();
    client.end('early bytes');
    expect(`${await readAll(client)}`).toBe('early bytes');
    await quiet();
    expect(live.usableCount).toBe(2);
    expect(endpointCount(0, 'connectFailures')).toBe(1);
    expect(endpointCount(0, 'failures')).toBe(1);
    expect(endpointCount(0, 'retries')).toBe(1);
    expect(endpointCount(1, 'connects')).toBe(1);
    expect(ledger.retryTotal(0, reason('connect-refused').index)).toBe(1);
    expect(messages).toEqual([{ type: 'suspect', slot: 0, reason: 'connect-refused' }]);
  });

  it('closes with RST when every endpoint refuses, each tried once at least', async () => {
    const dead = await freePorts(4);
    await serve(dead);
    const client = await dial();
    expect(await ending(client)).toBe('ECONNRESET');
    await quiet();
    expect([0, 1, 2, 3].map((slot) => endpointCount(slot, 'attempts'))).toEqual([1, 1, 1, 1]);
    expect([0, 1, 2, 3].map((slot) => ledger.inFlight(slot))).toEqual([0, 0, 0, 0]);
    await ended('connect-refused').toBe(1);
  });

  it('asks a lone endpoint as often as the policy says', async () => {
    const [dead] = await freePorts(1);
    const live = await serve([dead!]);
    const client = await dial();
    expect(await ending(client)).toBe('ECONNRESET');
    await quiet();
    expect(endpointCount(0, 'attempts')).toBe(live.service.retry.attempts);
  });

  it('closes with RST where there is no endpoint', async () => {
    await serve([]);
    expect(await ending(await dial())).toBe('ECONNRESET');
    await quiet();
    await ended('no-endpoint').toBe(1);
    expect(ledger.connections(0)).toBe(0);
  });

  it('queues while every endpoint is at its limit', async () => {
    const port = await listenPeer((socket) => void socket.pipe(socket));
    const { limits } = makeService();
    await serve([port], { limits: { ...limits, perEndpoint: 1 } });
    const first = await dial();
    first.write('a');
    await once(first, 'data');
    const second = await dial();
    second.end('b');
    const answer = readAll(second);
    await expect.poll(() => ledger.connections(0)).toBe(2);
    expect(ledger.inFlight(0)).toBe(1);
    first.end();
    expect(`${await answer}`).toBe('b');
    await quiet();
    expect(ledger.inFlight(0)).toBe(0);
  });

  it('gives up the queue after its time', async () => {
    const port = await listenPeer((socket) => void socket.pipe(socket));
    const { limits } = makeService();
    await serve([port], { limits: { ...limits, perEndpoint: 1, queueTimeoutMs: 50 } });
    const first = await dial();
    first.write('a');
    await once(first, 'data');
    expect(await ending(await dial())).toBe('ECONNRESET');
    await ended('queue-timeout').toBe(1);
    expect(ledger.connections(0)).toBe(1);
  });
});

describe('limits', () => {
  it('ends an idle session in order on both sides', async () => {
    let endpointEnd: Promise<string> | null = null;
    const port = await listenPeer((socket) => {
      endpointEnd = ending(socket);
    });
    const { timeouts } = makeService();
    await serve([port], { timeouts: { ...timeouts, idleTcpMs: 100 } });
    const client = await dial();
    const startMs = performance.now();
    expect(await ending(client)).toBe('end');
    expect(performance.now() - startMs).toBeGreaterThan(90);
    expect(await endpointEnd).toBe('end');
    client.end();
    await quiet();
    await ended('client-idle').toBe(1);
    expect(endpointCount(0, 'failures')).toBe(0);
  });

  it('refuses the connection that is one too many', async () => {
    const port = await listenPeer((socket) => void socket.pipe(socket));
    const { limits } = makeService();
    await serve([port], { limits: { ...limits, connections: 1 } });
    const first = await dial();
    first.write('a');
    await once(first, 'data');
    expect(await ending(await dial())).toBe('ECONNRESET');
    await expect.poll(() => ledger.connections(0)).toBe(1);
    await ended('too-many-connections').toBe(1);
    first.end();
    await quiet();
  });

  it('closes a silent one for another address, where its own has more than half', async () => {
    const limits = { ...makeService({}).limits, connections: 3 };
    await serve([await listenPeer((socket) => void socket.pipe(socket))], { limits });
    const silent = [await dial(), await dial(), await dial()];
    await expect.poll(() => ledger.connections(0), { interval: 5 }).toBe(3);
    const talking = silent[1]!;
    talking.write('first');
    await once(talking, 'data');
    const refused = await dial();
    expect(await ending(refused)).toBe('ECONNRESET');
    const ends = silent.map(ending);
    const other = await dial('127.0.0.2');
    other.write('ping');
    expect(`${(await once(other, 'data'))[0]}`).toBe('ping');
    expect(await ends[0]).toBe('ECONNRESET');
    expect(ledger.connections(0)).toBe(3);
    for (const socket of [...silent, other]) socket.destroy();
    await quiet();
  });

  it('takes few sessions while memory is short', async () => {
    const port = await listenPeer((socket) => void socket.pipe(socket));
    await serve([port]);
    const open: Socket[] = [];
    // The first one was there before, and is not counted.
    for (let i = 0; i <= SHORT_MAX; i += 1) {
      memory.isShort = i > 0;
      const client = await dial();
      client.write('a');
      await once(client, 'data');
      open.push(client);
    }
    expect(await ending(await dial())).toBe('ECONNRESET');
    await ended('out-of-memory').toBe(1);
    memory.isShort = false;
    const more = await dial();
    more.write('b');
    await once(more, 'data');
    for (const client of [...open, more]) client.end();
    await quiet();
  });

  it('lives through a drain, and is cut by an abort', async () => {
    const port = await listenPeer((socket) => void socket.pipe(socket));
    await serve([port]);
    const client = await dial();
    client.write('a');
    await once(client, 'data');
    const drained = listener.drain();
    client.write('b');
    const [echo] = (await once(client, 'data')) as [Buffer];
    expect(`${echo}`).toBe('b');
    const end = ending(client);
    expect(listener.abort()).toBe(1);
    expect(await end).toBe('ECONNRESET');
    await drained;
    expect(ledger.inFlight(0)).toBe(0);
  });
});

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Reads to the end with pauses, so that the other side has to wait. */
function slowDigest(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  let count = 0;
  socket.on('data', (piece: Buffer) => {
    hash.update(piece);
    count += 1;
    if (count % 20 !== 0) return;
    socket.pause();
    setTimeout(() => socket.resume(), 2);
  });
  return new Promise((resolve, reject) => {
    socket.once('end', () => resolve(hash.digest('hex')));
    socket.once('error', reject);
  });
}

describe('an endpoint that accepts and serves nobody', () => {
  const shut = () => listenPeer((socket) => socket.end());
  const slam = () => listenPeer((socket) => socket.resetAndDestroy());
  const slamFirstBytes = () =>
    listenPeer((socket) => socket.once('data', () => socket.resetAndDestroy()));
  const echo = () => listenPeer((socket) => void socket.pipe(socket));

  it('loses no session while another one serves, and is reported', async () => {
    const ports = [await shut(), await slam(), await slamFirstBytes(), await echo()];
    await serve(ports);
    for (let i = 0; i < 30; i += 1) {
      const client = await dial();
      client.write(`ping ${i}`);
      const [bytes] = (await once(client, 'data')) as [Buffer];
      expect(bytes.toString()).toBe(`ping ${i}`);
      client.end();
      expect(await ending(client)).toBe('end');
    }
    await quiet();
    expect(endpointCount(3, 'failures')).toBe(0);
    // After one refusal the worker passes an endpoint over for a moment, and control hears of it.
    const reported = messages.filter((message) => message.type === 'suspect');
    expect(new Set(reported.map(({ slot }) => slot))).toEqual(new Set([0, 1, 2]));
    expect(ledger.reasonTotal(0, reason('session-refused').index)).toBe(0);
  });

  it('sees by a reset that a session which moves on is not complete', async () => {
    const ends: string[] = [];
    const half = await listenPeer((socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => ends.push(error.code ?? ''));
      socket.on('end', () => ends.push('end'));
      socket.once('data', () => socket.end());
    });
    await serve([half, await echo()]);
    for (let i = 0; i < 4; i += 1) {
      const client = await dial();
      client.write('some');
      const [bytes] = (await once(client, 'data')) as [Buffer];
      expect(bytes.toString()).toBe('some');
      client.end();
      expect(await ending(client)).toBe('end');
    }
    await quiet();
    await expect.poll(() => ends.length).toBeGreaterThan(0);
    expect(new Set(ends)).toEqual(new Set(['ECONNRESET']));
  });

  it('is asked once where it is the only one, and the client sees that nothing is complete', async () => {
    await serve([await slamFirstBytes()]);
    const client = await dial();
    client.write('once');
    expect(await ending(client)).toBe('ECONNRESET');
    await ended('session-refused').toBe(1);
    expect(endpointCount(0, 'attempts')).toBe(1);
    await quiet();
  });

  it('may close without a byte where the client has ended the session', async () => {
    const seen: string[] = [];
    const port = await listenPeer((socket) => {
      void readAll(socket).then((bytes) => {
        seen.push(bytes.toString());
        socket.end();
      });
    });
    await serve([port, port]);
    const client = await dial();
    client.end('a line of a log');
    expect(await ending(client)).toBe('end');
    await quiet();
    expect(seen).toEqual(['a line of a log']);
    expect(endpointCount(0, 'failures') + endpointCount(1, 'failures')).toBe(0);
  });

  it('counts for what it cuts early, though it sent something first', async () => {
    const port = await listenPeer((socket) => {
      socket.write('hello', () => setImmediate(() => socket.resetAndDestroy()));
    });
    await serve([port]);
    for (let i = 0; i < 5; i += 1) expect(await ending(await dial())).toBe('ECONNRESET');
    await quiet();
    expect(endpointCount(0, 'failures')).toBe(5);
    expect(messages.some((message) => message.type === 'streak')).toBe(true);
  });

  it('has one outcome a session beside its peers: served, or not', async () => {
    const answering = await listenPeer((socket) => {
      // It ends the session itself, long before it would be trusted for its age.
      socket.once('data', () => socket.end('answer'));
    });
    await serve([answering, await slamFirstBytes()]);
    for (let i = 0; i < 6; i += 1) {
      const client = await dial();
      client.write('ask');
      expect(`${await readAll(client)}`).toBe('answer');
      client.end();
    }
    await quiet();
    const refused = endpointCount(1, 'attempts');
    expect([endpointCount(0, 'outcomes'), endpointCount(0, 'faults')]).toEqual([6, 0]);
    expect([endpointCount(1, 'outcomes'), endpointCount(1, 'faults')]).toEqual([refused, refused]);
  });

  it('is trusted at once with early_failure 0', async () => {
    await serve([await shut(), await echo()], { tcp: { earlyFailureMs: 0 } });
    const endings = [];
    for (let i = 0; i < 2; i += 1) {
      const client = await dial();
      client.write('ping');
      endings.push(await Promise.race([ending(client), once(client, 'data').then(() => 'served')]));
      client.end();
    }
    expect(endings.sort()).toEqual(['end', 'served']);
    await quiet();
    expect(endpointCount(0, 'failures')).toBe(0);
  });
});
