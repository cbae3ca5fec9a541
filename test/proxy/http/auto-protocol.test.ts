// `upstream.protocol: auto`: endpoints choose by ALPN, one by one, and may choose otherwise when they
// come back. Whatever they choose, no request is lost over it, and HTTP/2 is shared, HTTP/1.1 is not.
import { once } from 'node:events';
import { createServer as createPlain } from 'node:http';
import {
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTls, type Server as TlsServer } from 'node:tls';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Authority } from '../../support/certificates.ts';
import { answerOf, closeHttp2, connectHttp2 } from '../../support/http2.ts';
import { answer, closePlanes, type Plane, type Policy, request } from '../../support/plane.ts';
import { openTlsPlane } from '../../support/upstream-tls.ts';

const authority = new Authority();
afterAll(() => authority.remove());
const { cert, key } = authority.issue(['127.0.0.1']);

const endings: (() => Promise<void>)[] = [];
afterEach(async () => {
  closeHttp2();
  await closePlanes();
  for (const end of endings.splice(0)) await end();
});

type Kind = 'h1' | 'h2' | 'both';

interface Served {
  readonly port: number;
  /** Version and path of each request. */
  readonly requests: string[];
  /** Connections that were made, by what was agreed on. */
  readonly agreed: (string | false | null)[];
  stop(): Promise<void>;
}

/** An endpoint that speaks HTTP/1.1, HTTP/2, or what it is asked for. */
async function serve(kind: Kind, { port = 0, takesTunnels = false } = {}): Promise<Served> {
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  const server =
    kind === 'h1'
      ? (createHttps({ cert, key }) as unknown as Http2SecureServer)
      : createSecureServer({
          ...{ cert, key, allowHTTP1: kind === 'both' },
          settings: { enableConnectProtocol: takesTunnels },
        });
  // Node would answer extended CONNECTs with 405.
  server.on('connect', () => {});
  const requests: string[] = [];
  const agreed: (string | false | null)[] = [];
  server.on('secureConnection', (socket) => {
    agreed.push(socket.alpnProtocol);
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
  });
  server.on('request', (asked, response) => {
    if (asked.method === 'CONNECT') return;
    requests.push(`${asked.httpVersion} ${asked.url}`);
    asked.resume();
    response.setHeader('content-length', 6);
    asked.on('end', () => response.end(`by ${asked.httpVersion}`));
  });
  server.on('upgrade', (_asked: unknown, socket: Socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.pipe(socket);
  });
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {});
    if (headers[':method'] !== 'CONNECT') return;
    requests.push(`tunnel ${headers[':path']}`);
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const stop = async (): Promise<void> => {
    const closed = server.listening ? once(server, 'close') : null;
    server.close();
    for (const session of sessions) session.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  endings.push(stop);
  return { port: (server.address() as AddressInfo).port, requests, agreed, stop };
}

function open(ports: readonly number[], policy: Policy = {}): Promise<Plane> {
  return openTlsPlane(authority, ports, { upstream: { protocol: 'auto' }, policy });
}

/** So many requests at the same time; returns what they got. */
async function ask(plane: Plane, count: number, method = 'POST'): Promise<string[]> {
  const fields = 'Connection: close\r\nContent-Length: 1\r\n';
  const asked = Array.from({ length: count }, () =>
    plane
      .ask(request(`${method} /`, fields, 'x'))
      .then(({ body, head }) => (head.includes(' 200 ') ? body : head)),
  );
  return Promise.all(asked);
}

const all = (count: number, text: string) => Array.from({ length: count }, () => text);

