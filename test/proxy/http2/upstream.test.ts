// Endpoints that speak HTTP/2: what they see, connections that are shared, and what becomes of requests
// when a stream, or a connection, ends in whichever way.
import type { ServerHttp2Stream } from 'node:http2';
import { afterEach, describe, expect, it } from 'vitest';
import { ErrorCode, Flag, FrameType } from '../../../src/http2/protocol.ts';
import {
  answerOf,
  ask,
  block,
  closeHttp2,
  connectHttp2,
  FramePeer,
  frame,
  SETTINGS,
  uint32,
} from '../../support/http2.ts';
import {
  closeHttp2Endpoints,
  FrameEndpoint,
  type Handler,
  serveHttp2,
} from '../../support/http2-endpoint.ts';
import { closePlanes, openPlane, type Policy, request } from '../../support/plane.ts';

afterEach(async () => {
  closeHttp2();
  await closePlanes();
  closeHttp2Endpoints();
});

const { endHeaders, endStream } = Flag;
const H2C: Policy = { upstream: { protocol: 'h2c', sendProxy: 'off', tls: null, host: 'client' } };

async function openServed(handler: Handler, policy: Policy = {}) {
  const endpoint = await serveHttp2(handler);
  const plane = await openPlane([endpoint.port], { ...H2C, ...policy });
  return { plane, endpoint };
}

const echo: Handler = (stream, headers) => {
  stream.respond({ ':status': 200, 'x-path': headers[':path'], 'x-method': headers[':method'] });
  stream.pipe(stream);
};

