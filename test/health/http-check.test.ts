import { createServer, type Server } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { probe } from '../../src/health/probe.ts';
import type { HealthCheck } from '../../src/model/service.ts';
import { makeCheck } from '../support/check.ts';

const check = makeCheck();

let server: Server;
let seen: { url: string | undefined; host: string | undefined; method: string | undefined }[];
let status: number;

beforeEach(async () => {
  seen = [];
  status = 200;
  server = createServer((request, response) => {
    seen.push({ url: request.url, host: request.headers.host, method: request.method });
    if (request.url === '/hang') return;
    if (request.url === '/drip') {
      response.writeHead(200);
      response.write('x');
      return;
    }
    if (request.url === '/cut') {
      request.socket.destroy();
      return;
    }
    if (request.url === '/upgrade') {
      request.socket.end(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
      );
      return;
    }
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

  it('shows no token of the path', async () => {
    const path = '/health?probe=lb&token=s3cr3t';
    expect(await run({ path })).toEqual({
      ...{ isGood: true, text: 'GET /health?probe=lb&token=*** answered 200' },
    });
    expect(seen).toMatchObject([{ url: path }]);
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
    const outcome = await run({ path: '/hang', timeoutMs: 200 });
    expect(outcome).toEqual({ isGood: false, text: 'no answer within 200ms' });
  });

  it('is bad when the connection is refused', async () => {
    const port = portOf(server);
    await new Promise((resolve) => server.close(resolve));
    expect(await run({}, port)).toEqual({ isGood: false, text: 'connection refused' });
  });

  it('looks at the status alone: it does not wait for a body', async () => {
    expect((await run({ path: '/drip' })).isGood).toBe(true);
  });

  it('reads a short body to its end, and cuts off a long one', async () => {
    const aborted: boolean[] = [];
    const answer = (bytes: number) =>
      new Promise<void>((resolve) => {
        server.removeAllListeners('request');
        server.on('request', (_, response) => {
          response.on('close', () => {
            aborted.push(!response.writableFinished);
            resolve();
          });
          response.end(Buffer.alloc(bytes));
        });
      });
    const short = answer(10_000);
    await run();
    await short;
    const long = answer(50_000_000);
    await run();
    await long;
    expect(aborted).toEqual([false, true]);
  });

  it.each([
    ['/cut', 'connection reset'],
    ['/upgrade', 'connection closed without an answer'],
  ])('is bad where the connection ends without an answer: %s', async (path, text) => {
    expect(await run({ path })).toEqual({ isGood: false, text });
  });

  it('rejects when the request can not be made of the settings', async () => {
    await expect(run({ path: '/a b' })).rejects.toThrow();
  });

  it('ends at once when it is given up', async () => {
    const giveUp = new AbortController();
    const target = { address: '127.0.0.1', port: portOf(server) };
    const outcome = probe({ ...check, path: '/hang', timeoutMs: 60_000 }, target, giveUp.signal);
    giveUp.abort();
    expect((await outcome).isGood).toBe(false);
  });
});