describe('an endpoint that may choose', () => {
  it('has one attempt for each request, whatever it chooses at first and later', async () => {
    const old = await serve('h1');
    const { port } = old;
    const plane = await open([port]);
    expect(await ask(plane, 10)).toEqual(all(10, 'by 1.1'));
    await plane.quiet();
    expect(plane.endpointCount(0, 'attempts')).toBe(10);
    await old.stop();
    await serve('both', { port });
    // Kept connections are closed, and what is asked next finds the other protocol.
    expect(await ask(plane, 10, 'GET')).toEqual(all(10, 'by 2.0'));
    await plane.quiet();
    const moved = plane.endpointCount(0, 'retries');
    expect(plane.endpointCount(0, 'attempts')).toBe(20 + moved);
  });

  it('HTTP/2 gets all requests on one connection, the first ones too', async () => {
    const endpoint = await serve('both');
    const plane = await open([endpoint.port]);
    expect(await ask(plane, 20)).toEqual(all(20, 'by 2.0'));
    expect(endpoint.agreed).toEqual(['h2']);
    await plane.quiet();
  });

  it('HTTP/1.1 gets each on a connection of its own, which is kept', async () => {
    const endpoint = await serve('h1');
    const plane = await open([endpoint.port]);
    expect(await ask(plane, 10)).toEqual(all(10, 'by 1.1'));
    await plane.quiet();
    const { length } = endpoint.agreed;
    expect(length).toBeLessThanOrEqual(10);
    expect(new Set(endpoint.agreed)).toEqual(new Set(['http/1.1']));
    for (let i = 0; i < 5; i += 1) expect(await ask(plane, 1)).toEqual(['by 1.1']);
    expect(endpoint.agreed.length).toBe(length);
    expect(plane.endpointCount(0, 'connects')).toBe(length);
  });

  it('chooses for itself: both kinds serve one service', async () => {
    const old = await serve('h1');
    const young = await serve('h2');
    const plane = await open([old.port, young.port]);
    const by: string[] = [];
    for (let i = 0; i < 5; i += 1) by.push(...(await ask(plane, 4)));
    await plane.quiet();
    expect(new Set(by)).toEqual(new Set(['by 1.1', 'by 2.0']));
    expect([old.requests.length, young.requests.length].every((count) => count >= 5)).toBe(true);
    expect(young.agreed).toEqual(['h2']);
    expect(old.agreed.length).toBeLessThanOrEqual(4);
  });

  it('says nothing of ALPN: it is HTTP/1.1', async () => {
    const server = createTls({ cert, key }, (socket) => {
      socket.on('error', () => {});
      socket.on('data', () => socket.write(answer('by none')));
    });
    const plane = await open([await listening(server)]);
    expect(await ask(plane, 3)).toEqual(all(3, 'by none'));
  });

  it('is tried a second time beside another one that speaks otherwise', async () => {
    const slow = createTls({ cert, key, ALPNProtocols: ['http/1.1'] }, (socket) => {
      socket.on('error', () => {});
    });
    const fast = await serve('h2');
    const hedge = { hedge: { afterMs: 20 } as never };
    const plane = await open([await listening(slow), fast.port], { retry: hedge });
    for (let i = 0; i < 4; i += 1) {
      const { body } = await plane.ask(request('GET /', 'Connection: close\r\n'));
      expect(body).toContain('by 2.0');
    }
  });
});

