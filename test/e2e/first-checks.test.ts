// A process listens, and is ready, when it can serve: not before the first checks of the endpoints that it starts
// with are over, and not much later where one of them hangs.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { type StartOptions, startUpriver, type UpriverProcess } from '../support/upriver.ts';

let folder: string;
let port: number;
let statsPort: number;
let server: Server;
/** Checks wait for their answer. */
let isHolding: boolean;
/** How long the answer to a check takes, ms. */
let checkMs: number;
/** Checks that wait, and who waits for one. */
let held: ServerResponse[];
let onHeld: PromiseWithResolvers<void>;
const endings: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'upriver-first-'));
  endings.push(() => rm(folder, { recursive: true, force: true }));
  [port = 0, statsPort = 0] = await freePorts(2);
  isHolding = true;
  checkMs = 0;
  held = [];
  onHeld = Promise.withResolvers();
  server = createServer((request, response) => {
    const isCheck = request.url === '/health';
    if (isCheck && checkMs > 0) return void setTimeout(() => response.end(), checkMs);
    if (!isCheck || !isHolding) return void response.end('served');
    held.push(response);
    onHeld.resolve();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(async () => server.close());
  endings.push(async () => server.closeAllConnections());
});
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

function answerChecks(): void {
  isHolding = false;
  for (const response of held.splice(0)) response.end();
}

/** With an endpoint that is checked, and none of whose checks ends by time. */
async function start(options: StartOptions = {}): Promise<UpriverProcess> {
  const config = join(folder, 'upriver.yaml');
  const own = (server.address() as AddressInfo).port;
  await writeFile(
    config,
    `services:
  web:
    listen: "127.0.0.1:${port}"
    from: { registry: static }
    health: { path: /health, interval: 60s, timeout: 60s }
static: { web: ["127.0.0.1:${own}"] }
workers: 1
`,
  );
  const args = ['--config', config, ...(options.args ?? [])];
  const upriver = await startUpriver({ statsPort, isReady: false, ...options, args });
  endings.push(() => upriver.stop());
  return upriver;
}

const isReady = ({ msg }: { msg: string }) => msg === 'ready';

it('is not ready before the first check of its endpoint, and serves as soon as it is', async () => {
  const upriver = await start();
  await onHeld.promise;
  const readyz = async () => (await fetch(`${upriver.statsUrl}/readyz`)).text();
  await expect.poll(readyz).toContain('waiting for first checks: 1');
  expect(upriver.log.some(isReady)).toBe(false);
  // A client may repeat whatever it asked: it was refused, and not answered.
  const refused = fetch(`http://127.0.0.1:${port}/`);
  await expect(refused).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
  answerChecks();
  await upriver.waitForLog(isReady, 'ready');
  const response = await fetch(`http://127.0.0.1:${port}/`);
  expect([response.status, await response.text()]).toEqual([200, 'served']);
});

it('is ready without the check of an endpoint that hangs, after a few seconds, and says so', async () => {
  const upriver = await start();
  await onHeld.promise;
  await upriver.waitForLog(isReady, 'ready');
  expect(held).toHaveLength(1);
  const { endpoints } = await upriver.waitForLog(
    ({ msg }) => msg.includes('before the first checks'),
    'what is missing',
  );
  expect(endpoints).toBe(1);
  expect((await fetch(`${upriver.statsUrl}/readyz`)).status).toBe(200);
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(503);
});

it('ends at once where it is asked to while it waits for them', async () => {
  const upriver = await start();
  await onHeld.promise;
  upriver.signal('SIGTERM');
  expect(await upriver.exited).toBe(0);
  expect(upriver.log.some(isReady)).toBe(false);
});

it('one that is to take the place of another is not ready to before that', async () => {
  isHolding = false;
  const first = await start();
  await first.waitForLog(isReady, 'ready');
  isHolding = true;
  const second = await start({ args: ['--takeover'] });
  await onHeld.promise;
  const successor = async () => {
    const answer = await fetch(`${first.statsUrl}/api/v1/status`);
    // The API's own shape (docs/reference/admin-api.md).
    const status = (await answer.json()) as { takeover: { successor: { ready: boolean } | null } };
    return status.takeover.successor?.ready;
  };
  await expect.poll(successor).toBe(false);
  expect(second.log.some(isReady)).toBe(false);
  answerChecks();
  await second.waitForLog(isReady, 'ready');
  await expect.poll(successor).toBe(true);
});

it('one that takes the place of another loses no request while its first checks take their time', async () => {
  isHolding = false;
  const first = await start();
  await first.waitForLog(isReady, 'ready');
  checkMs = 300;
  const url = `http://127.0.0.1:${port}/`;
  const load = startLoad({ url, perSecond: 200, timeoutMs: 15_000, keepAlive: false });
  endings.push(() => load.stop());
  await load.next(20);
  const second = await start({ args: ['--takeover'] });
  await second.waitForLog(isReady, 'ready');
  await load.next(20);
  expect((await load.stop()).failures).toEqual([]);
  first.signal('SIGTERM');
  expect(await first.exited).toBe(0);
  expect((await fetch(url)).status).toBe(200);
});
