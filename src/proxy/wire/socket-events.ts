// Node's events of a socket, handed to its wire. `this` is the socket in all of these functions, so
// that no connection needs functions of its own.
import type { Socket } from 'node:net';
import type { SocketWire } from './socket-wire.ts';

/** A socket that knows its wire, so that one listener function serves all sockets. */
export interface WiredSocket extends Socket {
  wire?: SocketWire;
}

/** Hands the socket's events to the wire, but for the bytes. */
export function attach(socket: WiredSocket, wire: SocketWire): void {
  socket.wire = wire;
  socket.on('end', onSocketEnd);
  socket.on('error', onSocketError);
  socket.on('close', onSocketClose);
}

function onSocketEnd(this: WiredSocket): void {
  this.wire!.ended();
}

function onSocketError(this: WiredSocket, error: NodeJS.ErrnoException): void {
  lastErrors.set(this, error);
}

function onSocketClose(this: WiredSocket): void {
  this.wire!.closed(lastErrors.get(this) ?? null);
}

/** Errors precede the close that they cause; few sockets have one. */
export const lastErrors = new WeakMap<Socket, NodeJS.ErrnoException>();

// Node asks for a read buffer when a socket is made and after each read, without saying for which
// socket. It asks at once, so two variables tell, and no socket needs a function of its own.

/** The wire whose bytes were delivered last; null while a socket is being made. */
let lastRead: SocketWire | null = null;
/** Where the first read of the socket that is being made shall land. */
let firstView: Buffer = Buffer.alloc(0);

/** The first read of the socket that is made next lands in `view`. */
export function setFirstView(view: Buffer): void {
  lastRead = null;
  firstView = view;
}

/** Node calls it as a method of the socket. Undeclared: the types say that it gets no `this`. */
function onSocketRead(this: WiredSocket, count: number): boolean {
  const wire = this.wire!;
  const goesOn = wire.deliver(count);
  lastRead = wire;
  return goesOn;
}

function nextView(): Buffer {
  const wire = lastRead;
  lastRead = null;
  return wire === null ? firstView : (wire.changeView() ?? wire.view);
}

/** As nextView, but null keeps the buffer: cheaper, and good for the undocumented way alone. */
function nextViewOrNull(): Buffer | null {
  const wire = lastRead;
  lastRead = null;
  return wire === null ? firstView : wire.changeView();
}

/** The option `onread` of sockets that connect. */
export const onread = {
  buffer: nextView,
  callback: onSocketRead as (count: number) => boolean,
};

/** That of sockets which accept.ts makes. */
export const acceptedOnread = { buffer: nextViewOrNull, callback: onSocketRead };

/** For sockets without `onread`: the bytes lie in a buffer of Node's. */
export function onSocketData(this: WiredSocket, bytes: Buffer): void {
  const wire = this.wire!;
  // Reads of Node's are at most 64 KiB, as large as the smaller of our buffers.
  bytes.copy(wire.view);
  wire.deliver(bytes.length);
  wire.changeView();
}
