// A connection over the system's handle, without a socket of Node's: that one is a stream with two
// buffers of its own, listeners and ticks, which cost a new connection more than the kernel does.
// States: connecting -> open -> destroyed. It closes by itself when both sides have said their end.
import { getSystemErrorMap } from 'node:util';
import type { SocketDoor, SocketWire } from './socket-wire.ts';
import {
  CONNECTION,
  type HandleRequest,
  type PeerName,
  type StreamHandle,
  type SystemHandles,
  type TcpHandle,
  type WriteRequest,
} from './system-handles.ts';

const errorNames = getSystemErrorMap();
const numberOf = (code: string) => [...errorNames].find(([, [name]]) => name === code)?.[0] ?? 0;
const EOF = numberOf('EOF');
const ENOTCONN = numberOf('ENOTCONN');
/** It is read already. */
export const EALREADY = numberOf('EALREADY');
/** `shutdown` had nothing to wait for. */
const DONE = 1;
/** Every path takes so much in one packet (RFC 9293 section 3.7.1), which waits for nothing. */
const SEGMENT_BYTES_MIN = 536;
const NOBODY: PeerName = {};

export class HandleSocket implements SocketDoor {
  /** Who gets the events; set before the first. */
  wire: SocketWire | null = null;
  connecting = false;
  destroyed = false;
  /** As Node's sockets name it. */
  readonly _handle: TcpHandle;
  /** What bytes go through: the same, or what encrypts them. */
  protected stream: StreamHandle;
  protected readonly system: SystemHandles;
  protected error: NodeJS.ErrnoException | null = null;
  /** The wire wants to be read to, and does not hold its peer back. */
  private wantsBytes = true;
  /** The peer has said its end. */
  protected hasEnded = false;
  /** Ours is to be said; it was said. */
  protected isEnding = false;
  protected isShut = false;
  /** Writes that the system did not take whole. */
  protected unfinished = 0;
  /** What is small leaves at once, though the peer has not confirmed what went before. */
  private isPrompt = true;
  private hasWritten = false;
  private flushed: (() => void) | null = null;
  private peer: PeerName | null = null;
  private own: PeerName | null = null;

  /** Over a connection that was accepted, or is going to be made; `view`: where its first read lands. */
  constructor(system: SystemHandles, handle: TcpHandle, view: Buffer) {
    this.system = system;
    this._handle = handle;
    this.stream = handle;
    this.readFrom(handle, view);
  }

  /** From now on bytes come from `stream`, into `view`. */
  protected readFrom(stream: StreamHandle, view: Buffer): void {
    this.stream = stream;
    stream.holder = this;
    stream.onread = onRead;
    stream.useUserBuffer(view);
  }

  /** `family`: 4 or 6, of the address. */
  connect(address: string, port: number, family: number): void {
    const request = new this.system.TCPConnectWrap();
    request.owner = this;
    request.oncomplete = onConnectDone;
    this.connecting = true;
    this.isPrompt = false;
    const { _handle: handle } = this;
    const problem =
      family === 6
        ? handle.connect6(request, address, port)
        : handle.connect(request, address, port);
    if (problem !== 0) this.fail(problem, 'connect');
    // The connection is told of before any bytes, and epoll is told what to look for but once.
    else this.start();
  }

  /** Begins to read, unless the wire holds its peer back. */
  start(): void {
    if (!this.wantsBytes || this.destroyed) return;
    const problem = this.stream.readStart();
    if (problem !== 0 && problem !== EALREADY) this.fail(problem, 'read');
  }

  get remoteAddress(): string | undefined {
    return this.remote.address;
  }

  get remotePort(): number | undefined {
    return this.remote.port;
  }

  get localAddress(): string | undefined {
    return this.local.address;
  }

  get localPort(): number | undefined {
    return this.local.port;
  }

  private get remote(): PeerName {
    if (this.peer === null && (this.destroyed || this.connecting)) return NOBODY;
    if (this.peer === null) {
      this.peer = {};
      this._handle.getpeername(this.peer);
    }
    return this.peer;
  }

  private get local(): PeerName {
    if (this.own === null && this.destroyed) return NOBODY;
    if (this.own === null) {
      this.own = {};
      this._handle.getsockname(this.own);
    }
    return this.own;
  }

  get writableLength(): number {
    return this.unfinished === 0 ? 0 : Math.max(1, this._handle.writeQueueSize);
  }

  write(bytes: Buffer, flushed?: () => void): boolean {
    if (flushed !== undefined) this.callWhenFlushed(flushed);
    if (bytes.length === 0 || this.destroyed) return this.unfinished === 0;
    if (!this.isPrompt) this.makePrompt(bytes.length);
    const { state, wasAsync } = this.system;
    const request = spareRequest(this.system);
    const problem = this.stream.writeBuffer(request, bytes);
    if (problem !== 0) {
      this.fail(problem, 'write');
      return false;
    }
    if (state[wasAsync] === 0) return this.unfinished === 0;
    spare = null;
    request.owner = this;
    request.bytes = bytes;
    this.unfinished += 1;
    return false;
  }

  /** A connection on which one small thing is sent is spared the system call. */
  private makePrompt(count: number): void {
    if (!this.hasWritten && count <= SEGMENT_BYTES_MIN) {
      this.hasWritten = true;
      return;
    }
    this.isPrompt = true;
    this._handle.setNoDelay(true);
  }

