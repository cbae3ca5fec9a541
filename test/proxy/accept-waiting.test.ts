// Connections that wait for each other to be accepted: together, each for itself, and no more in one turn of
// the thread than it may take.
import { execFile } from 'node:child_process';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import type { Wire } from '../../src/proxy/network.ts';
import { acceptHandles } from '../../src/proxy/wire/accept.ts';
import { ACCEPTED_MAX, canAcceptWaiting } from '../../src/proxy/wire/accept-waiting.ts';
import { Lobby } from '../../src/proxy/wire/lobby.ts';
import { nodeTls } from '../../src/proxy/wire/node-tls.ts';
import { ReadBuffers } from '../../src/proxy/wire/read-buffers.ts';

const open: { destroy(): unknown }[] = [];
const servers: Server[] = [];

afterEach(() => {
  for (const one of open.splice(0)) one.destroy();
  for (const server of servers.splice(0)) server.close();
});

/** Hands what comes in to `serve`, with the turn of the thread in which it came. */
async function listen(host: string, serve: (wire: Wire, turn: number) => void): Promise<Server> {
  let turn = 0;
  const count = (): void => {
    turn += 1;
    if (servers.includes(server)) setImmediate(count);
  };
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  count();
  const onWire = (wire: Wire): void => {
    open.push(wire);
    wire.handler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };
    serve(wire, turn);
  };
  const buffers = new ReadBuffers();
  acceptHandles(server, { port: 0, buffers, parts: nodeTls, lobby: new Lobby(), onWire });
  return server;
}

/** They have all connected before the listener's thread looks for any. */
function dial(server: Server, count: number): Socket[] {
  // A server that listens on a port has an address with one.
  const { port, address: host } = server.address() as AddressInfo;
  const clients = Array.from({ length: count }, () => connect({ port, host }));
  for (const client of clients) client.on('error', () => {});
  open.push(...clients);
  return clients;
}

const onLinux = it.skipIf(process.platform !== 'linux');

onLinux('is to be had on the Node that is delivered', () => {
  expect(canAcceptWaiting).toBe(true);
});

onLinux('takes all that wait in one turn, but for what is too much for one', async () => {
  const turns: number[] = [];
  const count = 2 * ACCEPTED_MAX + 10;
  await new Promise<void>((resolve) => {
    void listen('127.0.0.1', (_, turn) => {
      turns.push(turn);
      if (turns.length === count) resolve();
    }).then((server) => dial(server, count));
  });
  const byTurn = [...new Set(turns)].map((one) => turns.filter((turn) => turn === one).length);
  expect(Math.max(...byTurn)).toBeLessThanOrEqual(ACCEPTED_MAX);
  // Three, but for a kernel that is late with some of the handshakes.
  expect(byTurn.length).toBeLessThan(count / 8);
});

/** Of loopback: a machine may do without IPv6. */
const LOOPBACK = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .map(({ address }) => address)
  .filter((address) => address === '127.0.0.1' || address === '::1');

it.each(LOOPBACK)('gives each client of %s what is its own', async (host) => {
  const server = await listen(host, (wire) => {
    wire.handler = {
      onBytes: (base, start, end) => {
        const said = `${base.toString('latin1', start, end)} ${wire.remoteAddress}`;
        wire.write(Buffer.from(`${wire.remotePort} said ${said}`));
        wire.end();
      },
      onEnd() {},
      onDrain() {},
      onClose() {},
    };
  });
  const clients = dial(server, 40);
  const answers = clients.map(
    (client, i) =>
      new Promise<string>((resolve, reject) => {
        client.on('connect', () => client.write(`hello ${i}`));
        client.once('data', (bytes) => resolve(`${bytes}`));
        client.once('error', reject);
      }),
  );
  expect(await Promise.all(answers)).toEqual(
    clients.map(({ localPort }, i) => `${localPort} said hello ${i} ${host}`),
  );
});

it('ends with the listener', async () => {
  let taken = 0;
  const server = await listen('127.0.0.1', () => {
    taken += 1;
    if (taken === 3) server.close();
  });
  const closed = new Promise((resolve) => server.once('close', resolve));
  const ended = dial(server, 10).map((one) => new Promise((resolve) => one.once('close', resolve)));
  await closed;
  expect(taken).toBe(3);
  // Nobody has those that were left.
  await Promise.all(ended.slice(3));
});

/** What a Node with these options says of it, when three have connected at once; and what it warns of. */
async function triedBy(options: readonly string[]): Promise<string> {
  const wire = new URL('../../src/proxy/wire/', import.meta.url).href;
  const script = `
    const { canAcceptWaiting } = await import('${wire}accept-waiting.ts');
    const { listenWires } = await import('${wire}listen.ts');
    const { ReadBuffers } = await import('${wire}read-buffers.ts');
    const { connect } = await import('node:net');
    let count = 0;
    const server = await listenWires({
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      buffers: new ReadBuffers(),
      log: { warn: (fields, text) => console.error(text) },
      onWire: (one) => {
        one.destroy();
        count += 1;
        if (count < 3) return;
        console.log(canAcceptWaiting ? 'together' : 'one by one');
        process.exit();
      },
    });
    for (let i = 0; i < 3; i += 1) connect(server.port, '127.0.0.1').on('error', () => {});
  `;
  const args = [...options, '--input-type=module', '-e', script];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args);
  return `${stdout}${stderr}`.trim();
}

onLinux('needs nothing where node:ffi is to be had, and says nothing of it', async () => {
  expect(await triedBy([])).toBe('together');
});

it('leaves it to libuv where there is none', async () => {
  expect(await triedBy(['--no-experimental-ffi'])).toBe('one by one');
});
