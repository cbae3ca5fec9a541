// How sockets are read and written: the one module that knows Node's sockets. The rest of the data
// plane sees bytes arriving and writes taken. Two things make it cheap: reads land in static
// buffers (no allocation per read), and a write that the kernel takes whole leaves its bytes free
// at once. HTTP wires share one read buffer, which stays in the processor's cache and makes idle
// connections cost little; a wire that streams gets its own, so that its bytes are relayed without
// a copy.
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
/** A listener that never stands still is closed after so long, ms. */
const EMPTIED_MS_MAX = 200;

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
  /** One of these has thrown: a rule of ours is broken. Without this, it throws through Node. */
  onBug?(error: unknown): void;
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

/** The read buffer of this thread's wires that don't stream; its bytes never outlive `onBytes`. */
const sharedBuffer = makeReadBuffer(SHARED_READ_BYTES);

function giveBuffer(buffer: ReadBuffer): void {
  if (buffer === sharedBuffer || spareBuffers.length >= SPARE_BUFFERS_MAX) return;
  spareBuffers.push(buffer);
}

/** A socket that knows its wire, so that one listener function serves all sockets. */
interface WiredSocket extends Socket {
  wire?: Wire;
}

export class Wire {
  /** Who gets the events; replaced when the connection changes hands. */
  handler: WireHandler;
  /** The port that the client came in by; 0 for a unix socket, and on the upstream side. */
  readonly localPort: number;
  private readonly socket: WiredSocket;
  /** What Node reads into: the shared one, or a buffer of its own. */
  private buffer: ReadBuffer;
  /** What it shall read into after this read; an own `buffer` is then lent to another wire. */
  private nextBuffer: ReadBuffer | null = null;
  /** The buffer of its own goes back as soon as Node does not read into it any more. */
  private wantsShared = false;
  /** Another wire's buffer, which an unfinished write of ours refers to. */
  private borrowed: ReadBuffer | null = null;
  private isPaused = false;
  private hasEnded = false;
  private isClosing = false;
  private isAwaitingFlush = false;
  private flushed: (() => void) | null = null;

  constructor(socket: WiredSocket, buffer: ReadBuffer, localPort: number) {
    this.socket = socket;
    this.buffer = buffer;
    this.handler = noHandler;
    this.localPort = localPort;
    socket.wire = this;
  }

  /** The peer's address; IPv4 as itself, also on a dual-stack listener. */
  get remoteAddress(): string {
    const address = this.socket.remoteAddress ?? '';
    return address.startsWith('::ffff:') ? address.slice(7) : address;
  }

  /** The number of its file descriptor; -1 where it has none any more. */
  get descriptor(): number {
    // Undocumented; without it nothing is known, and nothing refused.
    return (this.socket as { _handle?: { fd?: number } })._handle?.fd ?? -1;
  }

  get remotePort(): number {
    return this.socket.remotePort ?? 0;
  }

  /** Whether the kernel has everything that was written. */
  get isFlushed(): boolean {
    return this.socket.writableLength === 0;
  }

