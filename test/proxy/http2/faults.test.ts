// Clients of HTTP/2 that break its rules, by a frame: what becomes of the stream, or the connection,
// and that neighbours notice nothing. RFC 9113's sections are named in docs/http2.md, case by case.
import { afterEach, describe, expect, it } from 'vitest';
import { ErrorCode, Flag, FrameType } from '../../../src/http2/protocol.ts';
import {
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

const { endHeaders, endStream, padded } = Flag;
const WHOLE = endHeaders | endStream;

function headers(id: number, fields: Readonly<Record<string, string>>, flags: number = WHOLE) {
  return frame(FrameType.headers, flags, id, block(fields));
}

/** A plane whose endpoint answers each request with `ok`. */
async function openServed(): Promise<Plane> {
  const { plane, endpoint } = await openPair();
  endpoint.serve(async (peer) => {
    const head = await peer.head();
    if (/transfer-encoding: chunked/i.test(head)) await peer.until('0\r\n\r\n');
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    await peer.take(length);
    peer.send(answer('ok'));
  });
  return plane;
}

/** Another connection is served as ever. */
async function expectServed(plane: Plane): Promise<void> {
  expect((await ask(connectHttp2(plane.port), { ':path': '/' })).body).toBe('ok');
}

describe('ends the connection', () => {
  const post = headers(1, POST, endHeaders);
  it.each<[string, number, string[]]>([
    ['a first frame that is no SETTINGS', ErrorCode.protocolError, [headers(1, GET)]],
    ['an even stream id', ErrorCode.protocolError, [SETTINGS, headers(2, GET)]],
    [
      'a frame larger than it may be',
      ErrorCode.frameSizeError,
      [SETTINGS, post, frame(FrameType.data, 0, 1, 'x'.repeat(16_385))],
    ],
    ['DATA on stream 0', ErrorCode.protocolError, [SETTINGS, frame(FrameType.data, 0, 0, 'x')]],
    ['DATA on an idle stream', ErrorCode.protocolError, [SETTINGS, frame(FrameType.data, 0, 1)]],
    [
      'HEADERS on an earlier stream that never was',
      ErrorCode.streamClosed,
      [SETTINGS, headers(3, GET), headers(1, GET)],
    ],
    [
      'padding as long as its frame',
      ErrorCode.protocolError,
      [SETTINGS, post, frame(FrameType.data, padded, 1, '\x05abcd')],
    ],
    [
      'a header block that is no HPACK',
      ErrorCode.compressionError,
      [SETTINGS, frame(FrameType.headers, WHOLE, 1, '\xbf')],
    ],
    [
      'an index beyond the tables',
      ErrorCode.compressionError,
      [SETTINGS, frame(FrameType.headers, WHOLE, 1, '\xff\x80\x01')],
    ],
    [
      'a frame within a header block',
      ErrorCode.protocolError,
      [SETTINGS, headers(1, GET, endStream), frame(FrameType.ping, 0, 0, '12345678')],
    ],
    [
      'CONTINUATION of another stream',
      ErrorCode.protocolError,
      [SETTINGS, headers(1, GET, endStream), frame(FrameType.continuation, endHeaders, 3)],
    ],
    [
      'CONTINUATION without HEADERS',
      ErrorCode.protocolError,
      [SETTINGS, frame(FrameType.continuation, endHeaders, 1)],
    ],
    [
      'PUSH_PROMISE',
      ErrorCode.protocolError,
      [SETTINGS, post, frame(FrameType.pushPromise, endHeaders, 1, uint32(2))],
    ],
    ['RST_STREAM of another length', ErrorCode.frameSizeError, [SETTINGS, frame(3, 0, 1, 'abc')]],
    [
      'RST_STREAM of an idle stream',
      ErrorCode.protocolError,
      [SETTINGS, frame(3, 0, 1, uint32(8))],
    ],
    ['SETTINGS on a stream', ErrorCode.protocolError, [SETTINGS, frame(4, 0, 1)]],
    ['SETTINGS of another length', ErrorCode.frameSizeError, [SETTINGS, frame(4, 0, 0, 'abcde')]],
    [
      'an acknowledgement of SETTINGS with content',
      ErrorCode.frameSizeError,
      [SETTINGS, frame(4, Flag.ack, 0, `\0\x04${uint32(1)}`)],
    ],
    ['ENABLE_PUSH of 2', ErrorCode.protocolError, [SETTINGS, frame(4, 0, 0, `\0\x02${uint32(2)}`)]],
    [
      'INITIAL_WINDOW_SIZE beyond 2^31-1',
      ErrorCode.flowControlError,
      [SETTINGS, frame(4, 0, 0, `\0\x04${uint32(2 ** 31)}`)],
    ],
    [
      'MAX_FRAME_SIZE below 2^14',
      ErrorCode.protocolError,
      [SETTINGS, frame(4, 0, 0, `\0\x05${uint32(16_383)}`)],
    ],
    ['PING on a stream', ErrorCode.protocolError, [SETTINGS, frame(6, 0, 1, '12345678')]],
    ['PING of another length', ErrorCode.frameSizeError, [SETTINGS, frame(6, 0, 0, '1234')]],
    [
      'GOAWAY on a stream',
      ErrorCode.protocolError,
      [SETTINGS, frame(7, 0, 1, uint32(0) + uint32(0))],
    ],
    [
      'WINDOW_UPDATE of 0 for the connection',
      ErrorCode.protocolError,
      [SETTINGS, frame(8, 0, 0, uint32(0))],
    ],
    [
      'WINDOW_UPDATE that makes the connection overflow',
      ErrorCode.flowControlError,
      [SETTINGS, frame(8, 0, 0, uint32(2 ** 31 - 1))],
    ],
    [
      'WINDOW_UPDATE of an idle stream',
      ErrorCode.protocolError,
      [SETTINGS, frame(8, 0, 1, uint32(1))],
    ],
    [
      'WINDOW_UPDATE of another length',
      ErrorCode.frameSizeError,
      [SETTINGS, frame(8, 0, 0, 'abc')],
    ],
    [
      'PRIORITY on stream 0',
      ErrorCode.protocolError,
      [SETTINGS, frame(FrameType.priority, 0, 0, '12345')],
    ],
  ])('%s', async (_, code, frames) => {
    const plane = await openServed();
    const peer = new FramePeer(await dial(plane.port));
    peer.send(CLIENT_PREFACE, ...frames);
    expect(await peer.goaway()).toBe(code);
    await peer.peer.ended();
    peer.peer.end();
    await expectServed(plane);
  });

  it('a preface that goes wrong', async () => {
    const plane = await openServed();
    const peer = new FramePeer(await dial(plane.port));
    peer.send('PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n');
    expect(await peer.goaway()).toBe(ErrorCode.protocolError);
    await expectServed(plane);
  });
});

describe('ends the stream alone', () => {
  const bad = (fields: Readonly<Record<string, string>>) => [headers(1, { ...GET, ...fields })];
  it.each<[string, number, string[]]>([
    ['a name with capitals', ErrorCode.protocolError, bad({ 'X-A': 'b' })],
    ['an unknown pseudo-field', ErrorCode.protocolError, bad({ ':unknown': 'b' })],
    ['a pseudo-field of responses', ErrorCode.protocolError, bad({ ':status': '200' })],
    [
      'a pseudo-field behind a field',
      ErrorCode.protocolError,
      [headers(1, { ':method': 'GET', ':scheme': 'http', a: 'b', ':path': '/' })],
    ],
    ['Connection', ErrorCode.protocolError, bad({ connection: 'close' })],
    ['Transfer-Encoding', ErrorCode.protocolError, bad({ 'transfer-encoding': 'chunked' })],
    ['Upgrade', ErrorCode.protocolError, bad({ upgrade: 'h2c' })],
    ['TE that says more than trailers', ErrorCode.protocolError, bad({ te: 'trailers, gzip' })],
    ['an empty path', ErrorCode.protocolError, bad({ ':path': '' })],
    ['an absolute path', ErrorCode.protocolError, bad({ ':path': 'http://b/' })],
    ['a path with a blank', ErrorCode.protocolError, bad({ ':path': '/ HTTP/1.1' })],
    ['a method with a blank', ErrorCode.protocolError, bad({ ':method': 'GET /' })],
    ['a value with CR and LF', ErrorCode.protocolError, bad({ a: 'b\r\nhost: c' })],
    ['a value with NUL', ErrorCode.protocolError, bad({ a: 'b\0' })],
    ['a value that begins with a blank', ErrorCode.protocolError, bad({ a: ' b' })],
    ['an authority with CR and LF', ErrorCode.protocolError, bad({ ':authority': 'a\r\nb: c' })],
    ['a Host that differs', ErrorCode.protocolError, bad({ host: 'b' })],
    [
      'no method',
      ErrorCode.protocolError,
      [headers(1, { ':scheme': 'http', ':path': '/', ':authority': 'a' })],
    ],
    [
      'two methods',
      ErrorCode.protocolError,
      [frame(FrameType.headers, WHOLE, 1, block(GET) + block({ ':method': 'GET' }))],
    ],
    [
      'less content than announced',
      ErrorCode.protocolError,
      [headers(1, { ...POST, 'content-length': '3' }, endHeaders), frame(0, endStream, 1, 'ab')],
    ],
    [
      'more content than announced',
      ErrorCode.protocolError,
      [headers(1, { ...POST, 'content-length': '1' }, endHeaders), frame(0, 0, 1, 'ab')],
    ],
    [
      'trailers that do not end the stream',
      ErrorCode.protocolError,
      [headers(1, POST, endHeaders), headers(1, { a: 'b' }, endHeaders)],
    ],
    [
      'a pseudo-field in trailers',
      ErrorCode.protocolError,
      [headers(1, POST, endHeaders), headers(1, { ':path': '/' })],
    ],
    [
      'WINDOW_UPDATE of 0',
      ErrorCode.protocolError,
      [headers(1, POST, endHeaders), frame(8, 0, 1, uint32(0))],
    ],
    [
      'WINDOW_UPDATE that makes it overflow',
      ErrorCode.flowControlError,
      [headers(1, POST, endHeaders), frame(8, 0, 1, uint32(2 ** 31 - 1))],
    ],
    [
      'PRIORITY of another length',
      ErrorCode.frameSizeError,
      [headers(1, POST, endHeaders), frame(FrameType.priority, 0, 1, '1234')],
    ],
  ])('%s', async (_, code, frames) => {
    const plane = await openServed();
    const peer = await FramePeer.open(plane.port);
    peer.send(...frames);
    expect(await peer.resetOf(1)).toBe(code);
    // The next stream is served.
    peer.send(headers(3, GET));
    expect((await peer.until(FrameType.data, 3)).payload).toBe('ok');
    await plane.quiet();
  });

  it('content after its end', async () => {
    const { plane } = await openPair();
    const peer = await FramePeer.open(plane.port);
    peer.send(headers(1, GET), frame(FrameType.data, 0, 1, 'x'));
    expect(await peer.resetOf(1)).toBe(ErrorCode.streamClosed);
    await plane.quiet();
  });
});

describe('is answered', () => {
  it.each<[string, number, Record<string, string>]>([
    ['a request without a host', 400, { ':method': 'GET', ':scheme': 'http', ':path': '/' }],
    ['a host that is none', 400, { ...GET, ':authority': 'a@b' }],
    ['a length that is none', 400, { ...GET, 'content-length': 'x' }],
    ['content that is announced and does not come', 400, { ...GET, 'content-length': '3' }],
    ['CONNECT', 405, { ':method': 'CONNECT', ':authority': 'a:443' }],
    ['TRACE', 405, { ...GET, ':method': 'TRACE' }],
    ['another expectation', 417, { ...GET, expect: 'x' }],
    ['too large a head', 431, { ...GET, 'x-large': 'x'.repeat(15_000), 'x-more': 'y'.repeat(900) }],
    ['too long a target', 414, { ...GET, ':path': `/${'x'.repeat(9000)}` }],
  ])('%s with %i', async (_, status, fields) => {
    const { plane, endpoint } = await openPair({ limits: { headerBytes: 15_000 } });
    endpoint.serve(async (peer) => {
      await peer.head();
      peer.send(answer('ok'));
    });
    const session = connectHttp2(plane.port);
    await new Promise((resolve) => session.once('remoteSettings', resolve));
    const peer = await FramePeer.open(plane.port);
    peer.send(headers(1, fields));
    const { payload } = await peer.until(FrameType.headers, 1);
    // :status as a literal with the name of index 8, or one of the static table.
    const index = { 400: '\x8c' }[status];
    expect(payload.startsWith(index ?? `\x08\x03${status}`)).toBe(true);
    peer.send(headers(3, GET));
    expect((await peer.until(FrameType.data, 3)).payload).toBe('ok');
  });
});

describe('passes over', () => {
  it.each<[string, string[]]>([
    ['frames of unknown types', [frame(0x42, 0xff, 0, 'abc'), frame(0x43, 0, 77, '')]],
    ['settings that it does not know', [frame(4, 0, 0, `\0\x99${uint32(1)}`)]],
    ['PRIORITY of any stream', [frame(FrameType.priority, 0, 99, '\0\0\0\x01\x10')]],
    ['flags that mean nothing', [frame(FrameType.ping, 0xfe, 0, '12345678')]],
    ['an answer to a PING that was not sent', [frame(FrameType.ping, Flag.ack, 0, '12345678')]],
  ])('%s', async (_, frames) => {
    const plane = await openServed();
    const peer = await FramePeer.open(plane.port);
    peer.send(...frames, headers(1, GET));
    expect((await peer.until(FrameType.data, 1)).payload).toBe('ok');
  });
});

describe('HTTP/2 by prior knowledge', () => {
  it('is seen however its bytes come', async () => {
    const plane = await openServed();
    const bytes = CLIENT_PREFACE + SETTINGS + headers(1, GET);
    const peer = await dial(plane.port);
    await peer.sendPieces([...bytes]);
    expect((await new FramePeer(peer).until(FrameType.data, 1)).payload).toBe('ok');
  });

  it('is no HTTP/2 where the listener has none', async () => {
    const { plane, endpoint } = await openPair();
    expect(endpoint.connections).toBe(0);
    const listeners = [{ ...plane.listener!, policy: { ...plane.listener!.policy, http2: false } }];
    await plane.worker.apply({ version: 2, upsert: [], remove: [], listeners });
    const peer = await dial(plane.port);
    peer.send(CLIENT_PREFACE);
    expect(await peer.head()).toContain('HTTP/1.1 505 ');
  });

  it('counts its connections among those of the service', async () => {
    const plane = await openPlane([]);
    const peer = await FramePeer.open(plane.port);
    await peer.until(FrameType.settings);
    expect(plane.ledger.connections(0)).toBe(1);
    peer.peer.end();
    await expect.poll(() => plane.ledger.connections(0), { interval: 2 }).toBe(0);
  });
});
