// How a server's connections become wires, in two ways. The fast way: Node's server hands the
// accepted handle to a function that we put in its place. A TCP connection is then a HandleSocket; for
// another one a socket is made with `onread`, which net.connect has in public and a server has not.
// probeHandles (probe.ts) tries it; where Node has changed, the public way is taken.
import { type Server, Socket } from 'node:net';
import type { ListenOptions, Wire } from '../network.ts';
import { readIntroduction } from './accept-proxied.ts';
import {
  type AcceptingSecure,
  beginTls,
  type Introduction,
  takeSecure,
  waitForTls,
} from './accept-secure.ts';
import { type ListeningHandle, takeWaiting } from './accept-waiting.ts';
import { HandleSocket } from './handle-socket.ts';
import {
  acceptedOnread,
  attach,
  onSocketData,
  setFirstView,
  type WiredSocket,
} from './socket-events.ts';
import { SocketWire } from './socket-wire.ts';
import { systemHandles } from './system-handles.ts';

export interface Accepting extends AcceptingSecure {
  readonly proxy?: ListenOptions['proxy'];
}

/** The public way: data events, each with a buffer of Node's. */
export function acceptSockets(server: Server, accepting: Accepting): void {
  server.on('connection', (socket: WiredSocket) => {
    if (!isIntroduced(socket, accepting)) takeSocket(socket, accepting, null);
  });
}

/** True where the connection begins with a PROXY protocol header: it is a wire when that was read. */
function isIntroduced(socket: Socket, accepting: Accepting): boolean {
  const proxy = accepting.proxy?.() ?? null;
  if (proxy === null || !proxy.isTrusted(peerAddress(socket))) return false;
  readIntroduction(socket, proxy, (known, peer) => takeSocket(known, accepting, { peer }));
  return true;
}

function takeSocket(socket: WiredSocket, accepting: Accepting, introduction: Introduction): void {
  const { port, buffers, onWire } = accepting;
  if (accepting.tls?.() != null) return takeSecure(socket, accepting, introduction);
  const wire = new SocketWire(socket, buffers, port);
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

interface AcceptingHandle extends ListeningHandle {
  onconnection: ((status: number, handle: AcceptedHandle | undefined) => void) | undefined;
  setNoDelay?(isOn: boolean): number;
}

/** The fast way. */
export function acceptHandles(server: Server, accepting: Accepting): void {
  if (accepting.proxy !== undefined || accepting.peek !== undefined)
    acceptSockets(server, accepting);
  // Undocumented, see above.
  const listening = (server as unknown as { _handle: AcceptingHandle })._handle;
  // Accepted sockets inherit it: one system call less for each. A unix socket has no such option.
  listening.setNoDelay?.(true);
  const take = (handle: AcceptedHandle): void => takeHandle(handle, server, accepting);
  listening.onconnection = (status, handle) => {
    if (status !== 0 || !handle) return;
    take(handle);
    const system = systemHandles;
    if (system !== null && handle instanceof system.TCP) takeWaiting(listening, system, take);
  };
}

function takeHandle(handle: AcceptedHandle, server: Server, accepting: Accepting): void {
  const { buffers, onWire } = accepting;
  const tls = accepting.tls?.() ?? null;
  if (accepting.proxy?.() != null || (tls !== null && accepting.peek?.() != null)) {
    server.emit('connection', socketOf(handle));
    return;
  }
  if (tls !== null && accepting.lobby.hasRoom) {
    if (!beginTls({ handle }, accepting, null)) handle.close();
    return;
  }
  const system = systemHandles;
  const isTcp = system !== null && handle instanceof system.TCP;
  if (tls !== null) {
    if (isTcp) waitForTls(handle, accepting, { tls, system });
    else takeSocket(socketOf(handle), accepting, null);
    return;
  }
  if (isTcp) onWire(wireOf(new HandleSocket(system, handle, buffers.shared.view), accepting));
  else takePipe(handle, accepting);
}

/** A connection to a unix socket. */
function takePipe(handle: AcceptedHandle, { port, buffers, onWire }: Accepting): void {
  setFirstView(buffers.shared.view);
  const options = { handle, allowHalfOpen: true, onread: acceptedOnread };
  // The option `handle` is undocumented, see above.
  const known = options as unknown as ConstructorParameters<typeof Socket>[0];
  const socket: WiredSocket = new Socket(known);
  const wire = new SocketWire(socket, buffers, port);
  attach(socket, wire);
  onWire(wire);
}

/** Reads begin when this turn of the loop is over: `onWire` has set a handler by then. */
function wireOf(socket: HandleSocket, { buffers, port }: Accepting): Wire {
  const wire = new SocketWire(socket, buffers, port);
  socket.wire = wire;
  socket.start();
  return wire;
}

/** A socket of Node's, which reads as usual. */
function socketOf(handle: AcceptedHandle): Socket {
  return new Socket({ handle, allowHalfOpen: true } as ConstructorParameters<typeof Socket>[0]);
}

function peerAddress({ remoteAddress = '' }: Socket): string {
  return remoteAddress.startsWith('::ffff:') ? remoteAddress.slice(7) : remoteAddress;
}
