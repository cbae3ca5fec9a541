// Requests leave for their endpoints at the end of the turn in which they came. What may happen before:
// the endpoint speaks or closes first, the client leaves, the connection serves another request.
import { afterEach, expect, it } from 'vitest';
import type { WorkerClock } from '../../../src/base/clock.ts';
import { answer, closePlanes, openPair, type Plane, request } from '../../support/plane.ts';

afterEach(closePlanes);

const GET = request('GET /');
const POST = request('POST /', 'Content-Length: 3\r\n', 'abc');

/** Turns end when they are let, from now on. */
function holdTurns(plane: Plane) {
  const held: (() => void)[] = [];
  // The timers of the plane have a clock of their own.
  const context: { clock: WorkerClock } = plane.context;
  const { clock } = context;
  context.clock = { ...clock, nextTurn: (run) => void held.push(run) };
  return {
    /** One is held back: something is about to leave. */
    begun: () => expect.poll(() => held.length, { interval: 2 }).toBe(1),
    release: () => {
      context.clock = clock;
      for (const run of held.splice(0)) run();
    },
  };
}

/** A client, and the connection that its request to the endpoint came by, which is kept. */
async function openKept() {
  const { plane, endpoint } = await openPair();
  const client = await plane.client();
  client.send(GET);
  const kept = await endpoint.accept();
  await kept.head();
  kept.send(answer('1'));
  expect((await client.message()).body).toBe('1');
  await plane.quiet();
  return { plane, endpoint, client, kept };
}

it('leave together', async () => {
  const { plane, endpoint } = await openPair();
  const clients = [await plane.client(), await plane.client(), await plane.client()];
  for (const client of clients) client.send(POST);
  const first = await Promise.all(clients.map(() => endpoint.accept()));
  for (const peer of first) expect((await peer.message()).body).toBe('abc');
  for (const peer of first) peer.send(answer('1'));
  for (const client of clients) await client.message();
  const turns = holdTurns(plane);
  for (const client of clients) client.send(GET);
  await turns.begun();
  await expect.poll(() => plane.inFlight()).toBe(3);
  expect(first.map((peer) => peer.received)).toEqual(['', '', '']);
  turns.release();
  for (const peer of first) {
    await peer.head();
    peer.send(answer('2'));
  }
  for (const client of clients) expect((await client.message()).body).toBe('2');
  expect(endpoint.connections).toBe(3);
});

it('are not answered by what the endpoint said before', async () => {
  const { plane, endpoint, client, kept } = await openKept();
  const turns = holdTurns(plane);
  client.send(GET);
  await turns.begun();
  kept.send(answer('early', '', '408 Request Timeout'));
  const other = await endpoint.accept();
  turns.release();
  await other.head();
  other.send(answer('2'));
  expect((await client.message()).body).toBe('2');
  expect(await kept.rest()).toBe('');
  await plane.quiet();
  expect(plane.retries('stale-connection')).toBe(1);
});

it.each([GET, POST])('go elsewhere where the endpoint closes before: %s', async (sent) => {
  const { plane, endpoint, client, kept } = await openKept();
  const turns = holdTurns(plane);
  client.send(sent);
  await turns.begun();
  kept.end();
  const other = await endpoint.accept();
  turns.release();
  await other.message();
  other.send(answer('2'));
  expect((await client.message()).body).toBe('2');
  expect(await kept.rest()).toBe('');
  await plane.quiet();
  expect(plane.retries('stale-connection')).toBe(1);
  expect(plane.endpointCount(0, 'failures')).toBe(0);
});

it('do not leave for a client that is gone', async () => {
  const { plane, client, kept } = await openKept();
  const turns = holdTurns(plane);
  client.send(GET);
  await turns.begun();
  client.reset();
  await plane.quiet();
  turns.release();
  expect(await kept.rest()).toBe('');
});

it('leave once, where an attempt that was given up serves another request in the same turn', async () => {
  const { plane, endpoint, client, kept } = await openKept();
  const turns = holdTurns(plane);
  client.send(request('GET /given-up'));
  await turns.begun();
  client.reset();
  await plane.quiet();
  const next = await plane.client();
  next.send(request('GET /next'));
  const other = await endpoint.accept();
  await expect.poll(() => plane.inFlight()).toBe(1);
  await expect.poll(() => plane.endpointCount(0, 'connects')).toBe(2);
  turns.release();
  expect(await other.head()).toContain('GET /next ');
  other.send(answer('2'));
  expect((await next.message()).body).toBe('2');
  await plane.quiet();
  expect(other.received).toBe('');
  expect(await kept.rest()).toBe('');
});