describe('a request to an endpoint of HTTP/2', () => {
  it('from a client of HTTP/1.1 is one of HTTP/2 there', async () => {
    let seen: Record<string, unknown> = {};
    const { plane } = await openServed((stream, headers) => {
      seen = { ...headers };
      stream.respond({ ':status': 200, 'content-length': '5', 'x-two': '2' });
      stream.end('hello');
    });
    const fields = 'X-One: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\nTE: trailers\r\n';
    const { head, body } = await plane.ask(request('GET /a?b', fields));
    expect(head).toMatch(/^HTTP\/1\.1 200 \r\n/);
    expect(head).toContain('x-two: 2\r\n');
    expect(body).toBe('hello');
    expect(seen).toMatchObject({
      ...{ ':method': 'GET', ':path': '/a?b', ':scheme': 'http', ':authority': 'a' },
      ...{ 'x-one': '1', te: 'trailers', 'x-forwarded-host': 'a' },
    });
    expect(seen).not.toHaveProperty('x-hop');
    expect(seen).not.toHaveProperty('connection');
    expect(seen).not.toHaveProperty('host');
  });

  it('carries content and trailers both ways, from a client of HTTP/1.1', async () => {
    const { plane } = await openServed((stream) => {
      const pieces: Buffer[] = [];
      stream.on('trailers', (trailers) => pieces.push(Buffer.from(String(trailers['x-sum']))));
      stream.on('data', (piece: Buffer) => pieces.push(piece));
      stream.on('end', () => {
        stream.respond({ ':status': 200 }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': '1' }));
        stream.end(Buffer.concat(pieces));
      });
    });
    const client = await plane.client();
    client.send(request('POST /', 'Transfer-Encoding: chunked\r\n', '3\r\nabc\r\n'));
    client.send('3\r\ndef\r\n0\r\nX-Sum: 7\r\n\r\n');
    const head = await client.head();
    expect(head).toContain('Transfer-Encoding: chunked\r\n');
    const body = await client.until('x-end: 1\r\n\r\n');
    expect(body).toContain('abcdef');
  });

  it('carries content of any size both ways', async () => {
    const { plane } = await openServed(echo);
    const session = connectHttp2(plane.port);
    const size = 3_000_000;
    const got = await ask(session, { ':path': '/', ':method': 'POST' }, Buffer.alloc(size, 'e'));
    expect(got.status).toBe(200);
    expect(got.body).toBe('e'.repeat(size));
  });

  it('by HEAD, and with 204 and 304, has no content', async () => {
    const { plane } = await openServed((stream, headers) => {
      const status = Number(String(headers[':path']).slice(1));
      stream.respond(
        { ':status': status, ...(status === 200 ? { 'content-length': '7' } : {}) },
        { endStream: true },
      );
    });
    const client = await plane.client();
    client.send(request('HEAD /200'));
    expect(await client.head()).toContain('content-length: 7\r\n');
    for (const status of [204, 304]) {
      client.send(request(`GET /${status}`));
      const head = await client.head();
      expect(head).toContain(`HTTP/1.1 ${status} `);
      expect(head).not.toMatch(/transfer-encoding/i);
    }
  });

  it('gets interim responses', async () => {
    const { plane } = await openServed((stream) => {
      stream.additionalHeaders({ ':status': 103, link: '</a>' });
      stream.respond({ ':status': 200 });
      stream.end('x');
    });
    const got = await ask(connectHttp2(plane.port), { ':path': '/' });
    expect(got).toMatchObject({ status: 200, body: 'x', interims: [103] });
  });
});

describe('connections', () => {
  it('are shared by requests, and each counts as in flight', async () => {
    const open: (() => void)[] = [];
    const { plane, endpoint } = await openServed((stream) => {
      open.push(() => {
        stream.respond({ ':status': 200 });
        stream.end('ok');
      });
    });
    const session = connectHttp2(plane.port);
    const asked = Array.from({ length: 50 }, () => ask(session, { ':path': '/' }));
    await expect.poll(() => open.length).toBe(50);
    expect(plane.inFlight()).toBe(50);
    expect(endpoint.connections.length).toBe(1);
    for (const answer of open) answer();
    for (const { body } of await Promise.all(asked)) expect(body).toBe('ok');
    expect(plane.inFlight()).toBe(0);
    expect(plane.endpointCount(0, 'connects')).toBe(1);
  });

  it('carry nothing but requests: a stream that has ended well is not reset', async () => {
    const endpoint = await FrameEndpoint.listen();
    const plane = await openPlane([endpoint.endpoint.port], H2C);
    const session = connectHttp2(plane.port);
    const answers = [
      (id: number) =>
        frame(FrameType.headers, endHeaders | endStream, id, block({ ':status': '204' })),
      (id: number) =>
        frame(FrameType.headers, endHeaders, id, block({ ':status': '200' })) +
        frame(FrameType.data, endStream, id, 'x'),
      (id: number) =>
        frame(FrameType.headers, endHeaders, id, block({ ':status': '200' })) +
        frame(FrameType.data, 0, id, 'x') +
        frame(FrameType.headers, endHeaders | endStream, id, block({ 'x-t': '1' })),
    ];
    let asked = ask(session, { ':path': '/' });
    const peer = await endpoint.accept();
    await peer.until(FrameType.settings);
    const types = new Set<number>();
    for (let i = 0; i < 9; i += 1) {
      let next = await peer.next();
      for (; next.type !== FrameType.headers; next = await peer.next()) types.add(next.type);
      peer.send(answers[i % 3]!(next.id));
      expect((await asked).code).toBe(0);
      if (i < 8) asked = ask(session, { ':path': '/' });
    }
    types.delete(FrameType.settings);
    types.delete(FrameType.windowUpdate);
    expect([...types]).toEqual([]);
  });

  it('are more where the endpoint takes fewer streams', async () => {
    const open: (() => void)[] = [];
    const endpoint = await serveHttp2(
      (stream) => {
        open.push(() => {
          stream.respond({ ':status': 200 });
          stream.end('ok');
        });
      },
      { maxConcurrentStreams: 2 },
    );
    const plane = await openPlane([endpoint.port], H2C);
    const session = connectHttp2(plane.port);
    const first = ask(session, { ':path': '/' });
    await expect.poll(() => open.length).toBe(1);
    open.shift()!();
    await first;
    const asked = Array.from({ length: 6 }, () => ask(session, { ':path': '/' }));
    await expect.poll(() => open.length).toBe(6);
    expect(endpoint.connections.length).toBeGreaterThanOrEqual(2);
    for (const answer of open) answer();
    for (const { body } of await Promise.all(asked)) expect(body).toBe('ok');
  });

  it('close when they lie idle, or have lived their time', async () => {
    const { plane, endpoint } = await openServed(echo, { limits: { idleUpstreamMs: 50 } });
    const session = connectHttp2(plane.port);
    await ask(session, { ':path': '/' });
    await expect.poll(() => endpoint.connections[0]!.closed).toBe(true);
    await ask(session, { ':path': '/' });
    expect(endpoint.connections.length).toBe(2);
  });

  it('lie idle while their endpoint sends what is for no stream', async () => {
    const endpoint = await FrameEndpoint.listen();
    const policy = { ...H2C, limits: { idleUpstreamMs: 200 } };
    const plane = await openPlane([endpoint.endpoint.port], policy);
    const asked = ask(connectHttp2(plane.port), { ':path': '/' });
    const peer = await endpoint.accept();
    await peer.until(FrameType.headers, 1);
    peer.send(frame(FrameType.headers, endHeaders | endStream, 1, block({ ':status': '204' })));
    expect((await asked).status).toBe(204);
    // As long as each is answered the connection is there.
    const ping = frame(FrameType.ping, 0, 0, '12345678');
    const pings = setInterval(() => peer.send(ping), 10);
    try {
      await peer.peer.ended();
    } finally {
      clearInterval(pings);
    }
  });

  it('get no new streams when their endpoint takes no work, and finish those that there are', async () => {
    let answer = () => {};
    const { plane, endpoint } = await openServed((stream) => {
      answer = () => {
        stream.respond({ ':status': 200 });
        stream.end('ok');
      };
    });
    const asked = ask(connectHttp2(plane.port), { ':path': '/' });
    await expect.poll(() => endpoint.streams).toBe(1);
    const { snapshot } = plane.context.services.get('web')!;
    const drained = snapshot.endpoints.map((one) => ({ ...one, state: 'drain' as const }));
    await plane.apply([{ ...snapshot, endpoints: drained }]);
    answer();
    expect((await asked).body).toBe('ok');
    await expect.poll(() => endpoint.connections[0]!.closed).toBe(true);
  });
});

describe('a stream that the endpoint does not take', () => {
  const accepted = (id: number) =>
    frame(FrameType.headers, endHeaders | endStream, id, block({ ':status': '204' }));

  it('is tried again, whatever the method: REFUSED_STREAM', async () => {
    const endpoint = await FrameEndpoint.listen();
    const plane = await openPlane([endpoint.endpoint.port], H2C);
    const asked = ask(connectHttp2(plane.port), { ':path': '/', ':method': 'POST' }, 'body');
    const peer = await endpoint.accept();
    await peer.until(FrameType.data, 1);
    peer.send(frame(FrameType.rstStream, 0, 1, uint32(ErrorCode.refusedStream)));
    expect((await peer.until(FrameType.data, 3)).payload).toBe('body');
    peer.send(accepted(3));
    expect((await asked).status).toBe(204);
    expect(plane.retries('stream-refused')).toBe(1);
  });

  it('costs no request of a burst, though it takes few at a time', async () => {
    const held: ServerHttp2Stream[] = [];
    const hold: Handler = (stream) => void held.push(stream);
    const endpoint = await serveHttp2(hold, { maxConcurrentStreams: 2 });
    const plane = await openPlane([endpoint.port], H2C);
    const session = connectHttp2(plane.port);
    const asked = Array.from({ length: 20 }, (_, i) =>
      ask(session, { ':path': `/${i}`, ':method': 'POST' }, 'body'),
    );
    // The first connection is begun before the endpoint has said what it takes; none that follows is.
    await expect.poll(() => held.length).toBe(20);
    expect(endpoint.connections).toHaveLength(10);
    for (const stream of held) stream.respond({ ':status': 200 }, { endStream: true });
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual(Array(20).fill(200));
    const refused = plane.retries('stream-refused');
    expect(refused).toBeLessThanOrEqual(18);
    // Another connection begins with what the endpoint has said on those before.
    for (const one of endpoint.connections) one.destroy();
    held.length = 0;
    const again = Array.from({ length: 4 }, () => ask(session, { ':path': '/' }));
    await expect.poll(() => held.length).toBe(4);
    for (const stream of held) stream.respond({ ':status': 200 }, { endStream: true });
    expect((await Promise.all(again)).map(({ status }) => status)).toEqual(Array(4).fill(200));
    expect(plane.retries('stream-refused')).toBe(refused);
  });

  it('is tried again on another connection: GOAWAY', async () => {
    const endpoint = await FrameEndpoint.listen();
    const plane = await openPlane([endpoint.endpoint.port], H2C);
    const session = connectHttp2(plane.port);
    const one = ask(session, { ':path': '/1' });
    const peer = await endpoint.accept();
    await peer.until(FrameType.headers, 1);
    const two = ask(session, { ':path': '/2', ':method': 'POST' }, 'body');
    await peer.until(FrameType.data, 3);
    peer.send(frame(FrameType.goaway, 0, 0, uint32(1) + uint32(0)));
    const next = await endpoint.accept();
    expect((await next.until(FrameType.data, 1)).payload).toBe('body');
    next.send(accepted(1));
    expect((await two).status).toBe(204);
    // What it works on is finished.
    peer.send(accepted(1));
    expect((await one).status).toBe(204);
    await peer.peer.ended();
  });

  it('that it may have worked on is not tried again, but for safe methods', async () => {
    const endpoint = await FrameEndpoint.listen();
    const plane = await openPlane([endpoint.endpoint.port], H2C);
    const session = connectHttp2(plane.port);
    const post = ask(session, { ':path': '/', ':method': 'POST' }, 'body');
    const get = ask(session, { ':path': '/get' });
    const peer = await endpoint.accept();
    const ids = [
      (await peer.until(FrameType.headers)).id,
      (await peer.until(FrameType.headers)).id,
    ];
    for (const id of ids) {
      peer.send(frame(FrameType.rstStream, 0, id, uint32(ErrorCode.internalError)));
    }
    expect((await post).status).toBe(502);
    const again = await peer.until(FrameType.headers);
    peer.send(accepted(again.id));
    expect((await get).status).toBe(204);
  });
});

describe('a response of which all that was announced has come', () => {
  // Trailers might have followed; its client has it whole, and may have asked for more.
  it.each([
    ['its stream is reset', frame(FrameType.rstStream, 0, 1, uint32(ErrorCode.internalError))],
    ['its connection ends', ''],
  ])('is whole where %s before END_STREAM', async (_, last) => {
    const endpoint = await FrameEndpoint.listen();
    const plane = await openPlane([endpoint.endpoint.port], H2C);
    const client = await plane.client();
    client.send(request('GET /1'));
    const peer = await endpoint.accept();
    await peer.until(FrameType.headers, 1);
    const head = block({ ':status': '200', 'content-length': '4' });
    peer.send(frame(FrameType.headers, endHeaders, 1, head), frame(FrameType.data, 0, 1, 'some'));
    await client.until('some');
    client.send(request('GET /2'));
    if (last === '') peer.peer.end();
    else peer.send(last);
    const next = last === '' ? await endpoint.accept() : peer;
    const { id } = await next.until(FrameType.headers);
    next.send(frame(FrameType.headers, endHeaders | endStream, id, block({ ':status': '204' })));
    expect(await client.head()).toMatch(/^HTTP\/1\.1 204 /);
    expect(plane.reasons('response-cut')).toBe(0);
    await plane.quiet();
  });
});

describe('a connection that ends', () => {
  it('before anything came of it fails its requests as any other would', async () => {
    const plane = await openPlane([1], H2C);
    const got = await ask(connectHttp2(plane.port), { ':path': '/' });
    expect(got.status).toBe(502);
    expect(plane.reasons('connect-refused')).toBe(1);
  });

  it('in the middle of responses breaks those off, and tries the others again', async () => {
    const endpoint = await FrameEndpoint.listen();
    const plane = await openPlane([endpoint.endpoint.port], H2C);
    const session = connectHttp2(plane.port);
    const begun = ask(session, { ':path': '/begun' });
    const peer = await endpoint.accept();
    await peer.until(FrameType.headers, 1);
    const waiting = ask(session, { ':path': '/waiting' });
    await peer.until(FrameType.headers, 3);
    peer.send(frame(FrameType.headers, endHeaders, 1, block({ ':status': '200' })));
    peer.send(frame(FrameType.data, 0, 1, 'some'));
    peer.peer.end();
    const next = await endpoint.accept();
    const { id } = await next.until(FrameType.headers);
    next.send(frame(FrameType.headers, endHeaders | endStream, id, block({ ':status': '204' })));
    expect((await waiting).status).toBe(204);
    expect((await begun).code).toBe(ErrorCode.internalError);
  });

  it.each<[string, string[]]>([
    ['a first frame that is no SETTINGS', [frame(FrameType.ping, 0, 0, '12345678')]],
    ['PUSH_PROMISE', [SETTINGS, frame(FrameType.pushPromise, endHeaders, 1, uint32(2))]],
    [
      'a stream that it opens',
      [SETTINGS, frame(FrameType.headers, endHeaders, 2, block({ ':status': '200' }))],
    ],
    ['SETTINGS that offer push', [frame(FrameType.settings, 0, 0, `\0\x02${uint32(1)}`)]],
    ['an extended CONNECT that is 2', [frame(FrameType.settings, 0, 0, `\0\x08${uint32(2)}`)]],
    ['what is no HTTP/2', ['HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n']],
  ])('with %s is a bad endpoint', async (_, frames) => {
    const endpoint = await FrameEndpoint.listen();
    const plane = await openPlane([endpoint.endpoint.port], { ...H2C, retry: { attempts: 1 } });
    const asked = ask(connectHttp2(plane.port), { ':path': '/' });
    const peer = await endpoint.accept('');
    peer.send(...frames);
    expect((await asked).status).toBe(502);
    await peer.peer.ended();
  });

  it.each<[string, Record<string, string>]>([
    ['without a status', { a: 'b' }],
    ['with Connection', { ':status': '200', connection: 'close' }],
    ['with two lengths', { ':status': '200', 'content-length': '1, 1' }],
    ['with a name in capitals', { ':status': '200', 'X-A': 'b' }],
  ])('not over a response %s, which fails alone', async (_, fields) => {
    const endpoint = await FrameEndpoint.listen();
    const plane = await openPlane([endpoint.endpoint.port], { ...H2C, retry: { attempts: 1 } });
    const session = connectHttp2(plane.port);
    const bad = ask(session, { ':path': '/' });
    const peer = await endpoint.accept();
    await peer.until(FrameType.headers, 1);
    peer.send(frame(FrameType.headers, endHeaders, 1, block(fields)));
    expect((await bad).status).toBe(502);
    await peer.resetOf(1);
    const good = ask(session, { ':path': '/' });
    await peer.until(FrameType.headers, 3);
    peer.send(frame(FrameType.headers, endHeaders | endStream, 3, block({ ':status': '204' })));
    expect((await good).status).toBe(204);
  });
});

describe('a whole response that comes before the request has ended', () => {
  // RFC 9113 section 8.1: RST_STREAM with NO_ERROR then asks for no more of the request, and the response
  // is not to be thrown away. The client reads it slowly, so that it waits when the reset comes.
  const early = async (body: string, more: Readonly<Record<string, string>> = {}) => {
    const endpoint = await FrameEndpoint.listen();
    const plane = await openPlane([endpoint.endpoint.port], H2C);
    // A client whose windows let nothing pass at first.
    const settings = frame(FrameType.settings, 0, 0, `\0\x04${uint32(0)}`);
    const client = await FramePeer.open(plane.port, settings);
    const fields = { ':method': 'POST', ':scheme': 'http', ':authority': 'a', ':path': '/' };
    client.send(frame(FrameType.headers, endHeaders, 1, block(fields)));
    client.send(frame(FrameType.data, 0, 1, 'begun'));
    const peer = await endpoint.accept();
    await peer.until(FrameType.data, 1);
    const head = frame(FrameType.headers, endHeaders, 1, block({ ':status': '200', ...more }));
    const half = body.length / 2;
    peer.send(head, frame(FrameType.data, 0, 1, body.slice(0, half)));
    await client.until(FrameType.headers, 1);
    return { plane, client, peer, rest: body.slice(half) };
  };
  const take = async (client: FramePeer, bytes: number): Promise<string> => {
    client.send(frame(FrameType.windowUpdate, 0, 1, uint32(bytes)));
    let got = '';
    for (;;) {
      const { flags, payload } = await client.until(FrameType.data, 1);
      got += payload;
      if ((flags & endStream) !== 0) return got;
    }
  };

  it('is delivered whole, whatever the client goes on to send', async () => {
    const body = 'x'.repeat(20_000);
    const { plane, client, peer, rest } = await early(body);
    const reset = frame(FrameType.rstStream, 0, 1, uint32(ErrorCode.noError));
    peer.send(frame(FrameType.data, endStream, 1, rest) + reset);
    // The connection has read what came before this.
    peer.send(frame(FrameType.ping, 0, 0, '12345678'));
    await peer.until(FrameType.ping);
    client.send(frame(FrameType.data, 0, 1, 'more'));
    expect(await take(client, body.length)).toBe(body);
    await plane.quiet();
    // Nothing of the rest went there.
    peer.send(frame(FrameType.ping, 0, 0, '87654321'));
    expect((await peer.next()).type).toBe(FrameType.ping);
  });

  it('is delivered whole where its connection ends while it waits for the client', async () => {
    const body = 'x'.repeat(20_000);
    const { plane, client, peer, rest } = await early(body);
    const goaway = frame(FrameType.goaway, 0, 0, uint32(1) + uint32(0));
    peer.send(frame(FrameType.data, endStream, 1, rest) + goaway);
    peer.peer.end();
    await peer.peer.ended();
    expect(await take(client, body.length)).toBe(body);
    await plane.quiet();
  });

  it('is delivered whole where its connection breaks while it waits for the client', async () => {
    const body = 'x'.repeat(20_000);
    const { plane, client, peer, rest } = await early(body);
    peer.send(frame(FrameType.data, endStream, 1, rest) + frame(FrameType.ping, 0, 3, '12345678'));
    await peer.peer.ended();
    expect(await take(client, body.length)).toBe(body);
    await plane.quiet();
  });

  it('is delivered whole where it has come as announced and is reset before END_STREAM', async () => {
    const body = 'x'.repeat(20_000);
    const { plane, client, peer, rest } = await early(body, { 'content-length': '20000' });
    const reset = frame(FrameType.rstStream, 0, 1, uint32(ErrorCode.internalError));
    peer.send(frame(FrameType.data, 0, 1, rest) + reset + frame(FrameType.ping, 0, 0, '12345678'));
    await peer.until(FrameType.ping);
    expect(await take(client, body.length)).toBe(body);
    await plane.quiet();
  });

  it.each([ErrorCode.internalError, 0x99])('is cut by any other code: %i', async (code) => {
    const { plane, client, peer, rest } = await early('x'.repeat(20_000));
    const reset = frame(FrameType.rstStream, 0, 1, uint32(code));
    peer.send(frame(FrameType.data, 0, 1, rest) + reset);
    expect(await client.resetOf(1)).toBe(ErrorCode.internalError);
    await plane.quiet();
  });
});

describe('a response that is whole by its length, for a client of HTTP/1.1, before its stream ends', () => {
  async function answered(method: string, body: string) {
    const frames = await FrameEndpoint.listen();
    const policy = { ...H2C, timeouts: { idleBodyMs: 1000 } };
    const plane = await openPlane([frames.endpoint.port], policy);
    const client = await plane.client();
    client.send(request(`${method} /`));
    const peer = await frames.accept();
    await peer.until(FrameType.headers, 1);
    const fields = block({ ':status': '200', 'content-length': '5' });
    const data = body === '' ? '' : frame(FrameType.data, 0, 1, body);
    peer.send(frame(FrameType.headers, endHeaders, 1, fields) + data);
    expect(await client.head()).toContain('200');
    if (body !== '') expect(await client.take(body.length)).toBe(body);
    return { plane, client, peer };
  }

  it.each([
    ['GET', 'hello'],
    ['HEAD', ''],
  ])('is no loss of the client that leaves: %s', async (method, body) => {
    const { plane, client, peer } = await answered(method, body);
    client.reset();
    expect(await peer.resetOf(1)).toBe(ErrorCode.cancel);
    await plane.quiet();
    expect(plane.reasons('client-closed')).toBe(0);
  });

  it.each([
    ['GET', 'hello'],
    ['HEAD', ''],
  ])('is complete when its endpoint falls silent: %s', async (method, body) => {
    const { plane, client, peer } = await answered(method, body);
    plane.advance(1500);
    expect(await peer.resetOf(1)).toBe(ErrorCode.cancel);
    client.send(request('GET /next'));
    const { id } = await peer.until(FrameType.headers);
    expect(id).toBe(3);
    expect(plane.reasons('response-stalled')).toBe(0);
    const last = endHeaders | endStream;
    peer.send(frame(FrameType.headers, last, 3, block({ ':status': '204' })));
    expect(await client.head()).toContain('204');
    await plane.quiet();
  });
});

describe('neighbours on a connection to an endpoint', () => {
  it('are not held up by a client that does not read', async () => {
    const { plane, endpoint } = await openServed((stream, headers) => {
      stream.respond({ ':status': 200 });
      stream.end(headers[':path'] === '/large' ? Buffer.alloc(3_000_000, 'l') : 'small');
    });
    const session = connectHttp2(plane.port);
    const slow = session.request({ ':path': '/large' });
    slow.pause();
    await new Promise((resolve) => slow.once('response', resolve));
    for (let i = 0; i < 50; i += 1) {
      expect((await ask(session, { ':path': '/small' })).body).toBe('small');
    }
    expect(endpoint.connections.length).toBe(1);
    slow.resume();
    expect((await answerOf(slow)).body.length).toBe(3_000_000);
  });

  it('stay whole while others are cancelled at either end', async () => {
    const { plane } = await openServed((stream, headers) => {
      const path = String(headers[':path']);
      if (path === '/reset') stream.close(ErrorCode.internalError);
      else if (path === '/cut') {
        stream.respond({ ':status': 200 });
        stream.write('half');
        // Node would end one that is closed in order.
        setImmediate(() => stream.destroy(new Error('cut')));
      } else {
        stream.respond({ ':status': 200 });
        stream.end(path.repeat(200));
      }
    });
    const session = connectHttp2(plane.port);
    const innocent = async (worker: number) => {
      for (let i = 0; i < 60; i += 1) {
        const path = `/fine-${worker}-${i}`;
        const got = await ask(session, { ':path': path });
        expect(got).toMatchObject({ status: 200, body: path.repeat(200), code: 0 });
      }
    };
    const guilty = async () => {
      for (let i = 0; i < 60; i += 1) {
        if (i % 3 === 0) await ask(session, { ':path': '/reset', ':method': 'POST' }, 'x');
        else if (i % 3 === 1) expect((await ask(session, { ':path': '/cut' })).code).toBe(2);
        else {
          const stream = session.request({ ':path': '/fine', ':method': 'POST' });
          const ended = answerOf(stream);
          stream.write('half');
          stream.close(ErrorCode.cancel);
          await ended;
        }
      }
    };
    await Promise.all([innocent(1), guilty(), innocent(2), guilty(), innocent(3)]);
    await plane.quiet();
  });
});

/** Silence is measured in the time of the plane's wheel. */
describe('an endpoint that is gone without a word', () => {
  it('is asked for a sign of life, and left without one', async () => {
    const endpoint = await FrameEndpoint.listen();
    const plane = await openPlane([endpoint.endpoint.port], { ...H2C, retry: { attempts: 1 } });
    const asked = ask(connectHttp2(plane.port), { ':path': '/', ':method': 'POST' }, 'x');
    const peer = await endpoint.accept();
    await peer.until(FrameType.headers);
    plane.advance(11_000);
    await peer.until(FrameType.ping);
    plane.advance(6000);
    expect((await asked).status).toBe(502);
    expect(plane.reasons('reset')).toBe(1);
  });
});
