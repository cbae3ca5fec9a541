// Streams beside others on one connection: what one does reaches no other, whatever happens on either
// side; and a connection that is to go loses none.
import { afterEach, describe, expect, it } from 'vitest';
import { ErrorCode, Flag, FrameType } from '../../../src/http2/protocol.ts';
import {
  answerOf,
  ask,
  block,
  CLIENT_PREFACE,
  closeHttp2,
  connectHttp2,
  FramePeer,
  frame,
  GET,
  POST,
  SETTINGS,
  uint32,
} from '../../support/http2.ts';
import { dial } from '../../support/peer.ts';
import { answer, closePlanes, openPair, openPlane, type Plane } from '../../support/plane.ts';

afterEach(async () => {
  closeHttp2();
  await closePlanes();
});

const { endHeaders, endStream } = Flag;
const get = (id: number, path = '/') =>
  frame(FrameType.headers, endHeaders | endStream, id, block({ ...GET, ':path': path }));

describe('a stream that is not read', () => {
  it('holds up no other on its connection', async () => {
    const { plane, endpoint } = await openPair();
    const large = 'x'.repeat(3_000_000);
    endpoint.serve(async (peer) => {
      const head = await peer.head();
      peer.send(answer(head.includes('/large') ? large : 'small'));
    });
    const session = connectHttp2(plane.port);
    const slow = session.request({ ':path': '/large' });
    slow.pause();
    await new Promise((resolve) => slow.once('response', resolve));
    for (let i = 0; i < 50; i += 1) {
      expect((await ask(session, { ':path': '/small' })).body).toBe('small');
    }
    slow.resume();
    let bytes = 0;
    slow.on('data', (piece: Buffer) => {
      bytes += piece.length;
    });
    await new Promise((resolve) => slow.once('close', resolve));
    expect(bytes).toBe(large.length);
  });

  it('of a body that the endpoint does not take holds up no other', async () => {
    const { plane, endpoint } = await openPair();
    const session = connectHttp2(plane.port);
    const size = 2_000_000;
    const stuck = session.request({ ':path': '/stuck', ':method': 'POST' });
    const asked = answerOf(stuck);
    stuck.end(Buffer.alloc(size, 'z'));
    const peer = await endpoint.accept();
    await peer.head();
    peer.socket.pause();
    for (let i = 0; i < 20; i += 1) {
      const other = ask(session, { ':path': '/', ':method': 'POST' }, 'body');
      if (i === 0) {
        const serve = async () => {
          const next = await endpoint.accept();
          for (;;) {
            // The head may end with a port, and that in 0.
            await next.until('\r\n0\r\n\r\n');
            next.send(answer('ok'));
          }
        };
        // It ends when the test closes its connection.
        void serve().catch(String);
      }
      expect((await other).body).toBe('ok');
    }
    peer.socket.resume();
    const body = await peer.until('\r\n0\r\n\r\n');
    expect(body.match(/z/g)?.length).toBe(size);
    peer.send(answer('taken'));
    expect((await asked).body).toBe('taken');
  });
});

