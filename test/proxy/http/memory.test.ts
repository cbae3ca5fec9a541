// A worker that is told that memory is short, and that there is enough again.
import { afterEach, expect, it } from 'vitest';
import { TimerWheel } from '../../../src/base/timer-wheel.ts';
import { Memory, SESSION_PLACE_MS, SHORT_MAX } from '../../../src/proxy/limits/memory.ts';
import type { Peer } from '../../support/peer.ts';
import { answer, closePlanes, openPair, request } from '../../support/plane.ts';

afterEach(closePlanes);

const GET = request('GET /');

it('goes on with what it has, refuses what is too much, and recovers', async () => {
  const { plane, endpoint } = await openPair();
  const held: Peer[] = [];
  const clients: Peer[] = [];
  // The last one was there before, and is not counted.
  for (let i = 0; i <= SHORT_MAX; i += 1) {
    const client = await plane.client();
    client.send(GET);
    const peer = await endpoint.accept();
    await peer.message();
    held.unshift(peer);
    clients.unshift(client);
    if (i === 0) plane.worker.setMemory(true);
  }
  const refused = await plane.ask(GET);
  expect(refused.head).toContain('HTTP/1.1 503');
  expect(refused.head).toContain('X-Upriver-Reason: out-of-memory\r\n');
  expect(refused.head).toContain('Connection: close\r\n');
  expect(refused.head).toContain('Retry-After: ');
  expect(plane.reasons('out-of-memory')).toBe(1);
  // One place is free again: the next is served, though memory is short.
  held[0]!.send(answer('first', 'Connection: close\r\n'));
  expect((await clients[0]!.message()).body).toBe('first');
  const next = plane.ask(GET);
  const peer = await endpoint.accept();
  await peer.message();
  peer.send(answer('next', 'Connection: close\r\n'));
  expect((await next).body).toBe('next');
  // There is enough: more than the few are taken.
  plane.worker.setMemory(false);
  const more = [plane.ask(GET), plane.ask(GET)];
  for (const _ of more) {
    const one = await endpoint.accept();
    await one.message();
    one.send(answer('more', 'Connection: close\r\n'));
  }
  for (const one of more) expect((await one).body).toBe('more');
  for (const one of held.slice(1)) one.send(answer('late', 'Connection: close\r\n'));
  for (const client of clients.slice(1)) expect((await client.message()).body).toBe('late');
});

it('lets connections go that lie idle, on both sides', async () => {
  const { plane, endpoint } = await openPair();
  const client = await plane.client();
  client.send(GET);
  const kept = await endpoint.accept();
  await kept.message();
  kept.send(answer('kept'));
  await client.message();
  await plane.quiet();
  plane.worker.setMemory(true);
  await kept.ended();
  await client.ended();
  expect(plane.reasons('out-of-memory')).toBe(0);
});

it('serves requests beside tunnels that began while memory was short', async () => {
  const { plane, endpoint } = await openPair();
  plane.worker.setMemory(true);
  const upgrade = request('GET /', 'Connection: upgrade\r\nUpgrade: x\r\n');
  const ends: Peer[] = [];
  for (let i = 0; i < SHORT_MAX; i += 1) {
    const client = await plane.client();
    client.send(upgrade);
    const peer = await endpoint.accept();
    await peer.head();
    peer.send('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
    expect(await client.head()).toContain('HTTP/1.1 101 ');
    ends.push(client, peer);
  }
  // As many tunnels as there are places for what lasts: a further one is refused, a GET is not.
  expect((await plane.ask(upgrade)).head).toContain('X-Upriver-Reason: out-of-memory\r\n');
  for (let i = 0; i < SHORT_MAX + 1; i += 1) {
    const asked = plane.ask(GET);
    const peer = await endpoint.accept();
    await peer.message();
    peer.send(answer('served', 'Connection: close\r\n'));
    expect((await asked).body).toBe('served');
  }
  for (const end of ends) end.end();
  await plane.quiet();
});

it('gives the place of what lasts to another after a while, once', () => {
  let nowMs = 0;
  const wheel = new TimerWheel(() => nowMs);
  const { sessions } = new Memory(wheel);
  const places = Array.from({ length: SHORT_MAX }, () => sessions.enter()!);
  expect(sessions.enter()).toBeNull();
  places[0]!.leave();
  places[0]!.leave();
  expect(sessions.enter()).not.toBeNull();
  expect(sessions.enter()).toBeNull();
  nowMs += SESSION_PLACE_MS + 100;
  for (let i = 0; i < 2; i += 1) wheel.tick();
  for (const place of places) place.leave();
  expect(Array.from({ length: SHORT_MAX }, () => sessions.enter())).not.toContain(null);
  expect(sessions.enter()).toBeNull();
});
