// How a server's connections become wires, in two ways. The fast way: Node's server hands the
// accepted handle to a function that we put in its place, and the socket is made with `onread`,
// which net.connect has in public and a server has not. probeAccept (probe.ts) tries it; where
// Node has changed, the public way is taken.
import { type Server, Socket } from 'node:net';
import type { ListenOptions, ReadBufferKind, Wire } from '../network.ts';
import { acceptTls } from './accept-tls.ts';
import type { ReadBuffers } from './read-buffers.ts';
import {
  acceptedOnread,
  attach,
  onSocketData,
  setFirstView,
  type WiredSocket,
} from './socket-events.ts';
import { SocketWire } from './socket-wire.ts';

export interface Accepting {
  /** The port that is listened on; 0 for a unix socket. */
  readonly port: number;
  readonly readBuffer: ReadBufferKind;
  readonly buffers: ReadBuffers;
  readonly onWire: (wire: Wire) => void;
  readonly tls?: ListenOptions['tls'];
}

/** The public way: data events, each with a buffer of Node's. */
export function acceptSockets(server: Server, accepting: Accepting): void {
  const { port, readBuffer, buffers, onWire } = accepting;
  server.on('connection', (socket: WiredSocket) => {
    const tls = accepting.tls?.() ?? null;
    if (tls !== null) {
      const wire = tls === 'refuse' ? null : acceptTls({ socket }, tls, accepting);
      if (wire === null) socket.destroy();
      else onWire(wire);
      return;
    }
    const wire = new SocketWire(socket, buffers, buffers.of(readBuffer), port);
    attach(socket, wire);
    socket.on('data', onSocketData);
    onWire(wire);
  });
}

interface AcceptedHandle {
  close(): void;
}

interface AcceptingHandle {
  onconnection: ((status: number, handle: AcceptedHandle | undefined) => void) | undefined;
  setNoDelay?(isOn: boolean): number;
}

/** The fast way. */
export function acceptHandles(server: Server, accepting: Accepting): void {
  const { port, readBuffer, buffers, onWire } = accepting;
  // Undocumented, see above.
  const listening = (server as unknown as { _handle: AcceptingHandle })._handle;
  // Accepted sockets inherit it: one system call less for each. A unix socket has no such option.
  listening.setNoDelay?.(true);
  listening.onconnection = (status, handle) => {
    if (status !== 0 || !handle) return;
    const tls = accepting.tls?.() ?? null;
    if (tls !== null) {
      const wire = tls === 'refuse' ? null : acceptTls({ handle }, tls, accepting);
      if (wire === null) handle.close();
      else onWire(wire);
      return;
    }
    const buffer = buffers.of(readBuffer);
    setFirstView(buffer.view);
    const options = { handle, allowHalfOpen: true, onread: acceptedOnread };
    // The option `handle` is undocumented, see above.
    const known = options as unknown as ConstructorParameters<typeof Socket>[0];
    const socket: WiredSocket = new Socket(known);
    const wire = new SocketWire(socket, buffers, buffer, port);
    attach(socket, wire);
    onWire(wire);
  };
}
