// A connection of TCP or to a unix socket as libuv's handle, as far as a CipherSocket and the lobby use one, over a simulated one.
// The rules are those of libuv's src/unix/stream.c.
import { getSystemErrorMap } from 'node:util';
import { assert } from '../../src/base/assert.ts';
import type {
  HandleRequest,
  PeerName,
  TcpHandle,
  WriteRequest,
} from '../../src/proxy/wire/system-handles.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Descriptors } from '../net/descriptors.ts';
import type { SocketAddress } from '../net/sim-socket.ts';
import type { TcpEnd, TcpOwner } from '../net/tcp.ts';

const numbers = new Map([...getSystemErrorMap()].map(([number, [name]]) => [name, number]));
export const errno = (name: string): number => numbers.get(name)!;
const EOF = errno('EOF');
const EALREADY = errno('EALREADY');
const ECANCELED = errno('ECANCELED');
const ECONNRESET = errno('ECONNRESET');
const EINVAL = errno('EINVAL');
const ENOTCONN = errno('ENOTCONN');
const EPIPE = errno('EPIPE');
/** The size of libuv's reads. */
const READ_BYTES = 64 * 1024;
/** `~`: of a buffer that was read from for too long. */
const SPENT = 0x7e;

/** What is above the connection, as a StreamListener of Node's. */
export interface StreamListener {
  onRead(bytes: Buffer): void;
  /** The end, or an error. */
  onReadError(status: number): void;
}

interface Writing {
  rest: Buffer;
  readonly done: (status: number) => void;
}

export interface HandleParts {
  readonly kernel: Kernel;
  readonly descriptors: Descriptors;
  /** Of the last read and write, as Node keeps them. */
  readonly state: Int32Array;
  readonly readCount: number;
  readonly wasAsync: number;
}

export interface HandleNames {
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
}

/** What handles of TCP and of unix sockets have in common. */
export class SimStreamHandle implements TcpOwner {
  /** -1 until it has one. */
  fd = -1;
  holder?: unknown;
  /** Of the lobby's, which is Node's. */
  reading = false;
  writeQueueSize = 0;
  /** Who has taken the stream over; null: it is `onread` that is told. */
  listener: StreamListener | null = null;
  /** For the network: called when it is closed. */
  onClose: (() => void) | null = null;
  isClosing = false;
  protected readonly parts: HandleParts;
  private end: TcpEnd | null = null;
  protected connecting: HandleRequest | null = null;
  private isReading = false;
  private view: Buffer | null = null;
  private queue: Writing[] = [];
  protected ending: HandleRequest | null = null;
  private hasShutdown = false;

  constructor(parts: HandleParts) {
    this.parts = parts;
  }

  /** For the network: the connection stands. */
  attach(end: TcpEnd): void {
    this.end = end;
    end.owner = this;
    if (this.isReading) this.readLater();
  }

  readStart(): number {
    if (this.isClosing) return EINVAL;
    if (this.end === null && this.connecting === null) return ENOTCONN;
    if (this.isReading) return EALREADY;
    this.isReading = true;
    if (this.end !== null) this.readLater();
    return 0;
  }

  readStop(): number {
    this.isReading = false;
    return 0;
  }

  private readLater(): void {
    this.parts.kernel.after(0, () => this.onReadable());
  }

  onReadable(): void {
    const { end } = this;
    while (this.isReading && end!.readable > 0) {
      // One read at a time: whoever stops in between leaves the rest to the system.
      if (this.listener === null) this.readInto(end!);
      else this.readAll(end!);
    }
    if (!this.isReading || this.isClosing) return;
    if (!end!.isReset && !end!.hasFin) return;
    this.isReading = false;
    const status = end!.isReset ? ECONNRESET : EOF;
    if (this.listener !== null) this.listener.onReadError(status);
    else this.tell(status);
  }

  private readAll(end: TcpEnd): void {
    const bytes = end.receiveAll();
    if (bytes.length <= READ_BYTES) return this.listener!.onRead(bytes);
    for (let at = 0; at < bytes.length && !this.isClosing; at += READ_BYTES)
      this.listener!.onRead(bytes.subarray(at, at + READ_BYTES));
  }

  /** Into the buffer of whoever reads, which is read into again when they have been told: or they have lent it. */
  private readInto(end: TcpEnd): void {
    const { view } = this;
    assert(view !== null && view.length > 0, 'who reads from a handle has given it a buffer');
    const count = end.receive(view.subarray(0, READ_BYTES));
    this.tell(count);
    if (this.view === view) view.fill(SPENT, 0, count);
  }

  private tell(count: number): void {
    const { state, readCount } = this.parts;
    state[readCount] = count;
    this.view = this.onread() ?? this.view;
  }

