// A side that does not read stops the side that sends, so that what is buffered stays bounded.
import { afterEach, describe, expect, it } from 'vitest';
import type { Peer } from '../../support/peer.ts';
import { answer, closePlanes, openPair, request } from '../../support/plane.ts';

afterEach(closePlanes);

const BLOCK = 'x'.repeat(256 * 1024);
/** The kernel holds some megabytes per connection on loopback; there are two on the way. */
const KERNEL_BYTES = 64 * 1024 * 1024;

/** How much of it is BLOCKs: chunks are framed anew on the way, as they are read. */
const dataBytes = (coded: string): number => coded.replaceAll(/[^x]/g, '').length;

/** Sends until nobody takes it any more; returns how much went out. */
async function sendUntilStuck(
  peer: Peer,
  wrap = (text: string): string => text,
  stuckMs = 400,
): Promise<number> {
  const { socket } = peer;
  let sent = 0;
  for (;;) {
    if (sent > 4 * KERNEL_BYTES) return sent;
    sent += BLOCK.length;
    const isTaken = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), stuckMs);
      socket.write(wrap(BLOCK), 'latin1', () => {
        clearTimeout(timer);
        resolve(true);
      });
    });
    if (!isTaken) return sent;
  }
}

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;

describe('a client that does not read', () => {
  it.each([
    ['with chunks', 'Transfer-Encoding: chunked\r\n', chunk],
    ['without a length', '', (text: string) => text],
  ])('stops the endpoint, and gets it all later, %s', async (_, fields, wrap) => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('GET /'));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send(`HTTP/1.1 200 OK\r\n${fields}\r\n`);
    await client.head();
    client.socket.pause();
    const sent = await sendUntilStuck(upstream, wrap);
    expect(sent).toBeLessThan(KERNEL_BYTES);
    if (fields !== '') upstream.send('0\r\n\r\n');
    upstream.end();
    client.socket.resume();
    const coded = await client.until('\r\n0\r\n\r\n');
    expect(dataBytes(coded)).toBe(sent);
    await plane.quiet();
  });

  it('for too long is cut off, and the endpoint is not blamed', async () => {
    const { plane, endpoint } = await openPair({ timeouts: { idleBodyMs: 300 } });
    const client = await plane.client();
    client.send('GET / HTTP/1.0\r\n\r\n');
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send('HTTP/1.1 200 OK\r\n\r\n');
    await client.head();
    client.socket.pause();
    await sendUntilStuck(upstream);
    await upstream.ended();
    client.socket.resume();
    // Its body would end with the connection, and it has not got all of it.
    expect(await client.ended()).toBe('reset');
    await plane.quiet();
    expect(plane.endpointCount(0, 'failures')).toBe(0);
  });

  it('gets the end of an answer after which the connection closes', async () => {
    const { plane, endpoint } = await openPair();
    const client = await plane.client();
    client.send(request('GET /', 'Connection: close\r\n'));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.send('HTTP/1.1 200 OK\r\n\r\n');
    client.socket.pause();
    const sent = await sendUntilStuck(upstream);
    upstream.end();
    // Reading goes on after the time that a lingering connection is given.
    await new Promise((resolve) => setTimeout(resolve, 2200));
    client.socket.resume();
    const all = await client.rest();
    expect(all).toMatch(/\r\n0\r\n\r\n$/);
    expect(all.length).toBeGreaterThan(sent);
    await plane.quiet();
  });
});

describe('an endpoint that does not read', () => {
  it('stops the client, and gets it all later', async () => {
    const { plane, endpoint } = await openPair({ timeouts: { idleBodyMs: 1000 } });
    const client = await plane.client();
    client.send(request('POST /', 'Transfer-Encoding: chunked\r\n'));
    const upstream = await endpoint.accept();
    await upstream.head();
    upstream.socket.pause();
    // Longer than idleBodyMs: the silence is not the client's fault.
    const sent = await sendUntilStuck(client, chunk, 1500);
    expect(sent).toBeLessThan(KERNEL_BYTES);
    client.send('0\r\n\r\n');
    upstream.socket.resume();
    const coded = await upstream.until('\r\n0\r\n\r\n');
    expect(dataBytes(coded)).toBe(sent);
    upstream.send(answer('done'));
    expect((await client.message()).body).toBe('done');
    await plane.quiet();
  });

  it('within the response time is given up', async () => {
    const { plane, endpoint } = await openPair({ timeouts: { responseMs: 100 } });
    const client = await plane.client();
    client.send(request('POST /', 'Transfer-Encoding: chunked\r\n'));
    const upstream = await endpoint.accept();
    upstream.socket.pause();
    await sendUntilStuck(client, chunk);
    expect(await client.rest()).toContain('X-Upriver-Reason: response-timeout\r\n');
    await plane.quiet();
  });

  it('that is not connected yet holds the client up as well', async () => {
    const { plane } = await openPair({ limits: { perEndpoint: 1 } });
    const first = await plane.client();
    first.send(request('GET /'));
    await expect.poll(() => plane.inFlight()).toBe(1);
    const client = await plane.client();
    client.send(request('POST /', 'Transfer-Encoding: chunked\r\n'));
    expect(await sendUntilStuck(client, chunk)).toBeLessThan(KERNEL_BYTES);
    client.reset();
    first.reset();
    await plane.quiet();
  });
});
