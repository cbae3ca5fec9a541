// What routing, limits, retries, hedging, header rules, counters and logs know of HTTP/1.1 holds for
// HTTP/2 too, on either side.
import { afterEach, describe, expect, it } from 'vitest';
import { ask, closeHttp2, connectHttp2 } from '../../support/http2.ts';
import { closeHttp2Endpoints, serveHttp2 } from '../../support/http2-endpoint.ts';
import { listenEndpoint } from '../../support/peer.ts';
import {
  answer,
  closePlanes,
  openPair,
  openPlane,
  openRouter,
  type Policy,
} from '../../support/plane.ts';
import { makeRoute } from '../../support/route.ts';
import { makeService } from '../../support/service.ts';

afterEach(async () => {
  closeHttp2();
  await closePlanes();
  closeHttp2Endpoints();
});

const plain = makeService();
const GET = { ':path': '/' };

/** An endpoint of HTTP/1.1 that answers each request with `body`; heads are kept. */
async function openServed(policy: Policy = {}, body = 'ok') {
  const { plane, endpoint } = await openPair(policy);
  const heads: string[] = [];
  endpoint.serve(async (peer) => {
    heads.push(await peer.head());
    peer.send(answer(body));
  });
  return { plane, heads, session: connectHttp2(plane.port) };
}

