// Rules of a connection that an actor breaks, each with the errors by which the product may end it
// (RFC 9113; the floods: docs/http2.md).
import { roomFor } from '../../kernel/bytes.ts';
import {
  ACK,
  Code,
  END_HEADERS,
  END_STREAM,
  frame,
  numbers,
  PADDED,
  settings,
  Type,
} from './frames.ts';
import type { Peer } from './peer.ts';

export interface Break {
  readonly name: string;
  /** Codes of the GOAWAY that must come. */
  readonly codes: readonly number[];
  /** It takes effect by its quantity: not on a link on which that takes long. */
  readonly isFlood: boolean;
  /** `id`: of a stream that was not opened yet. */
  write(peer: Peer, id: number): void;
}

const NOTHING = Buffer.alloc(0);
const some = (size: number): Buffer => roomFor(size).fill(0);

function rule(name: string, code: number, bytes: (id: number) => readonly Buffer[]): Break {
  const write = (peer: Peer, id: number): void => {
    for (const one of bytes(id)) peer.write(one);
  };
  return { name, codes: [code], isFlood: false, write };
}

function setting(id: number, value: number, code: number): Break {
  return rule(`setting ${id} of ${value}`, code, () => [settings([[id, value]])]);
}

function flood(name: string, count: number, bytes: (id: number) => Buffer): Break {
  const write = (peer: Peer, id: number): void => {
    const one = bytes(id);
    peer.write(Buffer.concat(Array.from({ length: count }, () => one)));
  };
  return { name, codes: [Code.calm], isFlood: true, write };
}

/** Of either side. `id` is that of an idle stream which the breaker could have opened. */
const COMMON: readonly Break[] = [
  rule('DATA on an idle stream', Code.protocol, (id) => [frame(Type.data, 0, id, some(5))]),
  rule('DATA on stream 0', Code.protocol, () => [frame(Type.data, 0, 0, some(5))]),
  rule('HEADERS on stream 0', Code.protocol, () => [
    frame(Type.headers, END_HEADERS | END_STREAM, 0, some(0)),
  ]),
  rule('a frame that is too large', Code.size, (id) => [frame(Type.data, 0, id, some(16_385))]),
  rule('PING of 7 bytes', Code.size, () => [frame(Type.ping, 0, 0, some(7))]),
  rule('PING on a stream', Code.protocol, () => [frame(Type.ping, 0, 1, some(8))]),
  rule('SETTINGS of 5 bytes', Code.size, () => [frame(Type.settings, 0, 0, some(5))]),
  rule('SETTINGS on a stream', Code.protocol, () => [frame(Type.settings, 0, 1, NOTHING)]),
  rule('an ACK with SETTINGS', Code.size, () => [frame(Type.settings, ACK, 0, some(6))]),
  rule('GOAWAY on a stream', Code.protocol, () => [frame(Type.goaway, 0, 1, numbers(0, 0))]),
  rule('RST_STREAM of an idle stream', Code.protocol, (id) => [
    frame(Type.reset, 0, id, numbers(8)),
  ]),
  rule('RST_STREAM of 3 bytes', Code.size, (id) => [frame(Type.reset, 0, id, some(3))]),
  rule('WINDOW_UPDATE of an idle stream', Code.protocol, (id) => [
    frame(Type.window, 0, id, numbers(5)),
  ]),
  rule('WINDOW_UPDATE of 0', Code.protocol, () => [frame(Type.window, 0, 0, numbers(0))]),
  rule('a window that is too large', Code.flow, () => [
    frame(Type.window, 0, 0, numbers(0x7fff_ffff)),
  ]),
  rule('CONTINUATION of nothing', Code.protocol, (id) => [
    frame(Type.continuation, END_HEADERS, id, NOTHING),
  ]),
  rule('padding as long as its frame', Code.protocol, (id) => [
    frame(Type.data, PADDED, id, Buffer.of(9, 0, 0)),
  ]),
  rule('another protocol', Code.size, () => [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')]),
  setting(4, 2 ** 31, Code.flow),
  setting(5, 16_383, Code.protocol),
  setting(5, 2 ** 24, Code.protocol),
  setting(2, 2, Code.protocol),
];

/** Of a client. */
export const CLIENT_BREAKS: readonly Break[] = [
  ...COMMON,
  rule('a frame in a header block', Code.protocol, (id) => [
    frame(Type.headers, 0, id, NOTHING),
    frame(Type.ping, 0, 0, some(8)),
  ]),
  rule('CONTINUATION of another stream', Code.protocol, (id) => [
    frame(Type.headers, 0, id, NOTHING),
    frame(Type.continuation, END_HEADERS, id + 2, NOTHING),
  ]),
  rule('index 0', Code.compression, (id) => [
    frame(Type.headers, END_HEADERS | END_STREAM, id, Buffer.of(0x80)),
  ]),
  rule('an index beyond the tables', Code.compression, (id) => [
    frame(Type.headers, END_HEADERS | END_STREAM, id, Buffer.of(0xff, 0xff, 0x7f)),
  ]),
  rule('a string without its end', Code.compression, (id) => [
    frame(Type.headers, END_HEADERS | END_STREAM, id, Buffer.of(0x00, 0x7f, 0x10, 0x61)),
  ]),
  rule('a table that is too large', Code.compression, (id) => [
    frame(Type.headers, END_HEADERS | END_STREAM, id, Buffer.of(0x3f, 0xff, 0x7f)),
  ]),
  rule('an even stream', Code.protocol, (id) => [
    frame(Type.headers, END_HEADERS | END_STREAM, id + 1, Buffer.of(0x82)),
  ]),
  rule('PUSH_PROMISE', Code.protocol, () => [frame(Type.push, END_HEADERS, 1, numbers(2))]),
  setting(8, 2, Code.protocol),
  flood('PING', 1500, () => frame(Type.ping, 0, 0, some(8))),
  flood('SETTINGS', 600, () => frame(Type.settings, 0, 0, NOTHING)),
  flood('PRIORITY', 5000, (id) => frame(Type.priority, 0, id, some(5))),
  flood('unknown frames', 5000, () => frame(0x7f, 0, 0, NOTHING)),
  flood('WINDOW_UPDATE', 5000, () => frame(Type.window, 0, 0, numbers(1))),
  {
    name: 'CONTINUATION without an end',
    codes: [Code.calm],
    isFlood: false,
    write: (peer, id) => {
      peer.write(frame(Type.headers, 0, id, NOTHING));
      for (let i = 0; i < 80; i += 1) peer.write(frame(Type.continuation, 0, id, some(1)));
    },
  },
];

/** Of a server. */
export const SERVER_BREAKS: readonly Break[] = [
  ...COMMON,
  rule('a stream that it opens', Code.protocol, (id) => [
    frame(Type.headers, END_HEADERS | END_STREAM, id, Buffer.of(0x88)),
  ]),
  rule('PUSH_PROMISE', Code.protocol, (id) => [frame(Type.push, END_HEADERS, 1, numbers(id))]),
  setting(2, 1, Code.protocol),
];
