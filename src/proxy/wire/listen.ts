// Opens a listener over Node's server, and closes it once no connection waits in the kernel. What becomes
// of an accepted connection is decided in accept.ts.
import { createServer, type Server } from 'node:net';
import type { Logger } from '../../base/log.ts';
import type { ListenOptions, Wire, WireServer } from '../network.ts';
import { acceptHandles, acceptSockets } from './accept.ts';
import { Lobby } from './lobby.ts';
import { nodeTls } from './node-tls.ts';
import { probeHandles } from './probe.ts';
import type { ReadBuffers } from './read-buffers.ts';

/** Connections that the kernel holds until we accept them; capped by net.core.somaxconn. */
const BACKLOG = 4096;
/** A listener that never stands still is closed after so long, ms, ... */
const EMPTIED_MS_MAX = 200;
/** ... but not before so many turns: a thread that stood still meanwhile has not accepted who waits. */
const EMPTIED_TURNS_MIN = 50;
/** The turn in which this begins may have asked the kernel long before; only the next one counts. */
const QUIET_TURNS = 2;

export interface NodeListenOptions extends ListenOptions {
  readonly buffers: ReadBuffers;
  /** The thread's; without, the listener has one of its own. */
  readonly lobby?: Lobby;
  /** False uses Node's public events alone, for when its internals have changed. */
  readonly isFast?: boolean;
  /** Told once where the public events have to do, though the fast way was to be taken. */
  readonly log: Logger;
}

/** Opens a listener. Rejects with the system's error (EADDRINUSE, EACCES, ...). */
export async function listenWires(options: NodeListenOptions): Promise<WireServer> {
  const isFast = options.isFast ?? (await canAcceptFast(options.log));
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...listenTarget(options), backlog: BACKLOG }, () => {
      server.off('error', reject);
      // Accept errors (out of descriptors) concern one connection, not the listener.
      server.on('error', () => {});
      const port = portOf(server);
      let accepted = 0;
      const onWire = (wire: Wire): void => {
        accepted += 1;
        options.onWire(wire);
      };
      const { buffers, tls, proxy, peek, lobby = new Lobby() } = options;
      const accepting = {
        port,
        buffers,
        parts: nodeTls,
        lobby,
        onWire,
        ...(tls === undefined ? {} : { tls }),
        ...(proxy === undefined ? {} : { proxy }),
        ...(peek === undefined ? {} : { peek }),
      };
      if (isFast) acceptHandles(server, accepting);
      else acceptSockets(server, accepting);
      resolve({ port, close: () => closeEmptied(server, () => accepted) });
    });
  });
}

async function canAcceptFast(log: Logger): Promise<boolean> {
  const result = await probeHandles();
  if (result !== 'works') {
    const what =
      "connections are accepted by Node's public events, which costs more per connection";
    log.warn({ probe: result, node: process.version }, what);
  }
  return result === 'works';
}

/**
 * Closes the listener at a moment when nobody waits to be accepted: connections that the kernel holds
 * for a socket that closes are reset, whoever else listens on the port (unless
 * net.ipv4.tcp_migrate_req is 1). Each turn of the loop accepts what waits, so a turn without an
 * accept is that moment, but for what comes within it.
 */
function closeEmptied(server: Server, accepted: () => number): Promise<void> {
  const until = performance.now() + EMPTIED_MS_MAX;
  let before = -1;
  let turns = 0;
  let quiet = 0;
  return new Promise((resolve) => {
    const look = (): void => {
      const now = accepted();
      const isLate = turns >= EMPTIED_TURNS_MIN && performance.now() > until;
      quiet = now === before ? quiet + 1 : 0;
      if (quiet === QUIET_TURNS || isLate) {
        server.close();
        resolve();
        return;
      }
      before = now;
      turns += 1;
      setImmediate(look);
    };
    look();
  });
}

function listenTarget({ address, reusePort }: ListenOptions) {
  if (address.kind === 'unix') return { path: address.path };
  const host = address.host === '' ? {} : { host: address.host };
  return { ...host, port: address.port, reusePort };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
