// Every kind of page and stream is asked for, one on each connection, and none is read.
import type { Running, Target } from '../attack.ts';
import { get, HeldConnections } from '../sockets.ts';

const CONNECTIONS = 400;
const PATHS = [
  '/stats/live',
  '/api/v1/events',
  '/metrics',
  '/stats',
  '/api/v1/services',
  '/stats;csv',
];

export async function statsSilentReaders({ statsPort }: Target): Promise<Running> {
  let asked = 0;
  const held = new HeldConnections({
    port: statsPort,
    count: CONNECTIONS,
    onOpen: (socket) => {
      socket.write(get(PATHS[asked % PATHS.length]!));
      asked += 1;
    },
  });
  await held.start();
  return { note: () => `${asked} pages and streams, none read`, stop: () => held.stop() };
}
