// The stats port over TLS, asked by real clients.

import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Agent, type RequestOptions, request } from 'node:https';
import { type AddressInfo, connect, createServer as createPlain, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { queryObjects } from 'node:v8';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { CertificateStore } from '../../src/certificates/store.ts';
import { healthcheck } from '../../src/cli/healthcheck.ts';
import type { ListenTls } from '../../src/model/listener.ts';
import { Connections } from '../../src/observe/connections.ts';
import { speakTls } from '../../src/observe/over-tls.ts';
import { Reading } from '../../src/observe/reading.ts';
import { holderOf, Takeover } from '../../src/observe/takeover.ts';
import { Authority, type Issued } from '../support/certificates.ts';
import { type StatsPort, startStatsPort } from '../support/stats-port.ts';

let authority: Authority;
let first: Issued;
let second: Issued;
let certFile: string;
let keyFile: string;
let store: CertificateStore;
let port: StatsPort;
let agent: Agent;

beforeAll(() => {
  authority = new Authority();
  first = authority.issue(['127.0.0.1', 'first.test']);
  second = authority.issue(['127.0.0.1', 'second.test']);
  certFile = join(authority.folder, 'stats.pem');
  keyFile = join(authority.folder, 'stats.key');
});
afterAll(() => authority.remove());

beforeEach(() => {
  agent = new Agent({ keepAlive: true, maxSockets: 1, ca: authority.ca });
  store = new CertificateStore({ clock: systemClock, log: silentLogger, onChange: () => {} });
});
afterEach(async () => {
  agent.destroy();
  store.close();
  await port.close();
});

async function open(parts: Partial<ListenTls> = {}, isLocal = true): Promise<void> {
  put(first);
  const certificates = [{ kind: 'pair' as const, certFile, keyFile }];
  await store.follow([
    { certificates, minVersion: '1.2', clientAuth: 'off', clientCaFile: '', ...parts },
  ]);
  const places = { places: 20, reserved: 5, isLocal: () => isLocal };
  port = await startStatsPort({ tls: () => store.materials[0] ?? null, places });
}

function put(issued: Issued): void {
  copyFileSync(issued.certFile, certFile);
  copyFileSync(issued.keyFile, keyFile);
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly socket: TLSSocket;
}

function ask(path: string, options: RequestOptions = {}): Promise<Answer> {
  const { hostname, port: number } = new URL(port.url);
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port: number, path, agent, ...options }, (response) => {
      const { socket } = response;
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () =>
        // An https request's socket is one of TLS.
        resolve({ status: response.statusCode ?? 0, text, socket: socket as TLSSocket }),
      );
    });
    sent.on('error', reject).end();
  });
}

const shown = (socket: TLSSocket): string => socket.getPeerX509Certificate()!.fingerprint256;

it('serves page, metrics and API to a client that verifies', async () => {
  await open();
  expect(await ask('/stats')).toMatchObject({ status: 200, text: expect.stringMatching(/^<!/) });
  const metrics = await ask('/metrics');
  expect(metrics).toMatchObject({ status: 200, text: expect.stringContaining('upriver_') });
  expect((await ask('/api/v1/status')).socket, 'kept alive').toBe(metrics.socket);
  expect(metrics.socket.authorized).toBe(true);
});

it('shows a replaced certificate to new connections; one that is open goes on', async () => {
  await open();
  const before = await ask('/metrics');
  put(second);
  const fresh = async (): Promise<string> => {
    // Asked meanwhile: it is not to end for having nothing to do.
    const { socket } = await ask('/healthz');
    expect(socket).toBe(before.socket);
    return shown((await ask('/healthz', { agent: false, ca: authority.ca })).socket);
  };
  const old = shown(before.socket);
  await vi.waitFor(async () => expect(await fresh()).not.toBe(old), { timeout: 20_000 });
  const after = await ask('/metrics');
  expect(after.socket).toBe(before.socket);
  expect(after.status).toBe(200);
});

it('tells a client in plain what to do, and closes', async () => {
  await open();
  const answer = await port.ask('/metrics');
  expect(answer).toMatchObject({ status: 400, headers: { connection: 'close' } });
  expect(answer.text).toContain('this port speaks TLS: ask it by https://');
});

