// Malformed, truncated and overlong responses: they end in a 502 or a cut, and reach no other request.
import { afterEach, describe, expect, it } from 'vitest';
import type { ReasonCode } from '../../../src/model/reason.ts';
import { answer, closePlanes, openPair, request } from '../../support/plane.ts';

afterEach(closePlanes);

describe('a malformed response', () => {
  const te = 'Transfer-Encoding: chunked\r\n';
  const rows: readonly (readonly [string, string, ReasonCode])[] = [
    ['no status line', 'hello\r\n\r\n', 'bad-response'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', 'bad-response'],
    ['a bare LF', 'HTTP/1.1 200 OK\nX: 1\r\n\r\n', 'bad-response'],
    ['both lengths', `HTTP/1.1 200 OK\r\n${te}Content-Length: 3\r\n\r\n`, 'bad-response'],
    [
      'two lengths',
      'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc',
      'bad-response',
    ],
    ['another coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n', 'bad-response'],
    ['a field without colon', 'HTTP/1.1 200 OK\r\nX\r\n\r\n', 'bad-response'],
    ['NUL', 'HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n', 'bad-response'],
    [
      'a huge head',
      `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`,
      'response-head-too-large',
    ],
    [
      '101 unasked',
      'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
      'unexpected-upgrade',
    ],
  ];
  it.each(rows)('with %s is a 502', async (_, reply, code) => {
    const { plane, endpoint } = await openPair({ retry: { attempts: 1 } });
    const client = await plane.client();
    client.send(request('GET /'));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(reply);
    const { head } = await client.message();
    expect(head).toContain('HTTP/1.1 502 ');
    expect(head).toContain(`X-Upriver-Reason: ${code}\r\n`);
    await upstream.ended();
    await plane.quiet();
    expect(plane.reasons(code)).toBe(1);
  });

  it.each([
    ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc'],
    ['chunks', `HTTP/1.1 200 OK\r\n${te}\r\n3\r\nabc\r\n5\r\nde`],
    ['chunks without the last', `HTTP/1.1 200 OK\r\n${te}\r\n3\r\nabc\r\n`],
  ])('that is cut short with %s is never completed', async (_, reply) => {
    for (const how of ['end', 'reset'] as const) {
      const { plane, endpoint } = await openPair();
      const client = await plane.client();
      client.send(request('GET /'));
      const upstream = await endpoint.accept();
      await upstream.head();
      upstream.send(reply);
      await client.until('abc');
      upstream[how]();
      const rest = await client.rest();
      expect(rest).not.toContain('0\r\n\r\n');
      await plane.quiet();
      expect(plane.reasons('response-cut')).toBe(1);
    }
  });

  it.each(['zz\r\n', '4\r\ngood\r\n5\r\nabcdeXX'])(
    'that breaks its chunks (%j) is cut',
    async (bad) => {
      const { plane, endpoint } = await openPair();
      const client = await plane.client();
      client.send(request('GET /'));
      const upstream = await endpoint.accept();
      await upstream.head();
      upstream.send(`HTTP/1.1 200 OK\r\n${te}\r\n3\r\nabc\r\n`);
      await client.until('abc\r\n');
      upstream.send(bad);
      expect(await client.rest()).toBe('');
      await plane.quiet();
      expect(plane.reasons('bad-response-body')).toBe(1);
    },
  );

  it('without an end is reset where nothing else would show it', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send('GET / HTTP/1.0\r\n\r\n');
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send('HTTP/1.1 200 OK\r\n\r\nabc');
    await client.until('abc');
    upstream.reset();
    expect(await client.ended()).toBe('reset');
    await plane.quiet();
  });

  it('that stalls is cut', async () => {
    const { plane, endpoint } = await openPair({ timeouts: { idleBodyMs: 50 } });
    const client = await plane.client();
    client.send(request('GET /'));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc');
    expect(await client.rest()).toMatch(/abc$/);
    await plane.quiet();
    expect(plane.reasons('response-stalled')).toBe(1);
  });

  it.each([
    ['with its end', answer('abc') + answer('evil')],
    ['of HEAD', `${answer('')}evil`],
  ])('that goes on %s does not poison the next', async (_, reply) => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('GET /'));
    const first = await endpoint.accept();
    await first.head();
    first.send(reply);
    await client.message();
    await first.ended();
    client.send(request('GET /'));
    const second = await endpoint.accept();
    await second.head();
    second.send(answer('good'));
    expect((await client.message()).body).toBe('good');
    await plane.quiet();
  });

  it('that sends more while the connection is idle loses the connection', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('GET /'));
    const first = await endpoint.accept();
    await first.head();
    first.send(answer('abc'));
    await client.message();
    first.send(answer('evil'));
    await first.ended();
    client.send(request('GET /'));
    const second = await endpoint.accept();
    await second.head();
    second.send(answer('good'));
    expect((await client.message()).body).toBe('good');
    await plane.quiet();
  });
});
