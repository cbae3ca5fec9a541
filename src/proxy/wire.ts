// How sockets are read and written: the one module that knows Node's sockets. The rest of the data
// plane sees bytes arriving and writes taken. Two things make it cheap: reads land in static
// buffers (no allocation per read), and a write that the kernel takes whole leaves its bytes free
// at once. Accepted wires share one read buffer, so an idle client connection costs little; an
// upstream wire has its own, so its bytes can be relayed without a copy.
// Invariant: bytes handed to `onBytes` are valid until it returns; a buffer that an unfinished
// write still refers to is never read into.
import { createServer, connect as netConnect, type Server, Socket } from 'node:net';
import type { ListenAddress } from '../model/listener.ts';

/** Bytes before the received ones that a handler may overwrite: room for a message head. */
export const HEADROOM = 4096;
/** Bytes after the received ones that a handler may overwrite: room to close a chunk. */
export const TAILROOM = 64;

/** 128 KiB reads cost a tenth less per body byte than 64 KiB; pages that stay unused cost nothing. */
const OWN_READ_BYTES = 128 * 1024;
const SHARED_READ_BYTES = 64 * 1024;
/** Read buffers kept for reuse after a slow peer had held them. */
const SPARE_BUFFERS_MAX = 32;
/** Connections that the kernel holds until we accept them; capped by net.core.somaxconn. */
const BACKLOG = 4096;

/** One object per connection, attached once. */
export interface WireHandler {
  /**
   * base[start,end) has arrived and is the handler's until it returns: consume, forward or copy.
   * HEADROOM bytes before `start` and TAILROOM after `end` may be overwritten.
   */
  onBytes(base: Buffer, start: number, end: number): void;
  /** The peer will send no more; it may still read. */
  onEnd(): void;
  /** Everything that was written is with the kernel. */
  onDrain(): void;
  /** The connection is gone; once, and last. */
  onClose(error: NodeJS.ErrnoException | null): void;
}

export interface ConnectHandler extends WireHandler {
  /** The connection is open; before any other event but onClose. */
  onConnect(): void;
}

const NOTHING = Buffer.alloc(0);

/** A read buffer: the whole of it, and the part that reads land in. */
interface ReadBuffer {
  readonly base: Buffer;
  readonly view: Buffer;
}

function makeReadBuffer(bytes: number): ReadBuffer {
  const base = Buffer.allocUnsafeSlow(HEADROOM + bytes + TAILROOM);
  return { base, view: base.subarray(HEADROOM, HEADROOM + bytes) };
}

const spareBuffers: ReadBuffer[] = [];

function takeBuffer(): ReadBuffer {
  return spareBuffers.pop() ?? makeReadBuffer(OWN_READ_BYTES);
}

function giveBuffer(buffer: ReadBuffer): void {
  if (spareBuffers.length < SPARE_BUFFERS_MAX) spareBuffers.push(buffer);
}

/** The read buffer of accepted wires of this thread; its bytes never outlive `onBytes`. */
const sharedBuffer = makeReadBuffer(SHARED_READ_BYTES);

/** A socket that knows its wire, so that one listener function serves all sockets. */
interface WiredSocket extends Socket {
  wire?: Wire;
}

export class Wire {
  /** Who gets the events; replaced when the connection changes hands. */
  handler: WireHandler;
  private readonly socket: WiredSocket;
  /** The shared one, or a buffer of its own. */
  private buffer: ReadBuffer;
  /** Another wire's buffer, which an unfinished write of ours refers to. */
  private borrowed: ReadBuffer | null = null;
  private isPaused = false;
  private isAwaitingFlush = false;
  private flushed: (() => void) | null = null;

  constructor(socket: WiredSocket, buffer: ReadBuffer, handler: WireHandler) {
    this.socket = socket;
    this.buffer = buffer;
    this.handler = handler;
    socket.wire = this;
  }

  /** The peer's address; IPv4 as itself, also on a dual-stack listener. */
  get remoteAddress(): string {
    const address = this.socket.remoteAddress ?? '';
    return address.startsWith('::ffff:') ? address.slice(7) : address;
  }

  get remotePort(): number {
    return this.socket.remotePort ?? 0;
  }

  get localPort(): number {
    return this.socket.localPort ?? 0;
  }

  /** Whether the kernel has everything that was written. */
  get isFlushed(): boolean {
    return this.socket.writableLength === 0;
  }

  /** Whether both sides may still send. */
  get isOpen(): boolean {
    return this.socket.readyState === 'open';
  }

  /**
   * Sends bytes. True: the kernel took them whole, and the buffer is the caller's again. False:
   * they stay referenced until onDrain.
   */
  write(bytes: Buffer): boolean {
    this.socket.write(bytes);
    if (this.socket.writableLength === 0) return true;
    this.awaitFlush();
    return false;
  }

