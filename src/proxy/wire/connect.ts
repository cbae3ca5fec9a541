// Connections to endpoints, opened over the system's handle, or a socket of Node's where that does not serve.
import { isIP, connect as netConnect } from 'node:net';
import type { ConnectHandler, Wire, WireTarget } from '../network.ts';
import { type Connecting, connectCipher, connectTls } from './connect-tls.ts';
import { HandleSocket, newHandle } from './handle-socket.ts';
import { nodeTls } from './node-tls.ts';
import type { ReadBuffers } from './read-buffers.ts';
import { attach, onread, setFirstView, type WiredSocket } from './socket-events.ts';
import { SocketWire } from './socket-wire.ts';
import { provenHandles, type SystemHandles } from './system-handles.ts';

/** Opens a connection; `handler` gets onConnect, or onClose with the error. */
export function connectWire(
  target: WireTarget,
  handler: ConnectHandler,
  connecting: Connecting,
): Wire {
  const { address, port, tls } = target;
  const { buffers, introduction } = connecting;
  const system = connecting.isFast === false ? null : provenHandles();
  const family = familyOf(address);
  if (tls) {
    const known = { address, port, tls };
    if (system === null || family === 0) return connectTls(known, handler, connecting);
    return connectCipher(known, handler, { ...connecting, system, parts: nodeTls, family });
  }
  if (system !== null && introduction === null && family !== 0) {
    const wire = connectHandle(system, { address, port, family }, buffers);
    wire.handler = handler;
    return wire;
  }
  setFirstView(buffers.answers.view);
  const socket: WiredSocket = netConnect({
    host: address,
    port,
    noDelay: true,
    allowHalfOpen: true,
    autoSelectFamily: false,
    onread,
  });
  const wire = new SocketWire(socket, buffers, 0, buffers.answers);
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

interface IpTarget extends WireTarget {
  /** 4 or 6. */
  readonly family: number;
}

/** As connectWire, over the system's handle. What it comes to is told later, when there is a handler. */
export function connectHandle(
  system: SystemHandles,
  { address, port, family }: IpTarget,
  buffers: ReadBuffers,
): SocketWire {
  const socket = new HandleSocket(system, newHandle(system), buffers.answers.view);
  const wire = new SocketWire(socket, buffers, 0, buffers.answers);
  socket.wire = wire;
  socket.connect(address, port, family);
  return wire;
}

/** Endpoints are few, and connections to them many. */
const FAMILIES_MAX = 4096;
const families = new Map<string, number>();

/** 4 or 6; 0: a name. */
function familyOf(address: string): number {
  const known = families.get(address);
  if (known !== undefined) return known;
  const family = isIP(address);
  if (families.size >= FAMILIES_MAX) families.clear();
  families.set(address, family);
  return family;
}

function onSocketConnect(this: WiredSocket): void {
  this.wire!.connected();
}
