// WebSockets live through everything that happens to the table.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { type ConsulAgent, hasConsul, startConsul } from '../support/consul.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

const SOCKETS = 50;
const CHANGES = 30;

let consul: ConsulAgent | null = null;
let upriver: UpriverProcess | null = null;
let servers: WebSocketServer[] = [];
afterEach(async () => {
  for (const server of servers) {
    for (const client of server.clients) client.terminate();
    server.close();
  }
  servers = [];
  await upriver?.stop();
  await consul?.stop();
});

/** An endpoint that sends back what it gets. */
async function startEcho(): Promise<number> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  servers.push(server);
  server.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function echo(socket: WebSocket, bytes: Buffer): Promise<Buffer> {
  const answer = once(socket, 'message');
  socket.send(bytes);
  return (await answer)[0] as Buffer;
}

describe.skipIf(!hasConsul)('WebSockets', () => {
  it(`${SOCKETS} of them live through ${CHANGES} changes of the table`, async () => {
    const running = await startConsul();
    consul = running;
    const register = (ID: string, Port: number) =>
      running.register({ Name: 'ws', ID, Address: '127.0.0.1', Port });
    for (const id of ['a', 'b']) await register(id, await startEcho());
    const [port] = await freePorts(1);
    upriver = await startUpriver({ args: ['--consul', running.url, '--service', `ws=${port}`] });

    let broken = 0;
    const sockets = await Promise.all(
      Array.from({ length: SOCKETS }, async () => {
        const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`);
        socket.on('close', () => {
          broken += 1;
        });
        await once(socket, 'open');
        return socket;
      }),
    );
    const other = await startEcho();
    for (let i = 0; i < CHANGES; i += 1) {
      // Endpoints come and go, those with open sockets too: a session stays where it is.
      if (i % 2 === 0) await register(`new-${i}`, other);
      else await running.deregister(i % 4 === 1 ? `new-${i - 1}` : 'a');
      const message = Buffer.from(`message ${i}`.repeat(1 + i * 50));
      const socket = sockets[i % SOCKETS]!;
      expect((await echo(socket, message)).equals(message)).toBe(true);
    }
    expect(broken).toBe(0);
    const answers = await Promise.all(
      sockets.map((socket, i) => echo(socket, Buffer.from(`${i}`))),
    );
    expect(answers.map(String)).toEqual(sockets.map((_, i) => `${i}`));
    for (const socket of sockets) socket.terminate();
  });
});
