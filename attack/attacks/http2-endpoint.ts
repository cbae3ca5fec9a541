// An endpoint that speaks HTTP/2 and sends what costs most, without an end, to two requests.
import { createServer, type Socket } from 'node:net';
import { block, frame, SETTINGS, uint32 } from '../../test/support/http2.ts';
import type { Running, Target } from '../attack.ts';
import { get, HeldConnections } from '../sockets.ts';

const CLIENTS = 2;
const END_HEADERS = 4;

const scripts = {
  control: () =>
    (frame(6, 0, 0, '12345678') + frame(4, 0, 0, `\0\x04${uint32(65_535)}`)).repeat(100),
  informational: () => frame(1, END_HEADERS, 1, block({ ':status': '103' })).repeat(200),
  'tiny-data': () => frame(0, 0, 1, 'x').repeat(500),
  'small-data': () => frame(0, 0, 1, 'x'.repeat(20)).repeat(500),
  resets: () => frame(3, 0, 1, uint32(8)).repeat(200),
  'window-updates': () => (frame(8, 0, 0, uint32(1)) + frame(8, 0, 1, uint32(1))).repeat(200),
} satisfies Record<string, () => string>;

export type EndpointAttack = keyof typeof scripts;

export function http2EndpointAttack(name: EndpointAttack): (target: Target) => Promise<Running> {
  return async ({ hostileHttp2Port, hostileHttp2ServicePort }) => {
    const sockets = new Set<Socket>();
    const isBody = name === 'tiny-data' || name === 'small-data';
    let bytes = 0;
    let connections = 0;
    const server = createServer((socket) => {
      connections += 1;
      sockets.add(socket);
      const piece = scripts[name]();
      const send = (): void => {
        while (!socket.destroyed) {
          bytes += piece.length;
          if (!socket.write(piece, 'latin1')) return;
        }
      };
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
      socket.on('end', () => socket.destroy());
      // The request comes with the preface, or soon after it.
      socket.once('data', () => {
        socket.write(SETTINGS, 'latin1');
        socket.resume();
        setTimeout(() => {
          if (isBody) {
            socket.write(frame(1, END_HEADERS, 1, block({ ':status': '200' })), 'latin1');
          }
          socket.on('drain', send);
          send();
        }, 20);
      });
    });
    await new Promise<void>((resolve) => server.listen(hostileHttp2Port, '127.0.0.1', resolve));
    const held = new HeldConnections({
      port: hostileHttp2ServicePort,
      count: CLIENTS,
      reads: true,
      onOpen: (socket) => {
        socket.write(get('/'));
        // It asks again where it was answered for the endpoint.
        socket.on('data', () => {
          if (!isBody) setTimeout(() => socket.write(get('/')), 10);
        });
      },
    });
    await held.start();
    return {
      note: () => `${connections} connections, ${(bytes / 2 ** 20).toFixed(1)} MiB`,
      stop: () => {
        held.stop();
        server.close();
        for (const socket of sockets) socket.destroy();
      },
    };
  };
}
