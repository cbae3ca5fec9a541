// Dashboards and streams of changes that are read, and opened again and again: each begins with the
// whole of the table.
import type { Running, Target } from '../attack.ts';
import { get, HeldConnections } from '../sockets.ts';

const CONNECTIONS = 80;
const BYTES_EACH = 4 * 2 ** 20;
const PATHS = ['/stats/live', '/api/v1/events'];

export async function statsStreams({ statsPort }: Target): Promise<Running> {
  let opened = 0;
  const held = new HeldConnections({
    port: statsPort,
    count: CONNECTIONS,
    reads: true,
    onOpen: (socket) => {
      let bytes = 0;
      socket.on('data', (part) => {
        bytes += part.length;
        if (bytes > BYTES_EACH) socket.destroy();
      });
      socket.write(get(PATHS[opened % PATHS.length]!));
      opened += 1;
    },
  });
  await held.start();
  return { note: () => `${opened} streams`, stop: () => held.stop() };
}
