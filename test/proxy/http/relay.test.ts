// What a request and its answer become on their way, and what the connections do afterwards.
import { afterEach, describe, expect, it } from 'vitest';
import { answer, closePlanes, openPair, request } from '../../support/plane.ts';

afterEach(closePlanes);

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;

describe('connections', () => {
  it('serve one request after the other on one connection each side', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('GET /1'));
    const upstream = await endpoint.accept();
    expect(await upstream.head()).toMatch(/^GET \/1 HTTP\/1.1\r\nHost: a\r\n/);
    upstream.send(answer('one'));
    expect((await client.message()).body).toBe('one');
    const posts = [
      ['POST /2', 'Content-Length: 5\r\n', 'hello'],
      ['PUT /3', 'Content-Length: 5\r\n', 'world'],
      ['POST /4', '', ''],
    ] as const;
    for (const [line, fields, body] of posts) {
      client.send(request(line, fields, body));
      const got = await upstream.message();
      expect(got.head).toContain(`${line} HTTP/1.1`);
      expect(got.head).toContain(`Content-Length: ${body.length}`);
      expect(got.body).toBe(body);
      upstream.send(answer(line));
      expect((await client.message()).body).toBe(line);
      await plane.quiet();
    }
    expect(endpoint.connections).toBe(1);
  });

  it('answer pipelined requests in order', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(
      request('GET /1') +
        request('POST /2', 'Transfer-Encoding: chunked\r\n', `${chunk('abc')}0\r\n\r\n`) +
        request('POST /3', 'Content-Length: 3\r\n', 'xyz') +
        request('GET /4'),
    );
    client.end();
    const upstream = await endpoint.accept();
    expect(await upstream.head()).toContain('GET /1');
    expect(upstream.received).toBe('');
    upstream.send(answer('1'));
    expect(await upstream.head()).toContain('POST /2');
    expect(await upstream.until('0\r\n\r\n')).toBe(`${chunk('abc')}0\r\n\r\n`);
    upstream.send(answer('2'));
    expect((await upstream.message()).body).toBe('xyz');
    upstream.send(answer('3'));
    expect(await upstream.head()).toContain('GET /4');
    upstream.send(answer('4'));
    for (const body of ['1', '2', '3', '4']) expect((await client.message()).body).toBe(body);
    expect(await client.ended()).toBe('end');
    await plane.quiet();
  });

  it('close after keep_alive_requests', async () => {
    const { plane, endpoint } = await openPair({ limits: { keepAliveRequests: 2 } });
    const client = await plane.client();
    client.send(request('GET /'));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(answer('1'));
    expect((await client.message()).head).not.toContain('Connection');
    client.send(request('GET /'));
    await upstream.head();
    upstream.send(answer('2'));
    expect((await client.message()).head).toContain('Connection: close\r\n');
    expect(await client.ended()).toBe('end');
    await plane.quiet();
  });

  it('close where the client asks for it', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('GET /', 'Connection: close\r\n'));
    const upstream = await endpoint.accept();
    expect(await upstream.head()).not.toMatch(/connection/i);
    upstream.send(answer('x'));
    expect(await client.rest()).toMatch(/Connection: close\r\n\r\nx$/);
    await plane.quiet();
  });

  it('of HTTP/1.0 stay open where both say so', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(answer('1'));
    expect((await client.message()).head).toContain('Connection: keep-alive\r\n');
    client.send('GET / HTTP/1.0\r\n\r\n');
    await upstream.head();
    upstream.send(answer('2'));
    expect(await client.rest()).toMatch(/Connection: close\r\n\r\n2$/);
    await plane.quiet();
  });
});

