// TLS handshakes that strangers cause: few at a time, and no cheap way to have more.
import { once } from 'node:events';
import { connect as connectPlain, createServer, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { queryObjects } from 'node:v8';
import { afterAll, afterEach, expect, it } from 'vitest';
import { silentLogger } from '../../src/base/log.ts';
import type { ServerTls, Wire, WireServer } from '../../src/proxy/network.ts';
import { listenWires } from '../../src/proxy/wire/listen.ts';
import { Lobby } from '../../src/proxy/wire/lobby.ts';
import { ReadBuffers } from '../../src/proxy/wire/read-buffers.ts';
import { Authority, certificateOf, materialOf } from '../support/certificates.ts';
import { ManualClock } from '../support/clock.ts';
import { loopback } from '../support/service.ts';

const authority = new Authority();
afterAll(() => authority.remove());
const tls: ServerTls = {
  material: materialOf([certificateOf(['localhost'], authority.issue(['localhost']))]),
  protocols: [],
  plainReply: Buffer.alloc(0),
  // Longer than a slow machine takes for a crowd.
  helloMs: 60_000,
};

const sockets: Socket[] = [];
let server: WireServer;
let wires: Set<Wire>;
let most: number;
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server.close();
});

/** Echoes; counts handshakes under way. */
async function serve(
  isFast = true,
  { now = tls, lobby = new Lobby() }: { now?: ServerTls; lobby?: Lobby } = {},
): Promise<void> {
  wires = new Set();
  most = 0;
  server = await listenWires({
    ...{ address: loopback(), reusePort: false, isFast },
    ...{ buffers: new ReadBuffers(), lobby, log: silentLogger },
    tls: () => now,
    onWire: (wire) => {
      wires.add(wire);
      most = Math.max(most, wires.size);
      wire.handler = {
        onSecure: () => wires.delete(wire),
        onBytes: (base, start, end) => void wire.write(Buffer.from(base.subarray(start, end))),
        onEnd: () => wire.end(),
        onDrain() {},
        onClose: () => wires.delete(wire),
      };
    },
  });
}

function dial(localAddress: string, bytes?: Buffer): Socket {
  const socket = connectPlain({ port: server.port, host: '127.0.0.1', localAddress });
  sockets.push(socket);
  socket.on('error', () => {});
  if (bytes !== undefined) socket.write(bytes);
  return socket;
}

function dialTls(localAddress = '127.0.0.1'): TLSSocket {
  const options = { port: server.port, host: '127.0.0.1', localAddress, ca: authority.ca };
  const socket = connect({ ...options, servername: 'localhost' });
  sockets.push(socket);
  socket.on('error', () => {});
  return socket;
}

async function echoes(socket: TLSSocket, text: string): Promise<void> {
  socket.write(text);
  let heard = '';
  for await (const piece of socket) {
    heard += String(piece);
    if (heard.length >= text.length) break;
  }
  expect(heard).toBe(text);
}

/** What a client says first, recorded. */
async function helloBytes(): Promise<Buffer> {
  const listening = createServer().listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const { port } = listening.address() as { port: number };
  const client = connect({ port, host: '127.0.0.1' }).on('error', () => {});
  const [socket] = (await once(listening, 'connection')) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  listening.close();
  return bytes;
}

const closed = (one: Socket) => new Promise((resolve) => one.once('close', resolve));

const opened = (all: readonly Socket[]) =>
  Promise.all(all.map((one) => (one.connecting ? once(one, 'connect') : null)));

it.each([true, false])(
  'serves all of a crowd, each with all that it sends (fast: %s)',
  async (isFast) => {
    await serve(isFast);
    const clients = Array.from({ length: 100 }, () => dialTls());
    await Promise.all(clients.map((one, i) => echoes(one, `${i} `.repeat(20_000))));
    expect(most).toBeLessThanOrEqual(128);
  },
);

it('keeps half a ClientHello out, however many there are, and others in', async () => {
  await serve();
  const half = (await helloBytes()).subarray(0, 100);
  const crowd = Array.from({ length: 300 }, () => dial('127.0.0.2', half));
  await opened(crowd);
  await echoes(dialTls('127.0.0.3'), 'served');
  // Those that came while little was going on.
  expect(wires.size).toBeLessThanOrEqual(16);
});

it('closes the oldest of the address that has the most, where too many are half', async () => {
  await serve();
  const half = (await helloBytes()).subarray(0, 100);
  const patient = dial('127.0.0.3', half);
  await opened([patient]);
  const crowd: Socket[] = [];
  for (let i = 0; i < 1100; i += 1) {
    crowd.push(dial('127.0.0.2', half));
    if (i % 50 === 49) await opened(crowd.slice(-50));
  }
  const isClosed = (one: Socket) => one.destroyed || one.readableEnded;
  for (const one of crowd) one.resume();
  await expect.poll(() => crowd.filter(isClosed).length).toBeGreaterThanOrEqual(40);
  expect(isClosed(patient)).toBe(false);
  await echoes(dialTls('127.0.0.4'), 'served');
});

