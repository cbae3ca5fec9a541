import type { IncomingMessage } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BOUNDS } from '../../src/model/bounds.ts';
import { refusal } from '../../src/observe/admin.ts';
import { type AskOptions, type StatsPort, startStatsPort } from '../support/stats-port.ts';

const DRAIN = '/api/v1/services/web/endpoints/a/drain';

let port: StatsPort;
afterEach(() => port.close());

const post = (path: string, options: AskOptions = {}) =>
  port.ask(path, { method: 'POST', ...options });

describe('a change', () => {
  beforeEach(async () => {
    port = await startStatsPort();
  });

  it('is carried out for the service and endpoint that the path names', async () => {
    for (const kind of ['drain', 'ready', 'maint'] as const) {
      const path = `/api/v1/services/my%20web/endpoints/node-1%2Fweb-1/${kind}`;
      const answer = await post(path);
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.text)).toMatchObject({ ok: true });
      expect(port.operated.at(-1)).toEqual(['my web', 'node-1/web-1', { kind }]);
    }
  });

  it('with a body larger than any is refused, and not carried out', async () => {
    const path = '/api/v1/services/web/endpoints/a/weight?weight=5';
    const { max } = BOUNDS.adminBody;
    const before = port.operated.length;
    expect((await post(path, { body: ' '.repeat(max + 1) })).status).toBe(413);
    expect(port.operated).toHaveLength(before);
    expect((await post(path, { body: ' '.repeat(max) })).status).toBe(200);
  });

  it('sets a weight by query, by JSON or by the number alone', async () => {
    const path = '/api/v1/services/web/endpoints/a/weight';
    const ways: [string, string, number][] = [
      ['?weight=5', '', 5],
      ['', '{"weight":6}', 6],
      ['', '{"weight":"7"}', 7],
      ['', '8', 8],
      ['?weight=0', '', 0],
      ['?weight=65535', '', 65_535],
    ];
    for (const [query, body, weight] of ways) {
      expect((await post(path + query, { body })).status).toBe(200);
      expect(port.operated.at(-1)).toEqual(['web', 'a', { kind: 'weight', weight }]);
    }
  });

  it.each([
    ['?weight=', ''],
    ['?weight=-1', ''],
    ['?weight=1.5', ''],
    ['?weight=65536', ''],
    ['?weight=1e3', ''],
    ['?weight=0x10', ''],
    ['?weight=%205', ''],
    ['?weight=many', ''],
    ['', ''],
    ['', '{}'],
    ['', '{"weight":null}'],
    ['', '{"weight":true}'],
    ['', '"5'],
  ])('refuses the weight of %j with body %j', async (query, body) => {
    const answer = await post(`/api/v1/services/web/endpoints/a/weight${query}`, { body });
    expect(answer.status).toBe(400);
    const { error } = JSON.parse(answer.text) as { error: string };
    expect(error).toContain('expected a whole number from 0 to 65535');
    expect(port.operated).toEqual([]);
  });

  it('of another kind is refused, and so is a path that leads nowhere', async () => {
    expect((await post('/api/v1/services/web/endpoints/a/explode')).status).toBe(404);
    expect((await post('/api/v1/services/web/drain')).status).toBe(404);
    expect((await post('/api/v1/services/%zz/endpoints/a/drain')).status).toBe(400);
    expect(port.operated).toEqual([]);
  });

  it('of what is not there is 404, with the reason', async () => {
    port.operatorSays = "no endpoint 'a' of service 'web'";
    const answer = await post(DRAIN);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.text)).toEqual({ error: "no endpoint 'a' of service 'web'" });
  });

  it('is never made by GET', async () => {
    const answer = await port.ask(DRAIN);
    expect(answer.status).toBe(405);
    expect(answer.headers.allow).toBe('POST');
    expect(port.operated).toEqual([]);
  });
});

describe('without a token', () => {
  beforeEach(async () => {
    port = await startStatsPort();
  });

  const { host } = new URL('http://127.0.0.1');
  it.each<[string, Record<string, string>, number]>([
    ['a program', {}, 200],
    ['a page of its own', { 'sec-fetch-site': 'same-origin' }, 200],
    ['somebody at the address bar', { 'sec-fetch-site': 'none' }, 200],
    ['localhost by name', { host: 'localhost:1936' }, 200],
    ['the IPv6 loopback', { host: '[::1]:1936' }, 200],
    ['a page of another site', { 'sec-fetch-site': 'cross-site' }, 403],
    ['a page of a neighbour', { 'sec-fetch-site': 'same-site' }, 403],
    ['another origin', { origin: 'http://evil.example' }, 403],
    ['another port of this host', { origin: `http://${host}:1` }, 403],
    ['a page without an origin', { origin: 'null' }, 403],
    ['a name that was made to lead here', { host: 'evil.example' }, 403],
    ['that name with its own origin', { host: 'e.example', origin: 'http://e.example' }, 403],
    ['a token that nobody asked for', { authorization: 'Bearer x' }, 200],
  ])('%s', async (_, headers, status) => {
    const answer = await post(DRAIN, { headers });
    expect(answer.status, answer.text).toBe(status);
    expect(port.operated).toHaveLength(status === 200 ? 1 : 0);
  });

  it('its own origin may', async () => {
    const headers = { origin: port.url, 'sec-fetch-site': 'same-origin' };
    expect((await post(DRAIN, { headers })).status).toBe(200);
  });

  it('another machine may not', () => {
    for (const [address, isAllowed] of [
      ['127.0.0.1', true],
      ['127.8.9.1', true],
      ['::1', true],
      ['::ffff:127.0.0.1', true],
      ['10.0.0.1', false],
      ['::ffff:10.0.0.1', false],
      ['fe80::1', false],
    ] as const) {
      const why = refusal(requestFrom(address, { host: '10.0.0.5:1936' }), {
        adminToken: '',
        hosts: [],
      });
      expect(why === '', `${address}: ${why}`).toBe(isAllowed);
    }
  });
});

describe('with a token', () => {
  beforeEach(async () => {
    port = await startStatsPort({ access: { adminToken: 's3cret' } });
  });

  it.each<[string, Record<string, string>, number]>([
    ['the token may', { authorization: 'Bearer s3cret' }, 200],
    ['the token may under any name', { authorization: 'Bearer s3cret', host: 'lb.example' }, 200],
    ['loopback alone may not', {}, 403],
    ['another token may not', { authorization: 'Bearer s3cret2' }, 403],
    ['the token in another scheme may not', { authorization: 'Basic s3cret' }, 403],
    [
      'the token in a page of another site may not',
      { authorization: 'Bearer s3cret', 'sec-fetch-site': 'cross-site' },
      403,
    ],
  ])('%s', async (_, headers, status) => {
    expect((await post(DRAIN, { headers })).status).toBe(status);
    expect(port.operated).toHaveLength(status === 200 ? 1 : 0);
  });

  it('another machine may, and reading needs none', async () => {
    const headers = { host: 'lb.example', authorization: 'Bearer s3cret' };
    expect(refusal(requestFrom('10.0.0.1', headers), { adminToken: 's3cret', hosts: [] })).toBe('');
    expect((await port.ask('/api/v1/services')).status).toBe(200);
    expect((await port.ask('/stats')).status).toBe(200);
  });
});

/** As much of a request as the rule reads. */
function requestFrom(remoteAddress: string, headers: IncomingMessage['headers']): IncomingMessage {
  return { headers, socket: { remoteAddress } } as unknown as IncomingMessage;
}
