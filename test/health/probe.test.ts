import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { probe } from '../../src/health/probe.ts';
import type { HealthCheck } from '../../src/model/service.ts';

const check: HealthCheck = {
  type: 'http',
  path: '/health',
  host: '',
  method: 'GET',
  port: 0,
  intervalMs: 1000,
  timeoutMs: 200,
  rise: 1,
  fall: 1,
  expectStatus: [{ from: 200, to: 399 }],
  initial: 'down',
};

let server: Server;
let seen: { url: string | undefined; host: string | undefined; method: string | undefined }[];
let status: number;

beforeEach(async () => {
  seen = [];
  status = 200;
  server = createServer((request, response) => {
    seen.push({ url: request.url, host: request.headers.host, method: request.method });
    if (request.url === '/hang') return;
    response.statusCode = status;
    response.end('x'.repeat(100_000));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

function portOf(of: { address(): unknown }): number {
  return (of.address() as { port: number }).port;
}

const run = (parts: Partial<HealthCheck> = {}, port = portOf(server)) =>
  probe({ ...check, ...parts }, { address: '127.0.0.1', port }, new AbortController().signal);

describe('HTTP check', () => {
  it('is good for an expected status', async () => {
    expect(await run()).toEqual({ isGood: true, text: 'GET /health answered 200' });
    expect(seen).toEqual([{ url: '/health', host: `127.0.0.1:${portOf(server)}`, method: 'GET' }]);
  });

  it.each([500, 404])('is bad for %i', async (code) => {
    status = code;
    expect(await run()).toEqual({ isGood: false, text: `GET /health answered ${code}` });
  });

  it('takes the statuses, method, host and port that are configured', async () => {
    status = 503;
    const parts = {
      expectStatus: [{ from: 503, to: 503 }],
      method: 'HEAD',
      host: 'app.example',
      port: portOf(server),
    } as const;
    expect((await run(parts, 1)).isGood).toBe(true);
    expect(seen[0]).toEqual({ url: '/health', host: 'app.example', method: 'HEAD' });
  });

  it('is bad when no answer comes in time', async () => {
    expect(await run({ path: '/hang' })).toEqual({ isGood: false, text: 'no answer within 200ms' });
  });

  it('is bad when the connection is refused', async () => {
    const port = portOf(server);
    await new Promise((resolve) => server.close(resolve));
    expect(await run({}, port)).toEqual({ isGood: false, text: 'connection refused' });
  });
});

describe('TCP check', () => {
  it('is good when a connection opens, and bad when it is refused', async () => {
    const tcp = createTcpServer((socket) => socket.on('error', () => {}));
    await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
    const port = portOf(tcp);
    expect(await run({ type: 'tcp' }, port)).toEqual({ isGood: true, text: 'connected' });
    await new Promise((resolve) => tcp.close(resolve));
    expect((await run({ type: 'tcp' }, port)).text).toBe('connection refused');
  });
});
