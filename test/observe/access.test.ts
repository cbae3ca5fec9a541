import type { IncomingMessage } from 'node:http';
import { hostname } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type AccessSettings,
  addressOf,
  isTrustedName,
  ReadAccess,
} from '../../src/observe/access.ts';
import { type StatsPort, startStatsPort } from '../support/stats-port.ts';

const OPEN: AccessSettings = { adminToken: '', readToken: '', read: ['any'], hosts: [] };

/** As much of a request as the rules read. */
function requestFrom(remoteAddress: string, headers: IncomingMessage['headers'] = {}) {
  const all = { host: '10.0.0.5:1936', ...headers };
  return { headers: all, socket: { remoteAddress } } as unknown as IncomingMessage;
}

function statusFor(
  settings: Partial<AccessSettings>,
  address: string,
  headers: IncomingMessage['headers'] = {},
): number {
  const access = new ReadAccess({ ...OPEN, ...settings });
  return access.refusal(requestFrom(address, headers))?.status ?? 200;
}

describe('who may read', () => {
  it.each<[string, readonly string[], string, number]>([
    ['anyone', ['any'], '203.0.113.9', 200],
    ['loopback alone', ['loopback'], '127.0.0.1', 200],
    ['loopback alone', ['loopback'], '::1', 200],
    ['loopback alone', ['loopback'], '::ffff:127.0.0.1', 200],
    ['loopback alone', ['loopback'], '10.0.0.1', 403],
    ['a network', ['10.0.0.0/8'], '10.255.0.1', 200],
    ['a network', ['10.0.0.0/8'], '::ffff:10.1.2.3', 200],
    ['a network', ['10.0.0.0/8'], '11.0.0.1', 403],
    ['a network', ['10.0.0.0/8'], '127.0.0.1', 403],
    ['an address', ['192.0.2.7'], '192.0.2.7', 200],
    ['an address', ['192.0.2.7'], '192.0.2.8', 403],
    ['a network of IPv6', ['2001:db8::/32'], '2001:db8:1::1', 200],
    ['a network of IPv6', ['2001:db8::/32'], '2001:db9::1', 403],
    ['several', ['loopback', '10.0.0.0/8'], '10.0.0.1', 200],
    ['several', ['loopback', 'token'], '127.0.0.1', 200],
    ['several', ['loopback', 'token'], '10.0.0.1', 401],
  ])('%s: %j, from %s: %d', (_, read, address, status) => {
    expect(statusFor({ read, readToken: 's3cret' }, address)).toBe(status);
  });

  it.each([
    'x-forwarded-for',
    'x-forwarded-proto',
    'forwarded',
    'via',
    'x-real-ip',
    'cf-connecting-ip',
  ])('nobody by his address through a proxy that adds %s', (name) => {
    const read = ['loopback', '10.0.0.0/8'];
    expect(statusFor({ read }, '127.0.0.1', { [name]: '' })).toBe(403);
    expect(statusFor({ read }, '10.0.0.1', { [name]: 'x' })).toBe(403);
  });

  const basic = (password: string): string =>
    `Basic ${Buffer.from(`x:${password}`).toString('base64')}`;

  it.each<[string, number]>([
    ['Bearer r3ad', 200],
    ['bearer r3ad', 200],
    ['Bearer 4dmin', 200],
    [basic('r3ad'), 200],
    [basic('r3a'), 401],
    ['Bearer r3adx', 401],
    ['Bearer r3a', 401],
    ['Bearer ', 401],
    ['r3ad', 401],
    ['', 401],
  ])('with a token: %s is %d', (authorization, status) => {
    const settings = { read: ['token'], readToken: 'r3ad', adminToken: '4dmin' };
    expect(statusFor(settings, '10.0.0.1', { authorization })).toBe(status);
    expect(statusFor(settings, '127.0.0.1', { authorization })).toBe(status);
  });

  it('an empty token is none', () => {
    const headers = { authorization: 'Bearer ' };
    expect(statusFor({ read: ['token'], adminToken: '4dmin' }, '127.0.0.1', headers)).toBe(401);
  });
});

