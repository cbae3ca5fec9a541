// Requests that wait: for an endpoint to come up, for a place in a service that is full, and the
// time that a request may take in all.
import { afterEach, describe, expect, it } from 'vitest';
import { listenEndpoint } from '../../support/peer.ts';
import {
  answer,
  closePlanes,
  openPair,
  openPlane,
  type Policy,
  request,
  serviceOf,
} from '../../support/plane.ts';
import { makeSnapshot } from '../../support/service.ts';

afterEach(closePlanes);

const GET = request('GET /');
const POST = request('POST /', 'Content-Length: 3\r\n', 'abc');

describe('while no endpoint is up', () => {
  const parking: Policy = { limits: { parkMs: 5000 } };

  it.each([GET, POST])('a request waits, and goes to the first that comes: %s', async (sent) => {
    const plane = await openPlane([], parking);
    const endpoint = await listenEndpoint();
    endpoint.serve(async (peer) => {
      const { body } = await peer.message();
      peer.send(answer(`late${body}`));
    });
    const client = await plane.client();
    client.send(sent);
    await expect.poll(() => plane.waiting()).toBe(1);
    await plane.apply([makeSnapshot(serviceOf(parking), [endpoint.port])]);
    expect((await client.message()).body).toMatch(/^late(abc)?$/);
    await plane.quiet();
  });

  it('it is not blamed for the body that it keeps back until an endpoint asks for it', async () => {
    const policy: Policy = { ...parking, timeouts: { idleBodyMs: 1000 } };
    const plane = await openPlane([], policy);
    const endpoint = await listenEndpoint();
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send('HTTP/1.1 100 Continue\r\n\r\n');
      expect(await peer.take(3)).toBe('abc');
      peer.send(answer('late'));
    });
    const client = await plane.client();
    client.send(request('POST /', 'Content-Length: 3\r\nExpect: 100-continue\r\n'));
    await expect.poll(() => plane.waiting()).toBe(1);
    plane.advance(1500);
    plane.wheel.tick();
    expect(plane.waiting()).toBe(1);
    await plane.apply([makeSnapshot(serviceOf(policy), [endpoint.port])]);
    expect(await client.head()).toContain('100 Continue');
    client.send('abc');
    expect((await client.message()).body).toBe('late');
    expect(plane.reasons('client-body-timeout')).toBe(0);
    await plane.quiet();
  });

  it('a change that brings none leaves it waiting', async () => {
    const plane = await openPlane([], parking);
    const client = await plane.client();
    client.send(GET);
    await expect.poll(() => plane.waiting()).toBe(1);
    await plane.apply([makeSnapshot(serviceOf(parking), [])]);
    expect(plane.waiting()).toBe(1);
    client.reset();
    await expect.poll(() => plane.waiting()).toBe(0);
    await plane.quiet();
  });

  it('it is told so when its time is up', async () => {
    const plane = await openPlane([], { limits: { parkMs: 30 } });
    const { head } = await plane.ask(GET);
    expect(head).toContain('HTTP/1.1 503 ');
    expect(head).toContain('X-Upriver-Reason: no-endpoint\r\nRetry-After: 1\r\n');
    await plane.quiet();
  });

  it('no more wait than the queue has room for', async () => {
    const plane = await openPlane([], { limits: { parkMs: 5000, queue: 1 } });
    const client = await plane.client();
    client.send(GET);
    await expect.poll(() => plane.waiting()).toBe(1);
    expect((await plane.ask(GET)).head).toContain('X-Upriver-Reason: queue-full\r\n');
    client.reset();
    await plane.quiet();
  });
});

describe('the cap of a service', () => {
  it('holds over all its endpoints', async () => {
    const endpoints = [await listenEndpoint(), await listenEndpoint()];
    const ports = endpoints.map(({ port }) => port);
    const plane = await openPlane(ports, { limits: { requests: 1 } });
    const [first, second] = [await plane.client(), await plane.client()];
    first.send(GET);
    await expect.poll(() => plane.inFlight()).toBe(1);
    second.send(GET);
    await expect.poll(() => plane.waiting()).toBe(1);
    expect(plane.inFlight()).toBe(1);
    for (const endpoint of endpoints) {
      endpoint.serve(async (peer) => {
        await peer.head();
        expect(plane.inFlight()).toBe(1);
        peer.send(answer('x'));
      });
    }
    expect((await first.message()).body).toBe('x');
    expect((await second.message()).body).toBe('x');
    await plane.quiet();
  });
});

