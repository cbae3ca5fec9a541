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

  it.each([
    ['other.test', '/a%2Fb', 'other.test/a%2Fb', 'the path can be read in two ways'],
    ['other.test', '/x?q=1', 'other.test/x', 'none of the 7 routes of LISTENER matches'],
    ['api.test', '/<b>"', 'api.test/%3Cb%3E%22', 'none of the 7 routes of LISTENER matches'],
    ['api.test', '/%761/x', 'api.test/%761/x', "can't take /v1 off a path that spells it"],
    ['gone.test', '/', 'gone.test/', 'the route for gone.test and / leads to service gone, which'],
    ['a'.repeat(250), '/', `${'a'.repeat(200)}.../`, 'none of the 7 routes of LISTENER matches'],
  ])('says in words why %s%s has no service', async (host, target, asked, why) => {
    const plane = await openBoth();
    const { body } = await plane.ask(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(body).toBe(`No route matches this host and path: ${asked}\n`);
    const at = asked.indexOf('/');
    const listener = `127.0.0.1:${plane.port}`;
    expect(plane.lines).toEqual([
      {
        client: '127.0.0.1',
        listener,
        host: asked.slice(0, at),
        path: asked.slice(at),
        status: 404,
        reason: 'no-service',
        detail: expect.stringContaining(why.replace('LISTENER', listener)),
        message: 'No route matches this host and path.',
      },
    ]);
    await plane.quiet();
  });

  it.each([
    ['GET /p?q=1', 'a:81', 'https://a/p?q=1'],
    ['GET http://b:82/p', 'a', 'https://b/p'],
    ['GET http://b', 'a', 'https://b/'],
    ['OPTIONS *', 'a', 'https://a/'],
    ['GET /%0d%0a', 'a', 'https://a/%0d%0a'],
  ])('redirects %s of %s with what was asked for', async (line, host, location) => {
    const redirect = { status: 301, location: 'https://$host$request_uri' };
    const plane = await openRouter([makeRoute({ service: '', redirect })], {});
    const { head } = await plane.ask(`${line} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(head).toContain(`Location: ${location}\r\n`);
    await plane.quiet();
  });

  it.each([
    ['$request_uri', '/x?y', '/x?y'],
    ['$request_uri', '//evil.test/x', '/evil.test/x'],
    ['$path', '//evil.test/x?y', '/evil.test/x'],
    ['$$5$path', '/x', '$5/x'],
  ])('redirects to %s on this host alone', async (location, target, expected) => {
    const redirect = { status: 302, location };
    const plane = await openRouter([makeRoute({ service: '', redirect })], {});
    const { head } = await plane.ask(request(`GET ${target}`));
    expect(head).toContain(`Location: ${expected}\r\n`);
    await plane.quiet();
  });

  it('refuses a redirect that wants the host of a request without one', async () => {
    const redirect = { status: 302, location: 'https://$host/' };
    const plane = await openRouter([makeRoute({ service: '', redirect })], {});
    const { head } = await plane.ask('GET / HTTP/1.0\r\n\r\n');
    expect(head).toContain('X-Upriver-Reason: bad-host\r\n');
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
