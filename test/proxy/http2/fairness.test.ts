// What a peer that sends many small frames takes of its thread: a bound for each turn of the event loop, at
// either side of the proxy, and little of what its frames cost further on.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Flag, FrameType } from '../../../src/http2/protocol.ts';
import { Session } from '../../../src/http2/session.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import { block, closeHttp2, FramePeer, frame, GET, POST, uint32 } from '../../support/http2.ts';
import { FrameEndpoint } from '../../support/http2-endpoint.ts';
import type { Peer } from '../../support/peer.ts';
import { closePlanes, openPair, openPlane, type Policy, request } from '../../support/plane.ts';

const { endHeaders, endStream } = Flag;
const WORK_MAX = BOUNDS.http2Frames.max;
/** What the head of a request counts for. */
const REQUEST_WORK = 32;
const H2C: Policy = { upstream: { protocol: 'h2c', sendProxy: 'off', tls: null, host: 'client' } };
const COUNT = WORK_MAX * 6;
const OK = frame(FrameType.headers, endHeaders, 1, block({ ':status': '200' }));
const END = frame(FrameType.data, endStream, 1);
/** A window for all that a test sends. */
const WIDE =
  frame(FrameType.settings, 0, 0, `\0\x04${uint32(2 ** 30)}`) +
  frame(FrameType.windowUpdate, 0, 0, uint32(2 ** 30));

/** Calls of `count` in a turn of the event loop: the most that there were. */
class Turns {
  most = 0;
  private now = 0;
  private timer: NodeJS.Immediate | null = null;

  constructor() {
    const turn = (): void => {
      this.most = Math.max(this.most, this.now);
      this.now = 0;
      this.timer = setImmediate(turn);
    };
    turn();
  }

  count(more: number): void {
    this.now += more;
  }

  stop(): void {
    clearImmediate(this.timer!);
  }
}

let turns: Turns | null = null;

afterEach(async () => {
  turns?.stop();
  turns = null;
  vi.restoreAllMocks();
  closeHttp2();
  await closePlanes();
});

/** Counts what `read` finds in each piece that a session is given. */
function countFed(read: (taken: number) => number): Turns {
  const counting = new Turns();
  turns = counting;
  const { feed } = Session.prototype;
  vi.spyOn(Session.prototype, 'feed').mockImplementation(function (
    this: Session,
    base,
    start,
    end,
    room,
  ) {
    const at = feed.call(this, base, start, end, room);
    counting.count(read(at - start));
    return at;
  });
  return counting;
}

/** The content of a chunked body, and of how many chunks it is. */
async function chunksOf(peer: Peer): Promise<string[]> {
  const chunks: string[] = [];
  for (;;) {
    const size = Number.parseInt(await peer.until('\r\n'), 16);
    const chunk = await peer.take(size + 2);
    if (size === 0) return chunks;
    chunks.push(chunk.slice(0, -2));
  }
}

async function openHostile() {
  const endpoint = await FrameEndpoint.listen();
  const plane = await openPlane([endpoint.endpoint.port], H2C);
  const client = await plane.client();
  client.send(request('GET /'));
  const peer = await endpoint.accept();
  return { plane, endpoint, client, peer };
}

describe('an endpoint that sends DATA of one byte', () => {
  const TINY = frame(FrameType.data, 0, 1, 'x');

  it('has a bound of work for each turn, and all arrives, in few chunks', async () => {
    const { plane, client, peer } = await openHostile();
    const fed = countFed((bytes) => bytes / TINY.length);
    peer.send(OK + TINY.repeat(COUNT) + END);
    expect(await client.head()).toMatch(/^HTTP\/1\.1 200 /);
    const chunks = await chunksOf(client);
    expect(chunks.join('').length).toBe(COUNT);
    expect(fed.most).toBeLessThan(WORK_MAX + 100);
    // One for each turn, and a few where reads begin and end.
    expect(chunks.length).toBeLessThan(3 * (COUNT / WORK_MAX));
    await plane.quiet();
  });

  it('holds up none of its other clients for good', async () => {
    const { plane, client, peer } = await openHostile();
    const other = await plane.client();
    other.send(request('GET /other'));
    await peer.until(FrameType.headers, 3);
    const answer = block({ ':status': '200', 'content-length': '2' });
    peer.send(OK + TINY.repeat(COUNT));
    peer.send(frame(FrameType.headers, endHeaders, 3, answer));
    peer.send(frame(FrameType.data, endStream, 3, 'ok') + END);
    expect((await other.message()).body).toBe('ok');
    await client.until('0\r\n\r\n');
    await plane.quiet();
  });

  it('may go, or its client, while what it sent waits', async () => {
    const { plane, client, peer } = await openHostile();
    peer.send(OK + TINY.repeat(COUNT));
    await client.until('x');
    client.reset();
    await peer.resetOf(1);
    peer.peer.reset();
    await plane.quiet();
  });
});

it('an endpoint that sends small DATA causes few writes', async () => {
  const { plane, client, peer } = await openHostile();
  const bytes = 1000;
  const count = 200;
  peer.send(OK + frame(FrameType.data, 0, 1, 'x'.repeat(bytes)).repeat(count) + END);
  await client.head();
  const chunks = await chunksOf(client);
  expect(chunks.join('').length).toBe(bytes * count);
  expect(chunks.length).toBeLessThan(count / 4);
  await plane.quiet();
});

describe('a client', () => {
  it('that sends DATA of one byte has a bound of work for each turn', async () => {
    const { plane, endpoint } = await openPair();
    const peer = await FramePeer.open(plane.port, WIDE);
    const fed = countFed((bytes) => bytes / 10);
    const tiny = frame(FrameType.data, 0, 1, 'x').repeat(COUNT);
    peer.send(frame(FrameType.headers, endHeaders, 1, block(POST)) + tiny + END);
    const one = await endpoint.accept();
    await one.head();
    expect((await chunksOf(one)).join('').length).toBe(COUNT);
    expect(fed.most).toBeLessThan(WORK_MAX + 100);
    one.send('HTTP/1.1 204 No Content\r\n\r\n');
    await peer.until(FrameType.headers, 1);
    await plane.quiet();
  });

  it('whose requests are answered here is answered some in each turn', async () => {
    // No endpoint: each costs an answer of ours, and makes room for the next at once.
    const plane = await openPlane([]);
    const count = 1500;
    const ids = Array.from({ length: count }, (_, i) => 2 * i + 1);
    const get = (id: number) => frame(FrameType.headers, endHeaders | endStream, id, block(GET));
    const peer = await FramePeer.open(plane.port, WIDE);
    await peer.until(FrameType.settings);
    const fed = countFed((bytes) => bytes / get(1).length);
    peer.send(...ids.map(get));
    for (const id of ids) await peer.until(FrameType.headers, id);
    expect(fed.most).toBeLessThanOrEqual(WORK_MAX / REQUEST_WORK + 1);
    await plane.quiet();
  });

  it('that leaves while its frames wait takes nothing with it', async () => {
    const { plane, endpoint } = await openPair();
    const peer = await FramePeer.open(plane.port, WIDE);
    peer.send(frame(FrameType.headers, endHeaders, 1, block(POST)));
    peer.send(frame(FrameType.data, 0, 1, 'x').repeat(COUNT));
    const one = await endpoint.accept();
    await one.until('x');
    peer.peer.reset();
    await one.ended();
    await plane.quiet();
  });
});
