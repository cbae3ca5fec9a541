import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  makeEndpointView,
  makeServiceView,
  type StatsPort,
  startStatsPort,
} from '../support/stats-port.ts';

let port: StatsPort;
beforeEach(async () => {
  port = await startStatsPort();
});
afterEach(() => port.close());

describe('health', () => {
  it('is 200 while the process is well, and 503 with the reason when not', async () => {
    for (const path of ['/healthz', '/livez']) {
      expect(await port.ask(path)).toMatchObject({ status: 200, text: 'ok\n' });
      port.live = { ok: false, reason: 'a worker is gone' };
      expect(await port.ask(path)).toMatchObject({ status: 503, text: 'a worker is gone\n' });
      port.live = { ok: true, reason: '' };
    }
  });

  it('says when it is ready, and why it is not', async () => {
    expect(await port.ask('/readyz')).toMatchObject({ status: 200, text: 'ready\n' });
    port.ready = { ready: false, reason: 'consul has not answered yet' };
    const answer = await port.ask('/readyz');
    expect(answer).toMatchObject({ status: 503, text: 'consul has not answered yet\n' });
    expect((await port.ask('/healthz')).status, 'but alive').toBe(200);
  });
});

describe('the API', () => {
  it('tells the state of the process', async () => {
    port.problems = ['something'];
    port.config = { error: 'upriver.yaml:1:1: bad', loadedMs: 123 };
    port.providers = [
      {
        ...{ name: 'consul', isSynced: true, lastSyncMs: performance.now(), errors: 1 },
        ...{ lastError: 'refused', address: 'http://127.0.0.1:8500', watches: 4 },
      },
    ];
    expect(await port.json('/api/v1/status')).toMatchObject({
      ...{ version: '1.2.3', node: process.versions.node, pid: process.pid, workers: 2 },
      uptime_seconds: expect.any(Number),
      table_version: 7,
      live: { ok: true, reason: '' },
      ready: { ready: true, reason: '' },
      config: { error: 'upriver.yaml:1:1: bad', loaded: 123 },
      problems: ['something'],
      registries: [
        {
          ...{ name: 'consul', address: 'http://127.0.0.1:8500', synced: true, errors: 1 },
          ...{ last_error: 'refused', watches: 4, sync_age_seconds: expect.any(Number) },
        },
      ],
    });
  });

  it('tells services with their endpoints', async () => {
    const check = { isGood: false, text: 'GET / answered 500', durationMs: 1.23456, atMs: 99 };
    const down = makeEndpointView('n/a', { state: 'down', reason: 'bad', sinceMs: 5, check });
    port.services = [makeServiceView('web', { endpoints: [down], problems: ['port taken'] })];
    port.worker.addExchange(0, 200, 2000);
    const [web] = (await port.json('/api/v1/services')) as object[];
    expect(web).toMatchObject({
      ...{ name: 'web', listen: ['127.0.0.1:8000'], protocol: 'http', balance: 'round-robin' },
      ...{ registry: 'static', connections: 0, requests: 1, bytes: { in: 0, out: 0 } },
      ...{ problems: ['port taken'], reasons: {}, latency_ms: { p50: expect.any(Number) } },
      endpoints: [
        {
          ...{ id: 'n/a', address: '10.0.0.1', port: 80, state: 'down', reason: 'bad', since: 5 },
          ...{ weight: 1, active: 0, requests: 0, failures: 0, retries: 0, ejections: 0 },
          responses: { '1xx': 0, '2xx': 0, '3xx': 0, '4xx': 0, '5xx': 0 },
          check: { good: false, text: 'GET / answered 500', duration_ms: 1.235, at: 99 },
        },
      ],
    });
    expect(await port.json('/api/v1/services/web')).toMatchObject({ name: 'web' });
  });

  it('finds a service by any name', async () => {
    port.services = [makeServiceView('späte/web')];
    const path = `/api/v1/services/${encodeURIComponent('späte/web')}`;
    expect(await port.json(path)).toMatchObject({ name: 'späte/web' });
    const unknown = await port.ask('/api/v1/services/none');
    expect(unknown).toMatchObject({ status: 404 });
    expect(JSON.parse(unknown.text)).toEqual({ error: "no service 'none'" });
  });

  it('gives the kept events as a list', async () => {
    const cause = { kind: 'registry', text: 'consul: index 1 -> 2' } as const;
    const event = { atMs: 1, service: 'web', endpoint: 'a', from: '', to: 'up', reason: '', cause };
    port.events.add(event);
    expect(await port.json('/api/v1/events?format=json')).toEqual([{ id: 1, ...event }]);
  });
});

