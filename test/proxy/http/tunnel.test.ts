// Upgrades, and the tunnels that they lead to.
import { afterEach, describe, expect, it } from 'vitest';
import { ServiceColumn } from '../../../src/ledger/layout.ts';
import { answer, closePlanes, openPair, type Policy, request } from '../../support/plane.ts';

afterEach(closePlanes);

const UPGRADE = request('GET /ws', 'Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n');
const SWITCHING =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: 1\r\n\r\n';

async function openTunnel(policy: Policy = {}, early = '', reply = '') {
  const { plane, endpoint } = await openPair(policy);
  const client = await plane.client();
  client.send(UPGRADE + early);
  const upstream = await endpoint.accept();
  const asked = await upstream.head();
  upstream.send(SWITCHING + reply);
  const answered = await client.head();
  return { plane, endpoint, client, upstream, asked, answered };
}

describe('an upgrade', () => {
  it('becomes a tunnel with 101, and bytes that came early belong to it', async () => {
    const { plane, client, upstream, asked, answered } = await openTunnel({}, 'early', 'soon');
    expect(asked).toContain('Connection: upgrade\r\nUpgrade: websocket\r\n');
    expect(answered).toBe(
      'HTTP/1.1 101 Switching Protocols\r\nX: 1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
    );
    expect(await upstream.take(5)).toBe('early');
    expect(await client.take(4)).toBe('soon');
    client.send('ping');
    expect(await upstream.take(4)).toBe('ping');
    upstream.send('pong');
    expect(await client.take(4)).toBe('pong');
    expect(plane.inFlight()).toBe(1);
    expect(plane.ledger.serviceTotal(0, ServiceColumn.upgrades)).toBe(1);
    client.end();
    upstream.end();
    expect(await client.ended()).toBe('end');
    await plane.quiet();
  });

  it('that is refused stays HTTP', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(UPGRADE + request('GET /next'));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(answer('no'));
    expect((await client.message()).body).toBe('no');
    expect(await upstream.head()).toMatch(/^GET \/next /);
    upstream.send(answer('next'));
    expect((await client.message()).body).toBe('next');
    await plane.quiet();
  });

  it.each([
    ['to h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n', ''],
    ['that Connection does not name', 'Upgrade: websocket\r\n', ''],
    ['with a body', 'Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n', 'x'],
  ])('%s is not passed on, and a 101 to it is a 502', async (_, fields, body) => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('GET /', fields, body));
    const upstream = await endpoint.accept();
    expect((await upstream.message()).head).not.toMatch(/upgrade|http2/i);
    upstream.send(SWITCHING);
    const { head } = await client.message();
    expect(head).toContain('HTTP/1.1 502 ');
    expect(head).toContain('X-Upriver-Reason: unexpected-upgrade\r\n');
    await upstream.ended();
    await plane.quiet();
  });
});

describe('a tunnel that the client does not wait for', () => {
  it('is reset at the endpoint, which may not take it for one that was ended in order', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(UPGRADE);
    const upstream = await endpoint.accept();
    await upstream.head();
    client.reset();
    expect(await upstream.ended()).toBe('reset');
    await plane.quiet();
  });
});

describe('a tunnel', () => {
  // More than the kernel and we buffer, so that the end meets bytes that are still on their way.
  const MANY = 'x'.repeat(24 * 1024 * 1024);

  it('lets the client end first and hear the endpoint out', async () => {
    const { plane, client, upstream } = await openTunnel();
    client.send('question');
    client.end();
    expect(await upstream.rest()).toBe('question');
    expect(plane.inFlight()).toBe(1);
    upstream.send(MANY);
    upstream.end();
    expect((await client.rest()).length).toBe(MANY.length);
    await plane.quiet();
  });

  it('lets the endpoint end first and hear the client out', async () => {
    const { plane, client, upstream } = await openTunnel();
    upstream.send('last');
    upstream.end();
    expect(await client.rest()).toBe('last');
    client.send(MANY);
    client.end();
    expect((await upstream.rest()).length).toBe(MANY.length);
    await plane.quiet();
  });

  it('delivers what both sent before both ended', async () => {
    const { plane, client, upstream } = await openTunnel();
    upstream.socket.pause();
    client.send(MANY);
    client.end();
    upstream.send(MANY);
    upstream.end();
    expect((await client.rest()).length).toBe(MANY.length);
    upstream.socket.resume();
    expect((await upstream.rest()).length).toBe(MANY.length);
    await plane.quiet();
  });

  it('closes when it is idle too long', async () => {
    const { plane, client, upstream } = await openTunnel({ timeouts: { idleTunnelMs: 50 } });
    expect(await client.ended()).toBe('end');
    await upstream.ended();
    await plane.quiet();
  });

  it.each(['client', 'upstream'] as const)('ends when the %s is reset', async (side) => {
    const tunnel = await openTunnel();
    tunnel[side].reset();
    await (side === 'client' ? tunnel.upstream : tunnel.client).ended();
    await tunnel.plane.quiet();
  });
});
