// A newer process waits for the stats port: its request outlives every bound of that port.
import { request } from 'node:http';
import { afterEach, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import type { AccessSettings } from '../../src/observe/access.ts';
import { holderOf } from '../../src/observe/takeover.ts';
import { type StatsPort, startStatsPort } from '../support/stats-port.ts';

let port: StatsPort | undefined;
afterEach(async () => {
  vi.useRealTimers();
  await port?.close();
  port = undefined;
});

const NEWER = JSON.stringify({ pid: 4711, version: '2.0.0', ready: true });

/** Resolves with the status and text of the answer. */
function wait(url: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(`${url}/api/v1/takeover`, { method: 'POST', agent: false, headers });
    asked.once('error', reject);
    asked.once('response', (response) => {
      let text = `${response.statusCode} `;
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.once('end', () => resolve(text));
    });
    asked.end(NEWER);
  });
}

const successorOf = async ({ url }: StatsPort): Promise<number> =>
  (await fetch(`${url}/api/v1/takeover`)).status;

it('is answered when this process drains, whatever the port sheds and cuts before', async () => {
  const timers = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] as const;
  vi.useFakeTimers({ toFake: [...timers, 'performance'] });
  port = await startStatsPort();
  const waiting = wait(port.url);
  while ((await successorOf(port)) !== 200) await new Promise(setImmediate);
  // Beyond every time that a request, an answer or a connection has.
  await vi.advanceTimersByTimeAsync(120_000);
  port.server.shed();
  expect(await successorOf(port)).toBe(200);
  port.server.drain();
  expect(await waiting).toMatch(/^200 .*"released": true/s);
});

it('needs the admin token where there is one', async () => {
  port = await startStatsPort({ access: { adminToken: '4dmin', readToken: 'r3ad' } });
  expect(await wait(port.url)).toMatch(/^403 /);
  expect(await wait(port.url, { authorization: 'Bearer r3ad' })).toMatch(/^403 /);
  const waiting = wait(port.url, { authorization: 'Bearer 4dmin' });
  while ((await successorOf(port)) !== 200) await new Promise(setImmediate);
  port.server.drain();
  expect(await waiting).toMatch(/^200 /);
});

it.each<[Partial<AccessSettings>, string]>([
  [{ read: ['token'], readToken: 'r3ad' }, 'the token for reading'],
  [{ read: ['token'], adminToken: '4dmin' }, 'the admin token'],
  [{ read: ['loopback'] }, 'its address'],
])('the newer process learns who serves there with %j, by %s', async (access) => {
  port = await startStatsPort({ access });
  const { port: number } = new URL(port.url);
  const listen = { kind: 'tcp', host: '127.0.0.1', port: Number(number) } as const;
  const { adminToken = '', readToken = '' } = access;
  expect(await holderOf(listen, { adminToken, readToken, tls: null })).toEqual({
    ...{ pid: process.pid, version: '1.2.3', isDraining: false, isTls: false },
  });
});

it('tells when the newer process came', async () => {
  port = await startStatsPort();
  const waiting = wait(port.url);
  while ((await successorOf(port)) !== 200) await new Promise(setImmediate);
  const status = (await port.json('/api/v1/status')) as {
    takeover: { successor: { pid: number; at: number } };
  };
  expect(status.takeover.successor.pid).toBe(4711);
  expect(status.takeover.successor.at).toBeLessThanOrEqual(systemClock.wallMs());
  port.server.drain();
  await waiting;
});
