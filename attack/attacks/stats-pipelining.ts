// Pages are asked for ahead of their answers, hundreds on each connection, and none is read: a server
// that makes them all holds them all.
import type { Running, Target } from '../attack.ts';
import { get, HeldConnections } from '../sockets.ts';

const CONNECTIONS = 50;
const REQUESTS = 400;

export async function statsPipelining({ statsPort }: Target): Promise<Running> {
  let asked = 0;
  const held = new HeldConnections({
    port: statsPort,
    count: CONNECTIONS,
    onOpen: (socket) => {
      asked += REQUESTS;
      socket.write(get('/metrics').repeat(REQUESTS));
    },
  });
  await held.start();
  return { note: () => `${asked} pages asked for, none read`, stop: () => held.stop() };
}
