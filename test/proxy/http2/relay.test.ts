// Requests by HTTP/2 to an endpoint that speaks HTTP/1.1: what each side sees of the other.
import { afterEach, describe, expect, it } from 'vitest';
import { answerOf, ask, closeHttp2, connectHttp2 } from '../../support/http2.ts';
import { answer, closePlanes, openPair } from '../../support/plane.ts';

afterEach(async () => {
  closeHttp2();
  await closePlanes();
});

describe('a request by HTTP/2', () => {
  it('reaches the endpoint as one of HTTP/1.1, and is answered', async () => {
    const { plane, endpoint } = await openPair();
    const session = connectHttp2(plane.port);
    const asked = ask(session, { ':path': '/a?b=c', 'x-one': '1', cookie: ['a=1', 'b=2'] });
    const peer = await endpoint.accept();
    const head = await peer.head();
    expect(head).toContain('GET /a?b=c HTTP/1.1\r\n');
    expect(head).toContain(`Host: 127.0.0.1:${plane.port}\r\n`);
    expect(head).toContain('x-one: 1\r\n');
    expect(head).toContain('cookie: a=1; b=2\r\n');
    expect(head).not.toMatch(/transfer-encoding|content-length/i);
    peer.send(answer('hello', 'X-Two: 2\r\nConnection: close\r\nKeep-Alive: timeout=5\r\n'));
    const got = await asked;
    expect(got).toMatchObject({ status: 200, body: 'hello', code: 0 });
    expect(got.headers['x-two']).toBe('2');
    expect(got.headers['content-length']).toBe('5');
    expect(got.headers.connection).toBeUndefined();
    expect(got.headers['keep-alive']).toBeUndefined();
  });

  it('carries content of unknown length in chunks, with its trailers', async () => {
    const { plane, endpoint } = await openPair();
    const session = connectHttp2(plane.port);
    const stream = session.request(
      { ':path': '/', ':method': 'POST', te: 'trailers' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '7', 'content-length': '3' }));
    stream.write('one');
    const asked = answerOf(stream);
    const peer = await endpoint.accept();
    const head = await peer.head();
    expect(head).toContain('Transfer-Encoding: chunked\r\n');
    expect(head).toContain('TE: trailers\r\n');
    expect(await peer.until('one\r\n')).toBe('3\r\none\r\n');
    stream.end('two');
    expect(await peer.until('\r\n\r\n')).toBe('3\r\ntwo\r\n0\r\nx-sum: 7\r\n\r\n');
    peer.send(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-end: 1\r\n\r\n',
    );
    const got = await asked;
    expect(got).toMatchObject({ status: 200, body: 'abc', code: 0 });
    expect(got.trailers['x-end']).toBe('1');
    expect(got.headers['transfer-encoding']).toBeUndefined();
  });

  it('keeps the length of its content', async () => {
    const { plane, endpoint } = await openPair();
    const session = connectHttp2(plane.port);
    const asked = ask(session, { ':path': '/', ':method': 'PUT', 'content-length': 5 }, 'hello');
    const peer = await endpoint.accept();
    expect(await peer.head()).toContain('Content-Length: 5\r\n');
    expect(await peer.take(5)).toBe('hello');
    peer.send('HTTP/1.1 204 No Content\r\n\r\n');
    expect(await asked).toMatchObject({ status: 204, body: '', code: 0 });
  });

  it('gets interim responses before the final one, and waits for 100 where it asks for it', async () => {
    const { plane, endpoint } = await openPair();
    const session = connectHttp2(plane.port);
    const stream = session.request({ ':path': '/', ':method': 'POST', expect: '100-continue' });
    stream.on('continue', () => stream.end('body'));
    const asked = answerOf(stream);
    const peer = await endpoint.accept();
    expect(await peer.head()).toContain('expect: 100-continue\r\n');
    peer.send('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n');
    expect(await peer.until('0\r\n\r\n')).toContain('body');
    peer.send(answer('done'));
    expect(await asked).toMatchObject({ status: 200, body: 'done', interims: [103, 100] });
  });

  it('by HEAD gets the length, and no content', async () => {
    const { plane, endpoint } = await openPair();
    const session = connectHttp2(plane.port);
    const asked = ask(session, { ':path': '/', ':method': 'HEAD' });
    const peer = await endpoint.accept();
    await peer.head();
    peer.send('HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n');
    const got = await asked;
    expect(got).toMatchObject({ status: 200, body: '', code: 0 });
    expect(got.headers['content-length']).toBe('12');
  });

  it('is answered by ourselves where no endpoint does', async () => {
    const { plane, endpoint } = await openPair();
    endpoint.close();
    const session = connectHttp2(plane.port);
    const got = await ask(session, { ':path': '/' });
    expect(got.status).toBe(502);
    expect(got.headers['x-upriver-reason']).toBe('connect-refused');
    expect(got.body).toContain('refused');
  });

  it.each([
    ['CONNECT', { ':method': 'CONNECT', ':authority': 'a:443' }],
    ['TRACE', { ':method': 'TRACE', ':path': '/' }],
  ])('by %s is not served', async (_, headers) => {
    const { plane } = await openPair();
    const session = connectHttp2(plane.port);
    expect((await ask(session, headers)).status).toBe(405);
  });

  it('gets a body of any size, at the pace at which it is taken', async () => {
    const { plane, endpoint } = await openPair();
    const session = connectHttp2(plane.port);
    const size = 5_000_000;
    const asked = ask(session, { ':path': '/' });
    const peer = await endpoint.accept();
    await peer.head();
    peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`);
    expect((await asked).body.length).toBe(size);
  });

  it('sends a body of any size, at the pace at which it is taken', async () => {
    const { plane, endpoint } = await openPair();
    const session = connectHttp2(plane.port);
    const size = 5_000_000;
    const headers = { ':path': '/', ':method': 'POST', 'content-length': size };
    const asked = ask(session, headers, Buffer.alloc(size, 'y'));
    const peer = await endpoint.accept();
    await peer.head();
    expect(await peer.take(size)).toBe('y'.repeat(size));
    peer.send(answer('ok'));
    expect((await asked).body).toBe('ok');
  });

  it('breaks off where the endpoint does', async () => {
    const { plane, endpoint } = await openPair();
    const session = connectHttp2(plane.port);
    const asked = ask(session, { ':path': '/' });
    const peer = await endpoint.accept();
    await peer.head();
    peer.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome');
    peer.reset();
    const got = await asked;
    expect(got.status).toBe(200);
    expect(got.code).toBe(2);
  });

  it('that is cancelled ends the attempt', async () => {
    const { plane, endpoint } = await openPair();
    const session = connectHttp2(plane.port);
    const stream = session.request({ ':path': '/' });
    stream.on('error', () => {});
    const peer = await endpoint.accept();
    await peer.head();
    stream.close(8);
    await peer.ended();
    await plane.quiet();
    // The connection serves others.
    const asked = ask(session, { ':path': '/' });
    const next = await endpoint.accept();
    await next.head();
    next.send(answer('b'));
    expect((await asked).body).toBe('b');
  });
});

describe('many requests on one connection', () => {
  it('are answered in the order in which endpoints do', async () => {
    const { plane, endpoint } = await openPair();
    const session = connectHttp2(plane.port);
    const asked = [1, 2, 3, 4, 5].map((i) => ask(session, { ':path': `/${i}` }));
    const peers = [];
    for (let i = 0; i < 5; i += 1) {
      const peer = await endpoint.accept();
      peers.push({ peer, path: /GET (\S+)/.exec(await peer.head())![1]! });
    }
    for (const { peer, path } of peers.toReversed()) peer.send(answer(path));
    const bodies = (await Promise.all(asked)).map(({ body }) => body);
    expect(bodies).toEqual(['/1', '/2', '/3', '/4', '/5']);
  });
});
