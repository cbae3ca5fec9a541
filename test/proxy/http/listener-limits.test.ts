// What belongs to the listener holds for every client that comes in by it, whether one service or a
// router is behind it.
import { afterEach, describe, expect, it } from 'vitest';
import { listenEndpoint } from '../../support/peer.ts';
import {
  answer,
  closePlanes,
  openPlane,
  openRouter,
  type Plane,
  type Policy,
  request,
} from '../../support/plane.ts';
import { makeRoute } from '../../support/route.ts';

afterEach(closePlanes);

const GET = request('GET /');

type ListenerPolicy = Pick<Policy, 'limits' | 'timeouts'>;

async function open(kind: 'service' | 'router', policy: ListenerPolicy): Promise<Plane> {
  const endpoint = await listenEndpoint();
  endpoint.serve(async (peer) => {
    await peer.head();
    peer.send(answer('x'));
  });
  if (kind === 'service') return openPlane([endpoint.port], policy);
  return openRouter([makeRoute()], { web: endpoint.port }, policy);
}

describe.each(['service', 'router'] as const)('a listener of a %s', (kind) => {
  it.each<[string, NonNullable<ListenerPolicy['limits']>, string, string]>([
    ['header_bytes', { headerBytes: 200 }, `A: ${'a'.repeat(200)}\r\n`, '431 '],
    ['header_count', { headerCount: 3 }, 'A: 1\r\nB: 2\r\nC: 3\r\n', '431 '],
  ])('refuses a head beyond limits.%s', async (_, limits, fields, status) => {
    const plane = await open(kind, { limits });
    expect((await plane.ask(GET)).head).toContain('HTTP/1.1 200 ');
    const { head } = await plane.ask(request('GET /', fields));
    expect(head).toContain(`HTTP/1.1 ${status}`);
    expect(head).toContain('X-Upriver-Reason: header-too-large\r\n');
    await plane.quiet();
  });

  it('refuses a target beyond limits.target_bytes', async () => {
    const plane = await open(kind, { limits: { targetBytes: 20 } });
    const { head } = await plane.ask(request(`GET /${'a'.repeat(20)}`));
    expect(head).toContain('HTTP/1.1 414 ');
    await plane.quiet();
  });

  it('takes more than the default where it is told so', async () => {
    const limits = { headerBytes: 64 * 1024, headerCount: 300, targetBytes: 10_000 };
    const plane = await open(kind, { limits });
    const fields = Array.from({ length: 150 }, (_, i) => `X-${i}: ${'a'.repeat(250)}\r\n`).join('');
    const { head } = await plane.ask(request(`GET /${'a'.repeat(9000)}`, fields));
    expect(head).toContain('HTTP/1.1 200 ');
    await plane.quiet();
  });

  it('closes after limits.keep_alive_requests', async () => {
    const plane = await open(kind, { limits: { keepAliveRequests: 2 } });
    const client = await plane.client();
    client.send(GET);
    expect((await client.message()).head).not.toContain('Connection: close');
    client.send(GET);
    expect((await client.message()).head).toContain('Connection: close\r\n');
    expect(await client.ended()).toBe('end');
    client.end();
    await plane.quiet();
  });

  it('closes after limits.pipelined requests ahead', async () => {
    const plane = await open(kind, { limits: { pipelined: 2 } });
    const client = await plane.client();
    client.send(GET.repeat(5));
    const answers = (await client.rest()).split('HTTP/1.1 200 ').length - 1;
    expect(answers).toBe(3);
    client.end();
    await plane.quiet();
  });

  it('ends a head that takes longer than timeouts.client_header', async () => {
    const plane = await open(kind, { timeouts: { clientHeaderMs: 50 } });
    const client = await plane.client();
    client.send('GET / HTTP/1.1\r\nHost: a\r\n');
    expect(await client.rest()).toContain('X-Upriver-Reason: client-header-timeout\r\n');
    client.end();
    await plane.quiet();
  });

  it('closes an idle connection after timeouts.keep_alive', async () => {
    const plane = await open(kind, { timeouts: { keepAliveMs: 50 } });
    const [fresh, used] = [await plane.client(), await plane.client()];
    used.send(GET);
    await used.message();
    expect(await fresh.ended()).not.toBe('');
    expect(await used.ended()).not.toBe('');
    await plane.quiet();
  });

  it('closes for a client that takes nothing for timeouts.idle_body_body', async () => {
    const plane = await open(kind, { timeouts: { idleBodyMs: 300 } });
    const client = await plane.client();
    client.socket.pause();
    // Answers of ours, which no endpoint's timer watches, until the kernel takes no more.
    client.send(request('OPTIONS *', 'Max-Forwards: 0\r\n').repeat(100_000));
    await expect.poll(() => plane.ledger.connections(0)).toBe(1);
    await expect.poll(() => plane.ledger.connections(0)).toBe(0);
    client.reset();
    await plane.quiet();
  });
});

it('follows a change of its limits at the next head', async () => {
  const endpoint = await listenEndpoint();
  endpoint.serve(async (peer) => {
    await peer.head();
    peer.send(answer('x'));
  });
  const plane = await openRouter([makeRoute()], { web: endpoint.port });
  const client = await plane.client();
  const long = request(`GET /${'a'.repeat(100)}`);
  client.send(long);
  expect((await client.message()).head).toContain('HTTP/1.1 200 ');
  await plane.relisten({ limits: { targetBytes: 50 } });
  client.send(long);
  expect(await client.rest()).toContain('HTTP/1.1 414 ');
  client.end();
  await plane.quiet();
});
