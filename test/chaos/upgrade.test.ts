// Twenty upgrades under load: a new process beside the old one on the same ports, the stats port among
// them, then SIGTERM to the old one.
// Must not fail: a request on a kept connection. It may meet the end of an idle one and is sent again
// then, as clients do. How many there are is how often the client stands still; none of them may have
// reached an endpoint.
// May fail: a new connection that arrives in the very moment in which a listener closes, and only where
// the kernel does not hand it on to another (net.ipv4.tcp_migrate_req, docs/guides/upgrade.md); of those
// no more than one in two hundred. Clients that keep connections open a new one now and then.
import { existsSync, readFileSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { type EndpointProcess, startEndpoint } from '../support/endpoint.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/ports.ts';
import { startUpriver } from '../support/upriver.ts';

const UPGRADES = 20;
/**
 * What a new connection has for its first request while a process drains is 5 s (docs/guides/upgrade.md): a client that
 * stands still for as long, on a machine that others use, loses it. It has sent nothing.
 */
const STILL_MS = 4500;
const SETTING = '/proc/sys/net/ipv4/tcp_migrate_req';
const MIGRATES = existsSync(SETTING) && readFileSync(SETTING, 'utf8').trim() === '1';

const endings: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

/** How many requests have reached these. */
async function requestsAt(endpoints: readonly EndpointProcess[]): Promise<number> {
  const counts = endpoints.map(async ({ port }) => {
    const response = await fetch(`http://127.0.0.1:${port}/requests`);
    return Number(await response.text());
  });
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

it('upgrades twenty times without losing a request', { timeout: 300_000 }, async () => {
  const endpoints = [await startEndpoint('a'), await startEndpoint('b')];
  endings.push(() => Promise.all(endpoints.map((endpoint) => endpoint.kill())));
  const [port = 0, statsPort = 0] = await freePorts(2);
  const addresses = endpoints.map((endpoint) => `127.0.0.1:${endpoint.port}`).join(',');
  const args = ['--static', `web=${addresses}`, '--service', `web=127.0.0.1:${port}`];
  let current = await startUpriver({ args, statsPort });
  const processes = [current];
  endings.push(() => current.stop());
  const startNext = async () => {
    const next = await startUpriver({ args: [...args, '--takeover'], statsPort, isReady: false });
    endings.push(() => next.stop());
    processes.push(next);
    await next.waitForLog(({ msg }) => msg === 'ready', 'that it is ready');
    // The old process answers there until it drains, and knows who waits.
    const isReady = async () => (await fetch(`${current.statsUrl}/api/v1/takeover`)).status;
    await expect.poll(isReady).toBe(200);
    return next;
  };
  const url = `http://127.0.0.1:${port}/`;
  const kept = startLoad({ url, perSecond: 200, timeoutMs: 15_000, repeatsStale: true });
  const fresh = startLoad({ url, perSecond: 200, timeoutMs: 15_000, keepAlive: false });
  await kept.next(100);
  for (let turn = 0; turn < UPGRADES; turn += 1) {
    const next = await startNext();
    current.signal('SIGTERM');
    await next.waitForLog(({ msg }) => msg === 'stats port taken over', 'that it has the port');
    expect(await current.exited).toBe(0);
    current = next;
    await fresh.next(20);
  }
  const [onKept, onFresh] = await Promise.all([kept.stop(), fresh.stop()]);
  const told = processes.flatMap(({ log }) =>
    log.filter(({ level }) => level === 'warn' || level === 'error'),
  );
  const onReused = onKept.failures.filter(({ isReused }) => isReused);
  expect(onReused, JSON.stringify(told)).toEqual([]);
  expect(onKept.ok).toBeGreaterThan(1000);
  expect(await requestsAt(endpoints)).toBe(onKept.ok + onFresh.ok);
  expect(onFresh.ok).toBeGreaterThan(1000);
  // Whatever fails there is a reset of the kernel's, and none of our answers.
  const failures = [...onKept.failures, ...onFresh.failures].filter(
    ({ why, tookMs }) => why !== 'socket hang up' || tookMs < STILL_MS,
  );
  expect(failures.filter(({ why }) => !why.includes('ECONNRESET'))).toEqual([]);
  expect(failures.length).toBeLessThanOrEqual(MIGRATES ? 0 : onFresh.ok / 200);
});