  private callWhenFlushed(flushed: () => void): void {
    if (this.unfinished === 0) void told.then(flushed);
    else this.flushed = flushed;
  }

  setKeepAlive(isOn: boolean, idleMs: number, intervalMs: number, count: number): void {
    const [idleS, intervalS] = [Math.trunc(idleMs / 1000), Math.trunc(intervalMs / 1000)];
    if (!this.destroyed) this._handle.setKeepAlive(isOn, idleS, intervalS, count);
  }

  pause(): void {
    this.wantsBytes = false;
    if (!this.destroyed) this.stream.readStop();
  }

  resume(): void {
    this.wantsBytes = true;
    if (!this.hasEnded) this.start();
  }

  end(): void {
    if (this.isEnding || this.destroyed) return;
    this.isEnding = true;
    // The peer waits for nothing but our end, and closing says that as well.
    if (this.hasEnded && this.unfinished === 0) this.destroy();
    else if (!this.connecting) this.shutdown();
  }

  /** `isTold`: `shut` follows once it is sent; otherwise now, since closing says the same. */
  protected shutdown(isTold = this.unfinished > 0): void {
    const request = new this.system.ShutdownWrap();
    if (isTold) {
      request.owner = this;
      request.oncomplete = onShutdownDone;
    }
    const result = this.stream.shutdown(request);
    if (result === DONE || result === ENOTCONN || (result === 0 && !isTold)) this.shut();
    else if (result !== 0) this.fail(result, 'shutdown');
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.connecting = false;
    this.close();
  }

  /** `closed` follows. */
  protected close(): void {
    this._handle.close();
    tellClosed(this);
  }

  resetAndDestroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    if (this._handle.reset(onClosed) !== 0) this._handle.close(onClosed);
  }

  protected fail(errno: number, syscall: string): void {
    if (this.destroyed) return;
    const code = errorNames.get(errno)?.[0] ?? String(errno);
    this.error = Object.assign(new Error(`${syscall} ${code}`), { code, errno, syscall });
    this.destroy();
  }

  /** For the handle: it has connected, or not. */
  connected(status: number): void {
    if (this.destroyed) return;
    this.connecting = false;
    if (status !== 0) {
      this.fail(status, 'connect');
      return;
    }
    this.wire!.connected();
    if (this.isEnding && !this.destroyed) this.shutdown();
  }

  /** For the handle: something came. Returns where the next read shall land, where that is elsewhere. */
  read(): Buffer | undefined {
    const { state, readCount } = this.system;
    const count = state[readCount]!;
    if (this.destroyed || count === 0) return undefined;
    if (count > 0) {
      this.wire!.deliver(count);
      return this.wire!.changeView() ?? undefined;
    }
    if (count === EOF) this.ended();
    else this.fail(count, 'read');
    return undefined;
  }

  /** The handle reads no more by itself. */
  protected ended(): void {
    this.hasEnded = true;
    this.wire!.ended();
    if (this.isShut) this.destroy();
  }

  /** For the handle: a write that had to wait was taken, or never will be. */
  wrote(status: number): void {
    this.unfinished -= 1;
    if (status < 0) this.fail(status, 'write');
    if (this.unfinished > 0) return;
    const { flushed } = this;
    this.flushed = null;
    flushed?.();
  }

  /** For the handle: our end was sent. */
  shut(): void {
    this.isShut = true;
    if (this.hasEnded) this.destroy();
  }

  /** For the handle: it is closed. */
  closed(): void {
    this.wire!.closed(this.error);
  }
}

const told = Promise.resolve();
let gone: HandleSocket[] = [];

/** Tells it that it is closed when what is going on is done: without a call by the handle. */
function tellClosed(socket: HandleSocket): void {
  if (gone.push(socket) === 1) void told.then(tellGone);
}

function tellGone(): void {
  const sockets = gone;
  gone = [];
  for (const socket of sockets) socket.closed();
}

/** Used by one write after the other, until one has to wait. */
let spare: WriteRequest | null = null;

function spareRequest({ WriteWrap }: SystemHandles): WriteRequest {
  if (spare === null) {
    spare = new WriteWrap();
    spare.oncomplete = onWriteDone;
  }
  return spare;
}

// Called by the system with the handle or the request as `this`: no connection has functions of its own.

const holderOf = (handle: StreamHandle) => handle.holder as HandleSocket;
const ownerOf = (request: HandleRequest) => request.owner as HandleSocket;

function onRead(this: StreamHandle): Buffer | undefined {
  return holderOf(this).read();
}

function onConnectDone(this: HandleRequest, status: number): void {
  ownerOf(this).connected(status);
}

/** `status`: 0, or an error of the system, negative. */
export function onWriteDone(this: WriteRequest, status: number): void {
  this.bytes = null;
  ownerOf(this).wrote(status);
}

function onShutdownDone(this: HandleRequest): void {
  ownerOf(this).shut();
}

export function onClosed(this: TcpHandle): void {
  holderOf(this).closed();
}

/** A handle of a connection that is going to be made; it takes no descriptor yet. */
export const newHandle = ({ TCP }: SystemHandles): TcpHandle => new TCP(CONNECTION);
