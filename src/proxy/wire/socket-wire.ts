// How a connection is read and written, over a socket that is Node's or one that acts like it. The
// rest of the data plane sees bytes arriving and writes taken. Two things make it cheap: reads land
// in static buffers (no allocation per read), and a write that the kernel takes whole leaves its
// bytes free at once. HTTP wires share one read buffer, which stays in the processor's cache and
// makes idle connections cost little; a wire that streams gets its own, so that its bytes are
// relayed without a copy.
// Invariant: bytes handed to `onBytes` are valid until it returns; a buffer that an unfinished
// write still refers to is never read into.
import type { KeepAlive } from '../../model/service.ts';
import type { ConnectHandler, TlsFacts, Wire, WireHandler } from '../network.ts';
import type { ProxiedPeer, ProxyPeer } from '../proxy-protocol/proxy-header.ts';
import { COPY_BYTES_MAX } from './copies.ts';
import { HEADROOM, type ReadBuffer, type ReadBuffers } from './read-buffers.ts';

/**
 * What a wire needs of its socket: this much of Node's `net.Socket`, which is the one in
 * production. The door lies here, below the lending of buffers, so that a simulated socket runs
 * all of the code above it; and it costs nothing, since Node's class fits it as it is.
 */
export interface SocketDoor {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly connecting: boolean;
  readonly destroyed: boolean;
  /** Bytes that the kernel did not take yet. */
  readonly writableLength: number;
  /** `flushed` is called, never from within, when the kernel has these bytes or the socket died. */
  write(bytes: Buffer, flushed?: () => void): boolean;
  setKeepAlive(isOn: boolean, idleMs: number, intervalMs: number, count: number): unknown;
  pause(): unknown;
  resume(): unknown;
  end(): unknown;
  destroy(): unknown;
  /** Sends RST; not asked for while it is connecting. */
  resetAndDestroy(): unknown;
}

const NOTHING = Buffer.alloc(0);
/** Reads that are smaller are copied: that is cheaper than a buffer of their own, and takes no memory. */
const STREAMED_BYTES = COPY_BYTES_MAX;

export class SocketWire implements Wire {
  /** Who gets the events; replaced when the connection changes hands. */
  handler: WireHandler;
  /** The port that the client came in by; 0 for a unix socket, and on the upstream side. */
  readonly localPort: number;
  /** A PROXY protocol header was read. */
  isIntroduced = false;
  /** The client, where that header names one. */
  private client: ProxiedPeer | null = null;
  protected readonly socket: SocketDoor;
  protected readonly buffers: ReadBuffers;
  /** What it reads into while it does not stream; others do as well. */
  private readonly shared: ReadBuffer;
  /** What Node reads into: the shared one, or a buffer of its own. */
  protected buffer: ReadBuffer;
  /** What it shall read into after this read; an own `buffer` is then lent to another wire. */
  private nextBuffer: ReadBuffer | null = null;
  /** The buffer of its own goes back as soon as Node does not read into it any more. */
  private wantsShared = false;
  /** Another wire's buffer, which an unfinished write of ours refers to. */
  private borrowed: ReadBuffer | null = null;
  protected isPaused = false;
  protected hasEnded = false;
  protected isClosing = false;
  private isAwaitingFlush = false;
  private flushed: (() => void) | null = null;

  /** The first read lands in `shared`, which is of `buffers`. */
  constructor(
    socket: SocketDoor,
    buffers: ReadBuffers,
    localPort: number,
    shared = buffers.shared,
  ) {
    this.socket = socket;
    this.buffers = buffers;
    this.shared = shared;
    this.buffer = shared;
    this.handler = noHandler;
    this.localPort = localPort;
  }

  /** The peer has said who the client is; null: nobody but itself. */
  introduce(client: ProxiedPeer | null): void {
    this.isIntroduced = true;
    this.client = client;
  }

  /** The peer's address; IPv4 as itself, also on a dual-stack listener. */
  get remoteAddress(): string {
    if (this.client !== null) return this.client.address;
    const address = this.socket.remoteAddress ?? '';
    return address.startsWith('::ffff:') ? address.slice(7) : address;
  }

  /** The number of its file descriptor; -1 where it has none any more. */
  get descriptor(): number {
    // Undocumented; without it nothing is known, and nothing refused.
    return (this.socket as { _handle?: { fd?: number } })._handle?.fd ?? -1;
  }

  /** Where the client has connected to; null where that is not known. */
  get destination(): ProxyPeer | null {
    if (this.client !== null) return this.client.destination;
    const { localAddress, localPort } = this.socket;
    if (localAddress === undefined || localPort === undefined) return null;
    const isMapped = localAddress.startsWith('::ffff:');
    return { address: isMapped ? localAddress.slice(7) : localAddress, port: localPort };
  }

  get remotePort(): number {
    return this.client?.port ?? this.socket.remotePort ?? 0;
  }

  get tls(): TlsFacts | null {
    return null;
  }

  get isHandshaking(): boolean {
    return false;
  }