describe('a request by HTTP/2', () => {
  it('is counted and logged', async () => {
    const { plane, session } = await openServed();
    expect((await ask(session, { ':path': '/x?y' })).body).toBe('ok');
    await plane.quiet();
    plane.accessLog.flush();
    expect(plane.access).toHaveLength(1);
    expect(plane.access[0]).toMatchObject({
      ...{ method: 'GET', target: '/x?y', host: `127.0.0.1:${plane.port}`, status: 200 },
      ...{ service: 'web', endpoint: 'e0', attempts: 1, bytesOut: 2, client: '127.0.0.1' },
    });
    expect(plane.endpointCount(0, 'attempts')).toBe(1);
    expect(plane.endpointCount(0, 'bytesOut')).toBe(2);
  });

  it('has the id, Via and forwarded fields that the policy wants', async () => {
    const http = { requestId: 'on', via: true, forwarded: true } as const;
    const { heads, session } = await openServed({ http });
    const got = await ask(session, { ...GET, 'x-forwarded-for': '1.2.3.4', via: '1.1 other' });
    const [head = ''] = heads;
    expect(head).toMatch(/Via: 2 upriver-/);
    expect(head).toContain('X-Forwarded-For: 127.0.0.1\r\n');
    expect(head).not.toContain('1.2.3.4');
    expect(head).toMatch(/Forwarded: for=127\.0\.0\.1;proto=http;host="/);
    const id = /X-Request-Id: (\S+)/.exec(head)![1];
    expect(got.headers['x-request-id']).toBe(id);
    expect(got.headers.via).toMatch(/^1\.1 upriver-/);
  });

  it('has the fields that header rules make, and those of responses too', async () => {
    const rules = (set: Record<string, string>) => ({ set, rename: {} });
    const headers = { request: rules({ 'x-in': '1' }), response: rules({ 'x-out': '2' }) };
    const { heads, session } = await openServed({ http: { ...plain.http, headers } });
    expect((await ask(session, GET)).headers['x-out']).toBe('2');
    expect(heads[0]).toContain('x-in: 1\r\n');
  });

  it('is counted down by Max-Forwards, and answered at 0', async () => {
    const { heads, session } = await openServed();
    const options = { ...GET, ':method': 'OPTIONS' };
    expect((await ask(session, { ...options, 'max-forwards': '3' })).body).toBe('ok');
    expect(heads[0]).toContain('Max-Forwards: 2\r\n');
    const last = await ask(session, { ...options, 'max-forwards': '0' });
    expect(last.status).toBe(200);
    expect(last.headers.allow).toContain('OPTIONS');
    expect(heads).toHaveLength(1);
  });

  it('is refused for a body that is too large, announced or not', async () => {
    const { plane, session } = await openServed({ limits: { bodyBytes: 100 } });
    const post = { ...GET, ':method': 'POST' };
    const announced = await ask(session, { ...post, 'content-length': 200 }, 'x'.repeat(200));
    expect(announced.status).toBe(413);
    expect((await ask(session, post, 'x'.repeat(200))).status).toBe(413);
    expect(plane.reasons('body-too-large')).toBe(2);
    expect((await ask(session, GET)).status).toBe(200);
  });

  it('waits in the queue for a place on an endpoint', async () => {
    const { plane, endpoint } = await openPair({ limits: { perEndpoint: 1 } });
    const session = connectHttp2(plane.port);
    const asked = [ask(session, { ':path': '/1' }), ask(session, { ':path': '/2' })];
    const peer = await endpoint.accept();
    expect(await peer.head()).toContain('/1');
    await expect.poll(() => plane.waiting()).toBe(1);
    peer.send(answer('one'));
    expect(await peer.head()).toContain('/2');
    peer.send(answer('two'));
    expect((await Promise.all(asked)).map(({ body }) => body)).toEqual(['one', 'two']);
  });

  it('is tried again on another endpoint', async () => {
    const [bad, good] = [await listenEndpoint(), await listenEndpoint()];
    bad.serve(async (peer) => {
      await peer.head();
      peer.reset();
    });
    good.serve(async (peer) => {
      const head = await peer.head();
      if (/content-length: 4/i.test(head)) await peer.take(4);
      peer.send(answer('good'));
    });
    const plane = await openPlane([bad.port, good.port]);
    const session = connectHttp2(plane.port);
    for (let i = 0; i < 4; i += 1) expect((await ask(session, GET)).body).toBe('good');
    const put = { ...GET, ':method': 'PUT', 'content-length': 4 };
    for (let i = 0; i < 4; i += 1) expect((await ask(session, put, 'body')).body).toBe('good');
    expect(plane.retries('reset')).toBeGreaterThan(0);
  });

  it.each(['http1', 'h2c'] as const)('is hedged over %s', async (protocol) => {
    let first = true;
    const handler = () => {
      const isSlow = first;
      first = false;
      return isSlow;
    };
    const ports: number[] = [];
    for (let i = 0; i < 2; i += 1) {
      if (protocol === 'h2c') {
        const endpoint = await serveHttp2((stream) => {
          if (handler()) return;
          stream.respond({ ':status': 200 });
          stream.end('fast');
        });
        ports.push(endpoint.port);
      } else {
        const endpoint = await listenEndpoint();
        endpoint.serve(async (peer) => {
          await peer.head();
          if (handler()) await peer.ended();
          else peer.send(answer('fast'));
        });
        ports.push(endpoint.port);
      }
    }
    const retry = { hedge: { afterMs: 50 }, budgetShare: 1 };
    const upstream = { protocol, sendProxy: 'off', tls: null, host: 'client' } as const;
    const plane = await openPlane(ports, { retry, upstream });
    expect((await ask(connectHttp2(plane.port), GET)).body).toBe('fast');
    await plane.quiet();
  });

  it('is routed, redirected, or told that nothing matches', async () => {
    const endpoint = await listenEndpoint();
    endpoint.serve(async (peer) => {
      const head = await peer.head();
      peer.send(answer(head.split(' ')[1]!));
    });
    const moved = { status: 301, location: 'https://$host$path' };
    const plane = await openRouter(
      [
        makeRoute({ path: '/api', service: 'api', stripPrefix: '/api' }),
        makeRoute({ path: '/old', service: '', redirect: moved }),
      ],
      { api: endpoint.port },
    );
    const listeners = [{ ...plane.listener!, policy: { ...plane.listener!.policy, http2: true } }];
    await plane.worker.apply({ version: 2, upsert: [], remove: [], listeners });
    const session = connectHttp2(plane.port);
    const host = { ':authority': 'a.example' };
    expect((await ask(session, { ...host, ':path': '/api/x' })).body).toBe('/x');
    const redirected = await ask(session, { ...host, ':path': '/old/y' });
    expect([redirected.status, redirected.headers.location]).toEqual([
      301,
      'https://a.example/old/y',
    ]);
    const none = await ask(session, { ...host, ':path': '/none' });
    expect([none.status, none.headers['x-upriver-reason']]).toEqual([404, 'no-service']);
    expect(none.body).toContain('a.example/none');
  });

  it('ends when the time for the whole request is up', async () => {
    const { plane, endpoint } = await openPair({ timeouts: { requestMs: 100 } });
    const asked = ask(connectHttp2(plane.port), GET);
    const peer = await endpoint.accept();
    await peer.head();
    expect((await asked).status).toBe(504);
    expect(plane.reasons('request-timeout')).toBe(1);
  });
});
