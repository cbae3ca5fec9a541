// Clients of HTTP/2 that keep every rule and cost too much: each is bounded, and ends alone.
import { afterEach, describe, expect, it } from 'vitest';
import { ErrorCode, Flag, FrameType } from '../../../src/http2/protocol.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import {
  ask,
  block,
  closeHttp2,
  connectHttp2,
  FramePeer,
  frame,
  GET,
  POST,
  uint32,
} from '../../support/http2.ts';
import { answer, closePlanes, openPair, openPlane, type Plane } from '../../support/plane.ts';

afterEach(async () => {
  closeHttp2();
  await closePlanes();
});

const { endHeaders, endStream } = Flag;
const get = (id: number) => frame(FrameType.headers, endHeaders | endStream, id, block(GET));
const reset = (id: number) => frame(FrameType.rstStream, 0, id, uint32(ErrorCode.cancel));

async function openServed(): Promise<Plane> {
  const { plane, endpoint } = await openPair();
  endpoint.serve(async (peer) => {
    await peer.head();
    peer.send(answer('ok'));
  });
  return plane;
}

describe('a flood', () => {
  it.each<[string, () => string]>([
    [
      'of streams that are reset at once',
      () => Array.from({ length: 2000 }, (_, i) => get(2 * i + 1) + reset(2 * i + 1)).join(''),
    ],
    ['of SETTINGS', () => frame(FrameType.settings, 0, 0).repeat(2000)],
    ['of PINGs', () => frame(FrameType.ping, 0, 0, '12345678').repeat(5000)],
    [
      'of DATA without content',
      () =>
        frame(FrameType.headers, endHeaders, 1, block(POST)) +
        frame(FrameType.data, 0, 1).repeat(10_000),
    ],
    ['of PRIORITY', () => frame(FrameType.priority, 0, 1, '\0\0\0\0\x10').repeat(10_000)],
    ['of WINDOW_UPDATE', () => frame(FrameType.windowUpdate, 0, 0, uint32(1)).repeat(10_000)],
    ['of frames of unknown types', () => frame(0x77, 0, 0, 'x').repeat(10_000)],
    [
      'of CONTINUATION with content',
      () =>
        frame(FrameType.headers, endStream, 1, block(GET)) +
        frame(FrameType.continuation, 0, 1, block({ a: 'x'.repeat(10_000) })).repeat(20),
    ],
    [
      'of CONTINUATION without content',
      () =>
        frame(FrameType.headers, endStream, 1, block(GET)) +
        frame(FrameType.continuation, 0, 1).repeat(1000),
    ],
    [
      'of malformed requests',
      () =>
        Array.from({ length: 1000 }, (_, i) =>
          frame(FrameType.headers, endHeaders | endStream, 2 * i + 1, block({ ...GET, A: 'b' })),
        ).join(''),
    ],
    [
      'of heads in which a byte stands for thousands',
      () => {
        const bomb = (id: number, fields: string) =>
          frame(FrameType.headers, endHeaders | endStream, id, block(GET) + fields);
        const large = `\x40\x01a\x7f\xa1\x1e${'x'.repeat(4000)}`;
        const ids = Array.from({ length: 40 }, (_, i) => 2 * i + 3);
        return bomb(1, large) + ids.map((id) => bomb(id, '\xbe'.repeat(12_000))).join('');
      },
    ],
  ])('%s ends its connection', async (_, flood) => {
    const plane = await openServed();
    const peer = await FramePeer.open(plane.port);
    peer.send(flood());
    expect(await peer.goaway()).toBe(ErrorCode.enhanceYourCalm);
    await peer.peer.ended();
    peer.peer.end();
    expect(plane.reasons('http2-flood')).toBe(1);
    const session = connectHttp2(plane.port);
    expect((await ask(session, { ':path': '/' })).body).toBe('ok');
  });

  it('of replies that are not read ends its connection', async () => {
    const plane = await openServed();
    const peer = await FramePeer.open(plane.port);
    peer.peer.socket.pause();
    // Each buys the right to ask for more: an attacker that pays its way must still read.
    const asked = () => {
      if (peer.peer.socket.writableLength < 1_000_000 && !peer.peer.socket.destroyed) {
        peer.send(frame(FrameType.ping, 0, 0, '12345678').repeat(100));
        setImmediate(asked);
      }
    };
    asked();
    await expect.poll(() => plane.reasons('http2-flood'), { interval: 5 }).toBe(1);
    peer.peer.reset();
  });
});

