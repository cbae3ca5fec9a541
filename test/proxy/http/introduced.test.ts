// `upstream.send_proxy` for HTTP: a connection to an endpoint speaks for one client connection, serves its
// requests one after the other, and nobody else's.
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { BOUNDS } from '../../../src/model/bounds.ts';
import type { SendProxy } from '../../../src/model/service.ts';
import { ask, closeHttp2, connectHttp2 } from '../../support/http2.ts';
import { listenEndpoint, type Peer } from '../../support/peer.ts';
import {
  answer,
  closePlanes,
  openPlane,
  type Plane,
  type Policy,
  request,
} from '../../support/plane.ts';

const sockets: Socket[] = [];
afterEach(async () => {
  closeHttp2();
  for (const socket of sockets.splice(0)) socket.destroy();
  await closePlanes();
});

const V1: Policy = {
  upstream: { protocol: 'http1', sendProxy: 'v1', tls: null, host: 'client' },
};

interface Seen {
  /** The port of the client that each connection was begun for, in order. */
  readonly clients: number[];
  /** `connection path client's port` of each request, as the endpoint saw them. */
  readonly requests: string[];
  /** Connections that have ended. */
  ended: number;
  readonly peers: Peer[];
}

/** Tells when we have ended the connection, or reset it, and ends it too. */
function onceEnded({ socket }: Peer, told: () => void): void {
  socket.once('close', told);
  socket.once('end', () => socket.end());
}

/** An endpoint that answers with the port of whom its connection speaks for; after `answers`, it closes. */
async function serve(answers = Number.POSITIVE_INFINITY): Promise<Seen & { port: number }> {
  const endpoint = await listenEndpoint();
  const seen: Seen = { clients: [], requests: [], ended: 0, peers: [] };
  endpoint.serve(async (peer) => {
    const [, port = ''] = /^PROXY TCP4 \S+ \S+ (\d+) \d+\r\n$/.exec(await peer.until('\r\n')) ?? [];
    const index = seen.clients.push(Number(port)) - 1;
    seen.peers.push(peer);
    onceEnded(peer, () => {
      seen.ended += 1;
    });
    for (let left = answers; left > 0; left -= 1) {
      const head = await peer.head();
      seen.requests.push(`${index} ${/^\S+ (\S+)/.exec(head)?.[1]} ${port}`);
      peer.send(answer(port, left === 1 ? 'Connection: close\r\n' : ''));
    }
  });
  return Object.assign(seen, { port: endpoint.port });
}

async function get(client: Peer, path = '/'): Promise<string> {
  client.send(request(`GET ${path}`));
  return (await client.message()).body;
}

/** A client whose port is known, and is no other's as long as it lives. */
async function dial(plane: Plane): Promise<{ client: Peer; port: string }> {
  const client = await plane.client();
  return { client, port: String(client.socket.localPort) };
}

