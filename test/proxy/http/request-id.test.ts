// The id that a request goes by: who may choose it, and everywhere it is told.
import { afterEach, describe, expect, it } from 'vitest';
import type { HttpPolicy } from '../../../src/model/service.ts';
import { answer, closePlanes, openPair, openPlane, request } from '../../support/plane.ts';

afterEach(closePlanes);

const FRESH = /^[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$/;
const trusting: Partial<HttpPolicy> = { requestId: 'on', trustedProxies: ['127.0.0.0/8'] };

const idsIn = (head: string) =>
  [...head.matchAll(/^x-request-id: (.*)\r$/gim)].map(([, value]) => value);

/** Asks through a plane with this policy: the ids that each side sees, and those in the access log. */
async function ask(http: Partial<HttpPolicy>, fields: string, reply = answer('x')) {
  const { plane, endpoint } = await openPair({ http });
  const client = await plane.client();
  client.send(request('GET /', fields));
  const upstream = await endpoint.accept();
  const endpointIds = idsIn(await upstream.head());
  upstream.send(reply);
  const clientIds = idsIn((await client.message()).head);
  await plane.quiet();
  plane.accessLog.flush();
  return { endpointIds, clientIds, logged: plane.access.map(({ requestId }) => requestId) };
}

describe('X-Request-Id', () => {
  it('is new where it is on, for the endpoint, the client and the access log alike', async () => {
    const { endpointIds, clientIds, logged } = await ask({ requestId: 'on' }, '');
    expect(endpointIds).toEqual([expect.stringMatching(FRESH)]);
    expect(clientIds).toEqual(endpointIds);
    expect(logged).toEqual(endpointIds);
  });

  it('of an untrusted client is replaced', async () => {
    const { endpointIds } = await ask({ requestId: 'on' }, 'X-Request-Id: mine\r\n');
    expect(endpointIds).toEqual([expect.stringMatching(FRESH)]);
  });

  it.each([
    ['a trusted proxy', trusting],
    ['anyone where the policy is keep', { requestId: 'keep' as const }],
  ])('of %s is kept, and told once', async (_, http) => {
    const given = await ask(http, 'X-Request-Id: mine\r\n');
    expect(given).toEqual({ endpointIds: ['mine'], clientIds: ['mine'], logged: ['mine'] });
    const { endpointIds } = await ask(http, '');
    expect(endpointIds).toEqual([expect.stringMatching(FRESH)]);
  });

  it.each([
    ['too long', `X-Request-Id: ${'a'.repeat(201)}\r\n`],
    ['more than a word', 'X-Request-Id: a b\r\n'],
    ['empty', 'X-Request-Id:\r\n'],
    ['given twice', 'X-Request-Id: a\r\nX-Request-Id: b\r\n'],
  ])('that is %s is replaced, whoever sent it', async (_, fields) => {
    const { endpointIds, clientIds } = await ask(trusting, fields);
    expect(endpointIds).toEqual([expect.stringMatching(FRESH)]);
    expect(clientIds).toEqual(endpointIds);
  });

  it('where it is off is taken from untrusted clients, and not told', async () => {
    const none = { endpointIds: [], clientIds: [], logged: [''] };
    expect(await ask({}, 'X-Request-Id: mine\r\n')).toEqual(none);
    const proxied = await ask({ trustedProxies: ['127.0.0.1'] }, 'X-Request-Id: mine\r\n');
    expect(proxied).toEqual({ ...none, endpointIds: ['mine'] });
  });

  it('of the endpoint is replaced by that of the request', async () => {
    const reply = answer('x', 'x-request-id: theirs\r\n');
    const { endpointIds, clientIds } = await ask({ requestId: 'on' }, '', reply);
    expect(clientIds).toEqual(endpointIds);
    expect((await ask({}, '', reply)).clientIds).toEqual(['theirs']);
  });

  it('is what a rule says where there is one', async () => {
    const plain = { set: {}, rename: {} };
    const silent = { request: plain, response: { set: { 'x-request-id': '' }, rename: {} } };
    expect((await ask({ requestId: 'on', headers: silent }, '')).clientIds).toEqual([]);
    const renaming = {
      request: { set: {}, rename: { 'x-corr': 'x-request-id' } },
      response: plain,
    };
    const { endpointIds } = await ask({ requestId: 'on', headers: renaming }, 'X-Corr: c\r\n');
    expect(endpointIds).toEqual(['c']);
  });

  it('is in the 101 of an upgrade', async () => {
    const { plane, endpoint } = await openPair({ http: { requestId: 'on' } });
    const client = await plane.client();
    client.send(request('GET /', 'Connection: upgrade\r\nUpgrade: websocket\r\n'));
    const upstream = await endpoint.accept();
    const ids = idsIn(await upstream.head());
    upstream.send('HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
    expect(idsIn(await client.head())).toEqual(ids);
    expect(ids).toHaveLength(1);
    client.end();
    upstream.end();
    await plane.quiet();
  });

  it('of a request that fails is in the reply, in its log line, and the same in each attempt', async () => {
    const { plane, endpoint } = await openPair({ http: { requestId: 'on' } });
    const client = await plane.client();
    client.send(request('GET /'));
    const ids: (string | undefined)[] = [];
    endpoint.serve(async (peer) => {
      ids.push(...idsIn(await peer.head()));
      peer.reset();
    });
    const { head } = await client.message();
    expect(head).toContain('HTTP/1.1 502 ');
    await plane.quiet();
    expect(new Set(ids).size).toBe(1);
    expect(idsIn(head)).toEqual([ids[0]]);
    expect(plane.lines).toEqual([expect.objectContaining({ reason: 'reset', requestId: ids[0] })]);
  });

  it('differs from request to request', async () => {
    const plane = await openPlane([], { http: { requestId: 'on' } });
    const replies = [await plane.ask(request('GET /')), await plane.ask(request('GET /'))];
    const ids = replies.flatMap(({ head }) => idsIn(head));
    expect(new Set(ids).size).toBe(2);
    await plane.quiet();
  });
});
