// A service that goes and comes back, on connections that were there all the while.
import { afterEach, expect, it } from 'vitest';
import type { ListenerSnapshot, ServiceSnapshot } from '../../../src/model/snapshot.ts';
import type { Endpoint } from '../../support/peer.ts';
import { answer, closePlanes, openPair, type Plane, request } from '../../support/plane.ts';

afterEach(closePlanes);

/** A client in mid-answer: it was promised that it may ask again. */
async function beginAnswer(plane: Plane, endpoint: Endpoint) {
  const client = await plane.client();
  client.send(request('GET /a'));
  const peer = await endpoint.accept();
  await peer.until('\r\n\r\n');
  peer.send('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab');
  await client.until('ab');
  const finish = async (): Promise<void> => {
    peer.send('cd');
    await client.until('cd');
    client.send(request('GET /b'));
  };
  return { client, finish };
}

function changesOf(plane: Plane) {
  const service: ServiceSnapshot = [...plane.context.services.values()][0]!.snapshot;
  const apply = (
    upsert: readonly ServiceSnapshot[],
    listeners: readonly ListenerSnapshot[],
    remove: readonly string[] = [],
  ) => plane.worker.apply({ version: 2, upsert, remove, listeners });
  return {
    remove: () => apply([], [], [service.service.name]),
    restore: () => apply([service], [plane.listener!]),
  };
}

it('what is asked on a connection of before goes to its endpoints', async () => {
  const { plane, endpoint } = await openPair();
  const changes = changesOf(plane);
  const { client, finish } = await beginAnswer(plane, endpoint);
  await changes.remove();
  await changes.restore();
  await finish();
  const peer = await endpoint.accept();
  await peer.until('\r\n\r\n');
  peer.send(answer('back'));
  const { head, body } = await client.message();
  expect(body).toBe('back');
  // The connection is of a listener that is closed.
  expect(head).toContain('Connection: close\r\n');
  await plane.quiet();
});

it('as long as it is away, there is no endpoint', async () => {
  const { plane, endpoint } = await openPair();
  const { client, finish } = await beginAnswer(plane, endpoint);
  await changesOf(plane).remove();
  await finish();
  expect((await client.message()).head).toContain('X-Upriver-Reason: no-endpoint\r\n');
  await plane.quiet();
});
