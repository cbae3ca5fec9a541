// Pages are asked for as fast as the answers come, and read: work for the main thread without end.
import type { Running, Target } from '../attack.ts';
import { get, HeldConnections } from '../sockets.ts';

const CONNECTIONS = 50;
const PATHS = ['/metrics', '/stats', '/api/v1/services', '/stats;csv'];

export async function statsScraping({ statsPort }: Target): Promise<Running> {
  let answers = 0;
  const held = new HeldConnections({
    port: statsPort,
    count: CONNECTIONS,
    reads: true,
    onOpen: (socket) => {
      const ask = (): void => void socket.write(get(PATHS[answers % PATHS.length]!));
      socket.on('data', (part) => {
        if (!part.includes('HTTP/1.1 ')) return;
        answers += 1;
        ask();
      });
      ask();
    },
  });
  await held.start();
  return { note: () => `${answers} pages read`, stop: () => held.stop() };
}
