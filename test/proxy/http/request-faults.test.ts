// Malformed requests, and clients that stop or go on for too long.
import { afterEach, describe, expect, it } from 'vitest';
import type { ReasonCode } from '../../../src/model/reason.ts';
import { answer, closePlanes, openPair, openPlane, request } from '../../support/plane.ts';

afterEach(closePlanes);

describe('a malformed request', () => {
  const te = 'Transfer-Encoding: chunked\r\n';
  const heads: readonly (readonly [string, string, number, ReasonCode])[] = [
    ['no request', 'hello\r\n\r\n', 400, 'bad-request-line'],
    ['a bare LF', 'GET / HTTP/1.1\nHost: a\r\n\r\n', 400, 'bad-line-end'],
    ['another version', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505, 'bad-version'],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400, 'bad-host'],
    ['two Hosts', request('GET /', 'Host: a\r\n'), 400, 'bad-host'],
    ['a blank before the colon', request('GET /', 'X : 1\r\n'), 400, 'bad-header'],
    ['a folded line', request('GET /', 'X: 1\r\n 2\r\n'), 400, 'bad-header'],
    ['NUL', request('GET /', 'X: a\0b\r\n'), 400, 'bad-header'],
    [
      'two lengths',
      request('POST /', 'Content-Length: 1\r\nContent-Length: 1\r\n'),
      400,
      'bad-content-length',
    ],
    ['both lengths', request('POST /', `${te}Content-Length: 3\r\n`), 400, 'ambiguous-length'],
    [
      'another coding',
      request('POST /', 'Transfer-Encoding: gzip, chunked\r\n'),
      501,
      'unsupported-coding',
    ],
    ['chunked twice', request('POST /', te + te), 400, 'bad-transfer-encoding'],
    ['chunked in 1.0', `POST / HTTP/1.0\r\n${te}\r\n`, 400, 'bad-transfer-encoding'],
    [
      'a harmful nomination',
      request('GET /', 'Connection: X-Forwarded-For\r\n'),
      400,
      'bad-connection-option',
    ],
    ['another expectation', request('GET /', 'Expect: cake\r\n'), 417, 'bad-expectation'],
    ['a long target', request(`GET /${'x'.repeat(9000)}`), 414, 'target-too-long'],
    ['a large head', request('GET /', `X: ${'x'.repeat(40_000)}\r\n`), 431, 'header-too-large'],
  ];
  it.each(heads)(
    'with %s is answered, and nothing behind it is a request',
    async (_, sent, status, code) => {
      const { plane, endpoint } = await openPair();
      const client = await plane.client();
      client.send(`${sent}${request('GET /behind')}`);
      const { head, body } = await client.message();
      expect(head).toContain(`HTTP/1.1 ${status} `);
      expect(head).toContain(`X-Upriver-Reason: ${code}\r\n`);
      expect(head).toContain('Connection: close\r\n');
      expect(body).not.toBe('');
      expect(await client.ended()).toBe('end');
      expect(client.received).toBe('');
      expect(endpoint.connections).toBe(0);
      await expect.poll(() => plane.reasons(code)).toBe(1);
      await plane.quiet();
    },
  );

  const bodies: readonly (readonly [string, string, ReasonCode])[] = [
    ['a bad size', 'x\r\n', 'bad-chunk'],
    ['a bare LF', '3\nabc\r\n0\r\n\r\n', 'bad-chunk'],
    ['too much data', '3\r\nabcd\r\n0\r\n\r\n', 'bad-chunk'],
    ['a bad end behind a good chunk', '4\r\ngood\r\n5\r\nabcdeXX', 'bad-chunk'],
    ['a bad trailer', '0\r\nX : 1\r\n\r\n', 'bad-trailer'],
  ];
  it.each(bodies)('body with %s is answered', async (_, sent, code) => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('POST /', te));
    const upstream = await endpoint.accept();
    await upstream.head();
    client.send(sent);
    const all = await client.rest();
    expect(all).toContain('HTTP/1.1 400 ');
    expect(all).toContain(`X-Upriver-Reason: ${code}\r\n`);
    await upstream.ended();
    expect(upstream.received).not.toContain('0\r\n\r\n');
    await plane.quiet();
  });

  it('reaches a client that is still sending', async () => {
    const { plane } = await openPair();
    const client = await plane.client();
    client.send(request('POST /', `${te}Content-Length: 3\r\n`));
    for (let i = 0; i < 8; i += 1) client.send('x'.repeat(64 * 1024));
    expect(await client.rest()).toContain('X-Upriver-Reason: ambiguous-length\r\n');
    client.send('more');
    client.end();
    expect(await client.ended()).toBe('end');
    await plane.quiet();
  });

  it('of a connection whose last request was HEAD still gets a body', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('HEAD /'));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(answer(''));
    await client.head();
    client.send('nonsense\r\n\r\n');
    expect((await client.message()).body).not.toBe('');
    await plane.quiet();
  });
});

