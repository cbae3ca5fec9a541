// The embedded registry with time turned by hand: how long it waits, what it forgets, and its end.
// What it answers is in suites/consul-api, which a real agent passes too.
import { afterEach, describe, expect, it } from 'vitest';
import { createEmbeddedRegistry } from '../../src/dev/embedded-registry.ts';
import { RegistryClient } from '../suites/consul-api/client.ts';
import { ManualClock } from '../support/clock.ts';

describe('the embedded registry, with time by hand', () => {
  let stop: () => Promise<void> = async () => {};
  afterEach(() => stop());

  async function start() {
    const clock = new ManualClock();
    const registry = createEmbeddedRegistry({ clock, random: () => 0.5 });
    const { url } = await registry.listen('127.0.0.1', 0);
    stop = () => registry.close();
    return { clock, url, client: new RegistryClient(() => ({ url })) };
  }

  /** Resolves when so many timers wait: a question has arrived and sleeps, or nothing is left. */
  async function untilWaiting(clock: ManualClock, count: number): Promise<void> {
    while (clock.waiting !== count) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  it.each([
    ['', 300_000],
    ['&wait=0s', 300_000],
    ['&wait=1h', 600_000],
    ['&wait=1m30s', 90_000],
  ])('a query with "%s" waits %i ms and half of the jitter', async (wait, waitMs) => {
    const { clock, client } = await start();
    const { index } = await client.get('/v1/health/service/web');
    const asked = client.get(`/v1/health/service/web?index=${index}${wait}`);
    let isAnswered = false;
    void asked.then(() => {
      isAnswered = true;
    });
    await untilWaiting(clock, 1);
    clock.advance(waitMs * (1 + 1 / 32) - 1);
    await client.get('/v1/status/leader');
    expect(isAnswered).toBe(false);
    clock.advance(1);
    expect((await asked).index).toBe(index);
  });

  it('a query whose client has gone leaves nothing behind', async () => {
    const { clock, client, url } = await start();
    const { index } = await client.get('/v1/health/service/web');
    const controller = new AbortController();
    const { signal } = controller;
    const asked = fetch(`${url}/v1/health/service/web?index=${index}`, { signal });
    const failed = expect(asked).rejects.toThrow();
    await untilWaiting(clock, 1);
    controller.abort();
    await failed;
    await untilWaiting(clock, 0);
  });

  it('its end ends the queries that wait', async () => {
    const { clock, client } = await start();
    const { index } = await client.get('/v1/health/service/web');
    const asked = client.get(`/v1/health/service/web?index=${index}`);
    const failed = expect(asked).rejects.toThrow();
    await untilWaiting(clock, 1);
    await stop();
    await failed;
    await untilWaiting(clock, 0);
  });

  it('a TTL runs anew with each word, and tells the last one when it ends', async () => {
    const { clock, client } = await start();
    await client.register({ Name: 'web', Port: 1, Check: { TTL: '10s' } });
    clock.advance(9000);
    await client.put('/v1/agent/check/pass/service:web?note=fine');
    clock.advance(9999);
    const { json: passing } = await client.get('/v1/health/checks/web');
    expect(passing).toMatchObject([{ Status: 'passing', Output: 'fine' }]);
    clock.advance(1);
    const { json: critical } = await client.get('/v1/health/checks/web');
    const Output = 'TTL expired (last output before timeout follows): fine';
    expect(critical).toMatchObject([{ Status: 'critical', Output }]);
  });

  it('a service that stays critical for its time is deregistered', async () => {
    const { clock, client } = await start();
    const Check = { TTL: '5s', DeregisterCriticalServiceAfter: '2m', Status: 'passing' };
    await client.register({ Name: 'web', Port: 1, Check });
    clock.advance(5000);
    clock.advance(119_000);
    // It recovers in time once, and then doesn't.
    await client.put('/v1/agent/check/pass/service:web');
    clock.advance(5000);
    clock.advance(119_999);
    expect(await client.health('web')).toHaveLength(1);
    clock.advance(1);
    expect(await client.health('web')).toEqual([]);
    expect(clock.waiting).toBe(0);
  });

  it('says which checks it does not run', async () => {
    const { client } = await start();
    const Check = { Args: ['/bin/true'], Interval: '1s' };
    const text = 'Invalid check: Args checks are not run by the embedded registry';
    const refused = await client.put('/v1/agent/service/register', { Name: 'web', Check });
    expect(refused).toMatchObject({ status: 400, text });
  });
});
