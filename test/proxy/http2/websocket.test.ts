// WebSocket by HTTP/2 (RFC 8441): extended CONNECTs from clients, and to endpoints that take them; each
// side may speak HTTP/1.1 instead. What passes in the tunnel is bytes, so plain text serves here.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2';
import { afterEach, describe, expect, it } from 'vitest';
import { ErrorCode, Flag, FrameType } from '../../../src/http2/protocol.ts';
import { ServiceColumn } from '../../../src/ledger/layout.ts';
import {
  answerOf,
  ask,
  block,
  closeHttp2,
  connectHttp2,
  FramePeer,
  frame,
  uint32,
} from '../../support/http2.ts';
import {
  closeHttp2Endpoints,
  FrameEndpoint,
  type Handler,
  serveHttp2,
} from '../../support/http2-endpoint.ts';
import type { Peer } from '../../support/peer.ts';
import {
  answer,
  closePlanes,
  openPair,
  openPlane,
  type Policy,
  request,
} from '../../support/plane.ts';

afterEach(async () => {
  closeHttp2();
  await closePlanes();
  closeHttp2Endpoints();
});

const { endHeaders, endStream } = Flag;
const H2C: Policy = { upstream: { protocol: 'h2c', sendProxy: 'off', tls: null, host: 'client' } };
const TUNNELS = { enableConnectProtocol: true };
const CONNECT = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws' };
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const UPGRADE = request(
  'GET /ws',
  `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n`,
);
/** More than the windows, the kernel and we keep together. */
const MANY = 'x'.repeat(8 * 1024 * 1024);

const acceptOf = (key: string) =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

