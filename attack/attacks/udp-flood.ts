// Datagrams from thousands of addresses to a UDP service on the victim's worker, whose endpoint answers.
import { createSocket, type Socket } from 'node:dgram';
import type { Running, Target } from '../attack.ts';

/** An attack is bounded: so many sockets at a time, each of an address of its own, ... */
const SOCKETS = 400;
/** ... so many of which are replaced every so often, ... */
const STEP_SOCKETS = 20;
const STEP_MS = 10;
/** ... and so many datagrams by each when it comes. */
const DATAGRAMS = 5;
const BYTES = Buffer.alloc(100, 'x');

export async function udpFlood({ udpPort, udpEndpointPort }: Target): Promise<Running> {
  let sent = 0;
  let answered = 0;
  let sources = 0;
  const endpoint = createSocket('udp4');
  endpoint.on('message', (bytes, { port, address }) => endpoint.send(bytes, port, address));
  await new Promise<void>((resolve) => endpoint.bind(udpEndpointPort, '127.0.0.1', resolve));
  const open: Socket[] = [];
  const add = (): void => {
    sources += 1;
    const socket = createSocket('udp4');
    open.push(socket);
    socket.on('error', () => {});
    socket.on('message', () => {
      answered += 1;
    });
    const address = `127.${100 + ((sources >> 16) & 63)}.${(sources >> 8) & 255}.${sources & 255}`;
    socket.bind(0, address, () => {
      for (let i = 0; i < DATAGRAMS; i += 1) {
        sent += 1;
        socket.send(BYTES, udpPort, '127.0.0.1', () => {});
      }
    });
  };
  const timer = setInterval(() => {
    for (let i = 0; i < STEP_SOCKETS; i += 1) add();
    while (open.length > SOCKETS) open.shift()?.close();
  }, STEP_MS);
  return {
    note: () => `${sent} datagrams of ${sources} addresses, ${answered} answered`,
    stop: () => {
      clearInterval(timer);
      for (const socket of open) socket.close();
      endpoint.close();
    },
  };
}
