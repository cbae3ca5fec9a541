// How a server's connections become wires, in two ways. The fast way: Node's server hands the
// accepted handle to a function that we put in its place. A TCP connection is then a HandleSocket; for
// another one a socket is made with `onread`, which net.connect has in public and a server has not.
// probeHandles (probe.ts) tries it; where Node has changed, the public way is taken.
import { type Server, Socket } from 'node:net';
import type { ListenOptions, ReadBufferKind, ServerTls, Wire } from '../network.ts';
import type { ProxiedPeer } from '../proxy-header.ts';
import { peekHello } from './accept-peeked.ts';
import { readIntroduction } from './accept-proxied.ts';
import { acceptTls } from './accept-tls.ts';
import { HandleSocket } from './handle-socket.ts';
import type { ReadBuffer, ReadBuffers } from './read-buffers.ts';
import {
  acceptedOnread,
  attach,
  onSocketData,
  setFirstView,
  type WiredSocket,
} from './socket-events.ts';
import { SocketWire } from './socket-wire.ts';
import { systemHandles } from './system-handles.ts';

export interface Accepting {
  /** The port that is listened on; 0 for a unix socket. */
  readonly port: number;
  readonly readBuffer: ReadBufferKind;
  readonly buffers: ReadBuffers;
  readonly onWire: (wire: Wire) => void;
  readonly tls?: ListenOptions['tls'];
  readonly proxy?: ListenOptions['proxy'];
  readonly peek?: ListenOptions['peek'];
}

/** The public way: data events, each with a buffer of Node's. */
export function acceptSockets(server: Server, accepting: Accepting): void {
  server.on('connection', (socket: WiredSocket) => {
    if (!isIntroduced(socket, accepting)) takeSocket(socket, accepting, null);
  });
}

/** A header read before there is a wire; null where there is none. */
type Introduction = { readonly peer: ProxiedPeer | null } | null;

/** True where the connection begins with a PROXY protocol header: it is a wire when that was read. */
function isIntroduced(socket: Socket, accepting: Accepting): boolean {
  const proxy = accepting.proxy?.() ?? null;
  if (proxy === null || !proxy.isTrusted(peerAddress(socket))) return false;
  readIntroduction(socket, proxy, (known, peer) => takeSocket(known, accepting, { peer }));
  return true;
}

function takeSocket(socket: WiredSocket, accepting: Accepting, introduction: Introduction): void {
  const { port, readBuffer, buffers, onWire } = accepting;
  const tls = accepting.tls?.() ?? null;
  if (tls !== null) {
    const take = (known: WiredSocket, chosen: ServerTls | 'refuse'): void => {
      const wire = chosen === 'refuse' ? null : acceptTls({ socket: known }, chosen, accepting);
      if (introduction !== null) wire?.introduce(introduction.peer);
      if (wire === null) known.destroy();
      else onWire(wire);
    };
    const peek = accepting.peek?.() ?? null;
    if (peek === null || !peek.begin()) return take(socket, tls);
    peekHello(socket, peek, (known, chosen) => take(known, chosen ?? tls));
    // It is paused where a PROXY header was read before.
    socket.resume();
    return;
  }
  const wire = new SocketWire(socket, buffers, buffers.of(readBuffer), port);
  if (introduction !== null) wire.introduce(introduction.peer);
  attach(socket, wire);
  socket.on('data', onSocketData);
  // It was paused after the header; before the wire is anybody's, who may pause it.
  if (introduction !== null) socket.resume();
  onWire(wire);
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
  if (accepting.proxy !== undefined || accepting.peek !== undefined)
    acceptSockets(server, accepting);
  // Undocumented, see above.
  const listening = (server as unknown as { _handle: AcceptingHandle })._handle;
  // Accepted sockets inherit it: one system call less for each. A unix socket has no such option.
  listening.setNoDelay?.(true);
  listening.onconnection = (status, handle) => {
    if (status !== 0 || !handle) return;
    const tls = accepting.tls?.() ?? null;
    if (accepting.proxy?.() != null || (tls !== null && accepting.peek?.() != null)) {
      const plain = { handle, allowHalfOpen: true } as ConstructorParameters<typeof Socket>[0];
      server.emit('connection', new Socket(plain));
      return;
    }
    if (tls !== null) {
      const wire = tls === 'refuse' ? null : acceptTls({ handle }, tls, accepting);
      if (wire === null) handle.close();
      else onWire(wire);
      return;
    }
    const buffer = buffers.of(readBuffer);
    if (systemHandles !== null && handle instanceof systemHandles.TCP) {
      onWire(wireOf(new HandleSocket(systemHandles, handle, buffer.view), buffer, accepting));
      return;
    }
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

/** Reads begin when this turn of the loop is over: `onWire` has set a handler by then. */
function wireOf(socket: HandleSocket, buffer: ReadBuffer, { buffers, port }: Accepting): Wire {
  const wire = new SocketWire(socket, buffers, buffer, port);
  socket.wire = wire;
  socket.start();
  return wire;
}

function peerAddress({ remoteAddress = '' }: Socket): string {
  return remoteAddress.startsWith('::ffff:') ? remoteAddress.slice(7) : remoteAddress;
}
