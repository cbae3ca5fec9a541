// How much of a message waits here, and how many requests share a connection: up to the bound, and one beyond it.
import { afterEach, expect, it } from 'vitest';
import { ErrorCode, Flag, FrameType, SettingId } from '../../../src/http2/protocol.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import {
  answerOf,
  block,
  closeHttp2,
  connectHttp2,
  FramePeer,
  frame,
  GET,
  POST,
  SETTINGS,
  uint32,
} from '../../support/http2.ts';
import { closeHttp2Endpoints, FrameEndpoint, serveHttp2 } from '../../support/http2-endpoint.ts';
import { closePlanes, openPlane, type Policy } from '../../support/plane.ts';

afterEach(async () => {
  closeHttp2();
  await closePlanes();
  closeHttp2Endpoints();
});

const { endHeaders, endStream } = Flag;
const H2C: Policy = { upstream: { protocol: 'h2c', sendProxy: 'off', tls: null, host: 'client' } };
/** Takes no content before it says so. */
const CLOSED_WINDOW = frame(
  FrameType.settings,
  0,
  0,
  `\0${String.fromCharCode(SettingId.initialWindowSize)}${uint32(0)}`,
);
const PING = frame(FrameType.ping, 0, 0, '12345678');
const FRAME_BYTES = 16_384;

/** DATA of so many bytes, in frames that every peer takes. */
function dataOf(id: number, bytes: number): string[] {
  const frames: string[] = [];
  for (let left = bytes; left > 0; left -= FRAME_BYTES) {
    frames.push(frame(FrameType.data, 0, id, 'x'.repeat(Math.min(left, FRAME_BYTES))));
  }
  return frames;
}

it('content of a request that no endpoint takes is taken up to the bound', async () => {
  const endpoint = await FrameEndpoint.listen();
  const plane = await openPlane([endpoint.endpoint.port], H2C);
  const client = await FramePeer.open(plane.port);
  client.send(frame(FrameType.headers, endHeaders, 1, block(POST)));
  const peer = await endpoint.accept(CLOSED_WINDOW);
  await peer.until(FrameType.headers, 1);
  client.send(...dataOf(1, BOUNDS.http2Window.max), PING);
  // All of it was taken: the answer to what came behind it is there, and no frame that ends anything.
  expect((await client.until(FrameType.ping)).payload).toBe('12345678');
  client.send(...dataOf(1, 1));
  expect(await client.goaway()).toBe(ErrorCode.flowControlError);
  await client.peer.ended();
});

it('content of a response that its client does not take is taken up to the bound', async () => {
  const endpoint = await FrameEndpoint.listen();
  const plane = await openPlane([endpoint.endpoint.port], H2C);
  const client = await FramePeer.open(plane.port, CLOSED_WINDOW);
  client.send(frame(FrameType.headers, endHeaders | endStream, 1, block(GET)));
  const peer = await endpoint.accept(SETTINGS);
  await peer.until(FrameType.headers, 1);
  peer.send(frame(FrameType.headers, endHeaders, 1, block({ ':status': '200' })));
  await client.until(FrameType.headers, 1);
  peer.send(...dataOf(1, BOUNDS.http2ResponseWindow.max), PING);
  expect((await peer.until(FrameType.ping)).payload).toBe('12345678');
  peer.send(...dataOf(1, 1));
  expect(await peer.goaway()).toBe(ErrorCode.flowControlError);
  // Its client learns that the response has no end.
  expect(await client.resetOf(1)).not.toBe(ErrorCode.noError);
});

it('requests beyond the bound go to another connection to the endpoint, though it takes more', async () => {
  const { max } = BOUNDS.http2EndpointStreams;
  const held: (() => void)[] = [];
  const endpoint = await serveHttp2(
    (stream) => {
      stream.respond({ ':status': 200 });
      held.push(() => stream.end('ok'));
    },
    { maxConcurrentStreams: 10 * max },
  );
  const plane = await openPlane([endpoint.port], H2C);
  // A client may have as many at a time: these are of two.
  const [first, second] = [connectHttp2(plane.port), connectHttp2(plane.port)];
  const asked = Array.from({ length: max }, () => answerOf(first.request({ ':path': '/' })));
  await expect.poll(() => endpoint.streams, { timeout: 30_000 }).toBe(max);
  expect(endpoint.connections).toHaveLength(1);
  asked.push(answerOf(second.request({ ':path': '/' })));
  await expect.poll(() => endpoint.streams, { timeout: 30_000 }).toBe(max + 1);
  expect(endpoint.connections).toHaveLength(2);
  for (const end of held) end();
  expect((await Promise.all(asked)).map(({ body }) => body)).toEqual(Array(max + 1).fill('ok'));
});
