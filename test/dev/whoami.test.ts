import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startWhoami, type Whoami } from '../../src/dev/whoami.ts';

describe('whoami', () => {
  let whoami: Whoami;
  let url: string;
  beforeEach(async () => {
    whoami = await startWhoami('w1', 0);
    url = `http://127.0.0.1:${whoami.port}`;
  });
  afterEach(() => whoami.close());

  it('tells who it is and what it was asked', async () => {
    const response = await fetch(`${url}/path?x=1`, { headers: { 'X-Test': 'a b' } });
    const lines = (await response.text()).split('\n');
    expect(response.headers.get('x-whoami')).toBe('w1');
    expect(lines[0]).toBe('Name: w1');
    expect(lines).toContain('GET /path?x=1 HTTP/1.1');
    expect(lines).toContain('X-Test: a b');
    expect(lines).toContain(`host: 127.0.0.1:${whoami.port}`);
  });

  it('answers a request with a body, and later when told so', async () => {
    const beganMs = performance.now();
    const response = await fetch(`${url}/?wait=50ms`, { method: 'POST', body: 'x'.repeat(70_000) });
    expect(await response.text()).toContain('POST /?wait=50ms HTTP/1.1');
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(49);
    expect((await fetch(`${url}/?wait=soon`)).status).toBe(400);
  });

  it('is as healthy as it was told', async () => {
    const health = async (init?: RequestInit) => (await fetch(`${url}/health`, init)).status;
    expect(await health()).toBe(200);
    expect(await health({ method: 'PUT', body: '503' })).toBe(503);
    expect(await health()).toBe(503);
    expect(await health({ method: 'PUT', body: 'ill' })).toBe(400);
    expect(await health({ method: 'PUT', body: '200' })).toBe(200);
  });

  it('answers what is in flight before it ends', async () => {
    const asked = request(`${url}/?wait=100ms`, { headers: { expect: '100-continue' } });
    const answered = once(asked, 'response') as Promise<[IncomingMessage]>;
    asked.flushHeaders();
    await once(asked, 'continue');
    asked.end();
    await whoami.close();
    const [response] = await answered;
    expect(response.statusCode).toBe(200);
    response.resume();
    await expect(fetch(url)).rejects.toThrow();
  });
});
