// Bytes of an HTTP/2 connection, after the preface: whatever they are, and whatever they are split into,
// a session tells the same of each stream, throws nothing, ends by GOAWAY where it ends, and holds no more than it may.
import { deepStrictEqual, ok } from 'node:assert/strict';
import { HeadText } from '../../src/http2/head-text.ts';
import { Session } from '../../src/http2/session.ts';
import type { Stream, StreamUser } from '../../src/http2/stream.ts';
import { block, CLIENT_PREFACE, frame, GET, POST, SETTINGS, uint32 } from '../support/http2.ts';
import type { FuzzTarget } from './target.ts';

const get = frame(1, 5, 1, block({ ...GET, 'x-a': 'b', cookie: 'c=d' }));
const post = frame(1, 4, 3, block({ ...POST, 'content-length': '6' }));
const SEEDS = [
  SETTINGS + get,
  SETTINGS + post + frame(0, 0, 3, 'abc') + frame(0, 1, 3, 'def'),
  SETTINGS + post + frame(0, 0, 3, 'abcdef') + frame(1, 5, 3, block({ 'x-sum': '1' })),
  SETTINGS + frame(1, 1, 1, block(GET).slice(0, 9)) + frame(9, 4, 1, block(GET).slice(9)),
  SETTINGS + frame(1, 5, 1, '\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff'),
  frame(4, 0, 0, `\0\x04${uint32(10)}\0\x01${uint32(0)}\0\x05${uint32(20_000)}`) + get,
  SETTINGS + get + frame(8, 0, 1, uint32(100)) + frame(8, 0, 0, uint32(100)),
  SETTINGS + get + frame(3, 0, 1, uint32(8)) + frame(6, 0, 0, '12345678'),
  SETTINGS + frame(0x20, 0, 0, 'unknown') + frame(2, 0, 1, '\0\0\0\0\x10') + get,
  SETTINGS + get + frame(7, 0, 0, uint32(0) + uint32(0)),
];
const MORSELS = [
  ...['\0', '\xff', '\x80', '\x3f\xe1\x1f', '\x40\x01a\x01b', '\xbe', '\x82', '\x84', '\x20'],
  ...[frame(0, 8, 3, '\x02a\0\0'), frame(1, 0x2d, 1, `\x01\0\0\0\0\x10${block(GET)}\0`)],
  ...[frame(5, 4, 1, uint32(2)), frame(9, 4, 1), SETTINGS, uint32(2 ** 31 - 1)],
  ...[block({ connection: 'close' }), block({ ':path': '/x' }), block({ 'A-B': 'c' })],
  ...[block({ a: 'b\r\nc: d' }), block({ te: 'trailers' }), block({ host: 'b' })],
];
const OUT_BYTES_MAX = 4 * 1024 * 1024;
/** What is read in one go: the rest comes in further ones. */
const WORK_MAX = 20;

/** What came of an input. */
interface Outcome {
  /** By stream, in order; 0 is the connection. */
  readonly told: ReadonlyMap<number, readonly string[]>;
  /** Streams that ended otherwise than in order: how much of them was told is a matter of the moment. */
  readonly broken: ReadonlySet<number>;
  readonly fault: string;
}

function run(input: Buffer, piece: number): Outcome {
  const told = new Map<number, string[]>();
  const broken = new Set<number>();
  let fault = '';
  const tell = (id: number, what: string): void => {
    told.set(id, [...(told.get(id) ?? []), what]);
  };
  const contents = new Map<number, number>();
  const answer = Buffer.from('HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n');
  const end = (stream: Stream, trailers: string): void => {
    tell(stream.id, `end ${contents.get(stream.id) ?? 0} ${trailers}`);
    if (stream.isClosed) return;
    session.respond(stream, answer, answer.length, false);
    session.sendLast(stream, answer, 0, answer.length, 'x-t: 1\r\n');
  };
  const user: StreamUser = {
    onHead: (stream) => tell(stream.id, 'head'),
    onData: (stream, { from, to }, isLast) => {
      contents.set(stream.id, (contents.get(stream.id) ?? 0) + to - from);
      if (isLast) end(stream, '');
    },
    onEnd: end,
    onDrain: () => {},
    onReset: (stream) => broken.add(stream.id),
    onFault: (stream) => broken.add(stream.id),
  };
  const session = new Session(
    {
      onRequest: (stream, text, isLast) => {
        stream.user = user;
        tell(stream.id, text.writer.view().toString('latin1'));
        if (isLast) end(stream, '');
      },
      onMalformed: (text) => tell(0, text.fault),
      onOutput: () => {},
      onFull: () => {},
      onStreamClosed: () => {},
      onGoaway: (code) => tell(0, `goaway ${code}`),
      onFault: (code, why) => {
        fault = `${code} ${why}`;
      },
    },
    {
      ...{ isServer: true, text: new HeadText(), streams: 10, streamWindow: 65_535 },
      ...{ connectionWindow: 100_000, workMax: WORK_MAX, nowMs: () => 0 },
    },
    { headBytes: 4096, fieldCount: 20 },
  );
  const all = Buffer.concat([Buffer.from(CLIENT_PREFACE, 'latin1'), input]);
  for (let at = 0; at < all.length; at += piece) {
    const bytes = Buffer.from(all.subarray(at, at + piece));
    for (let from = 0; from < bytes.length; ) {
      session.work = 0;
      const to = session.feed(bytes, from, bytes.length, 0);
      // What was taken may be overwritten.
      bytes.fill(0xee, from, to);
      from = to;
    }
  }
  ok(session.streams.size <= 10, 'more streams than allowed');
  ok(session.out.used < OUT_BYTES_MAX, `${session.out.used} bytes to say`);
  return { told, broken, fault };
}

export const http2Target: FuzzTarget = {
  name: 'http2',
  seeds: SEEDS,
  morsels: MORSELS,
  check: (input) => {
    const bytes = Buffer.from(input, 'latin1');
    const whole = run(bytes, bytes.length + CLIENT_PREFACE.length);
    for (const piece of [1, 7, 64]) {
      const split = run(bytes, piece);
      // What is wrong with a stream depends on how far our answer to it has come.
      if (whole.broken.size + split.broken.size === 0) deepStrictEqual(split.fault, whole.fault);
      // What ends the connection may come before or after the last that is told.
      if (whole.fault !== '' || split.fault !== '') continue;
      const ids = new Set([...whole.told.keys(), ...split.told.keys()]);
      for (const id of ids) {
        if (whole.broken.has(id) || split.broken.has(id)) continue;
        deepStrictEqual(split.told.get(id), whole.told.get(id));
      }
    }
  },
};
