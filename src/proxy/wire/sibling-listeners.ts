// More sockets that listen on the port of a server. libuv accepts one connection of a socket in each turn
// of its loop, and a turn costs a tenth of what a short connection does: with several sockets, between
// which the kernel shares out who comes (SO_REUSEPORT), busy listeners take several in a turn. All workers
// have as many, so that each gets the same share.
import type { Server } from 'node:net';
import { LISTENER, type ListeningHandle, systemHandles } from './system-handles.ts';

/** Beyond four little is won, and each takes a descriptor. */
const SIBLINGS = 3;

/** Opens them where `server` listens on a TCP port; fewer, or none, where the system has no more. */
export function openSiblings(server: Server, backlog: number): readonly ListeningHandle[] {
  const address = server.address();
  if (typeof address !== 'object' || address === null) return [];
  const opened: ListeningHandle[] = [];
  while (opened.length < SIBLINGS) {
    const sibling = openAt(address, backlog);
    if (sibling === null) break;
    opened.push(sibling);
  }
  return opened;
}

interface Place {
  readonly address: string;
  readonly family: string;
  readonly port: number;
}

function openAt({ address, family, port }: Place, backlog: number): ListeningHandle | null {
  if (systemHandles === null || systemHandles.reusePort === 0) return null;
  const { Listening, reusePort } = systemHandles;
  const handle = new Listening(LISTENER);
  const problem =
    family === 'IPv6'
      ? handle.bind6(address, port, reusePort)
      : handle.bind(address, port, reusePort);
  if (problem !== 0 || handle.listen(backlog) !== 0) {
    handle.close();
    return null;
  }
  handle.setNoDelay(true);
  return handle;
}