  /**
   * Hands bytes to the system, which copies what it takes at once: true. What is left waits for `done`. `isOwn`: nobody
   * will ever change them, and nothing is copied.
   */
  send(bytes: Buffer, done: (status: number) => void, isOwn = false): boolean | number {
    if (this.isClosing || this.hasShutdown) return EPIPE;
    let rest = bytes;
    if (this.queue.length === 0) {
      const sent = isOwn ? this.end!.sendShared(bytes) : this.end!.send(bytes);
      if (sent < 0) return EPIPE;
      if (sent === bytes.length) return true;
      rest = bytes.subarray(sent);
    }
    this.queue.push({ rest, done });
    this.writeQueueSize += rest.length;
    // What is encrypted is bounded by who encrypts it.
    if (this.listener === null) this.parts.descriptors.noteBuffered(this.writeQueueSize);
    return false;
  }

  onWritable(): void {
    while (this.queue.length > 0) {
      const first = this.queue[0]!;
      const sent = this.end!.send(first.rest);
      if (sent < 0) {
        this.failWrites(ECONNRESET);
        break;
      }
      this.writeQueueSize -= sent;
      first.rest = first.rest.subarray(sent);
      if (first.rest.length > 0) return;
      this.queue.shift();
      first.done(0);
      if (this.isClosing) return;
    }
    if (this.ending !== null && !this.isClosing) this.shutLater();
  }

  private failWrites(status: number): void {
    const { queue } = this;
    this.queue = [];
    this.writeQueueSize = 0;
    for (const { done } of queue) done(status);
  }

  shutdown(request: HandleRequest): number {
    if (this.isClosing || this.hasShutdown || this.ending !== null) return ENOTCONN;
    this.ending = request;
    if (this.queue.length === 0) this.shutLater();
    return 0;
  }

  private shutLater(): void {
    this.parts.kernel.after(0, () => {
      const { ending } = this;
      if (ending === null || this.queue.length > 0 || this.isClosing) return;
      this.ending = null;
      this.hasShutdown = true;
      this.end!.shutdown();
      ending.oncomplete.call(ending, 0);
    });
  }

  close(done: (this: TcpHandle) => void = () => {}): void {
    if (this.isClosing) throw new Error('a handle is closed twice');
    this.leave((end) => end.close(), done);
  }

  protected leave(how: (end: TcpEnd) => void, done: (this: TcpHandle) => void): void {
    const { descriptors, kernel } = this.parts;
    this.isClosing = true;
    this.isReading = false;
    this.onClose?.();
    if (this.fd >= 0) descriptors.give(this.fd);
    if (this.end !== null) how(this.end);
    kernel.after(0, () => {
      this.failWrites(ECANCELED);
      this.tellConnected(ECANCELED);
      const { ending } = this;
      this.ending = null;
      ending?.oncomplete.call(ending, ECANCELED);
      done.call(this as unknown as TcpHandle);
    });
  }

  setNoDelay(): number {
    return 0;
  }

  setKeepAlive(): number {
    return 0;
  }

  /** Replaced by who reads from it. */
  onread(): Buffer | undefined {
    return undefined;
  }

  useUserBuffer(view: Buffer): void {
    this.view = view;
  }

  /** What is encrypted goes by `send`. */
  writeBuffer(request: WriteRequest, bytes: Buffer): number {
    const { state, wasAsync } = this.parts;
    const result = this.send(bytes, (status) => request.oncomplete.call(request, status));
    if (typeof result === 'number') return result;
    state[wasAsync] = result ? 0 : 1;
    return 0;
  }

  /** Nobody asks for it. */
  writev(): number {
    return EINVAL;
  }

  protected tellConnected(status: number): void {
    const { connecting } = this;
    this.connecting = null;
    connecting?.oncomplete.call(connecting, status);
  }
}

/** Of a connection to a unix socket: it has no names, and no reset. */
export class SimPipeHandle extends SimStreamHandle {}

export class SimTcpHandle extends SimStreamHandle implements TcpHandle {
  private readonly names: HandleNames;

  constructor(parts: HandleParts, names: HandleNames) {
    super(parts);
    this.names = names;
  }

  reset(done: (this: TcpHandle) => void): number {
    if (this.ending !== null || this.isClosing) return EINVAL;
    this.leave((end) => end.abort(), done);
    return 0;
  }

  getpeername(out: PeerName): number {
    Object.assign(out, this.names.remote);
    return 0;
  }

  getsockname(out: PeerName): number {
    Object.assign(out, this.names.local);
    return 0;
  }

  // Connecting

  /** The network brings it about, and calls `opened` or `refused`. */
  connect(request: HandleRequest): number {
    this.connecting = request;
    return 0;
  }

  connect6(request: HandleRequest): number {
    return this.connect(request);
  }

  get isConnecting(): boolean {
    return this.connecting !== null && !this.isClosing;
  }

  opened(end: TcpEnd): void {
    this.attach(end);
    this.tellConnected(0);
  }

  refused(code: string): void {
    if (this.isConnecting) this.tellConnected(errno(code));
  }
}