/** Opens so many half ClientHellos, and counts those of them that are closed. */
async function floodHalf(count: number): Promise<() => number> {
  const half = (await helloBytes()).subarray(0, 100);
  let closed = 0;
  for (let i = 0; i < count; i += 1) {
    const socket = dial('127.0.0.2', half);
    socket.resume().on('close', () => {
      closed += 1;
    });
    if (i % 50 === 49) await opened([socket]);
  }
  await opened(sockets);
  return () => closed;
}

it('closes those that were given up at a pace, so that they do not come back at once', async () => {
  await serve();
  const beganMs = performance.now();
  const closed = await floodHalf(1024 + 600);
  await echoes(dialTls('127.0.0.3'), 'served');
  // 200 a second, and a step more than the time that has passed.
  expect(closed()).toBeLessThanOrEqual(((performance.now() - beganMs) / 1000) * 200 + 10);
});

it('closes one for each that is given up, where descriptors are scarce', async () => {
  // Time stands still: nothing is closed at a pace.
  const clock = Object.assign(new ManualClock(), {
    originMs: 0,
    setTicker: () => ({ cancel: () => {} }),
  });
  await serve(true, { lobby: new Lobby({ isScarce: () => true, clock }) });
  const closed = await floodHalf(1024 + 600);
  await expect.poll(closed).toBeGreaterThanOrEqual(560);
});

it.each([true, false])(
  'keeps little of those that come to nothing (fast: %s)',
  async (isFast) => {
    await serve(isFast);
    const half = (await helloBytes()).subarray(0, 100);
    const arriving = 1024;
    const before = queryObjects(Socket, { format: 'count' });
    for (let i = 0; i < arriving + 600; i += 1) {
      const socket = dial('127.0.0.2', half);
      if (i % 50 === 49) await opened([socket]);
    }
    await opened(sockets);
    const last = dialTls('127.0.0.3');
    await echoes(last, 'served');
    // The clients' own are here as well.
    const ours = queryObjects(Socket, { format: 'count' }) - before - sockets.length;
    // A socket of Node's is what the slow way has to keep while it reads, and no longer.
    expect(ours).toBeLessThan(isFast ? 50 : arriving + 100);
  },
  30_000,
);

it('serves a ClientHello that comes a byte at a time', async () => {
  await serve();
  const half = (await helloBytes()).subarray(0, 100);
  await opened(Array.from({ length: 20 }, () => dial('127.0.0.2', half)));
  const client = connectPlain({ port: server.port, host: '127.0.0.1', noDelay: true });
  sockets.push(client);
  await once(client, 'connect');
  const slow = new Duplex({
    read() {},
    write(bytes: Buffer, _, done) {
      const rest = [...bytes];
      const next = (): void => {
        const byte = rest.shift();
        if (byte === undefined) done();
        else client.write(Buffer.of(byte), () => setImmediate(next));
      };
      next();
    },
  });
  client.on('data', (piece) => slow.push(piece)).on('error', () => {});
  await echoes(connect({ socket: slow, ca: authority.ca, servername: 'localhost' }), 'served');
});

it('asks who has waited for a certificate, where the listener does', async () => {
  await serve(true, { now: { ...tls, material: { ...tls.material, clientAuth: 'require' } } });
  const half = (await helloBytes()).subarray(0, 100);
  await opened(Array.from({ length: 20 }, () => dial('127.0.0.2', half)));
  const stranger = dialTls('127.0.0.3');
  stranger.resume();
  const [error] = (await once(stranger, 'error')) as [NodeJS.ErrnoException];
  expect(error.code).toMatch(/CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/);
});

it('forgets who leaves before its ClientHello is whole', async () => {
  await serve();
  const half = (await helloBytes()).subarray(0, 100);
  const crowd = Array.from({ length: 200 }, () => dial('127.0.0.2', half));
  await opened(crowd);
  for (const [i, one] of crowd.entries()) {
    if (i % 2 === 0) one.end();
    else one.resetAndDestroy();
  }
  // By RST, where it had to wait: it gets no answer, whatever it sends.
  await Promise.all(crowd.map((one) => one.closed || closed(one.resume())));
  await expect.poll(() => wires.size).toBe(0);
  // There is room at once again: nobody is counted who has gone.
  const clients = Array.from({ length: 16 }, () => dialTls('127.0.0.3'));
  await Promise.all(clients.map((one, i) => echoes(one, `served ${i}`)));
});

it('gives the places of handshakes that get nowhere to who waits', async () => {
  await serve();
  const hello = await helloBytes();
  // They read nothing, and say nothing more.
  const crowd = Array.from({ length: 200 }, () => dial('127.0.0.2', hello));
  await opened(crowd);
  await expect.poll(() => wires.size).toBe(128);
  await echoes(dialTls('127.0.0.3'), 'served');
  expect(most).toBeLessThanOrEqual(128);
});

it('judges what is no ClientHello as it does without a crowd', async () => {
  await serve();
  const half = (await helloBytes()).subarray(0, 100);
  await opened(Array.from({ length: 20 }, () => dial('127.0.0.2', half)));
  for (const text of ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\x00\x05hello', '\x80'.repeat(40)]) {
    const odd = dial('127.0.0.3', Buffer.from(text, 'latin1'));
    odd.resume();
    await once(odd, 'close');
  }
  await echoes(dialTls('127.0.0.3'), 'served');
});