describe('bodies', () => {
  it('in chunks pass both ways, with trailers, without extensions', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    const fields = 'Transfer-Encoding: chunked\r\n';
    client.send(request('POST /', fields, '3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n'));
    const upstream = await endpoint.accept();
    expect(await upstream.head()).toContain('Transfer-Encoding: chunked\r\n');
    expect(await upstream.until('\r\n\r\n')).toBe('3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n');
    upstream.send(`HTTP/1.1 200 OK\r\n${fields}\r\n4;q\r\nwxyz\r\n0\r\nX-End: 2\r\n\r\n`);
    expect(await client.head()).toContain('Transfer-Encoding: chunked\r\n');
    expect(await client.until('\r\n\r\n')).toBe('4\r\nwxyz\r\n0\r\nX-End: 2\r\n\r\n');
    await plane.quiet();
  });

  const bodies = [
    ['a length', 'Content-Length: 8\r\n', 'abcdefgh', 'abcdefgh'],
    [
      'chunks',
      'Transfer-Encoding: chunked\r\n',
      '3\r\nabc\r\n5;x\r\ndefgh\r\n0\r\n\r\n',
      'abcdefgh',
    ],
  ] as const;
  it.each(bodies)('with %s pass split at every byte', async (_, fields, sent, data) => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    const question = request('POST /', fields, sent);
    const reply = `HTTP/1.1 200 OK\r\n${fields}\r\n${sent}`;
    const upstreamOf = endpoint.accept();
    await client.sendPieces([...question]);
    const upstream = await upstreamOf;
    await upstream.head();
    expect(await bodyOf(upstream)).toBe(data);
    await upstream.sendPieces([...reply]);
    await client.head();
    expect(await bodyOf(client)).toBe(data);
    // Nothing of it was left over on either side.
    client.send(request('GET /next'));
    expect(await upstream.head()).toContain('GET /next');
    upstream.send(answer('ok'));
    expect((await client.message()).body).toBe('ok');
    await plane.quiet();

    async function bodyOf(peer: typeof client): Promise<string> {
      if (!fields.startsWith('Transfer')) return peer.take(8);
      const coded = await peer.until('0\r\n\r\n');
      return coded.replace(/[0-9a-f]+\r\n([^\r]*)\r\n/g, '$1').replace('\r\n', '');
    }
  });

  it.each([
    ['HEAD', '200 OK'],
    ['GET', '204 No Content'],
    ['GET', '304 Not Modified'],
  ])('are none for %s and %s, whatever the fields say', async (method, status) => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request(`${method} /`));
    const upstream = await endpoint.accept();
    for (const fields of ['Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n']) {
      await upstream.head();
      upstream.send(`HTTP/1.1 ${status}\r\n${fields}\r\n`);
      const head = await client.head();
      expect(head).toContain(`HTTP/1.1 ${status}\r\n`);
      expect(head).not.toContain('Transfer-Encoding');
      client.send(request(`${method} /`));
    }
    await upstream.head();
    upstream.send(`HTTP/1.1 ${status}\r\n\r\n`);
    await client.head();
    client.send(request('GET /after'));
    await upstream.head();
    upstream.send(answer('after'));
    expect((await client.message()).body).toBe('after');
    await plane.quiet();
  });

  it('that end with the connection go out in chunks, so that their end is seen', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('GET /'));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send('HTTP/1.1 200 OK\r\n\r\nabc');
    expect(await client.head()).toContain('Transfer-Encoding: chunked\r\n');
    expect(await client.take(8)).toBe(chunk('abc'));
    upstream.send('defg');
    upstream.end();
    expect(await client.until('0\r\n\r\n')).toBe(`${chunk('defg')}0\r\n\r\n`);
    client.send(request('GET /'));
    expect(await (await endpoint.accept()).head()).toContain('GET /');
    client.reset();
    await plane.quiet();
  });

  it.each([
    ['chunked', 'Transfer-Encoding: chunked\r\n', '3\r\nabc\r\n0\r\n\r\n'],
    ['close-delimited', '', 'abc'],
  ])('that are %s end with the connection for HTTP/1.0', async (_, fields, body) => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(`HTTP/1.1 200 OK\r\n${fields}\r\n${body}`);
    upstream.end();
    const all = await client.rest();
    expect(all).toMatch(/Connection: close\r\n\r\nabc$/);
    expect(all).not.toContain('Transfer-Encoding');
    expect(await client.ended()).toBe('end');
    await plane.quiet();
  });
});

describe('interim answers', () => {
  it('of 100 are relayed, and the body then goes on', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('POST /', 'Expect: 100-continue\r\nContent-Length: 3\r\n'));
    const upstream = await endpoint.accept();
    expect(await upstream.head()).toContain('Expect: 100-continue\r\n');
    upstream.send('HTTP/1.1 100 Continue\r\n\r\n');
    expect(await client.head()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    client.send('abc');
    expect(await upstream.take(3)).toBe('abc');
    upstream.send(answer('done'));
    const last = await client.message();
    expect(last.body).toBe('done');
    expect(last.head).not.toContain('Connection');
    await plane.quiet();
  });

  it('may be left out: the final answer comes instead, and the connection closes', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('POST /', 'Expect: 100-continue\r\nContent-Length: 3\r\n'));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(answer('no', '', '403 Forbidden'));
    expect(await client.rest()).toMatch(/^HTTP\/1.1 403 Forbidden[\s\S]*Connection: close\r\n/);
    await plane.quiet();
  });

  it('of 103 are relayed, not to HTTP/1.0', async () => {
    const { plane, endpoint } = await openPair();
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${answer('x')}`);
    });
    const client = await plane.client();
    client.send(request('GET /'));
    expect(await client.head()).toBe('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n');
    expect((await client.message()).body).toBe('x');
    const old = await plane.client();
    old.send('GET / HTTP/1.0\r\n\r\n');
    expect(await old.rest()).toMatch(/^HTTP\/1.1 200 OK/);
    await plane.quiet();
  });

  it('are not what an early answer is: it ends the request while the body still comes', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('POST /', 'Content-Length: 100000\r\n', 'x'.repeat(1000)));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(answer('enough', '', '413 Content Too Large'));
    const { head, body } = await client.message();
    expect(head).toContain('Connection: close\r\n');
    expect(body).toBe('enough');
    // The client goes on sending and is not reset by it.
    client.send('x'.repeat(10_000));
    expect(await client.ended()).toBe('end');
    await plane.quiet();
  });
});
