// Connections that send nothing take every place of the stats port, and are opened again when closed.
import type { Running, Target } from '../attack.ts';
import { HeldConnections } from '../sockets.ts';

const CONNECTIONS = 1000;

export async function statsIdle({ statsPort }: Target): Promise<Running> {
  const held = new HeldConnections({ port: statsPort, count: CONNECTIONS, reads: true });
  await held.start();
  return {
    note: () => `${CONNECTIONS} kept open, ${held.closed} closed by the port`,
    stop: () => held.stop(),
  };
}
