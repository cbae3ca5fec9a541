import type { Logger } from '../../base/log.ts';
import type { Network } from '../network.ts';
import { connectWire } from './connect.ts';
import { isFromReserve } from './descriptors.ts';
import { listenWires } from './listen.ts';
import { Lobby } from './lobby.ts';
import { ReadBuffers } from './read-buffers.ts';
import { removeStaleSocket } from './stale-socket.ts';

/** The network over Node's sockets; one per thread. */
export function makeNodeNetwork(log: Logger): Network {
  const buffers = new ReadBuffers();
  const lobby = new Lobby();
  return {
    connect: (target, handler, readBuffer, introduction = null) =>
      connectWire(target, handler, { buffer: buffers.of(readBuffer), buffers, introduction }),
    listen: (options) => listenWires({ ...options, buffers, lobby, log }),
    removeStaleSocket,
    isFromReserve,
  };
}
