// Which fields reach the other side, and which request is answered without asking an endpoint.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { VIA_NAME } from '../../../src/proxy/http/via.ts';
import { Peer } from '../../support/peer.ts';
import { answer, closePlanes, openPair, type Policy, request } from '../../support/plane.ts';

afterEach(closePlanes);

/** The head that the endpoint gets of what the client sends. */
async function forwarded(sent: string, policy: Policy = {}): Promise<string> {
  const { plane, endpoint } = await openPair(policy);
  const client = await plane.client();
  client.send(sent);
  const upstream = await endpoint.accept();
  const head = await upstream.head();
  upstream.send(answer('x'));
  expect((await client.message()).body).toBe('x');
  await plane.quiet();
  return head.replaceAll(String(plane.port), 'PORT');
}

/** The head that the client gets of what the endpoint answers. */
async function relayed(reply: string, policy: Policy = {}): Promise<string> {
  const { plane, endpoint } = await openPair(policy);
  const client = await plane.client();
  client.send(request('GET /'));
  const upstream = await endpoint.accept();
  await upstream.head();
  upstream.send(reply);
  const head = await client.head();
  await plane.quiet();
  return head;
}

/** Rules that set fields, and rename none. */
const setting = (set: Readonly<Record<string, string>>) => ({ set, rename: {} });

const trusting = { http: { trustedProxies: ['127.0.0.0/8'] } };
const own =
  'X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n' +
  'X-Forwarded-Port: PORT\r\nX-Forwarded-Host: a\r\n';

describe('the request head', () => {
  it('passes as it came, with what the endpoint should know of the client', async () => {
    const fields = 'Accept: */*\r\nx-Odd: 1\r\nX-ODD: 2\r\n';
    expect(await forwarded(request('GET /p?q=%20', fields))).toBe(
      `GET /p?q=%20 HTTP/1.1\r\nHost: a\r\n${fields}${own}\r\n`,
    );
  });

  it('loses what belongs to the connection, and what Connection names', async () => {
    const head = await forwarded(
      request(
        'GET /',
        'Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n' +
          'Proxy-Connection: keep-alive\r\nTE: trailers, deflate\r\nTrailer: X-Sum\r\n' +
          'Proxy-Authorization: Basic x\r\nX-Kept: 1\r\n',
      ),
    );
    expect(head).toBe(
      `GET / HTTP/1.1\r\nHost: a\r\nX-Kept: 1\r\nConnection: te\r\nTE: trailers\r\n${own}\r\n`,
    );
  });

  it.each<[string, Policy]>([
    ['plainly', {}],
    [
      'beside a rule',
      {
        http: { headers: { request: setting({ 'x-forwarded-host': 'b' }), response: setting({}) } },
      },
    ],
  ])('names no address and no port of a client by a unix socket, %s', async (_, policy) => {
    const { plane, endpoint } = await openPair(policy);
    const folder = mkdtempSync(join(tmpdir(), 'upriver-fields-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 's');
    const local = { ...plane.listener!, key: path, address: { kind: 'unix', path } as const };
    const listeners = [plane.listener!, local];
    await plane.worker.apply({ version: 2, upsert: [], remove: [], listeners });
    const client = new Peer(connect(path));
    client.send(request('GET /', 'X-Forwarded-Port: 1\r\n'));
    const upstream = await endpoint.accept();
    const head = await upstream.head();
    upstream.send(answer('x'));
    await client.message();
    client.end();
    expect(head).toContain('X-Forwarded-For: unknown\r\nX-Forwarded-Proto: http\r\n');
    expect(head).not.toContain('X-Forwarded-Port');
  });

  const claims =
    'X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n' +
    'X-Forwarded-Port: 1\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n' +
    'X_Forwarded_For: 5.6.7.8\r\nX-Request-Id: mine\r\n';

  it('has nothing of what an untrusted client claims', async () => {
    expect(await forwarded(request('GET /', claims))).toBe(
      `GET / HTTP/1.1\r\nHost: a\r\n${own}\r\n`,
    );
  });

  it('extends what a trusted proxy says', async () => {
    const head = await forwarded(request('GET /', claims), trusting);
    expect(head).toContain('X-Forwarded-For: 1.2.3.4, 127.0.0.1\r\n');
    for (const kept of ['Proto: https', 'Host: evil', 'Port: 1']) {
      expect(head.match(new RegExp(`X-Forwarded-${kept.split(':')[0]}:`, 'g'))).toHaveLength(1);
      expect(head).toContain(`X-Forwarded-${kept}\r\n`);
    }
    expect(head).toContain('X-Real-IP: 1.2.3.4\r\nX');
    expect(head).toContain('X-Request-Id: mine\r\n');
  });

  it('extends a list that a trusted proxy sends in several lines', async () => {
    const lines = 'X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n';
    const head = await forwarded(request('GET /', lines), trusting);
    expect(head).toContain('X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n');
    expect(head.match(/X-Forwarded-For/g)).toHaveLength(1);
  });

  it('has Forwarded where that is wanted', async () => {
    const head = await forwarded(request('GET /', claims), { http: { forwarded: true } });
    expect(head).toContain('Forwarded: for=127.0.0.1;proto=http;host="a"\r\n');
    const extended = await forwarded(request('GET /', 'Forwarded: for=9.9.9.9\r\n'), {
      http: { forwarded: true, trustedProxies: ['127.0.0.1'] },
    });
    expect(extended).toContain('Forwarded: for=9.9.9.9, for=127.0.0.1;proto=http;host="a"\r\n');
  });

  it.each([
    ['GET http://b:81/p?q', 'GET /p?q', 'b:81'],
    ['GET http://b', 'GET /', 'b'],
    ['GET http://b?q', 'GET /?q', 'b'],
    ['OPTIONS http://b', 'OPTIONS *', 'b'],
    ['OPTIONS *', 'OPTIONS *', 'a'],
  ])('of %s becomes %s with the Host of the target', async (line, wanted, host) => {
    expect(await forwarded(request(line))).toContain(`${wanted} HTTP/1.1\r\nHost: ${host}\r\n`);
  });

  it('is HTTP/1.1 for HTTP/1.0 clients too', async () => {
    const head = await forwarded('GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n');
    expect(head).toBe(`GET / HTTP/1.1\r\nHost: a\r\n${own}\r\n`);
  });

  it('names the address that was asked where an HTTP/1.0 client names no host', async () => {
    const head = await forwarded('GET / HTTP/1.0\r\n\r\n');
    const forwardedLines = own.replace(/X-Forwarded-Host.*\r\n/, '');
    expect(head).toBe(`GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n${forwardedLines}\r\n`);
  });

  it('counts Max-Forwards down for OPTIONS, and leaves it alone elsewhere', async () => {
    expect(await forwarded(request('OPTIONS /', 'Max-Forwards: 2\r\n'))).toContain(
      'Max-Forwards: 1\r\n',
    );
    expect(await forwarded(request('GET /', 'Max-Forwards: 0\r\n'))).toContain(
      'Max-Forwards: 0\r\n',
    );
  });

  it('follows the rules: set, replace, remove', async () => {
    const rules = {
      'x-set': '1',
      'x-replaced': 'new',
      'x-removed': '',
      'x-forwarded-proto': 'https',
    };
    const head = await forwarded(request('GET /', 'X-Replaced: old\r\nX-Removed: 1\r\n'), {
      http: { headers: { request: setting(rules), response: setting({}) } },
    });
    expect(head).toMatch(/x-set: 1\r\nx-replaced: new\r\nx-forwarded-proto: https\r\n\r\n$/);
    expect(head).not.toMatch(/old|removed/i);
    // One field, not ours beside it.
    expect(head.match(/x-forwarded-proto/gi)).toHaveLength(1);
  });

  it('renames fields, which replace what has the new name, unless that is set', async () => {
    const rename = { 'x-old': 'x-new', 'x-none': 'x-kept', 'x-lost': 'x-set', host: 'x-host' };
    const sent = 'X-Old: 1\r\nX-OLD: 2\r\nX-New: spoofed\r\nX-Kept: 3\r\nX-Lost: 4\r\n';
    const head = await forwarded(request('GET /', sent), {
      http: { headers: { request: { set: { 'x-set': '5' }, rename }, response: setting({}) } },
    });
    expect(head).toBe(
      `GET / HTTP/1.1\r\nHost: a\r\nX-Kept: 3\r\n${own}x-new: 1\r\nx-new: 2\r\nx-set: 5\r\n\r\n`,
    );
  });

  it('keeps its framing whatever the rules say', async () => {
    const rules = {
      'content-length': '7',
      'transfer-encoding': 'gzip',
      host: 'b',
      connection: 'x',
    };
    const headers = { request: setting(rules), response: setting(rules) };
    const head = await forwarded(request('GET /'), { http: { headers } });
    expect(head).toBe(`GET / HTTP/1.1\r\nHost: a\r\n${own}\r\n`);
  });
});

describe('the response head', () => {
  it('passes as it came, without what belongs to the connection', async () => {
    const head = await relayed(
      'HTTP/1.1 200 Fine\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n' +
        'Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\nServer: x\r\n\r\n',
    );
    expect(head).toBe(
      'HTTP/1.1 200 Fine\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\nServer: x\r\n\r\n',
    );
  });

  it('is HTTP/1.1 whatever the endpoint speaks, and may lack a reason phrase', async () => {
    const head = await relayed('HTTP/1.0 299\r\nContent-Length: 0\r\n\r\n');
    expect(head).toBe('HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n');
  });

  it('follows the rules, and gets Via', async () => {
    const response = { 'x-set': '1', server: '' };
    const head = await relayed(answer('', 'Server: x\r\n'), {
      http: { via: true, headers: { request: setting({}), response: setting(response) } },
    });
    expect(head).toBe(
      `HTTP/1.1 200 OK\r\nContent-Length: 0\r\nVia: 1.1 ${VIA_NAME}\r\nx-set: 1\r\n\r\n`,
    );
  });
});

it('renames fields of responses', async () => {
  const headers = { request: setting({}), response: { set: {}, rename: { server: 'x-origin' } } };
  const head = await relayed(answer('', 'Server: x\r\n'), { http: { headers } });
  expect(head).toBe('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-origin: x\r\n\r\n');
});

describe('requests answered here', () => {
  it('OPTIONS with no hop left, which is about us', async () => {
    const { plane } = await openPair();
    const client = await plane.client();
    client.send(request('OPTIONS /', 'Max-Forwards: 0\r\n'));
    const { head, body } = await client.message();
    expect(head).toMatch(/^HTTP\/1.1 200 OK\r\n.*\r\nAllow: GET/s);
    expect(body).toBe('');
  });

  const rows = [
    ['TRACE', request('TRACE /'), 405, 'method-not-allowed'],
    ['CONNECT', 'CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n', 405, 'method-not-allowed'],
    ['no number of hops', request('OPTIONS /', 'Max-Forwards: 1x\r\n'), 400, 'bad-header'],
    ['a loop', request('GET /', `Via: 1.1 ${VIA_NAME}\r\n`), 508, 'loop'],
    [
      'a loop in a later Via',
      request('GET /', `Via: 1.1 x\r\nVia: 1.1 y, 1.0 ${VIA_NAME}\r\n`),
      508,
      'loop',
    ],
  ] as const;
  it.each(rows)('%s', async (_, sent, status, code) => {
    const { plane, endpoint } = await openPair({ http: { via: true, serverName: 'me' } });
    const client = await plane.client();
    client.send(sent);
    const { head } = await client.message();
    expect(head).toContain(`HTTP/1.1 ${status} `);
    expect(head).toContain(`X-Upriver-Reason: ${code}\r\n`);
    expect(head).toContain('Server: me\r\n');
    if (status === 405) expect(head).toContain('Allow: GET');
    // The request is known whole, so the connection goes on.
    client.send(request('GET /'));
    const upstream = await endpoint.accept();
    expect(await upstream.head()).toContain(`Via: 1.1 ${VIA_NAME}\r\n`);
    upstream.send(answer('x'));
    expect((await client.message()).body).toBe('x');
    await plane.quiet();
  });

  it('a loop is told in words', async () => {
    const { plane } = await openPair({ http: { via: true } });
    const { body } = await plane.ask(request('GET /x?y', `Via: 1.1 ${VIA_NAME}\r\n`));
    expect(body).toBe('The request passed through this balancer before: a/x\n');
    const listener = `127.0.0.1:${plane.port}`;
    expect(plane.lines).toEqual([
      expect.objectContaining({
        ...{ listener, host: 'a', path: '/x', reason: 'loop' },
        detail: expect.stringContaining(`service web leads back to ${listener}`),
      }),
    ]);
    await plane.quiet();
  });

  it('without end are not gathered for a client that does not read', async () => {
    const { plane } = await openPair();
    const client = await plane.client();
    client.socket.pause();
    // Small requests, larger answers: what is not taken must stop the reading.
    const many = request('TRACE /').repeat(2000);
    let isStopped = false;
    for (let sent = 0; sent < 2000 && !isStopped; sent += 1) {
      client.send(many);
      if (!client.socket.writableNeedDrain) continue;
      isStopped = await Promise.race([
        new Promise<boolean>((resolve) => client.socket.once('drain', () => resolve(false))),
        new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 1500)),
      ]);
    }
    expect(isStopped).toBe(true);
    client.reset();
    await plane.quiet();
  });
});