describe('a client', () => {
  it('that opens more streams than it may is refused those, and may ask again', async () => {
    const { plane, endpoint } = await openPair();
    const peer = await FramePeer.open(plane.port);
    const max = BOUNDS.http2Streams.max;
    for (let i = 0; i < max; i += 1) peer.send(get(2 * i + 1));
    const over = 2 * max + 1;
    peer.send(get(over));
    expect(await peer.resetOf(over)).toBe(ErrorCode.refusedStream);
    endpoint.serve(async (one) => {
      await one.head();
      one.send(answer('ok'));
    });
    for (let i = 0; i < max; i += 1) await peer.until(FrameType.data);
    peer.send(get(over + 2));
    expect((await peer.until(FrameType.data)).id).toBe(over + 2);
  });

  it('that names a huge field again and again is answered 431, and costs no memory', async () => {
    const plane = await openServed();
    const peer = await FramePeer.open(plane.port);
    // Into the table once (literal with indexing), then by its index: one byte stands for 4,000.
    const large = `\x40\x01a\x7f\xa1\x1e${'x'.repeat(4000)}`;
    const bomb = block(GET) + large + '\xbe'.repeat(12_000);
    peer.send(frame(FrameType.headers, endHeaders | endStream, 1, bomb));
    const { payload } = await peer.until(FrameType.headers, 1);
    expect(payload.startsWith('\x08\x03431')).toBe(true);
    expect(plane.reasons('header-too-large')).toBe(1);
    peer.send(get(3));
    expect((await peer.until(FrameType.data, 3)).payload).toBe('ok');
  });

  it('that does not finish its head is turned away', async () => {
    const { plane } = await openPair({ timeouts: { clientHeaderMs: 50 } });
    const peer = await FramePeer.open(plane.port);
    peer.send(frame(FrameType.headers, endStream, 1, block(GET)));
    expect(await peer.goaway()).toBe(0);
    expect(plane.reasons('client-header-timeout')).toBe(1);
  });

  it('that sends nothing is turned away', async () => {
    const { plane } = await openPair({ timeouts: { keepAliveMs: 50 } });
    const peer = await FramePeer.open(plane.port);
    expect(await peer.goaway()).toBe(0);
    await peer.peer.ended();
  });

  it('that asks stays, though all its requests are answered at once', async () => {
    const plane = await openPlane([], { timeouts: { keepAliveMs: 60_000 } });
    const peer = await FramePeer.open(plane.port);
    for (let id = 1; id < 9; id += 2) {
      peer.send(get(id));
      expect((await peer.until(FrameType.headers)).id).toBe(id);
      plane.advance(40_000);
      plane.wheel.tick();
    }
    plane.advance(40_000);
    expect(await peer.goaway()).toBe(0);
  });

  it('that does not finish its body gets 408, and its neighbours are served', async () => {
    const { plane, endpoint } = await openPair({ timeouts: { idleBodyMs: 100 } });
    const peer = await FramePeer.open(plane.port);
    peer.send(frame(FrameType.headers, endHeaders, 1, block(POST)), get(3));
    for (let i = 0; i < 2; i += 1) {
      const one = await endpoint.accept();
      if ((await one.head()).startsWith('GET ')) one.send(answer('ok'));
    }
    expect((await peer.until(FrameType.data, 3)).payload).toBe('ok');
    expect((await peer.until(FrameType.headers, 1)).payload.startsWith('\x08\x03408')).toBe(true);
    expect(await peer.resetOf(1)).toBe(ErrorCode.noError);
  });

  it('that opens no window for its response loses that, and its neighbours are served', async () => {
    const { plane, endpoint } = await openPair({ timeouts: { idleBodyMs: 100 } });
    const none = frame(FrameType.settings, 0, 0, `\0\x04${uint32(0)}`);
    const peer = await FramePeer.open(plane.port, none);
    peer.send(get(1), get(3), frame(FrameType.windowUpdate, 0, 3, uint32(1000)));
    for (let i = 0; i < 2; i += 1) {
      const one = await endpoint.accept();
      await one.head();
      one.send(answer('ok'));
    }
    expect((await peer.until(FrameType.data, 3)).payload).toBe('ok');
    expect(await peer.resetOf(1)).toBe(ErrorCode.cancel);
  });
});

describe('uploads that are refused at once', () => {
  it('are no flood, in however many frames they are on their way', async () => {
    // No endpoint: each is answered before its content has come.
    const plane = await openPlane([]);
    const peer = await FramePeer.open(plane.port);
    const ids = Array.from({ length: 40 }, (_, i) => 2 * i + 1);
    for (const id of ids) {
      peer.send(frame(FrameType.headers, endHeaders, id, block(POST)));
      await peer.until(FrameType.rstStream, id);
      peer.send(frame(FrameType.data, 0, id, 'ten bytes.').repeat(80));
    }
    peer.send(frame(FrameType.ping, 0, 0, '12345678'));
    let next = await peer.next();
    while (next.type !== FrameType.ping && next.type !== FrameType.goaway) next = await peer.next();
    expect(next).toMatchObject({ type: FrameType.ping, flags: Flag.ack });
  });
});