  /** Whether both sides may still send. */
  get isOpen(): boolean {
    return !this.hasEnded && !this.isClosing;
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
   * Sends base[start,end), bytes that onBytes was called with, to another wire; returns as `write`.
   * Takes care of the buffer: bytes in a shared one are copied, an own one is lent until the other
   * wire is flushed.
   */
  forwardTo(other: Wire, base: Buffer, start: number, end: number): boolean {
    const bytes = base.subarray(start, end);
    if (base !== this.buffer.base) return other.write(Buffer.from(bytes));
    if (this.buffer === sharedBuffer) {
      // More may follow: the reads to come land in a buffer of its own.
      this.nextBuffer ??= takeBuffer();
      return other.write(Buffer.from(bytes));
    }
    const isTaken = other.write(bytes);
    if (!isTaken && this.nextBuffer === null) {
      // One buffer is remembered for reuse; a further one is left to the garbage collector.
      if (other.borrowed === null) other.borrowed = this.buffer;
      this.nextBuffer = takeBuffer();
    }
    return isTaken;
  }

  /** The wire has done with streaming: its reads land in the shared buffer again. */
  shareBuffer(): void {
    this.wantsShared = this.buffer !== sharedBuffer || this.nextBuffer !== null;
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
    this.isClosing = true;
    this.socket.end();
  }

  /** Closes both sides now; what the kernel did not take yet is lost. */
  destroy(): void {
    this.isClosing = true;
    this.socket.destroy();
  }

  /** Closes with RST: the peer sees that what it got is not complete. */
  reset(): void {
    this.isClosing = true;
    // A unix socket has no RST, and Node throws when it is asked for one.
    if (this.socket.remotePort === undefined && !this.socket.connecting) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  /** For this module: `count` bytes lie in the read buffer. Returns false to stop reading. */
  deliver(count: number): boolean {
    try {
      this.handler.onBytes(this.buffer.base, HEADROOM, HEADROOM + count);
    } catch (error) {
      this.broken(error);
    }
    return !this.isPaused;
  }

  /** For this module: the peer will send no more. */
  ended(): void {
    this.hasEnded = true;
    try {
      this.handler.onEnd();
    } catch (error) {
      this.broken(error);
    }
  }

  /** For this module: a handler has thrown. */
  broken(error: unknown): void {
    if (this.handler.onBug === undefined) throw error;
    this.handler.onBug(error);
  }

  /** For this module, right after a read: where the next one shall land; null where it stays. */
  changeView(): Buffer | null {
    const { buffer, nextBuffer } = this;
    if (!this.wantsShared && nextBuffer === null) return null;
    this.nextBuffer = null;
    if (!this.wantsShared) {
      this.buffer = nextBuffer!;
      return nextBuffer!.view;
    }
    this.wantsShared = false;
    this.buffer = sharedBuffer;
    giveBuffer(nextBuffer ?? buffer);
    return sharedBuffer.view;
  }

  /** For this module: where the next read lands. */
  get view(): Buffer {
    return this.buffer.view;
  }

  /** For this module: the socket is gone, and its buffers are free. */
  closed(error: NodeJS.ErrnoException | null): void {
    this.isClosing = true;
    this.giveBack();
    giveBuffer(this.nextBuffer ?? this.buffer);
    this.nextBuffer = null;
    this.buffer = sharedBuffer;
    try {
      this.handler.onClose(error);
    } catch (bug) {
      this.broken(bug);
    }
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
      try {
        this.handler.onDrain();
      } catch (error) {
        this.broken(error);
      }
    };
    this.socket.write(NOTHING, this.flushed);
  }

  private giveBack(): void {
    if (this.borrowed === null) return;
    giveBuffer(this.borrowed);
    this.borrowed = null;
  }
}

const noHandler: WireHandler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };

// Listener functions: `this` is the socket, so that no connection needs functions of its own.

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
const lastErrors = new WeakMap<WiredSocket, NodeJS.ErrnoException>();

function attach(socket: WiredSocket): void {
  socket.on('end', onSocketEnd);
  socket.on('error', onSocketError);
  socket.on('close', onSocketClose);
}

// Node asks for a read buffer when a socket is made and after each read, without saying for which
// socket. It asks at once, so two variables tell, and no socket needs a function of its own.

/** The wire whose bytes were delivered last; null while a socket is being made. */
let lastRead: Wire | null = null;
/** Where the first read of the socket that is being made shall land. */
let firstView: Buffer = NOTHING;

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

const onread = {
  buffer: nextView,
  callback: onSocketRead as (count: number) => boolean,
};

export interface WireTarget {
  readonly address: string;
  readonly port: number;
}

