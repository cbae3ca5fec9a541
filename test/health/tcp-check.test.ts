import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { probe } from '../../src/health/probe.ts';
import type { HealthCheck } from '../../src/model/service.ts';
import { makeCheck } from '../support/check.ts';

const check = makeCheck({ type: 'tcp', path: '/', expectStatus: [] });

let server: Server;
let accepted: Socket[];

beforeEach(async () => {
  accepted = [];
  server = createServer((socket) => {
    socket.on('error', () => {});
    socket.resume();
    accepted.push(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(() => void server.close());

function portOfServer(): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const run = (parts: Partial<HealthCheck>, target: { address: string; port: number }) =>
  probe({ ...check, ...parts }, target, new AbortController().signal);

describe('TCP check', () => {
  it('is good when a connection opens, and closes it', async () => {
    const closed = new Promise((resolve) =>
      server.once('connection', (socket: Socket) => socket.once('close', resolve)),
    );
    const outcome = await run({}, { address: '127.0.0.1', port: portOfServer() });
    expect(outcome).toEqual({ isGood: true, text: 'connected' });
    await closed;
  });

  it('takes the port that is configured', async () => {
    const port = portOfServer();
    expect((await run({ port }, { address: '127.0.0.1', port: 1 })).isGood).toBe(true);
  });

  it('is bad when the connection is refused', async () => {
    const port = portOfServer();
    await new Promise((resolve) => server.close(resolve));
    const outcome = await run({}, { address: '127.0.0.1', port });
    expect(outcome).toEqual({ isGood: false, text: 'connection refused' });
  });
});
