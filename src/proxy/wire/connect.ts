import { connect as netConnect } from 'node:net';
import type { ConnectHandler, ReadBufferKind, Wire, WireTarget } from '../network.ts';
import { connectTls } from './connect-tls.ts';
import type { ReadBuffers } from './read-buffers.ts';
import { attach, onread, setFirstView, type WiredSocket } from './socket-events.ts';
import { SocketWire } from './socket-wire.ts';

/** Opens a connection; `handler` gets onConnect, or onClose with the error. */
export function connectWire(
  target: WireTarget,
  handler: ConnectHandler,
  readBuffer: ReadBufferKind,
  buffers: ReadBuffers,
): Wire {
  const { address, port, tls } = target;
  const buffer = buffers.of(readBuffer);
  if (tls) return connectTls({ ...target, tls }, handler, { buffer, buffers });
  setFirstView(buffer.view);
  const socket: WiredSocket = netConnect({
    host: address,
    port,
    noDelay: true,
    allowHalfOpen: true,
    autoSelectFamily: false,
    onread,
  });
  const wire = new SocketWire(socket, buffers, buffer, 0);
  wire.handler = handler;
  attach(socket, wire);
  socket.once('connect', onSocketConnect);
  return wire;
}

function onSocketConnect(this: WiredSocket): void {
  this.wire!.connected();
}
