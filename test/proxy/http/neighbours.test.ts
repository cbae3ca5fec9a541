// Requests beside others whose endpoint misbehaves: nothing that happens to one exchange may reach
// another one, whichever of the worker's pooled objects both were served with.
import { afterEach, describe, expect, it } from 'vitest';
import { type Endpoint, listenEndpoint, type Peer } from '../../support/peer.ts';
import { answer, closePlanes, openPlane, type Plane, request } from '../../support/plane.ts';

afterEach(closePlanes);

const CLIENTS = 10;
const REQUESTS = 250;
const BODY = 'x'.repeat(200);

type Cut = (peer: Peer) => void;

/** Answers every request; in every third answer breaks off, in mid-body or in mid-tunnel. */
async function cuttingEndpoint(cut: Cut): Promise<Endpoint> {
  const endpoint = await listenEndpoint();
  let count = 0;
  return endpoint.serve(async (peer) => {
    const head = await peer.head();
    count += 1;
    const isCut = count % 3 === 0;
    if (head.includes('Upgrade: ')) {
      peer.send('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
      peer.send('hello');
      if (!isCut) await peer.take(3);
      cut(peer);
      await peer.ended();
    } else if (isCut) {
      peer.send(answer(BODY).slice(0, -100));
      cut(peer);
      await peer.ended();
    } else peer.send(answer(BODY));
  });
}

/** One request after the other; a connection that was cut is replaced. Returns whole answers. */
async function runClient(plane: Plane, ask: (client: Peer) => Promise<boolean>): Promise<number> {
  let whole = 0;
  let client = await plane.client();
  for (let i = 0; i < REQUESTS; i += 1) {
    if (!client.isOpen) client = await plane.client();
    const isWhole = await ask(client);
    if (isWhole) whole += 1;
    else {
      await client.ended();
      client.end();
    }
  }
  client.end();
  return whole;
}

/** True for a whole answer, false for one that was cut; throws where nothing comes. */
async function get(client: Peer): Promise<boolean> {
  client.send(request('GET /'));
  try {
    const { head, body } = await client.message();
    expect(head).toContain('HTTP/1.1 200 ');
    expect(body).toBe(BODY);
    return true;
  } catch (error) {
    if (client.isOpen) throw error;
    return false;
  }
}

async function upgrade(client: Peer): Promise<boolean> {
  client.send(request('GET /', 'Connection: upgrade\r\nUpgrade: x\r\n'));
  try {
    expect(await client.head()).toContain('HTTP/1.1 101 ');
    await client.take(5);
    client.send('bye');
  } catch (error) {
    if (client.isOpen) throw error;
  }
  return false;
}

describe.each<[string, Cut]>([
  ['FIN', (peer) => peer.end()],
  ['RST', (peer) => peer.reset()],
])('an endpoint that cuts answers by %s', (_, cut) => {
  it('harms nobody but those whose answer it cut', async () => {
    const endpoint = await cuttingEndpoint(cut);
    const plane = await openPlane([endpoint.port], {
      passive: { ...NO_EJECTION },
      retry: { attempts: 1 },
    });
    const done = await Promise.all(Array.from({ length: CLIENTS }, () => runClient(plane, get)));
    const whole = done.reduce((sum, count) => sum + count, 0);
    // Two of three are answered, but for those that were queued on a connection that was cut.
    expect(whole).toBeGreaterThan((CLIENTS * REQUESTS) / 2);
    await expect.poll(() => plane.ledger.connections(0), { interval: 2 }).toBe(0);
    await plane.quiet();
  });

  it('harms no handshake when it cuts tunnels', async () => {
    const endpoint = await cuttingEndpoint(cut);
    const plane = await openPlane([endpoint.port], {
      passive: { ...NO_EJECTION },
      retry: { attempts: 1 },
    });
    const asks = (index: number) => (index % 2 === 0 ? upgrade : get);
    await Promise.all(
      Array.from({ length: CLIENTS }, (_none, index) => runClient(plane, asks(index))),
    );
    await expect.poll(() => plane.ledger.connections(0), { interval: 2 }).toBe(0);
    await plane.quiet();
  });
});

const NO_EJECTION = {
  consecutiveFailures: 0,
  connectFailures: 0,
  resets: 0,
  timeouts: 0,
  gatewayErrors: 0,
  serverErrors: 0,
  successRate: null,
  latency: null,
  ejectionMs: 10_000,
  maxEjectedShare: 0.5,
} as const;

describe('bytes behind a response without a body', () => {
  const SURPLUS = 'these are surplus bytes';

  it.each([
    ['204', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['304', 'GET', 'HTTP/1.1 304 Not Modified\r\n\r\n'],
    ['HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
    ['Content-Length: 0', 'GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ])('reach nobody after a body came by the same exchange (%s)', async (_, method, head) => {
    const endpoint = await listenEndpoint();
    const plane = await openPlane([endpoint.port]);
    const client = await plane.client();
    client.send(request('GET /'));
    const first = await endpoint.accept();
    await first.head();
    first.send(answer(BODY));
    expect((await client.message()).body).toBe(BODY);
    // The same client, and so the same exchange and the same range of the read buffer.
    client.send(request(`${method} /`));
    await first.head();
    first.send(head + SURPLUS.repeat(20));
    expect(await client.head()).toMatch(/^HTTP\/1\.1 (200|204|304) /);
    client.send(request('GET /'));
    const second = await endpoint.accept();
    await second.head();
    second.send(answer('whole'));
    // What follows is the answer to this request, from its first byte on.
    const { head: next, body } = await client.message();
    expect(next).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(body).toBe('whole');
    expect(await first.ended()).toBe('end');
    await plane.quiet();
  });
});

describe('an answer that is cut', () => {
  it('takes no earlier one with it, though the client has sent more', async () => {
    const endpoint = await listenEndpoint();
    const plane = await openPlane([endpoint.port], { retry: { attempts: 1 } });
    const client = await plane.client();
    // The third lies unread when the second is cut: closing at once would reset the connection.
    client.send(request('GET /1') + request('GET /2') + request('GET /3'));
    client.socket.pause();
    const peer = await endpoint.accept();
    await peer.head();
    peer.send(answer('first'));
    await peer.head();
    peer.send(answer(BODY).slice(0, -100));
    peer.end();
    await expect.poll(() => plane.reasons('response-cut'), { interval: 2 }).toBe(1);
    client.socket.resume();
    expect((await client.message()).body).toBe('first');
    await client.head();
    expect(await client.rest()).toBe(BODY.slice(0, -100));
    expect(await client.ended()).toBe('end');
    client.end();
    await plane.quiet();
  });
});