it('is asked by the commands of this machine, whoever issued its certificate', async () => {
  await open({ clientAuth: 'require', clientCaFile: authority.caFile });
  const said = vi.spyOn(console, 'error').mockImplementation(() => {});
  const check = (stats: string) => healthcheck({ flags: { stats }, words: [] });
  const { host } = new URL(port.url);
  expect(await check(`https://${host}`)).toBe(0);
  expect(await check(host)).toBe(1);
  expect(said.mock.lastCall?.[0]).toContain('this port speaks TLS: ask it by https://');
  said.mockRestore();
});

it('speaks no older version than it should', async () => {
  await open({ minVersion: '1.3' });
  await expect(ask('/healthz', { maxVersion: 'TLSv1.2' })).rejects.toThrow(/version/);
  expect((await ask('/healthz')).status).toBe(200);
});

it('refuses bad certificates of clients, and asks this machine for none', async () => {
  await open({ clientAuth: 'require', clientCaFile: authority.caFile });
  expect((await ask('/healthz')).status).toBe(200);
  const stranger = new Authority('stranger');
  try {
    const { cert, key } = stranger.issue(['nobody']);
    const options = { agent: false as const, ca: authority.ca, cert, key };
    await expect(ask('/healthz', options)).rejects.toThrow();
    const own = { agent: false as const, ca: authority.ca, cert: first.cert, key: first.key };
    expect((await ask('/healthz', own)).status).toBe(200);
  } finally {
    stranger.remove();
  }
});

it('requires a certificate of other machines', async () => {
  await open({ clientAuth: 'require', clientCaFile: authority.caFile }, false);
  await expect(ask('/metrics')).rejects.toThrow(/certificate required|socket hang up|ECONNRESET/);
  await expect(ask('/metrics', { maxVersion: 'TLSv1.2' })).rejects.toThrow();
  const { cert, key } = first;
  expect((await ask('/metrics', { cert, key })).status).toBe(200);
});

it('closes what never ends its handshake, when it closes', async () => {
  await open();
  const { hostname, port: number } = new URL(port.url);
  const silent = connect(Number(number), hostname);
  const half = connect(Number(number), hostname, () => half.write(Buffer.from([0x16, 3, 1])));
  const ended = [silent, half].map(
    (socket) =>
      new Promise<void>((resolve) => socket.on('error', () => {}).once('close', () => resolve())),
  );
  const opened = [silent, half].map(
    (socket) => new Promise((done) => socket.once('connect', done)),
  );
  await Promise.all(opened);
  await ask('/healthz');
  agent.destroy();
  await port.close();
  await Promise.all(ended);
});

it('gives a place back when its connection ends, and when its handshake fails', async () => {
  await open();
  const connections = new Connections({ places: 9, reserved: 0 });
  const closed: Promise<unknown>[] = [];
  const marks: number[] = [];
  const server = createServer((_, response) => response.end('ok'));
  server.on('connection', (secured: Socket) => marks.push(secured.readableHighWaterMark));
  speakTls(
    server,
    { connections, reading: new Reading(systemClock) },
    () => store.materials[0] ?? null,
  );
  server.on('connection', (raw: Socket) => closed.push(once(raw, 'close')));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: number } = server.address() as AddressInfo;
  const options = { port: number, agent: false as const };
  expect(await ask('/', { ...options, ca: authority.ca })).toMatchObject({ text: 'ok' });
  await expect(ask('/', options)).rejects.toThrow(/certificate/);
  await expect(ask('/', { ...options, maxVersion: 'TLSv1.1' })).rejects.toThrow();
  expect(closed.length).toBeGreaterThan(1);
  // Little is decrypted ahead of who reads it: a record of one byte costs a buffer.
  expect(marks).toEqual([1024]);
  await Promise.all(closed);
  expect(connections.size).toBe(0);
  connections.close();
  server.close();
});

it('keeps serving beside clients that break off in the handshake', async () => {
  await open();
  const { hostname, port: number } = new URL(port.url);
  for (const bytes of [[0x16], [0x16, 3, 1, 0, 5, 9, 9, 9, 9, 9], [0x16, 3, 1, 0xff, 0xff]]) {
    await new Promise<void>((resolve) => {
      const socket = connect(Number(number), hostname, () => socket.end(Buffer.from(bytes)));
      socket.resume();
      socket.on('error', () => {}).once('close', () => resolve());
    });
  }
  const client = connectTls({ host: hostname, port: Number(number), rejectUnauthorized: false });
  await new Promise((resolve) => client.once('secureConnect', resolve));
  client.destroy();
  expect((await ask('/metrics')).status).toBe(200);
});

