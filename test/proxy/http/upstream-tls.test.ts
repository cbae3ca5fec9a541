// TLS to endpoints: who is trusted, what is asked, what is tried elsewhere, and what is resumed.
import type { Http2SecureServer } from 'node:http2';
import { createServer, type Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import type { UpstreamTls } from '../../../src/model/service.ts';
import { Authority, type Issued } from '../../support/certificates.ts';
import { type HeaderReader, readHeadersFor } from '../../support/header-reader.ts';
import { listenEndpoint } from '../../support/peer.ts';
import { answer, closePlanes, type Plane } from '../../support/plane.ts';
import { makeSnapshot } from '../../support/service.ts';
import { materialFor, openTlsPlane, type TlsPlaneParts } from '../../support/upstream-tls.ts';

const authority = new Authority();
const stranger = new Authority('other CA');
afterAll(() => {
  authority.remove();
  stranger.remove();
});
const good = authority.issue(['api.internal', '127.0.0.1']);
const alien = stranger.issue(['api.internal', '127.0.0.1']);
const expired = authority.issue(['api.internal', '127.0.0.1'], { days: -1 });
const client = authority.issue([], { subject: '/CN=upriver' });

const servers: (Server | Http2SecureServer)[] = [];
const readers: HeaderReader[] = [];
afterEach(async () => {
  vi.useRealTimers();
  await closePlanes();
  for (const reader of readers.splice(0)) reader.close();
  for (const server of servers.splice(0)) server.close();
});

interface Heard {
  readonly port: number;
  /** `Host SNI resumed` of each request. */
  readonly requests: string[];
}

/** An endpoint with this certificate that says what it was asked. */
async function secure({ cert, key }: Issued, options: object = {}): Promise<Heard> {
  const requests: string[] = [];
  const server = createServer({ cert, key, ...options }, (request, response) => {
    const socket = request.socket as TLSSocket & { servername: string | false };
    requests.push(`${request.headers.host} ${socket.servername} ${socket.isSessionReused()}`);
    const peer = socket.getPeerCertificate().subject;
    response.end(`ok ${peer?.CN ?? ''}`.trim());
  });
  server.on('tlsClientError', () => {});
  servers.push(server);
  return { port: await listening(server), requests };
}

async function listening(server: Server | Http2SecureServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const serve = (
  ports: readonly number[],
  tls: Partial<UpstreamTls> = {},
  parts: Omit<TlsPlaneParts, 'tls'> = {},
) => openTlsPlane(authority, ports, { ...parts, tls });

const ask = (plane: Plane) =>
  plane.ask('GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n');

describe('an endpoint with TLS', () => {
  it('is asked on connections that are kept, and sessions that are resumed', async () => {
    const endpoint = await secure(good);
    const plane = await serve([endpoint.port]);
    expect((await ask(plane)).body).toBe('ok');
    await plane.quiet();
    expect((await ask(plane)).body).toBe('ok');
    expect(plane.endpointCount(0, 'connects')).toBe(1);
    const [live] = plane.context.services.values();
    await expect.poll(() => live!.closeIdle()).toBe(1);
    expect((await ask(plane)).body).toBe('ok');
    expect(plane.endpointCount(0, 'connects')).toBe(2);
    expect(endpoint.requests).toEqual([
      ...['shop.test false false', 'shop.test false false', 'shop.test false true'],
    ]);
  });

  it('shows its certificate again when that of a session has expired', async () => {
    const endpoint = await secure(authority.issue(['127.0.0.1'], { days: 2 }));
    const plane = await serve([endpoint.port]);
    const [live] = plane.context.services.values();
    const askAnew = async () => {
      expect((await ask(plane)).body).toBe('ok');
      await expect.poll(() => live!.closeIdle()).toBe(1);
    };
    await askAnew();
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 86_400_000 });
    await askAnew();
    vi.setSystemTime(Date.now() + 2 * 86_400_000);
    await askAnew();
    expect(endpoint.requests.map((line) => line.split(' ').at(-1))).toEqual([
      ...['false', 'true', 'false'],
    ]);
  });

  it('is asked for the name that is set, and gets its own Host where that is wanted', async () => {
    const endpoint = await secure(good);
    const named = await serve([endpoint.port], { serverName: 'api.internal' });
    await ask(named);
    const other = await serve([endpoint.port], {}, { upstream: { host: 'endpoint' } });
    await ask(other);
    const given = await serve(
      [endpoint.port],
      {},
      { upstream: { host: { name: 'api.internal' } } },
    );
    await ask(given);
    expect(endpoint.requests.map((line) => line.replace(/ \w+$/, ''))).toEqual([
      'shop.test api.internal',
      `127.0.0.1:${endpoint.port} false`,
      'api.internal api.internal',
    ]);
  });

  it('that was registered by name is asked for that name', async () => {
    const endpoint = await secure(good);
    const plane = await serve([endpoint.port], {}, { upstream: { host: 'endpoint' } });
    const [live] = plane.context.services.values();
    const snapshot = makeSnapshot(live!.service, [endpoint.port]);
    const endpoints = snapshot.endpoints.map((one) => ({
      ...one,
      hostName: 'api.internal',
      id: 'n',
    }));
    await plane.apply([{ ...snapshot, endpoints }]);
    expect((await ask(plane)).body).toBe('ok');
    expect(endpoint.requests).toEqual([`api.internal:${endpoint.port} api.internal false`]);
  });

  it('may ask for our certificate', async () => {
    const endpoint = await secure(good, { requestCert: true, ca: authority.ca });
    const material = { cert: client.cert, privateKey: client.key };
    const plane = await serve([endpoint.port], {}, { material });
    expect((await ask(plane)).body).toBe('ok upriver');
  });

  it('speaks HTTP/2 where that is agreed on by ALPN, and is not asked otherwise', async () => {
    const { cert, key } = good;
    const { createSecureServer } = await import('node:http2');
    const server = createSecureServer({ cert, key }, (request, response) => {
      const text = `${request.httpVersion} ${request.headers[':scheme']}`;
      response.setHeader('content-length', text.length);
      response.end(text);
    });
    servers.push(server);
    const upstream = { protocol: 'h2' } as const;
    const plane = await serve([await listening(server)], {}, { upstream });
    expect((await ask(plane)).body).toBe('2.0 https');
    const old = await secure(good);
    const refused = await serve([old.port], {}, { upstream });
    expect((await ask(refused)).head).toContain('X-Upriver-Reason: tls-refused');
  });
});