/** The 101 to an upgrade, with the fields of `more`. */
function switching(head: string, more = ''): string {
  const key = /Sec-WebSocket-Key: (.*)\r\n/i.exec(head)?.[1] ?? '';
  const fields = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${acceptOf(key)}\r\n`;
  return `HTTP/1.1 101 Switching Protocols\r\n${fields}${more}\r\n`;
}

/** A client whose session knows that tunnels are taken. */
async function session(port: number): Promise<ClientHttp2Session> {
  const made = connectHttp2(port);
  await once(made, 'remoteSettings');
  return made;
}

function open(client: ClientHttp2Session, fields: OutgoingHttpHeaders = {}): ClientHttp2Stream {
  const stream = client.request({ ...CONNECT, ...fields }, { endStream: false });
  stream.on('error', () => {});
  return stream;
}

/** What comes on a stream, to be waited for. */
class Incoming {
  text = '';
  hasEnded = false;
  private readonly stream: ClientHttp2Stream;

  constructor(stream: ClientHttp2Stream) {
    this.stream = stream;
    stream.on('data', (piece: Buffer) => {
      this.text += piece.toString('latin1');
    });
    stream.on('end', () => {
      this.hasEnded = true;
    });
  }

  async is(text: string): Promise<void> {
    await expect.poll(() => this.text, { interval: 2 }).toBe(text);
  }

  async ended(): Promise<number> {
    if (!this.stream.closed) await new Promise((resolve) => this.stream.on('close', resolve));
    return this.stream.rstCode ?? 0;
  }
}

/** A tunnel from a client of HTTP/2 to an endpoint of HTTP/1.1. */
async function openTunnel(policy: Policy = {}, more = '', early = '') {
  const { plane, endpoint } = await openPair(policy);
  const client = await session(plane.port);
  const stream = open(client, { 'sec-websocket-protocol': 'chat' });
  const incoming = new Incoming(stream);
  const responded = once(stream, 'response');
  if (early !== '') stream.write(early);
  const upstream = await endpoint.accept();
  const asked = await upstream.head();
  upstream.send(switching(asked, more));
  const [fields] = await responded;
  return { plane, endpoint, client, stream, incoming, upstream, asked, fields };
}

describe('an extended CONNECT to an endpoint of HTTP/1.1', () => {
  it('is an upgrade there with a key of ours, and bytes pass both ways', async () => {
    const { plane, stream, incoming, upstream, asked, fields } = await openTunnel(
      {},
      'Sec-WebSocket-Protocol: chat\r\nX-One: 1\r\nContent-Length: 5\r\n',
      'early',
    );
    expect(asked).toMatch(/^GET \/ws HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n/);
    expect(asked).toContain('Connection: upgrade\r\nUpgrade: websocket\r\n');
    expect(asked).toContain('sec-websocket-protocol: chat\r\n');
    expect(asked).toMatch(/\r\nSec-WebSocket-Key: [\w+/]{22}==\r\n/);
    expect(asked).not.toMatch(/transfer-encoding|content-length|:protocol/i);
    expect(fields).toMatchObject({
      ':status': 200,
      'sec-websocket-protocol': 'chat',
      'x-one': '1',
    });
    for (const name of ['connection', 'upgrade', 'sec-websocket-accept', 'content-length']) {
      expect(fields).not.toHaveProperty(name);
    }
    expect(await upstream.take(5)).toBe('early');
    stream.write('ping');
    expect(await upstream.take(4)).toBe('ping');
    upstream.send('pong');
    await incoming.is('pong');
    expect(plane.inFlight()).toBe(1);
    expect(plane.ledger.serviceTotal(0, ServiceColumn.upgrades)).toBe(1);
    stream.end('bye');
    expect(await upstream.rest()).toBe('bye');
    upstream.end();
    expect(await incoming.ended()).toBe(0);
    await plane.quiet();
  });

  it('does not pass on a key of its client, and has another one each time', async () => {
    const { plane, endpoint } = await openPair();
    const client = await session(plane.port);
    const keys = new Set<string>();
    for (let i = 0; i < 3; i += 1) {
      const stream = open(client, { 'sec-websocket-key': KEY });
      const upstream = await endpoint.accept();
      const found = [...(await upstream.head()).matchAll(/sec-websocket-key: (.*)\r\n/gi)];
      expect(found.length).toBe(1);
      keys.add(found[0]![1]!);
      stream.close();
      await upstream.ended();
    }
    keys.add(KEY);
    expect(keys.size).toBe(4);
    await plane.quiet();
  });

  it('that is refused gets the answer, and the connection serves others', async () => {
    const { plane, endpoint } = await openPair();
    const client = await session(plane.port);
    const answered = answerOf(open(client));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(answer('no', '', '403 Forbidden'));
    expect(await answered).toMatchObject({ status: 403, body: 'no' });
    const next = ask(client, { ':path': '/next' });
    expect(await upstream.head()).toMatch(/^GET \/next /);
    upstream.send(answer('next'));
    expect((await next).body).toBe('next');
    await plane.quiet();
  });

  it.each([
    ['without Sec-WebSocket-Accept', ''],
    ['with the accept of another key', `Sec-WebSocket-Accept: ${acceptOf(KEY)}\r\n`],
  ])('answered by a 101 %s is a 502', async (_, accept) => {
    const { plane, endpoint } = await openPair();
    const answered = answerOf(open(await session(plane.port)));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(`HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n${accept}\r\n`);
    expect(await answered).toMatchObject({
      ...{ status: 502, headers: { 'x-upriver-reason': 'unexpected-upgrade' } },
    });
    expect(await upstream.ended()).toBe('reset');
    await plane.quiet();
  });

  it('is tried elsewhere where an endpoint refuses the connection', async () => {
    const { plane, endpoint } = await openPair();
    await plane.worker.drain(0);
    const other = await openPlane([1, endpoint.port]);
    const client = await session(other.port);
    for (let i = 0; i < 2; i += 1) {
      const stream = open(client);
      const responded = once(stream, 'response');
      const upstream = await endpoint.accept();
      upstream.send(switching(await upstream.head()));
      expect((await responded)[0]).toMatchObject({ ':status': 200 });
      stream.close();
    }
    expect(other.retries('connect-refused')).toBeGreaterThan(0);
  });
});

describe('an extended CONNECT that is none', () => {
  const head = { ':method': 'CONNECT', ':scheme': 'http', ':authority': 'a', ':path': '/' };
  const send = async (fields: Record<string, string>, policy: Policy = {}) => {
    const { plane } = await openPair(policy);
    const peer = await FramePeer.open(plane.port);
    peer.send(frame(FrameType.headers, endHeaders, 1, block(fields)));
    return { plane, peer };
  };

  it.each([
    ['by another method', { ...head, ':method': 'GET', ':protocol': 'websocket' }],
    [
      'without :authority',
      { ':method': 'CONNECT', ':scheme': 'http', ':path': '/', ':protocol': 'websocket' },
    ],
    [
      'without :path',
      { ':method': 'CONNECT', ':scheme': 'http', ':authority': 'a', ':protocol': 'websocket' },
    ],
    [
      'without :scheme',
      { ':method': 'CONNECT', ':authority': 'a', ':path': '/', ':protocol': 'websocket' },
    ],
    ['with a :protocol that is no token', { ...head, ':protocol': 'web socket' }],
    ['without :protocol', head],
  ])('%s is malformed', async (_, fields) => {
    const { peer } = await send(fields);
    expect(await peer.resetOf(1)).toBe(ErrorCode.protocolError);
  });

  it('to another protocol is answered 501', async () => {
    const { plane } = await openPair();
    const client = await session(plane.port);
    const got = await answerOf(open(client, { ':protocol': 'connect-udp' }));
    expect(got.status).toBe(501);
    expect(got.headers['x-upriver-reason']).toBe('unsupported-protocol');
  });

  it('with a length of content is answered 400', async () => {
    const { plane } = await openPair();
    const client = await session(plane.port);
    const got = await answerOf(open(client, { 'content-length': '5' }));
    expect(got.status).toBe(400);
  });
});

describe('a tunnel of a stream', () => {
  it('lets the client end first and hear the endpoint out', async () => {
    const { plane, stream, incoming, upstream } = await openTunnel();
    stream.end('question');
    expect(await upstream.rest()).toBe('question');
    expect(plane.inFlight()).toBe(1);
    upstream.send(MANY);
    upstream.end();
    expect(await incoming.ended()).toBe(0);
    expect(incoming.text.length).toBe(MANY.length);
    expect(incoming.hasEnded).toBe(true);
    await plane.quiet();
  });

  it('lets the endpoint end first and hear the client out', async () => {
    const { plane, stream, incoming, upstream } = await openTunnel();
    upstream.send('last');
    upstream.end();
    await expect.poll(() => incoming.hasEnded, { interval: 2 }).toBe(true);
    expect(incoming.text).toBe('last');
    stream.end(MANY);
    expect((await upstream.rest()).length).toBe(MANY.length);
    expect(await incoming.ended()).toBe(0);
    await plane.quiet();
  });

  it('whose endpoint is slow holds up neither memory nor other streams', async () => {
    const { endpoint, client, stream, upstream } = await openTunnel();
    upstream.socket.pause();
    stream.write(MANY);
    // The client has written all that our windows let it write when nothing more leaves it.
    const other = ask(client, { ':path': '/other' });
    const beside = await endpoint.accept();
    await beside.head();
    beside.send(answer('other'));
    expect((await other).body).toBe('other');
    expect(stream.writableLength).toBeGreaterThan(0);
    upstream.socket.resume();
    expect((await upstream.take(MANY.length)).length).toBe(MANY.length);
    stream.close();
  });

  it('closes when it is idle too long: in order for the client', async () => {
    const { plane, incoming, upstream } = await openTunnel({ timeouts: { idleTunnelMs: 50 } });
    expect(await incoming.ended()).toBe(0);
    expect(incoming.hasEnded).toBe(true);
    await upstream.ended();
    await plane.quiet();
  });

  it('is not idle in the sense of bodies', async () => {
    const { plane, stream, upstream } = await openTunnel({ timeouts: { idleBodyMs: 50 } });
    plane.advance(10_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    stream.write('still');
    expect(await upstream.take(5)).toBe('still');
    stream.close();
  });

  it('that the client resets is reset at the endpoint', async () => {
    const { plane, endpoint } = await openPair();
    const peer = await FramePeer.open(plane.port);
    const fields = { ...CONNECT, ':scheme': 'http', ':authority': 'a' };
    peer.send(frame(FrameType.headers, endHeaders, 1, block(fields)));
    const upstream = await endpoint.accept();
    upstream.send(switching(await upstream.head()));
    await peer.until(FrameType.headers, 1);
    peer.send(frame(FrameType.rstStream, 0, 1, uint32(ErrorCode.cancel)));
    expect(await upstream.ended()).toBe('reset');
    await plane.quiet();
  });

  it('that the endpoint resets is cancelled, and its neighbours live', async () => {
    const { plane, client, incoming, upstream } = await openTunnel();
    upstream.reset();
    expect(await incoming.ended()).toBe(ErrorCode.cancel);
    expect(client.closed).toBe(false);
    await plane.quiet();
  });

  it('whose connection breaks is reset at the endpoint', async () => {
    const { plane, client, upstream } = await openTunnel();
    client.destroy();
    expect(await upstream.ended()).toBe('reset');
    await plane.quiet();
  });

  it('goes on while its connection drains, and is its last stream', async () => {
    const { plane, client, stream, incoming, upstream } = await openTunnel();
    const gone = once(client, 'goaway');
    const closed = once(client, 'close');
    const drained = plane.worker.drain(10_000);
    await gone;
    stream.write('after');
    expect(await upstream.take(5)).toBe('after');
    upstream.send('too');
    await incoming.is('too');
    stream.end();
    expect(await upstream.rest()).toBe('');
    upstream.end();
    expect(await incoming.ended()).toBe(0);
    await closed;
    await drained;
  });

  it('counts as in flight, and waits for a place, as other requests do', async () => {
    const { plane, client, stream, upstream } = await openTunnel({ limits: { perEndpoint: 1 } });
    const next = ask(client, { ':path': '/next' });
    await expect.poll(() => plane.waiting(), { interval: 2 }).toBe(1);
    stream.close();
    await upstream.ended();
    await expect.poll(() => plane.waiting(), { interval: 2 }).toBe(0);
    client.destroy();
    await next;
  });
});

const accepting: Handler = (stream, headers) => {
  if (headers[':method'] !== 'CONNECT') {
    stream.respond({ ':status': 200 });
    stream.end('plain');
    return;
  }
  stream.respond({ ':status': 200, 'x-protocol': headers[':protocol'], 'x-one': '1' });
  stream.pipe(stream);
};

/** One that takes tunnels; `seen`: the fields of what it was asked, in order. */
async function serveTunnels() {
  const seen: Record<string, unknown>[] = [];
  const endpoint = await serveHttp2((stream, headers) => {
    seen.push({ ...headers });
    accepting(stream, headers);
  }, TUNNELS);
  return { endpoint, seen };
}

describe('an endpoint of HTTP/2 that takes tunnels', () => {
  it('gets extended CONNECTs, beside other requests, on one connection', async () => {
    const { endpoint, seen } = await serveTunnels();
    const plane = await openPlane([endpoint.port], H2C);
    const client = await session(plane.port);
    const stream = open(client, { 'sec-websocket-protocol': 'chat' });
    const incoming = new Incoming(stream);
    const [fields] = await once(stream, 'response');
    expect(fields).toMatchObject({ ':status': 200, 'x-protocol': 'websocket', 'x-one': '1' });
    stream.write('hello');
    await incoming.is('hello');
    expect((await ask(client, { ':path': '/' })).body).toBe('plain');
    expect(endpoint.connections.length).toBe(1);
    expect(seen[0]).toMatchObject({
      ...{ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws', ':scheme': 'http' },
      ...{ 'sec-websocket-protocol': 'chat' },
    });
    for (const name of ['sec-websocket-key', 'upgrade', 'connection']) {
      expect(seen[0]).not.toHaveProperty(name);
    }
    stream.end(MANY);
    expect(await incoming.ended()).toBe(0);
    expect(incoming.text.length).toBe(MANY.length + 5);
    await plane.quiet();
  });

  it('serves clients of HTTP/1.1, whose key is answered', async () => {
    const endpoint = await serveHttp2(accepting, TUNNELS);
    const plane = await openPlane([endpoint.port], H2C);
    const client = await plane.client();
    client.send(`${UPGRADE}early`);
    const head = await client.head();
    expect(head).toMatch(/^HTTP\/1\.1 101 /);
    expect(head).toContain('\r\nConnection: upgrade\r\nUpgrade: websocket\r\n');
    expect(head).toContain(`\r\nsec-websocket-accept: ${acceptOf(KEY)}\r\n`);
    expect(head).toContain('x-one: 1\r\n');
    expect(await client.take(5)).toBe('early');
    client.send('x');
    expect(await client.take(1)).toBe('x');
    client.send(MANY);
    client.end();
    expect((await client.rest()).length).toBe(MANY.length);
    await plane.quiet();
    expect(endpoint.connections.length).toBe(1);
  });

  it('answers what asks for another protocol as if it had not asked', async () => {
    const { endpoint, seen } = await serveTunnels();
    const plane = await openPlane([endpoint.port], H2C);
    const client = await plane.client();
    client.send(request('GET /echo', 'Connection: Upgrade\r\nUpgrade: echo/1\r\n'));
    expect(await client.head()).toMatch(/^HTTP\/1\.1 200 /);
    expect(seen[0]).toMatchObject({ ':method': 'GET', ':path': '/echo' });
    for (const name of ['upgrade', 'connection', ':protocol'])
      expect(seen[0]).not.toHaveProperty(name);
    await plane.quiet();
  });

  it.each(['http1', 'http2'] as const)(
    'ends with its client of %s, and its neighbours live',
    async (kind) => {
      const codes: number[] = [];
      const endpoint = await serveHttp2((stream, headers) => {
        stream.on('close', () => codes.push(stream.rstCode ?? -1));
        accepting(stream, headers);
      }, TUNNELS);
      const plane = await openPlane([endpoint.port], H2C);
      const neighbour = open(await session(plane.port));
      const heard = new Incoming(neighbour);
      await once(neighbour, 'response');
      if (kind === 'http2') {
        const client = await session(plane.port);
        const stream = open(client);
        await once(stream, 'response');
        client.destroy();
      } else {
        const client: Peer = await plane.client();
        client.send(UPGRADE);
        await client.head();
        client.reset();
      }
      await expect.poll(() => codes, { interval: 2 }).toEqual([ErrorCode.cancel]);
      expect(plane.inFlight()).toBe(1);
      neighbour.write('alive');
      await heard.is('alive');
      expect(endpoint.connections.length).toBe(1);
    },
  );

  it.each(['http1', 'http2'] as const)('resets it: a client of %s sees it cut', async (kind) => {
    const endpoint = await serveHttp2((stream) => {
      stream.respond({ ':status': 200 });
      stream.on('data', () => stream.close(ErrorCode.internalError));
    }, TUNNELS);
    const plane = await openPlane([endpoint.port], H2C);
    if (kind === 'http2') {
      const stream = open(await session(plane.port));
      const incoming = new Incoming(stream);
      stream.write('x');
      expect(await incoming.ended()).toBe(ErrorCode.cancel);
    } else {
      const client = await plane.client();
      client.send(UPGRADE);
      await client.head();
      client.send('x');
      expect(await client.ended()).toBe('reset');
    }
    await plane.quiet();
  });

  it('is asked when it has said so, not before', async () => {
    const { stream, responded, peer } = await openUnasked();
    peer.send(frame(FrameType.settings, 0, 0, `\0\x08${uint32(1)}`));
    const asked = await peer.until(FrameType.headers);
    expect(asked.flags & endStream).toBe(0);
    peer.send(frame(FrameType.headers, endHeaders, asked.id, '\x88'));
    expect((await responded)[0]).toMatchObject({ ':status': 200 });
    peer.send(frame(FrameType.rstStream, 0, asked.id, uint32(ErrorCode.cancel)));
    expect(await answerCode(stream)).toBe(ErrorCode.cancel);
  });

  it('keeps the connection on which it is asked though descriptors are short', async () => {
    const { plane, stream, responded, peer } = await openUnasked();
    const services = [...plane.context.services.values()];
    const closeIdle = () => services.map((service) => service.closeIdle());
    expect(closeIdle()).toEqual([0]);
    peer.send(frame(FrameType.settings, 0, 0, `\0\x08${uint32(1)}`));
    const asked = await peer.until(FrameType.headers);
    peer.send(frame(FrameType.headers, endHeaders, asked.id, '\x88'));
    expect((await responded)[0]).toMatchObject({ ':status': 200 });
    stream.close(ErrorCode.cancel);
    await peer.until(FrameType.rstStream);
    expect(closeIdle()).toEqual([1]);
  });

  it('may not take it back', async () => {
    const endpoint = await FrameEndpoint.listen();
    const plane = await openPlane([endpoint.endpoint.port], { ...H2C, retry: { attempts: 1 } });
    const answered = answerOf(open(await session(plane.port)));
    const peer = await endpoint.accept(frame(FrameType.settings, 0, 0, `\0\x08${uint32(1)}`));
    await peer.until(FrameType.headers);
    peer.send(frame(FrameType.settings, 0, 0, `\0\x08${uint32(0)}`));
    expect(await peer.goaway()).toBe(ErrorCode.protocolError);
    expect((await answered).status).toBe(502);
  });
});

/** A tunnel that waits for an endpoint whose SETTINGS come late: until then nothing but ours is there. */
async function openUnasked() {
  const endpoint = await FrameEndpoint.listen();
  const plane = await openPlane([endpoint.endpoint.port], H2C);
  const stream = open(await session(plane.port));
  const responded = once(stream, 'response');
  const peer = await endpoint.accept('');
  for (let i = 0; i < 2; i += 1) expect((await peer.next()).type).not.toBe(FrameType.headers);
  return { plane, stream, responded, peer };
}

async function answerCode(stream: ClientHttp2Stream): Promise<number> {
  if (!stream.closed) await new Promise((resolve) => stream.on('close', resolve));
  return stream.rstCode ?? 0;
}

describe('an endpoint of HTTP/2 that takes none', () => {
  it.each(['http1', 'http2'] as const)('is not asked for one by a client of %s', async (kind) => {
    const endpoint = await serveHttp2(accepting);
    const plane = await openPlane([endpoint.port], H2C);
    if (kind === 'http2') {
      const got = await answerOf(open(await session(plane.port)));
      expect(got.status).toBe(501);
      expect(got.headers['x-upriver-reason']).toBe('no-tunnels');
    } else {
      const { head } = await plane.ask(UPGRADE);
      expect(head).toContain('HTTP/1.1 501 ');
      expect(head).toContain('X-Upriver-Reason: no-tunnels\r\n');
    }
    expect(endpoint.streams).toBe(0);
    // It would say the same again.
    expect(plane.endpointCount(0, 'attempts')).toBe(1);
    await plane.quiet();
  });

  it('leaves them to those that do', async () => {
    const without = await serveHttp2(accepting);
    const having = await serveHttp2(accepting, TUNNELS);
    const plane = await openPlane([without.port, having.port], H2C);
    const client = await session(plane.port);
    for (let i = 0; i < 4; i += 1) {
      const stream = open(client);
      expect((await once(stream, 'response'))[0]).toMatchObject({ ':status': 200 });
      stream.close();
    }
    expect(without.streams).toBe(0);
    expect(having.streams).toBe(4);
  });
});