/** What a client says first, recorded. */
async function helloBytes(): Promise<Buffer> {
  const listening = createPlain().listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const { port: number } = listening.address() as AddressInfo;
  const client = connectTls({ port: number, host: '127.0.0.1' }).on('error', () => {});
  const [socket] = (await once(listening, 'connection')) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  listening.close();
  return bytes;
}

it.each([
  ['half a ClientHello', 100, 0],
  ['handshakes that get nowhere', 1e6, 32],
])(
  'begins few handshakes, and serves others, in a crowd of %s',
  async (_, bytes, most) => {
    await open();
    const connections = new Connections({ places: 500, reserved: 0 });
    const server = createServer((__, response) => response.end('ok'));
    speakTls(
      server,
      { connections, reading: new Reading(systemClock) },
      () => store.materials[0] ?? null,
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port: number } = server.address() as AddressInfo;
    const hello = (await helloBytes()).subarray(0, bytes);
    const before = queryObjects(TLSSocket, { format: 'count' });
    const crowd: Socket[] = [];
    for (let i = 0; i < 200; i += 1) {
      const socket = connect({ port: number, host: '127.0.0.1', localAddress: '127.0.0.2' });
      socket.on('error', () => {}).write(hello);
      crowd.push(socket);
    }
    await expect.poll(() => connections.size).toBe(crowd.length);
    const options = { port: number, agent: false as const, localAddress: '127.0.0.3' };
    expect(await ask('/', { ...options, ca: authority.ca })).toMatchObject({ text: 'ok' });
    const handshakes = queryObjects(TLSSocket, { format: 'count' }) - before;
    // The client that was served has one at each end.
    expect(handshakes).toBeLessThanOrEqual(most + 2);
    for (const socket of crowd) socket.destroy();
    connections.close();
    server.close();
  },
  30_000,
);

it('takes no place from a handshake that has begun, for who comes after it', async () => {
  await open();
  const connections = new Connections({ places: 2, reserved: 0 });
  const server = createServer((_, response) => response.end('ok'));
  speakTls(
    server,
    { connections, reading: new Reading(systemClock) },
    () => store.materials[0] ?? null,
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: number } = server.address() as AddressInfo;
  const come = (): Socket => connect(number, '127.0.0.1').on('error', () => {});
  const [begun, silent] = [come(), come()];
  begun.write(await helloBytes());
  await once(begun, 'data');
  await expect.poll(() => connections.size).toBe(2);
  const closed = once(silent.resume(), 'close');
  const next = come();
  await closed;
  expect(begun.closed).toBe(false);
  // It has its place while others come and go: its handshake costs nobody another one.
  const last = come();
  await once(next.resume(), 'close');
  expect(begun.closed).toBe(false);
  for (const socket of [begun, last]) socket.destroy();
  connections.close();
  server.close();
});

it.each([
  ['TLS as before', true],
  ['TLS before, plain next', false],
])('the next process finds the holder and gets the port: %s', async (_, nextSpeaksTls) => {
  await open();
  const { port: number } = new URL(port.url);
  const listen = { kind: 'tcp', host: '127.0.0.1', port: Number(number) } as const;
  const tls = nextSpeaksTls
    ? ({ certificates: [], minVersion: '1.2', clientAuth: 'off', clientCaFile: '' } as const)
    : null;
  const settings = { adminToken: '', readToken: '', tls };
  const holder = await holderOf(listen, settings);
  expect(holder).toMatchObject({ pid: process.pid, isTls: true });
  let isFree = false;
  const opened = vi.fn(() =>
    isFree
      ? Promise.resolve(port.server)
      : Promise.reject(Object.assign(new Error('taken'), { code: 'EADDRINUSE' })),
  );
  const takeover = new Takeover({
    ...{ settings, listen, version: '2.0.0', holder: holder!, clock: systemClock },
    ...{ log: silentLogger, open: opened },
  });
  takeover.ready();
  await vi.waitFor(async () => expect((await ask('/api/v1/takeover')).status).toBe(200), 10_000);
  isFree = true;
  port.server.drain();
  expect(await takeover.server).toBe(port.server);
  await expect(ask('/healthz', { agent: false })).rejects.toThrow(/ECONNREFUSED/);
});