describe('an endpoint that gets PROXY headers', () => {
  it('serves each client on a connection of its own, which is kept for it', async () => {
    const endpoint = await serve();
    const plane = await openPlane([endpoint.port], V1);
    const one = await dial(plane);
    const two = await dial(plane);
    // Each finds the other's connection idle.
    for (let i = 0; i < 5; i += 1) {
      expect(await get(one.client)).toBe(one.port);
      expect(await get(two.client)).toBe(two.port);
    }
    expect(endpoint.clients.map(String)).toEqual([one.port, two.port]);
    expect(plane.endpointCount(0, 'connects')).toBe(2);
    expect(plane.inFlight()).toBe(0);
  });

  it('loses the connection with its client, and nobody else gets it', async () => {
    const endpoint = await serve();
    const plane = await openPlane([endpoint.port], V1);
    const one = await dial(plane);
    const two = await dial(plane);
    expect(await get(one.client)).toBe(one.port);
    expect(await get(two.client)).toBe(two.port);
    one.client.end();
    await expect.poll(() => endpoint.ended, { interval: 2 }).toBe(1);
    const three = await dial(plane);
    expect(await get(three.client)).toBe(three.port);
    expect(await get(two.client)).toBe(two.port);
    expect(endpoint.clients.map(String)).toEqual([one.port, two.port, three.port]);
  });

  it('is not taken for the same client when that comes back by the same port', async () => {
    const endpoint = await serve();
    const plane = await openPlane([endpoint.port], V1);
    const one = await dial(plane);
    expect(await get(one.client)).toBe(one.port);
    one.client.reset();
    await expect.poll(() => endpoint.ended, { interval: 2 }).toBe(1);
    const socket = connect({ port: plane.port, host: '127.0.0.1', localPort: Number(one.port) });
    sockets.push(socket);
    const answered = new Promise<string>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('data', (bytes: Buffer) => resolve(bytes.toString('latin1')));
    });
    socket.write(request('GET /'));
    expect(await answered).toContain(`\r\n\r\n${one.port}`);
    expect(endpoint.clients.length).toBe(2);
  });

  it('that closes after a response gets a new connection, and no request is lost', async () => {
    const endpoint = await serve(2);
    const plane = await openPlane([endpoint.port], V1);
    const { client, port } = await dial(plane);
    for (let i = 0; i < 6; i += 1) expect(await get(client)).toBe(port);
    expect(endpoint.clients.length).toBe(3);
  });

  it('that cuts an idle connection costs no request', async () => {
    const endpoint = await serve();
    const plane = await openPlane([endpoint.port], V1);
    const { client, port } = await dial(plane);
    for (let i = 0; i < 3; i += 1) {
      expect(await get(client)).toBe(port);
      endpoint.peers.at(-1)!.reset();
      await expect.poll(() => endpoint.ended, { interval: 2 }).toBe(i + 1);
    }
    expect(await get(client)).toBe(port);
  });

  it('has those of each client on each endpoint', async () => {
    const endpoints = [await serve(), await serve()];
    const plane = await openPlane(
      endpoints.map(({ port }) => port),
      { ...V1, balance: { policy: 'round-robin', hash: null } as never },
    );
    const clients = [await dial(plane), await dial(plane), await dial(plane)];
    for (let i = 0; i < 4; i += 1) {
      for (const { client, port } of clients) expect(await get(client)).toBe(port);
    }
    for (const { clients: seen } of endpoints) expect(new Set(seen).size).toBe(seen.length);
  });

  it('is one of more than a client connection keeps connections to', async () => {
    const { max } = BOUNDS.introducedEndpoints;
    const endpoints = await Promise.all(Array.from({ length: max + 2 }, () => serve()));
    const plane = await openPlane(
      endpoints.map(({ port }) => port),
      V1,
    );
    const { client, port } = await dial(plane);
    // In turn, as all are idle.
    for (let i = 0; i < endpoints.length; i += 1) expect(await get(client)).toBe(port);
    const ended = () => endpoints.reduce((sum, one) => sum + one.ended, 0);
    await expect.poll(ended, { interval: 2 }).toBe(2);
    client.end();
    await expect.poll(ended, { interval: 2 }).toBe(max + 2);
  });

  it('takes no work any more: what is idle closes, for every client', async () => {
    const endpoint = await serve();
    const plane = await openPlane([endpoint.port], V1);
    const clients = [await dial(plane), await dial(plane)];
    for (const { client, port } of clients) expect(await get(client)).toBe(port);
    const [live] = plane.context.services.values();
    const { snapshot } = live!;
    const endpoints = snapshot.endpoints.map((one) => ({ ...one, state: 'drain' as const }));
    await plane.apply([{ ...snapshot, endpoints }]);
    await expect.poll(() => endpoint.ended, { interval: 2 }).toBe(2);
  });

  it('gets the other version of the header when that is what is set', async () => {
    const endpoint = await serve();
    const plane = await openPlane([endpoint.port], V1);
    const { client, port } = await dial(plane);
    expect(await get(client)).toBe(port);
    const [live] = plane.context.services.values();
    const { snapshot } = live!;
    const send = async (sendProxy: SendProxy) => {
      const upstream = { ...snapshot.service.upstream, sendProxy };
      await plane.apply([{ ...snapshot, service: { ...snapshot.service, upstream } }]);
    };
    await send('v2');
    client.send(request('GET /'));
    await expect.poll(() => plane.endpointCount(0, 'connects'), { interval: 2 }).toBe(2);
    client.end();
    await send('v1');
    const other = await dial(plane);
    expect(await get(other.client)).toBe(other.port);
  });
});

describe('a client of HTTP/2', () => {
  it('keeps those to several endpoints, also while others are in use', async () => {
    const waiting: Peer[] = [];
    const ports: number[] = [];
    for (let i = 0; i < 2; i += 1) {
      const endpoint = await listenEndpoint();
      ports.push(endpoint.port);
      endpoint.serve(async (peer) => {
        await peer.until('\r\n');
        onceEnded(peer, () => {});
        for (;;) {
          await peer.head();
          waiting.push(peer);
        }
      });
    }
    const plane = await openPlane(ports, V1);
    const session = connectHttp2(plane.port);
    for (let round = 0; round < 3; round += 1) {
      const asked = [ask(session, { ':path': '/' }), ask(session, { ':path': '/' })];
      await expect.poll(() => waiting.length, { interval: 2 }).toBe(2);
      for (const peer of waiting.splice(0)) peer.send(answer('ok'));
      for (const { body } of await Promise.all(asked)) expect(body).toBe('ok');
      await plane.quiet();
    }
    expect([plane.endpointCount(0, 'connects'), plane.endpointCount(1, 'connects')]).toEqual([
      1, 1,
    ]);
  });

  it('has connections for its requests side by side, of which some are kept', async () => {
    const endpoint = await listenEndpoint();
    const plane = await openPlane([endpoint.port], V1);
    const waiting: Peer[] = [];
    let ended = 0;
    endpoint.serve(async (peer) => {
      await peer.until('\r\n');
      onceEnded(peer, () => {
        ended += 1;
      });
      for (;;) {
        await peer.head();
        waiting.push(peer);
      }
    });
    const session = connectHttp2(plane.port);
    const count = BOUNDS.introducedConnections.max + 3;
    for (let round = 0; round < 2; round += 1) {
      const asked = Array.from({ length: count }, () => ask(session, { ':path': '/' }));
      await expect.poll(() => waiting.length, { interval: 2 }).toBe(count);
      for (const peer of waiting.splice(0)) peer.send(answer('ok'));
      for (const { body } of await Promise.all(asked)) expect(body).toBe('ok');
      // What is not kept is closed.
      await expect.poll(() => ended, { interval: 2 }).toBe((round + 1) * 3);
    }
    expect(plane.endpointCount(0, 'connects')).toBe(count + 3);
    session.close();
    await expect.poll(() => ended, { interval: 2 }).toBe(count + 3);
  });
});