  /**
   * Sends base[start,end), bytes of this wire's read buffer, to another wire; returns as `write`.
   * Takes care of the buffer: a shared one is copied from, an own one is lent until the other
   * wire is flushed.
   */
  forwardTo(other: Wire, base: Buffer, start: number, end: number): boolean {
    const bytes = base.subarray(start, end);
    if (base !== this.buffer.base || this.buffer === sharedBuffer) {
      return other.write(Buffer.from(bytes));
    }
    const isTaken = other.write(bytes);
    if (!isTaken) {
      // One buffer is remembered for reuse; a further one is left to the garbage collector.
      if (other.borrowed === null) other.borrowed = this.buffer;
      this.buffer = takeBuffer();
    }
    return isTaken;
  }

  /** Stops reading, so that the peer is slowed down. */
  pause(): void {
    if (this.isPaused) return;
    this.isPaused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.socket.resume();
  }

  /** Sends the end of our side after what was written; the other side may still send. */
  end(): void {
    this.socket.end();
  }

  /** Closes both sides now; what the kernel did not take yet is lost. */
  destroy(): void {
    this.socket.destroy();
  }

  /** Closes with RST: the peer sees that what it got is not complete. */
  reset(): void {
    // A unix socket has no RST, and Node throws when it is asked for one.
    if (this.socket.remotePort === undefined && !this.socket.connecting) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  /** For this module: `count` bytes lie in the read buffer. Returns false to stop reading. */
  deliver(count: number): boolean {
    this.handler.onBytes(this.buffer.base, HEADROOM, HEADROOM + count);
    return !this.isPaused;
  }

  /** For this module: where the next read shall land. */
  nextView(): Buffer {
    return this.buffer.view;
  }

  /** For this module: the socket is gone, and its buffers are free. */
  closed(error: NodeJS.ErrnoException | null): void {
    this.giveBack();
    if (this.buffer !== sharedBuffer) giveBuffer(this.buffer);
    this.buffer = sharedBuffer;
    this.handler.onClose(error);
  }

  /**
   * Node's 'drain' comes only above the high-water mark, and a callback per write costs a tick
   * each; so an empty write behind the unfinished one tells when it is done.
   */
  private awaitFlush(): void {
    if (this.isAwaitingFlush) return;
    this.isAwaitingFlush = true;
    this.flushed ??= () => {
      this.isAwaitingFlush = false;
      if (this.socket.destroyed) return;
      if (this.socket.writableLength > 0) {
        this.awaitFlush();
        return;
      }
      this.giveBack();
      this.handler.onDrain();
    };
    this.socket.write(NOTHING, this.flushed);
  }

  private giveBack(): void {
    if (this.borrowed === null) return;
    giveBuffer(this.borrowed);
    this.borrowed = null;
  }
}

// Listener functions: `this` is the socket, so that no connection needs functions of its own.

function onSocketEnd(this: WiredSocket): void {
  this.wire!.handler.onEnd();
}

function onSocketError(this: WiredSocket, error: NodeJS.ErrnoException): void {
  lastErrors.set(this, error);
}

function onSocketClose(this: WiredSocket): void {
  this.wire!.closed(lastErrors.get(this) ?? null);
}

/** Errors precede the close that they cause; few sockets have one. */
const lastErrors = new WeakMap<WiredSocket, NodeJS.ErrnoException>();

function attach(socket: WiredSocket): void {
  socket.on('end', onSocketEnd);
  socket.on('error', onSocketError);
  socket.on('close', onSocketClose);
}

/** Node calls it as a method of the socket. Undeclared: the types say that it gets no `this`. */
function onSocketRead(this: WiredSocket, count: number): boolean {
  return this.wire!.deliver(count);
}

export interface WireTarget {
  readonly address: string;
  readonly port: number;
}

/** Opens a connection; `handler` gets onConnect, or onClose with the error. */
export function connectWire(target: WireTarget, handler: ConnectHandler): Wire {
  // The first view is asked for before there is a wire.
  let wire: Wire | null = null;
  const buffer = takeBuffer();
  const socket: WiredSocket = netConnect({
    host: target.address,
    port: target.port,
    noDelay: true,
    allowHalfOpen: true,
    autoSelectFamily: false,
    onread: {
      buffer: () => (wire === null ? buffer.view : wire.nextView()),
      callback: onSocketRead as (count: number) => boolean,
    },
  });
  wire = new Wire(socket, buffer, handler);
  attach(socket);
  socket.once('connect', onSocketConnect);
  return wire;
}

function onSocketConnect(this: WiredSocket): void {
  // Attached by connectWire alone, whose handler has it.
  (this.wire!.handler as ConnectHandler).onConnect();
}

export interface ListenOptions {
  readonly address: ListenAddress;
  /** Several threads and processes may listen on the port; the kernel spreads connections. */
  readonly reusePort: boolean;
  /** Relays want buffers of their own, request heads share one. */
  readonly readBuffer: 'own' | 'shared';
  /** Must set `wire.handler` before it returns. */
  readonly onWire: (wire: Wire) => void;
  /** False uses Node's public events alone, for when its internals have changed. */
  readonly isFast?: boolean;
}

export interface WireServer {
  readonly port: number;
  /** Accepts no more; connections that are open go on. */
  close(): void;
}

/** Opens a listener. Rejects with the system's error (EADDRINUSE, EACCES, ...). */
export async function listenWires(options: ListenOptions): Promise<WireServer> {
  const isFast = options.isFast ?? (await canAcceptFast());
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    options.onWire(wireByEvents(socket, options.readBuffer));
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...listenTarget(options), backlog: BACKLOG }, () => {
      server.off('error', reject);
      // Accept errors (out of descriptors) concern one connection, not the listener.
      server.on('error', () => {});
      if (isFast) takeAccept(server, options);
      resolve({ port: portOf(server), close: () => void server.close() });
    });
  });
}