  /** Whether the kernel has everything that was written. */
  get isFlushed(): boolean {
    return this.socket.writableLength === 0;
  }

  /** Whether both sides may still send. */
  get isOpen(): boolean {
    return !this.hasEnded && !this.isClosing;
  }

  get isCopying(): boolean {
    return false;
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
   * wire is flushed; neither, where that wire copies by itself.
   */
  forwardTo(other: Wire, base: Buffer, start: number, end: number): boolean {
    if (other.isCopying) return other.write(base.subarray(start, end));
    const isOwn = base === this.buffer.base;
    if (isOwn && this.buffer === this.shared) {
      if (end - start < STREAMED_BYTES) return this.sendCopy(other, base, start, end);
      return this.forwardShared(other, base.subarray(start, end));
    }
    const bytes = base.subarray(start, end);
    if (!isOwn) return other.write(Buffer.from(bytes));
    const isTaken = other.write(bytes);
    if (!isTaken && this.nextBuffer === null) {
      other.borrow(this.buffer);
      this.nextBuffer = this.buffers.take();
    }
    return isTaken;
  }

  /** More may follow so much: the reads to come land in a buffer of its own, which has the copy of these. */
  private forwardShared(other: Wire, bytes: Buffer): boolean {
    if (this.nextBuffer !== null) return other.write(Buffer.from(bytes));
    const own = this.buffers.take();
    bytes.copy(own.base);
    const isTaken = other.write(own.base.subarray(0, bytes.length));
    if (!isTaken) other.borrow(own);
    this.nextBuffer = isTaken ? own : this.buffers.take();
    return isTaken;
  }

  private sendCopy(other: Wire, base: Buffer, start: number, end: number): boolean {
    const { copies } = this.buffers;
    const isTaken = other.write(copies.take(base, start, end));
    if (!isTaken) copies.lend();
    return isTaken;
  }

  borrow(buffer: ReadBuffer): void {
    // One buffer is remembered for reuse; a further one is left to the garbage collector.
    this.borrowed ??= buffer;
  }

  /** The wire has done with streaming: its reads land in the shared buffer again. */
  shareBuffer(): void {
    this.wantsShared = this.buffer !== this.shared || this.nextBuffer !== null;
  }

  /** Four system calls: for connections that last. */
  keepAlive({ idleMs, intervalMs, count }: KeepAlive): void {
    if (!this.socket.destroyed) this.socket.setKeepAlive(true, idleMs, intervalMs, count);
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
    // A unix socket has no RST, and Node throws when it is asked for one. One that connects has sent
    // nothing, and Node would wait for the connection before it resets it.
    if (this.socket.remotePort === undefined || this.socket.connecting) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  /** For the socket's side: it has connected. */
  connected(): void {
    try {
      // Only wires of `connect` have a socket that connects, and their handler has it.
      (this.handler as ConnectHandler).onConnect();
    } catch (error) {
      this.broken(error);
    }
  }

  /** For the socket's side: `count` bytes lie in the read buffer. Returns false to stop reading. */
  deliver(count: number): boolean {
    try {
      this.handler.onBytes(this.buffer.base, HEADROOM, HEADROOM + count);
    } catch (error) {
      this.broken(error);
    }
    return !this.isPaused;
  }

  /** For the socket's side: the peer will send no more. */
  ended(): void {
    this.hasEnded = true;
    try {
      this.handler.onEnd();
    } catch (error) {
      this.broken(error);
    }
  }

  /** A handler has thrown. */
  protected broken(error: unknown): void {
    if (this.handler.onBug === undefined) throw error;
    this.handler.onBug(error);
  }

  /** For the socket's side, right after a read: where the next one shall land; null where it stays. */
  changeView(): Buffer | null {
    const { buffer, nextBuffer } = this;
    if (!this.wantsShared && nextBuffer === null) return null;
    this.nextBuffer = null;
    if (!this.wantsShared) {
      this.buffer = nextBuffer!;
      return nextBuffer!.view;
    }
    this.wantsShared = false;
    this.buffer = this.shared;
    this.buffers.give(nextBuffer ?? buffer);
    return this.shared.view;
  }

  /** For the socket's side: where the next read lands. */
  get view(): Buffer {
    return this.buffer.view;
  }

  /** For the socket's side: the socket is gone, and its buffers are free. */
  closed(error: NodeJS.ErrnoException | null): void {
    this.isClosing = true;
    this.giveBack();
    this.buffers.give(this.nextBuffer ?? this.buffer);
    this.nextBuffer = null;
    this.buffer = this.shared;
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
    // Not assigned as it is written: V8 would keep it, and the connection, until its next full collection.
    this.flushed ??= this.makeFlushed();
    this.socket.write(NOTHING, this.flushed);
  }

  private makeFlushed(): () => void {
    return () => {
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
  }

  protected giveBack(): void {
    if (this.borrowed === null) return;
    this.buffers.give(this.borrowed);
    this.borrowed = null;
  }
}

const noHandler: WireHandler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };
