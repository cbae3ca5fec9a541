// Routers: which service answers for a host and path, and what becomes of the target.
import { afterEach, describe, expect, it } from 'vitest';
import { listenEndpoint } from '../../support/peer.ts';
import { answer, closePlanes, openRouter, request } from '../../support/plane.ts';
import { makeRoute } from '../../support/route.ts';

afterEach(closePlanes);

const routes = [
  makeRoute({ host: 'api.test', path: '/v1', service: 'api', stripPrefix: '/v1' }),
  makeRoute({
    host: 'api.test',
    path: '/v2',
    service: 'api',
    stripPrefix: '/v2',
    addPrefix: '/new',
  }),
  makeRoute({ host: '*.any.test', service: 'api', rewriteHost: 'inner' }),
  makeRoute({
    path: '/old',
    service: '',
    redirect: { status: 308, location: 'https://new.test/' },
  }),
  makeRoute({ host: 'gone.test', service: 'gone' }),
  makeRoute({ host: 'web.test' }),
  makeRoute({ host: 'add.test', addPrefix: '/pre' }),
];

async function openBoth() {
  const peers = { api: await listenEndpoint(), web: await listenEndpoint() };
  for (const [name, endpoint] of Object.entries(peers)) {
    endpoint.serve(async (peer) => {
      const head = await peer.head();
      peer.send(answer(`${name} ${head.split(' ')[1]} ${/Host: (.*)\r/.exec(head)![1]}`));
    });
  }
  return openRouter(routes, { api: peers.api.port, web: peers.web.port });
}

describe('a router', () => {
  it.each([
    ['api.test', '/v1', 'api / api.test'],
    ['api.test', '/v1/x?q', 'api /x?q api.test'],
    ['api.test', '/v1?q', 'api /?q api.test'],
    ['API.Test:80', '/v1/x', 'api /x API.Test:80'],
    ['api.test', '/v2/x', 'api /new/x api.test'],
    ['api.test', '/v2', 'api /new api.test'],
    ['x.any.test', '/p', 'api /p inner'],
    ['web.test', '/a/../b', 'web /a/../b web.test'],
    ['add.test', '/p?q', 'web /pre/p?q add.test'],
  ])('sends %s%s to the right service as %s', async (host, target, body) => {
    const plane = await openBoth();
    expect((await plane.ask(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).body).toBe(body);
    await plane.quiet();
  });

  it.each([
    ['GET http://api.test/v1/x', 'api /x api.test'],
    ['GET http://add.test', 'web /pre add.test'],
    ['GET http://add.test?q', 'web /pre?q add.test'],
  ])('goes by the authority of %s', async (line, body) => {
    const plane = await openBoth();
    expect((await plane.ask(request(line))).body).toBe(body);
    await plane.quiet();
  });

  it.each([
    ['another host', 'other.test', '/'],
    ['another path', 'api.test', '/v10'],
    ['an encoded slash', 'api.test', '/v1%2fx'],
    ['an encoded dot segment', 'web.test', '/a/%2e%2e/b'],
    ['a prefix in disguise', 'api.test', '/%761/x'],
    ['a service that is not there', 'gone.test', '/'],
  ])('knows no way for %s', async (_, host, target) => {
    const plane = await openBoth();
    const { head } = await plane.ask(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(head).toContain('HTTP/1.1 404 ');
    expect(head).toContain('X-Upriver-Reason: no-service\r\n');
    await plane.quiet();
  });

  it('redirects, without a service', async () => {
    const plane = await openBoth();
    const client = await plane.client();
    for (let i = 0; i < 2; i += 1) {
      client.send(request('GET /old/x'));
      const { head } = await client.message();
      expect(head).toContain('HTTP/1.1 308 Permanent Redirect\r\n');
      expect(head).toContain('Location: https://new.test/\r\n');
    }
    // What follows an unread body can't be told from it.
    client.send(request('POST /old', 'Content-Length: 3\r\n', 'abc'));
    expect(await client.rest()).toContain('Connection: close\r\n');
    await plane.quiet();
  });

  it('sends each request of a connection its own way', async () => {
    const plane = await openBoth();
    const client = await plane.client();
    for (const [host, body] of [
      ['api.test', 'api /v api.test'],
      ['web.test', 'web /v1/v web.test'],
      ['api.test', 'api /v api.test'],
    ]) {
      client.send(`GET /v1/v HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      expect((await client.message()).body).toBe(body);
    }
    await plane.quiet();
  });
});
