// Places, queues and connection limits, and what happens when the worker drains.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Flag, FrameType } from '../../../src/http2/protocol.ts';
import { WorkerLedger } from '../../../src/ledger/ledger.ts';
import { LiveService } from '../../../src/proxy/live-service.ts';
import {
  ask,
  block,
  closeHttp2,
  connectHttp2,
  FramePeer,
  frame,
  GET as GET_HEADERS,
  SETTINGS,
} from '../../support/http2.ts';
import { dial, listenEndpoint } from '../../support/peer.ts';
import {
  answer,
  closePlanes,
  openPair,
  openRouter,
  request,
  serviceOf,
} from '../../support/plane.ts';
import { makeRoute } from '../../support/route.ts';
import { makeSnapshot } from '../../support/service.ts';

afterEach(async () => {
  closeHttp2();
  await closePlanes();
});

const GET = request('GET /');
const GET_BY_HTTP2 = frame(
  FrameType.headers,
  Flag.endHeaders | Flag.endStream,
  1,
  block(GET_HEADERS),
);

describe('the limit per endpoint', () => {
  it('makes requests wait in order for a place', async () => {
    const { plane, endpoint } = await openPair({ limits: { perEndpoint: 1 } });
    const clients = [await plane.client(), await plane.client(), await plane.client()];
    clients[0]!.send(request('GET /0'));
    const upstream = await endpoint.accept();
    expect(await upstream.head()).toContain('/0');
    clients[1]!.send(request('GET /1'));
    // They must not arrive the other way round.
    await expect.poll(() => clients[1]!.socket.bytesWritten).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    clients[2]!.send(request('GET /2'));
    for (let i = 0; i < 3; i += 1) {
      expect(plane.inFlight()).toBe(1);
      upstream.send(answer(String(i)));
      expect((await clients[i]!.message()).body).toBe(String(i));
      if (i < 2) expect(await upstream.head()).toContain(`/${i + 1}`);
    }
    await plane.quiet();
    expect(endpoint.connections).toBe(1);
  });

  it('holds where another worker takes the last place meanwhile', async () => {
    const { plane, endpoint } = await openPair({ limits: { perEndpoint: 1 } });
    const other = new WorkerLedger(plane.ledger.buffersFor(1));
    const { pick } = LiveService.prototype;
    const race = vi.spyOn(LiveService.prototype, 'pick').mockImplementationOnce(function (
      this: LiveService,
      ...seen
    ) {
      const found = pick.apply(this, seen);
      other.acquire(found!.slot);
      return found;
    });
    const client = await plane.client();
    client.send(GET);
    await expect.poll(() => race.mock.calls.length).toBeGreaterThan(1);
    expect([endpoint.connections, plane.inFlight()]).toEqual([0, 1]);
    other.release(0);
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(answer('x'));
    expect((await client.message()).body).toBe('x');
    race.mockRestore();
    await plane.quiet();
  });

  it('ends the wait with 503 when it takes too long', async () => {
    const { plane, endpoint } = await openPair({ limits: { perEndpoint: 1, queueTimeoutMs: 50 } });
    const first = await plane.client();
    first.send(GET);
    const upstream = await endpoint.accept();
    const { head } = await plane.ask(GET);
    expect(head).toContain('HTTP/1.1 503 ');
    expect(head).toContain('X-Upriver-Reason: queue-timeout\r\n');
    await upstream.head();
    upstream.send(answer('x'));
    expect((await first.message()).body).toBe('x');
    await plane.quiet();
  });

  it('refuses what the queue has no room for', async () => {
    const { plane, endpoint } = await openPair({ limits: { perEndpoint: 1, queue: 0 } });
    const first = await plane.client();
    first.send(GET);
    await (await endpoint.accept()).head();
    expect((await plane.ask(GET)).head).toContain('X-Upriver-Reason: queue-full\r\n');
    first.reset();
    await plane.quiet();
  });

  it('forgets a client that leaves the queue', async () => {
    const { plane, endpoint } = await openPair({ limits: { perEndpoint: 1, queue: 1 } });
    const first = await plane.client();
    first.send(GET);
    const upstream = await endpoint.accept();
    await upstream.head();
    const second = await plane.client();
    second.send(request('GET /gone'));
    await expect.poll(async () => (await plane.ask(GET)).head).toContain('queue-full');
    second.reset();
    await expect.poll(() => plane.reasons('client-closed')).toBe(1);
    const third = await plane.client();
    third.send(request('GET /third'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    upstream.send(answer('1'));
    expect(await upstream.head()).toContain('/third');
    upstream.send(answer('3'));
    expect((await third.message()).body).toBe('3');
    await plane.quiet();
  });
});

describe('the limit of connections', () => {
  it('answers one too many and closes it', async () => {
    const { plane, serve } = await openBusy(openPair({ limits: { connections: 1 } }));
    const second = await plane.client();
    second.send(GET);
    expect(await second.rest()).toContain('X-Upriver-Reason: too-many-connections\r\n');
    second.end();
    await expect.poll(() => plane.ledger.connections(0)).toBe(1);
    await serve();
    await plane.quiet();
  });

  it('turns a client of HTTP/2 away by GOAWAY, and one that says nothing by an answer', async () => {
    const { plane, serve } = await openBusy(openPair({ limits: { connections: 1 } }));
    const peer = await FramePeer.open(plane.port, SETTINGS + GET_BY_HTTP2);
    expect((await peer.next()).type).toBe(FrameType.settings);
    const { payload } = await peer.until(FrameType.goaway);
    // No stream was looked at, and nothing is wrong: the request may be sent again.
    expect(payload.slice(0, 8)).toBe('\0'.repeat(8));
    expect(await peer.peer.ended()).toBe('end');
    const silent = await plane.client();
    expect(await silent.rest()).toContain('X-Upriver-Reason: too-many-connections\r\n');
    const scanner = await plane.client();
    scanner.end();
    await scanner.ended();
    await expect.poll(() => plane.reasons('too-many-connections')).toBe(3);
    peer.peer.end();
    silent.end();
    await expect.poll(() => plane.ledger.connections(0)).toBe(1);
    await serve();
    await plane.quiet();
  });

  it('lets nobody in for one that is refused and has said nothing yet', async () => {
    const { plane, serve } = await openBusy(openPair({ limits: { connections: 1 } }));
    // Of other addresses: those of one are not searched again within a moment.
    const silent = await dial(plane.port, '127.0.0.2');
    const third = await dial(plane.port, '127.0.0.3');
    third.send(GET);
    expect(await third.rest()).toContain('X-Upriver-Reason: too-many-connections\r\n');
    third.end();
    silent.end();
    await serve();
    await plane.quiet();
  });

  it('counts no connection that was refused, however long its client keeps it', async () => {
    const { plane, busy, serve } = await openBusy(openPair({ limits: { connections: 1 } }));
    const second = await plane.client();
    second.send(GET);
    expect(await second.rest()).toContain('X-Upriver-Reason: too-many-connections\r\n');
    expect(plane.ledger.connections(0)).toBe(1);
    await serve();
    await expect.poll(() => plane.ledger.connections(0)).toBe(0);
    const third = await plane.client();
    third.send(GET);
    await busy.head();
    busy.send(answer('again'));
    expect((await third.message()).body).toBe('again');
    second.end();
    third.end();
    await third.ended();
    await plane.quiet();
  });

  it('holds behind a router, where the one that asks gives way to nobody', async () => {
    const { plane, serve } = await openBusy(openLimited());
    const second = await plane.client();
    second.send(GET);
    expect(await second.rest()).toContain('X-Upriver-Reason: too-many-connections\r\n');
    second.end();
    await serve();
    await plane.quiet();
  });

  it('holds behind a router for each request by HTTP/2', async () => {
    const { plane, busy, serve } = await openBusy(openLimited());
    const second = connectHttp2(plane.port);
    for (let i = 0; i < 2; i += 1) {
      const { headers } = await ask(second, { ':path': '/' });
      expect(headers['x-upriver-reason']).toBe('too-many-connections');
      expect(plane.ledger.connections(0)).toBe(1);
    }
    await serve();
    await expect.poll(() => plane.ledger.connections(0)).toBe(0);
    const asked = ask(second, { ':path': '/' });
    await busy.head();
    busy.send(answer('again'));
    expect((await asked).body).toBe('again');
    await plane.quiet();
  });
});

/** A router and a service behind it that may have one connection. */
async function openLimited() {
  const endpoint = await listenEndpoint();
  const plane = await openRouter([makeRoute({})], { web: endpoint.port });
  const listener = { ...plane.listener!, policy: { ...plane.listener!.policy, http2: true } };
  const service = serviceOf({ limits: { connections: 1 } });
  const upsert = [makeSnapshot(service, [endpoint.port])];
  await plane.worker.apply({ version: 2, upsert, remove: [], listeners: [listener] });
  return { plane, endpoint };
}

describe('a drain', () => {
  it('lets what is in flight finish, with Connection: close', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(GET);
    const upstream = await endpoint.accept();
    await upstream.head();
    const drained = plane.worker.drain(10_000);
    const knock = () =>
      plane.client().then(
        (late) => late.reset(),
        () => null,
      );
    await expect.poll(knock).toBeNull();
    upstream.send(answer('last'));
    const all = await client.rest();
    expect(all).toContain('Connection: close\r\n');
    expect(all).toMatch(/last$/);
    client.end();
    expect(await drained).toBe(0);
    await plane.quiet();
  });

  it('gives an idle connection a moment for one more request', async () => {
    const { plane, endpoint } = await openPair();
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('x'));
    });
    const [busy, idle] = [await plane.client(), await plane.client()];
    for (const client of [busy, idle]) {
      client.send(GET);
      await client.message();
    }
    const drained = plane.worker.drain(10_000);
    busy.send(GET);
    expect((await busy.message()).head).toContain('Connection: close\r\n');
    busy.end();
    expect(await idle.ended()).toBe('end');
    idle.end();
    expect(await drained).toBe(0);
    await plane.quiet();
  });

  it('waits longer for the first request of one that has just connected', async () => {
    const { plane, endpoint } = await openPair();
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('x'));
    });
    const [late, silent] = [await plane.client(), await plane.client()];
    await expect.poll(() => plane.ledger.connections(0)).toBe(2);
    const drained = plane.worker.drain(60_000);
    await new Promise((resolve) => setImmediate(resolve));
    // Two losses of its first segment are repaired by then.
    plane.advance(3000);
    plane.wheel.tick();
    late.send(GET);
    expect((await late.message()).head).toContain('Connection: close\r\n');
    late.end();
    plane.advance(3000);
    expect(await silent.ended()).toBe('end');
    silent.end();
    expect(await drained).toBe(0);
    await plane.quiet();
  });

  it('cuts what is left when the grace is over', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send('GET / HTTP/1.0\r\n\r\n');
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send('HTTP/1.1 200 OK\r\n\r\nabc');
    await client.until('abc');
    expect(await plane.worker.drain(20)).toBe(1);
    // The body would have ended with the connection: it must not look complete.
    expect(await client.ended()).toBe('reset');
    await upstream.ended();
    await plane.quiet();
  });
});

/** One request has the only place and waits for its answer, which `serve` gives: then its client leaves. */
async function openBusy(opening: ReturnType<typeof openLimited>) {
  const { plane, endpoint } = await opening;
  const first = await plane.client();
  first.send(GET);
  const busy = await endpoint.accept();
  const serve = async (): Promise<void> => {
    await busy.head();
    busy.send(answer('served'));
    expect((await first.message()).body).toBe('served');
    first.end();
    await first.ended();
  };
  return { plane, busy, serve };
}