/** Opens a connection; `handler` gets onConnect, or onClose with the error. */
export function connectWire(
  target: WireTarget,
  handler: ConnectHandler,
  readBuffer: 'own' | 'shared',
): Wire {
  const buffer = readBuffer === 'own' ? takeBuffer() : sharedBuffer;
  lastRead = null;
  firstView = buffer.view;
  const socket: WiredSocket = netConnect({
    host: target.address,
    port: target.port,
    noDelay: true,
    allowHalfOpen: true,
    autoSelectFamily: false,
    onread,
  });
  const wire = new Wire(socket, buffer, 0);
  wire.handler = handler;
  attach(socket);
  socket.once('connect', onSocketConnect);
  return wire;
}

function onSocketConnect(this: WiredSocket): void {
  const wire = this.wire!;
  try {
    // Attached by connectWire alone, whose handler has it.
    (wire.handler as ConnectHandler).onConnect();
  } catch (error) {
    wire.broken(error);
  }
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
  /** Resolves when it accepts no more: those who wait come in first. Open connections go on. */
  close(): Promise<void>;
}

/** Opens a listener. Rejects with the system's error (EADDRINUSE, EACCES, ...). */
export async function listenWires(options: ListenOptions): Promise<WireServer> {
  const isFast = options.isFast ?? (await canAcceptFast());
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
      const accepting = { port, readBuffer: options.readBuffer, onWire };
      if (isFast) acceptHandles(server, accepting);
      else acceptSockets(server, accepting);
      resolve({ port, close: () => closeEmptied(server, () => accepted) });
    });
  });
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
  return new Promise((resolve) => {
    const look = (): void => {
      const now = accepted();
      if (now === before || performance.now() > until) {
        server.close();
        resolve();
        return;
      }
      before = now;
      setImmediate(look);
    };
    look();
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

interface Accepting extends Pick<ListenOptions, 'onWire' | 'readBuffer'> {
  readonly port: number;
}

/** The public way: data events, each with a buffer of Node's. */
function acceptSockets(server: Server, { port, readBuffer, onWire }: Accepting): void {
  server.on('connection', (socket: WiredSocket) => {
    const wire = new Wire(socket, readBuffer === 'own' ? takeBuffer() : sharedBuffer, port);
    attach(socket);
    socket.on('data', onSocketData);
    onWire(wire);
  });
}

function onSocketData(this: WiredSocket, bytes: Buffer): void {
  const wire = this.wire!;
  // Reads of Node's are at most 64 KiB, as large as the smaller of our buffers.
  bytes.copy(wire.view);
  wire.deliver(bytes.length);
  wire.changeView();
}

// The fast way: Node's server hands the accepted handle to a function that we put in its place,
// and the socket is made with `onread`, which net.connect has in public and a server has not.
// canAcceptFast tries it; where Node has changed, the public way is taken.

interface AcceptingHandle {
  onconnection: ((status: number, handle: unknown) => void) | undefined;
  setNoDelay?(isOn: boolean): number;
}

const acceptedOnread = { buffer: nextViewOrNull, callback: onSocketRead };

function acceptHandles(server: Server, { port, readBuffer, onWire }: Accepting): void {
  // Undocumented, see above.
  const listening = (server as unknown as { _handle: AcceptingHandle })._handle;
  // Accepted sockets inherit it: one system call less for each. A unix socket has no such option.
  listening.setNoDelay?.(true);
  listening.onconnection = (status, handle) => {
    if (status !== 0 || !handle) return;
    const buffer = readBuffer === 'own' ? takeBuffer() : sharedBuffer;
    lastRead = null;
    firstView = buffer.view;
    const options = { handle, allowHalfOpen: true, onread: acceptedOnread };
    // The option `handle` is undocumented, see above.
    const known = options as unknown as ConstructorParameters<typeof Socket>[0];
    const socket: WiredSocket = new Socket(known);
    const wire = new Wire(socket, buffer, port);
    attach(socket);
    onWire(wire);
  };
}

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
      const port = portOf(server);
      acceptHandles(server, { port, readBuffer: 'shared', onWire });
      client.connect(port, '127.0.0.1', () => client.write('ping'));
      client.on('data', () => {});
      client.on('error', finish);
    });
    server.on('error', finish);
  });
}