describe('the time for the whole request', () => {
  const requestMs = 20_000;
  const policy: Policy = { timeouts: { requestMs } };

  it('ends the wait for an answer with 504, whatever the method', async () => {
    const { plane, endpoint } = await openPair(policy);
    const client = await plane.client();
    client.send(POST);
    const upstream = await endpoint.accept();
    plane.advance(requestMs);
    const { head } = await client.message();
    expect(head).toContain('HTTP/1.1 504 ');
    expect(head).toContain('X-Upriver-Reason: request-timeout\r\n');
    await upstream.ended();
    await plane.quiet();
    expect(plane.endpointCount(0, 'failures')).toBe(0);
  });

  it('cuts an answer that trickles', async () => {
    const { plane, endpoint } = await openPair(policy);
    const client = await plane.client();
    client.send(GET);
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx');
    await client.until('x');
    plane.advance(requestMs);
    await client.ended();
    await plane.quiet();
    expect(plane.reasons('request-timeout')).toBe(1);
  });

  it('does not end a tunnel, nor the next request of the connection', async () => {
    const { plane, endpoint } = await openPair(policy);
    const client = await plane.client();
    client.send(GET);
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(answer('1'));
    await client.message();
    client.send(request('GET /', 'Connection: upgrade\r\nUpgrade: x\r\n'));
    await upstream.head();
    upstream.send('HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
    await client.head();
    plane.advance(requestMs + 1000);
    plane.wheel.tick();
    upstream.send('still');
    expect(await client.take(5)).toBe('still');
    expect(plane.reasons('request-timeout')).toBe(0);
  });
});

describe('an upstream connection', () => {
  it('that has lived its time gets no further request', async () => {
    const { plane, endpoint } = await openPair({ limits: { upstreamAgeMs: 60 } });
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('x'));
    });
    const client = await plane.client();
    const fromMs = performance.now();
    while (endpoint.connections < 5) {
      client.send(GET);
      await client.message();
    }
    // Kept alive while it is young, replaced when it is not.
    expect(performance.now() - fromMs).toBeGreaterThan(4 * 40);
    await plane.quiet();
  });
});

describe('requests sent ahead', () => {
  it('are answered up to their limit, and the connection then closes', async () => {
    const { plane, endpoint } = await openPair({ limits: { pipelined: 2 } });
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('x'));
    });
    const client = await plane.client();
    client.send(GET.repeat(10));
    const all = await client.rest();
    // One, and two ahead of it.
    expect(all.match(/200 OK/g)).toHaveLength(3);
    expect(all.match(/Connection: close/g)).toHaveLength(1);
    await plane.quiet();
  });

  it('may be any number where each waits for the answer before', async () => {
    const { plane, endpoint } = await openPair({ limits: { pipelined: 1 } });
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('x'));
    });
    const client = await plane.client();
    for (let i = 0; i < 5; i += 1) {
      client.send(GET);
      expect((await client.message()).head).not.toContain('close');
    }
    await plane.quiet();
  });
});

describe('an overloaded service', () => {
  it('is spared what its limit does not let in', async () => {
    const { plane, endpoint } = await openPair({ limits: { adaptive: true } });
    const clients = await Promise.all(Array.from({ length: 70 }, () => plane.client()));
    for (const client of clients) client.send(GET);
    // 64 are let in before anything is known; nobody is answered yet.
    await expect.poll(() => plane.reasons('overloaded')).toBe(6);
    expect(plane.inFlight()).toBe(64);
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('x'));
    });
    const heads = await Promise.all(clients.map((client) => client.head()));
    const refused = heads.filter((head) => head.startsWith('HTTP/1.1 503 '));
    expect(refused).toHaveLength(6);
    for (const head of refused) {
      expect(head).toContain('X-Upriver-Reason: overloaded\r\nRetry-After: 1\r\n');
    }
    await plane.quiet();
    expect((await plane.ask(GET)).body).toBe('x');
  });
});
