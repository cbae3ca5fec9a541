// Limits of TCP services over several workers: per endpoint, and per client address.
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { freePorts } from '../support/ports.ts';
import { startUpriver, type UpriverProcess } from '../support/upriver.ts';

let upriver: UpriverProcess | null = null;
const servers: Server[] = [];
const sockets = new Set<Socket>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
  await upriver?.stop();
  upriver = null;
});

interface Endpoint {
  readonly port: number;
  open: number;
  most: number;
}

/** Greets, and counts how many are open at a time. */
async function startEndpoint(): Promise<Endpoint> {
  const endpoint = { port: 0, open: 0, most: 0 };
  const server = createServer((socket) => {
    sockets.add(socket);
    endpoint.open += 1;
    endpoint.most = Math.max(endpoint.most, endpoint.open);
    socket.on('error', () => {});
    // Before the answer to its end is sent: only then may the place go to another.
    let isOpen = true;
    const leave = (): void => {
      if (isOpen) endpoint.open -= 1;
      isOpen = false;
    };
    socket.once('end', leave).once('close', leave);
    socket.write('hello');
    socket.resume();
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  endpoint.port = (server.address() as { port: number }).port;
  return endpoint;
}

async function serve(endpoints: readonly Endpoint[], settings: string): Promise<number> {
  const [port] = (await freePorts(1)) as [number];
  const list = endpoints.map((one) => `127.0.0.1:${one.port}`).join(',');
  const service = `db=127.0.0.1:${port},protocol=tcp,${settings}`;
  const args = ['--workers', '3', '--static', `db=${list}`, '--service', service];
  upriver = await startUpriver({ args });
  return port;
}

interface Client {
  readonly socket: Socket;
  state: 'waiting' | 'greeted' | 'closed';
}

function dial(port: number, localAddress = '127.0.0.1'): Client {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  sockets.add(socket);
  const client: Client = { socket, state: 'waiting' };
  socket.on('data', () => {
    client.state = 'greeted';
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    client.state = 'closed';
  });
  return client;
}

const countOf = (clients: readonly Client[], state: Client['state']) =>
  clients.filter((client) => client.state === state).length;

describe('limits of a TCP service with three workers', () => {
  it('per endpoint hold exactly, and who waits gets the place of who leaves', async () => {
    const endpoints = [await startEndpoint(), await startEndpoint()];
    const port = await serve(endpoints, 'limits.per_endpoint=4,limits.queue_timeout=30s');
    const clients = Array.from({ length: 40 }, () => dial(port));
    await expect.poll(() => countOf(clients, 'greeted')).toBe(8);
    // All forty come in turn, eight at a time, as those that were served leave.
    for (let done = 0; done < 40; ) {
      const served = clients.filter(({ state }) => state === 'greeted');
      for (const { socket } of served) socket.end();
      await expect.poll(() => served.every(({ state }) => state === 'closed')).toBe(true);
      done += served.length;
      const left = Math.min(8, 40 - done);
      await expect.poll(() => countOf(clients, 'greeted')).toBe(left);
    }
    expect(endpoints.map(({ most }) => most)).toEqual([4, 4]);
  });

  it('per client address hold over all workers, and not for another address', async () => {
    const endpoint = await startEndpoint();
    const port = await serve([endpoint], 'limits.connections_per_client=5');
    const clients = Array.from({ length: 20 }, () => dial(port));
    await expect.poll(() => countOf(clients, 'waiting')).toBe(0);
    expect(countOf(clients, 'greeted')).toBe(5);
    const other = dial(port, '127.0.0.2');
    await expect.poll(() => other.state).toBe('greeted');
    const response = await fetch(`${upriver!.statsUrl}/metrics`);
    const metrics = await response.text();
    expect(metrics).toMatch(/reason="client-connections"[^\n]* 15\n/);
    for (const { socket } of clients) socket.destroy();
    await expect.poll(() => endpoint.open).toBe(1);
    const again = dial(port);
    await expect.poll(() => again.state).toBe('greeted');
  });
});