describe('an endpoint that is not what it should be', () => {
  const tried = async (port: number, tls: Partial<UpstreamTls> = {}) => {
    const { requests, port: other } = await secure(good);
    const alone = await serve([port], tls);
    const { head } = await ask(alone);
    const plane = await serve([port, other], tls);
    for (let i = 0; i < 2; i += 1) expect((await ask(plane)).body).toBe('ok');
    expect(requests).toHaveLength(2);
    return /X-Upriver-Reason: (\S+)/.exec(head)?.[1];
  };

  it('for its CA is left for another', async () => {
    expect(await tried((await secure(alien)).port)).toBe('tls-untrusted');
  });

  it('for its dates is left for another', async () => {
    expect(await tried((await secure(expired)).port)).toBe('tls-untrusted');
  });

  it('for its name is left for another', async () => {
    const named = authority.issue(['elsewhere.internal']);
    expect(await tried((await secure(named)).port)).toBe('tls-wrong-name');
  });

  it('for it answers in plain is left for another', async () => {
    const plain = await listenEndpoint();
    plain.serve(async (peer) => {
      await peer.take(1);
      peer.send(answer('plain', '', '400 Bad Request'));
      peer.end();
      await peer.ended();
    });
    expect(await tried(plain.port)).toBe('tls-plain');
  });

  it('for it refuses the handshake is left for another', async () => {
    const { port } = await secure(good, { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' });
    expect(await tried(port, {})).toBe('tls-refused');
  });

  it('is taken all the same without verify', async () => {
    const plane = await serve([(await secure(alien)).port], { verify: false });
    expect((await ask(plane)).body).toBe('ok');
  });

  it('is not trusted while its CA can not be read', async () => {
    const endpoint = await secure(good);
    const plane = await serve([endpoint.port], {}, { material: { ca: '' } });
    expect((await ask(plane)).head).toContain('X-Upriver-Reason: tls-untrusted');
    plane.worker.setTls([], [materialFor(authority)]);
    expect((await ask(plane)).body).toBe('ok');
  });
});

describe('a response that ends with its connection', () => {
  it('is complete with close_notify, and cut without', async () => {
    const raw = async (isOrderly: boolean) => {
      const { createServer: createTls } = await import('node:tls');
      const server = createTls({ cert: good.cert, key: good.key }, (socket) => {
        socket.on('error', () => {});
        socket.once('data', () => {
          socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf', () => {
            if (isOrderly) socket.end();
            else endPlainly(socket);
          });
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      servers.push(server as unknown as Server);
      const { port } = server.address() as { port: number };
      const plane = await serve([port]);
      const peer = await plane.client();
      peer.send('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
      await peer.until('half');
      return peer.ended();
    };
    expect(await raw(true)).toBe('end');
    expect(await raw(false)).toBe('reset');
  });
});

/** A FIN without a word of TLS. */
function endPlainly(socket: TLSSocket): void {
  const { _handle: handle } = socket as unknown as {
    _handle: { _parent: { close(): void }; close: () => void };
  };
  handle.close = () => {};
  handle._parent.close();
}

describe('an endpoint with TLS that expects PROXY headers', () => {
  const introduced = async (sendProxy: 'v1' | 'v2', issued: Issued = good) => {
    const endpoint = await secure(issued);
    const reader = await readHeadersFor(endpoint.port);
    readers.push(reader);
    const plane = await serve([reader.port], {}, { upstream: { sendProxy } });
    return { endpoint, reader, plane };
  };

  it.each(['v1', 'v2'] as const)('gets each before the handshake: %s', async (sendProxy) => {
    const { endpoint, reader, plane } = await introduced(sendProxy);
    const peers = [await plane.client(), await plane.client()];
    for (const peer of [...peers, ...peers]) {
      peer.send('GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n');
      expect((await peer.message()).body).toBe('ok');
    }
    await plane.quiet();
    // A header speaks for one client, whose requests share its connection; the second resumes a session.
    expect(plane.endpointCount(0, 'connects')).toBe(2);
    expect(endpoint.requests.at(-1)).toBe('shop.test false true');
    const destination = { address: '127.0.0.1', port: plane.port };
    for (const header of reader.headers) {
      expect(header).toMatchObject({ kind: 'whole', peer: { address: '127.0.0.1', destination } });
    }
    expect(reader.headers).toHaveLength(2);
  });

  it('passes a large body both ways', async () => {
    const { cert, key } = good;
    const server = createServer({ cert, key }, (request, response) => {
      response.setHeader('content-length', request.headers['content-length']!);
      request.pipe(response);
    });
    servers.push(server);
    const reader = await readHeadersFor(await listening(server));
    readers.push(reader);
    const plane = await serve([reader.port], {}, { upstream: { sendProxy: 'v2' } });
    const body = 'x'.repeat(3_000_000);
    const fields = `Connection: close\r\nContent-Length: ${body.length}\r\n`;
    const answered = await plane.ask(`PUT / HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`);
    expect(answered.body.length).toBe(body.length);
    expect(answered.body === body).toBe(true);
  });

  it('is judged as any other: a certificate of another CA is refused', async () => {
    const { plane, endpoint } = await introduced('v2', alien);
    expect((await ask(plane)).head).toContain('X-Upriver-Reason: tls-untrusted');
    expect(endpoint.requests).toEqual([]);
    await plane.quiet();
  });

  it('that refuses connections, or speaks no TLS, is told as such', async () => {
    const plain = await listenEndpoint();
    plain.serve(async (peer) => {
      await peer.until('\r\n');
      peer.send(answer('plain'));
    });
    const plane = await serve([plain.port], {}, { upstream: { sendProxy: 'v1' } });
    expect((await ask(plane)).head).toContain('X-Upriver-Reason: tls-plain');
    plain.close();
    const { head } = await ask(plane);
    expect(head).toContain('X-Upriver-Reason: connect-refused');
    await plane.quiet();
  });

  it('that says nothing runs into the time to connect', async () => {
    const silent = await listenEndpoint();
    const upstream = { sendProxy: 'v1' } as const;
    const plane = await serve([silent.port], {}, { upstream });
    const peer = await plane.client();
    peer.send('GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n');
    const asked = await silent.accept();
    expect(await asked.until('\r\n')).toMatch(/^PROXY TCP4 /);
    let head = '';
    void peer.message().then((answered) => {
      head = answered.head;
    });
    // It is tried more than once.
    const later = (): string => {
      plane.advance(6000);
      return head;
    };
    await expect.poll(later).toContain('X-Upriver-Reason: connect-timeout');
    await asked.ended();
    await plane.quiet();
  });
});
