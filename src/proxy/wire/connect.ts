import { connect as netConnect } from 'node:net';
import type { ConnectHandler, Wire, WireTarget } from '../network.ts';
import { type Connecting, connectTls } from './connect-tls.ts';
import { attach, onread, setFirstView, type WiredSocket } from './socket-events.ts';
import { SocketWire } from './socket-wire.ts';

/** Opens a connection; `handler` gets onConnect, or onClose with the error. */
export function connectWire(
  target: WireTarget,
  handler: ConnectHandler,
  connecting: Connecting,
): Wire {
  const { address, port, tls } = target;
  const { buffer, buffers, introduction } = connecting;
  if (tls) return connectTls({ address, port, tls }, handler, connecting);
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
  if (introduction === null) socket.once('connect', onSocketConnect);
  else {
    socket.once('connect', () => {
      wire.write(introduction);
      wire.connected();
    });
  }
  return wire;
}

function onSocketConnect(this: WiredSocket): void {
  this.wire!.connected();
}