describe('under which name', () => {
  it.each([
    ...['', '127.0.0.1', '10.1.2.3', '::1', 'localhost', 'a.localhost', hostname().toLowerCase()],
    ...['upriver', 'lb.service.consul', 'lb.default.svc.cluster.local', 'lb.internal', 'lb.lan'],
    ...['lb.example.com', 'a.b.example.org'],
  ])('%s is served', (name) => {
    expect(isTrustedName(name, ['lb.example.com', '*.example.org'])).toBe(true);
  });

  it.each([
    ...[
      'evil.example',
      'example.org',
      'lb.example.com.evil.net',
      'xlb.example.com',
      'evilconsul.com',
    ],
    ...['localhost.evil.com', '127.0.0.1.nip.io', 'a b', 'local.'],
  ])('%s is not', (name) => {
    expect(isTrustedName(name, ['lb.example.com', '*.example.org'])).toBe(false);
  });

  it('a token is good under any', () => {
    const headers = { host: 'evil.example', authorization: 'Bearer r3ad' };
    expect(statusFor({ readToken: 'r3ad' }, '10.0.0.1', headers)).toBe(200);
    expect(statusFor({ readToken: 'r3ad' }, '10.0.0.1', { host: 'evil.example' })).toBe(403);
  });
});

describe('the port', () => {
  let port: StatsPort;
  afterEach(() => port.close());

  const PATHS = [
    '/',
    '/stats',
    '/stats;csv',
    '/stats/live',
    '/stats/page.js',
    '/metrics',
    '/nothing',
  ];
  const API = ['/api/v1/status', '/api/v1/services', '/api/v1/services/x', '/api/v1/events'];
  const CHECKS = ['/healthz', '/livez', '/readyz'];

  it('keeps everything but health checks behind the token', async () => {
    port = await startStatsPort({ access: { read: ['token'], readToken: 'r3ad' } });
    for (const path of [...PATHS, ...API]) {
      const answer = await port.ask(path);
      expect(answer.status, path).toBe(401);
      expect(answer.headers['www-authenticate']).toMatch(/^Basic realm=/);
      expect(answer.text).not.toContain('r3ad');
    }
    for (const path of CHECKS) expect((await port.ask(path)).status, path).toBe(200);
    const headers = { authorization: 'Bearer r3ad' };
    expect((await port.ask('/metrics', { headers })).status).toBe(200);
  });

  it("does not let the token for reading, or a browser's password, change anything", async () => {
    const access = { read: ['token'], readToken: 'r3ad', adminToken: '4dmin' };
    port = await startStatsPort({ access });
    const drain = (authorization: string) =>
      port.ask('/api/v1/services/web/endpoints/a/drain', {
        method: 'POST',
        headers: { authorization },
      });
    expect((await drain('Bearer r3ad')).status).toBe(403);
    expect((await drain(`Basic ${Buffer.from('x:4dmin').toString('base64')}`)).status).toBe(403);
    expect((await drain('Bearer 4dmin')).status).toBe(200);
    expect(port.operated).toHaveLength(1);
  });

  it('serves nothing but health checks to a page of another site under a borrowed address', async () => {
    port = await startStatsPort();
    const headers = { host: 'evil.example:1936' };
    for (const path of [...PATHS, ...API]) {
      expect((await port.ask(path, { headers })).status, path).toBe(403);
    }
    for (const path of CHECKS) expect((await port.ask(path, { headers })).status).toBe(200);
  });
});

it.each([
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['10.0.0.1', '10.0.0.1'],
  ['fd00::1', 'fd00::1'],
])('shows the address of %s as %s, in the log of changes too', (given, shown) => {
  expect(addressOf(requestFrom(given).socket)).toBe(shown);
});