function listenTarget(options: ListenOptions) {
  const { address, reusePort } = options;
  if (address.kind === 'unix') return { path: address.path };
  const host = address.host === '' ? {} : { host: address.host };
  return { ...host, port: address.port, reusePort };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** The public way: data events, each with a buffer of Node's. */
function wireByEvents(socket: WiredSocket, readBuffer: 'own' | 'shared'): Wire {
  const buffer = readBuffer === 'own' ? takeBuffer() : sharedBuffer;
  const wire = new Wire(socket, buffer, noHandler);
  attach(socket);
  socket.on('data', onSocketData);
  return wire;
}

function onSocketData(this: WiredSocket, bytes: Buffer): void {
  const wire = this.wire!;
  // Reads of Node's are at most 64 KiB, as large as the smaller of our buffers.
  bytes.copy(wire.nextView());
  wire.deliver(bytes.length);
}

// The fast way: Node's server hands the accepted handle to a function that we put in its place,
// and the socket is made with `onread`, which net.connect has in public and a server has not.
// canAcceptFast tries it; where Node has changed, the public way is taken.

interface AcceptingHandle {
  onconnection: ((status: number, handle: unknown) => void) | undefined;
}

function takeAccept(server: Server, options: Pick<ListenOptions, 'onWire' | 'readBuffer'>): void {
  // Undocumented, see above.
  const handle = (server as unknown as { _handle: AcceptingHandle })._handle;
  handle.onconnection = (status, accepted) => {
    if (status === 0 && accepted) options.onWire(wireByHandle(accepted, options.readBuffer));
  };
}

function wireByHandle(handle: unknown, readBuffer: 'own' | 'shared'): Wire {
  const buffer = readBuffer === 'own' ? takeBuffer() : sharedBuffer;
  let wire: Wire | null = null;
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: readBuffer === 'own' ? () => wire?.nextView() ?? buffer.view : buffer.view,
      callback: onSocketRead,
    },
  };
  // The option `handle` is undocumented, see above.
  const socket = new Socket(options as ConstructorParameters<typeof Socket>[0]) as WiredSocket;
  wire = new Wire(socket, buffer, noHandler);
  // A unix socket has no such option.
  const tcp = handle as { setNoDelay?: (on: boolean) => number };
  tcp.setNoDelay?.(true);
  attach(socket);
  return wire;
}

const noHandler: WireHandler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };

const PROBE_MS = 1000;
let probe: Promise<boolean> | null = null;

/** Whether the fast way works on this Node: tried once per thread, over loopback. */
export function canAcceptFast(): Promise<boolean> {
  probe ??= probeFastAccept();
  return probe;
}

/** Accepts one connection the fast way and looks for every event that a wire relies on. */
function probeFastAccept(): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    const seen: string[] = [];
    const client = new Socket();
    const finish = (): void => {
      clearTimeout(timer);
      client.destroy();
      server.close();
      resolve(seen.join() === 'bytes:ping,end,close:ok');
    };
    const timer = setTimeout(finish, PROBE_MS);
    const onWire = (wire: Wire): void => {
      wire.handler = {
        onBytes: (base, start, end) => {
          seen.push(`bytes:${base.toString('latin1', start, end)}`);
          if (wire.write(Buffer.from('pong'))) client.end();
        },
        onEnd: () => {
          seen.push('end');
          wire.end();
        },
        onDrain() {},
        onClose: (error) => {
          seen.push(`close:${error?.code ?? 'ok'}`);
          finish();
        },
      };
    };
    server.listen(0, '127.0.0.1', () => {
      takeAccept(server, { readBuffer: 'shared', onWire });
      client.connect(portOf(server), '127.0.0.1', () => client.write('ping'));
      client.on('data', () => {});
      client.on('error', finish);
    });
    server.on('error', finish);
  });
}