describe('a client', () => {
  it('that trickles its head is answered 408, from the first byte on', async () => {
    const plane = await openPlane([1], { timeouts: { clientHeaderMs: 150 } });
    const client = await plane.client();
    const trickle = setInterval(() => client.send('X'), 20);
    client.send('GET / HTTP/1.1\r\nX');
    const { head } = await client.message();
    clearInterval(trickle);
    expect(head).toContain('HTTP/1.1 408 ');
    expect(head).toContain('X-Upriver-Reason: client-header-timeout\r\n');
    await plane.quiet();
  });

  it('that is idle too long is closed without a word', async () => {
    const plane = await openPlane([1], { timeouts: { keepAliveMs: 50 } });
    const client = await plane.client();
    expect(await client.rest()).toBe('');
    await plane.quiet();
  });

  it('that stops in its body is answered 408, and the endpoint is not blamed', async () => {
    const { plane, endpoint } = await openPair({ timeouts: { idleBodyMs: 150, responseMs: 50 } });
    const client = await plane.client();
    client.send(request('POST /', 'Content-Length: 10\r\n', 'abc'));
    const upstream = await endpoint.accept();
    await upstream.until('abc');
    expect(await client.rest()).toContain('X-Upriver-Reason: client-body-timeout\r\n');
    await upstream.ended();
    await plane.quiet();
    expect(plane.endpointCount(0, 'failures')).toBe(0);
  });

  const limit = { limits: { bodyBytes: 10 } };
  it.each([
    ['Content-Length: 11\r\n', ''],
    ['Transfer-Encoding: chunked\r\n', '6\r\nabcdef\r\n5\r\nghijk\r\n'],
  ])('whose body is too large is answered 413: %s', async (fields, body) => {
    const { plane } = await openPair(limit);
    const client = await plane.client();
    client.send(request('POST /', fields, body));
    const { head } = await client.message();
    expect(head).toContain('HTTP/1.1 413 ');
    expect(head).toContain('X-Upriver-Reason: body-too-large\r\n');
    expect(head).toContain('Connection: close\r\n');
    await plane.quiet();
  });

  it.each([
    ['Content-Length: 10\r\n', 'abcdefghij'],
    ['Transfer-Encoding: chunked\r\n', '5\r\nabcde\r\n5\r\nfghij\r\n0\r\n\r\n'],
  ])('whose body is just small enough is served: %s', async (fields, body) => {
    const { plane, endpoint } = await openPair(limit);
    const client = await plane.client();
    client.send(request('POST /', fields, body));
    const upstream = await endpoint.accept();
    await upstream.until('j');
    upstream.send(answer('x'));
    expect((await client.message()).body).toBe('x');
    await plane.quiet();
  });

  it('that is gone stops what the endpoint does for it', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('GET /'));
    const upstream = await endpoint.accept();
    await upstream.head();
    client.reset();
    await upstream.ended();
    await plane.quiet();
    expect(plane.reasons('client-closed')).toBe(1);
  });
});