async function listening(server: TlsServer): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  endings.push(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

describe('an endpoint that changes its mind', () => {
  it.each([
    ['h2', 'h1', 'by 1.1'],
    ['both', 'h1', 'by 1.1'],
    ['h1', 'h2', 'by 2.0'],
    ['h1', 'both', 'by 2.0'],
  ] as const)('from %s to %s is followed, and no request is lost', async (from, to, by) => {
    const first = await serve(from);
    const plane = await open([first.port]);
    expect((await ask(plane, 5)).length).toBe(5);
    await plane.quiet();
    await first.stop();
    const second = await serve(to, { port: first.port });
    // POST: what was sent to nobody is sent again, whatever the method.
    expect(await ask(plane, 20)).toEqual(all(20, by));
    expect(second.requests.length).toBe(20);
    await plane.quiet();
    await second.stop();
    const third = await serve(from, { port: first.port });
    expect((await ask(plane, 20)).length).toBe(20);
    expect(third.requests.length).toBe(20);
    await plane.quiet();
  });

  it.each([100, 0])(
    'with each connection costs no request: %i idle ones are kept',
    async (idleUpstream) => {
      let count = 0;
      const server = createSecureServer({
        ...{ cert, key, allowHTTP1: true },
        ALPNCallback: () => {
          count += 1;
          return count % 2 === 0 ? 'h2' : 'http/1.1';
        },
      });
      server.on('sessionError', () => {});
      server.on('request', (asked, response) => {
        asked.resume();
        // No connection is used twice.
        if (asked.httpVersionMajor === 1) response.setHeader('connection', 'close');
        response.setHeader('content-length', 9);
        response.end('by chance');
        if (asked.httpVersionMajor === 2) asked.stream.session?.close();
      });
      const ports = [await listening(server as unknown as TlsServer)];
      const plane = await open(ports, { limits: { idleUpstream } });
      for (let i = 0; i < 10; i += 1) expect(await ask(plane, 3)).toEqual(all(3, 'by chance'));
      await plane.quiet();
    },
  );

  it('by a reload of ours is asked by what holds then', async () => {
    const endpoint = await serve('both');
    const plane = await open([endpoint.port]);
    expect(await ask(plane, 2)).toEqual(all(2, 'by 2.0'));
    const [live] = plane.context.services.values();
    const { snapshot } = live!;
    const { upstream } = snapshot.service;
    for (const [protocol, by] of [
      ['http1', 'by 1.1'],
      ['auto', 'by 2.0'],
    ] as const) {
      const service = { ...snapshot.service, upstream: { ...upstream, protocol } };
      await plane.apply([{ ...snapshot, service }]);
      expect(await ask(plane, 2)).toEqual(all(2, by));
    }
  });
});

describe('a WebSocket to an endpoint that may choose', () => {
  const UPGRADE = request('GET /ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n');
  const chat = async (plane: Plane): Promise<void> => {
    const client = await plane.client();
    client.send(UPGRADE);
    expect(await client.head()).toContain('HTTP/1.1 101 ');
    client.send('hello');
    expect(await client.take(5)).toBe('hello');
    client.end();
    await client.ended();
  };

  it('goes by HTTP/2 where that takes it', async () => {
    const endpoint = await serve('both', { takesTunnels: true });
    const plane = await open([endpoint.port]);
    expect(await ask(plane, 1)).toEqual(['by 2.0']);
    await chat(plane);
    expect(endpoint.requests).toEqual(['2.0 /', 'tunnel /ws']);
    expect(endpoint.agreed).toEqual(['h2']);
  });

  it('goes by HTTP/1.1 where HTTP/2 does not, and other requests stay with HTTP/2', async () => {
    const endpoint = await serve('both');
    const plane = await open([endpoint.port]);
    for (let i = 0; i < 2; i += 1) {
      await chat(plane);
      expect(await ask(plane, 2)).toEqual(all(2, 'by 2.0'));
    }
    expect(endpoint.agreed).toEqual(['h2', 'http/1.1', 'http/1.1']);
  });

  it('goes to one that speaks HTTP/1.1 alone, from a client of HTTP/2 as well', async () => {
    const endpoint = await serve('h1');
    const plane = await open([endpoint.port]);
    await chat(plane);
    const session = connectHttp2(plane.port);
    await once(session, 'remoteSettings');
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':path': '/',
    });
    // The endpoint of this test answers no key.
    expect((await answerOf(stream)).headers['x-upriver-reason']).toBe('unexpected-upgrade');
  });
});

describe('an endpoint in plain', () => {
  it('is spoken to by HTTP/1.1', async () => {
    const server = createPlain((_asked, response) => {
      response.setHeader('content-length', 6);
      response.end('by 1.1');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    endings.push(async () => void server.close());
    const { port } = server.address() as AddressInfo;
    const plane = await openTlsPlane(authority, [port], {
      upstream: { protocol: 'auto', tls: null },
    });
    expect(await ask(plane, 3)).toEqual(all(3, 'by 1.1'));
  });
});