describe('what is not served', () => {
  it.each([
    ['/nothing', 404],
    ['/api/v1/nothing', 404],
    ['/api/v1/services/%zz', 400],
    ['/stats/../../etc/passwd', 404],
    ['//', 404],
    ['//[', 404],
    ['*', 404],
  ])('%s is %d, as JSON', async (path, status) => {
    const answer = await port.ask(path);
    expect(answer.status, answer.text).toBe(status);
    expect(JSON.parse(answer.text)).toEqual({ error: expect.any(String) });
  });

  it.each(['POST', 'PUT', 'DELETE', 'PATCH'])('%s is 405, with what is allowed', async (method) => {
    for (const path of ['/stats', '/metrics', '/healthz', '/api/v1/status']) {
      const answer = await port.ask(path, { method });
      expect(answer.status).toBe(405);
      expect(answer.headers.allow).toBe('GET, HEAD');
    }
  });

  it('HEAD has the head of GET', async () => {
    for (const path of ['/healthz', '/stats;csv', '/api/v1/status', '/stats/page.css']) {
      const [head, get] = [await port.ask(path, { method: 'HEAD' }), await port.ask(path)];
      expect(head).toMatchObject({ status: 200, text: '' });
      expect(head.headers['content-type']).toBe(get.headers['content-type']);
    }
    const stream = await port.ask('/api/v1/events', { method: 'HEAD' });
    expect(stream.headers['content-type']).toMatch(/^text\/event-stream/);
  });

  it('a request that is no HTTP is answered 400', async () => {
    const { hostname, port: number } = new URL(port.url);
    const socket = connect(Number(number), hostname);
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      socket.on('data', (part) => {
        text += part;
      });
      socket.on('end', () => resolve(text)).on('error', reject);
      socket.write('what is this\r\n\r\n');
    });
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe('the page', () => {
  it('is found from the root, with its files', async () => {
    const root = await port.ask('/');
    expect(root).toMatchObject({ status: 302 });
    expect(root.headers.location).toBe('/stats');
    const page = await port.ask('/stats');
    expect(page.headers['content-security-policy']).toContain("default-src 'self'");
    for (const file of ['/stats/page.js', '/stats/page.css']) {
      expect(page.text).toContain(`"${file}"`);
      const asset = await port.ask(file);
      expect(asset.status).toBe(200);
      const again = await port.ask(file, { headers: { 'if-none-match': asset.headers.etag! } });
      expect(again).toMatchObject({ status: 304, text: '' });
    }
  });

  it('shows whatever a registry says as text', async () => {
    const evil = `"><img src=x onerror='alert(1)'>&amp;`;
    const check = { isGood: false, text: evil, durationMs: 1, atMs: 1 };
    const endpoint = makeEndpointView(evil, { state: 'down', reason: evil, check });
    port.services = [makeServiceView(evil, { endpoints: [endpoint], problems: [evil] })];
    port.problems = [evil];
    port.config = { error: evil, loadedMs: 1 };
    port.ready = { ready: false, reason: evil };
    port.live = { ok: false, reason: evil };
    port.providers = [
      {
        ...{ name: evil, isSynced: false, lastSyncMs: 0, errors: 1, lastError: evil },
        ...{ address: evil, watches: 1 },
      },
    ];
    const cause = { kind: 'registry', text: evil } as const;
    const names = { service: evil, endpoint: evil, from: 'up', to: 'down', reason: evil };
    port.events.add({ atMs: 1, cause, ...names });
    const { text } = await port.ask('/stats');
    expect(text).toMatch(/&(?:lt|#60);img src=x onerror=/);
    expect(text).not.toContain('<img');
    expect(text).not.toMatch(/"[^"<>]*onerror='/);
  });

  it('says that there is no service yet, and no endpoint', async () => {
    expect((await port.ask('/stats')).text).toContain('No service yet');
    port.services = [makeServiceView('web')];
    expect((await port.ask('/stats')).text).toContain('No endpoint is registered');
  });
});