describe('streams that end anywhere', () => {
  it('leave those beside them whole', async () => {
    const { plane, endpoint } = await openPair();
    let count = 0;
    endpoint.serve(async (peer) => {
      const head = await peer.head();
      if (/chunked/i.test(head)) await peer.until('0\r\n\r\n');
      count += 1;
      const path = /\s(\S+) HTTP/.exec(head)![1]!;
      if (path.startsWith('/cut')) {
        peer.send(answer('y'.repeat(500)).slice(0, 60 + (count % 400)));
        if (count % 2 === 0) peer.reset();
        else peer.end();
        await peer.ended();
      } else peer.send(answer(path.repeat(100)));
    });
    const session = connectHttp2(plane.port);
    const innocent = async (worker: number) => {
      for (let i = 0; i < 60; i += 1) {
        const path = `/fine-${worker}-${i}`;
        const isPost = i % 3 === 0;
        const headers = { ':path': path, ':method': isPost ? 'POST' : 'GET' };
        const got = await ask(session, headers, isPost ? 'b'.repeat(i * 50) : null);
        expect(got).toMatchObject({ status: 200, body: path.repeat(100), code: 0 });
      }
    };
    const guilty = async (worker: number) => {
      for (let i = 0; i < 60; i += 1) {
        if (i % 2 === 0) await ask(session, { ':path': `/cut-${worker}-${i}` });
        else {
          const stream = session.request({ ':path': '/never', ':method': 'POST' });
          const ended = answerOf(stream);
          stream.write('half');
          if (i % 4 === 1) await new Promise((resolve) => setImmediate(resolve));
          stream.close(ErrorCode.cancel);
          await ended;
        }
      }
    };
    await Promise.all([innocent(1), guilty(1), innocent(2), guilty(2), innocent(3)]);
    await plane.quiet();
  });

  it('end well or visibly where their connection ends at any byte', async () => {
    const plane = await openServed();
    const body = frame(FrameType.data, 0, 3, 'abc') + frame(FrameType.data, endStream, 3, 'def');
    const post = frame(FrameType.headers, endHeaders, 3, block(POST));
    const bytes = CLIENT_PREFACE + SETTINGS + get(1) + post + body;
    for (let at = 0; at < bytes.length; at += 3) {
      const peer = await dial(plane.port);
      peer.send(bytes.slice(0, at));
      if (at % 2 === 0) peer.reset();
      else peer.end();
      await peer.ended();
    }
    await plane.quiet();
  });
});

async function openServed(): Promise<Plane> {
  const { plane, endpoint } = await openPair();
  endpoint.serve(async (peer) => {
    const head = await peer.head();
    if (/chunked/i.test(head)) await peer.until('0\r\n\r\n');
    peer.send(answer('ok'));
  });
  return plane;
}

describe('a connection that is to go', () => {
  it('says so twice, finishes its streams, and takes those that were on their way', async () => {
    const { plane, endpoint } = await openPair();
    const peer = await FramePeer.open(plane.port);
    peer.send(get(1, '/one'));
    const one = await endpoint.accept();
    await one.head();
    const drained = plane.worker.drain(10_000);
    const first = await peer.until(FrameType.goaway);
    expect(first.payload).toBe(uint32(2 ** 31 - 1) + uint32(0));
    // Sent before the client has read that.
    peer.send(get(3, '/three'));
    const { payload } = await peer.until(FrameType.ping);
    peer.send(frame(FrameType.ping, Flag.ack, 0, payload));
    const second = await peer.until(FrameType.goaway);
    expect(second.payload).toBe(uint32(3) + uint32(0));
    // Nobody works on this one any more.
    peer.send(get(5, '/five'));
    const three = await endpoint.accept();
    expect(await three.head()).toContain('/three');
    three.send(answer('3'));
    expect((await peer.until(FrameType.data, 3)).payload).toBe('3');
    one.send(answer('1'));
    expect((await peer.until(FrameType.data, 1)).payload).toBe('1');
    expect(await peer.peer.ended()).toBe('end');
    peer.peer.end();
    expect(await drained).toBe(0);
    expect(endpoint.connections).toBe(2);
  });

  it('goes where the client does not answer', async () => {
    const plane = await openPlane([]);
    const peer = await FramePeer.open(plane.port);
    await peer.until(FrameType.settings);
    const drained = plane.worker.drain(10_000);
    expect(await peer.peer.ended()).toBe('end');
    peer.peer.end();
    expect(await drained).toBe(0);
  });

  it('goes when it has had as many requests as it may', async () => {
    const { plane, endpoint } = await openPair({ limits: { keepAliveRequests: 2 } });
    endpoint.serve(async (one) => {
      await one.head();
      one.send(answer('ok'));
    });
    const session = connectHttp2(plane.port);
    expect((await ask(session, { ':path': '/' })).body).toBe('ok');
    expect((await ask(session, { ':path': '/' })).body).toBe('ok');
    await new Promise((resolve) => session.once('close', resolve));
  });
});
