// A socket that acts as Node's `net.Socket` does, as far as a wire can tell, over a simulated TCP
// connection. Where Node does something later (nextTick, a callback of libuv, the closing phase),
// so does this. The rules are those of Node's lib/net.js and lib/internal/streams.

import type { SocketDoor, SocketWire } from '../../src/proxy/wire/socket-wire.ts';
import { joined } from '../kernel/bytes.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { systemError } from '../kernel/system-error.ts';
import type { Descriptors } from './descriptors.ts';
import type { TcpEnd, TcpOwner } from './tcp.ts';

/** What bytes are overwritten with as soon as the product may not read them any more. */
const POISON = 0x7e;
const NOTHING = Buffer.alloc(0);

type Callbacks = readonly (() => void)[];

const NONE: Callbacks = [];

/** One write, or several that Node gathers behind an unfinished one. */
interface Writing {
  /** What the system did not take yet. */
  rest: Buffer;
  readonly length: number;
  readonly callbacks: Callbacks;
}

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

export class SimSocket implements SocketDoor, TcpOwner {
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  /** For the network: what the connection begins with. */
  introduction: Buffer | null = null;
  connecting: boolean;
  destroyed = false;
  writableLength = 0;
  /** As Node's: null once it is closed. */
  _handle: { readonly fd: number } | null = null;
  wire!: SocketWire;
  /** For the network: called when the product closes it. */
  onClosed: (() => void) | null = null;
  private readonly remote: SocketAddress | null;
  /** Who the peer is was asked while it was open: that is remembered. */
  private isPeerKnown = false;
  private readonly kernel: Kernel;
  private readonly descriptors: Descriptors;
  private end_: TcpEnd | null = null;
  private rest: Buffer = NOTHING;
  private writing: Writing | null = null;
  private buffered: { bytes: Buffer; flushed: (() => void) | undefined }[] = [];
  private isReading = true;
  private isEnding = false;
  private hasShutdown = false;
  private hasFinished = false;
  private hasEof = false;
  private hasEnded = false;
  private hasClosed = false;
  private resetsOnConnect = false;
  private error: NodeJS.ErrnoException | null = null;

  /** `remote` is null for a unix socket. */
  constructor(
    kernel: Kernel,
    descriptors: Descriptors,
    remote: SocketAddress | null,
    connecting: boolean,
    local: SocketAddress | null = null,
  ) {
    this.kernel = kernel;
    this.descriptors = descriptors;
    this.remote = remote;
    this.localAddress = local?.address;
    this.localPort = local?.port;
    this.connecting = connecting;
  }

  get remoteAddress(): string | undefined {
    return this.peer?.address;
  }

  get remotePort(): number | undefined {
    return this.peer?.port;
  }

  /** Once it is closed the system knows no peer any more. */
  private get peer(): SocketAddress | null {
    if (!this.destroyed) this.isPeerKnown = true;
    return this.isPeerKnown ? this.remote : null;
  }

  /** For the network: the socket has a descriptor. */
  open(descriptor: number): void {
    this._handle = { fd: descriptor };
  }

  /** For the network: the connection stands. */
  attach(end: TcpEnd): void {
    this.end_ = end;
    end.owner = this;
    if (this.rest.length > 0 || end.readable > 0 || end.hasFin || end.isReset) this.readLater();
  }

  /** For the network: connecting has succeeded. */
  connected(end: TcpEnd): void {
    this.connecting = false;
    this.end_ = end;
    end.owner = this;
    if (this.introduction !== null) this.wire.write(this.introduction);
    this.wire.connected();
    // Node's own listeners of 'connect' come after the wire's: first writes, the end, then the reset.
    if (this.writing !== null) this.advance();
    this.finishMaybe();
    if (this.resetsOnConnect) this.resetNow();
    this.readLater();
  }

  write(bytes: Buffer, flushed?: () => void): boolean {
    if (this.isEnding || this.destroyed) {
      if (flushed !== undefined) this.kernel.tick(flushed);
      if (!this.destroyed) this.fail('ERR_STREAM_WRITE_AFTER_END');
      return false;
    }
    this.writableLength += bytes.length;
    this.descriptors.noteBuffered(this.writableLength);
    if (this.writing !== null) this.buffered.push({ bytes, flushed });
    else this.begin(bytes, flushed === undefined ? NONE : [flushed]);
    return true;
  }

  private begin(bytes: Buffer, callbacks: Callbacks): void {
    const { length } = bytes;
    const sent = this.connecting ? 0 : this.end_!.send(bytes);
    if (sent < 0) {
      this.writableLength -= length;
      this.kernel.tick(() => {
        for (const callback of callbacks) callback();
        this.fail('EPIPE');
      });
    } else if (sent === length && !this.connecting) {
      this.writableLength -= length;
      for (const callback of callbacks) this.kernel.tick(callback);
    } else this.writing = { rest: sent === 0 ? bytes : bytes.subarray(sent), length, callbacks };
  }

  onWritable(): void {
    if (this.writing !== null && !this.connecting) this.advance();
  }

  /** Goes on with an unfinished write. */
  private advance(): void {
    const writing = this.writing!;
    if (this.destroyed) return;
    const sent = this.end_!.send(writing.rest);
    if (sent < 0) {
      this.fail('ECONNRESET');
      return;
    }
    writing.rest = writing.rest.subarray(sent);
    if (writing.rest.length > 0) return;
    this.writableLength -= writing.length;
    this.writing = null;
    // What came meanwhile is one write, whose callbacks come together.
    const { buffered } = this;
    this.buffered = [];
    if (buffered.length > 0) {
      const all = buffered.length === 1 ? buffered[0]!.bytes : concat(buffered);
      const callbacks: (() => void)[] = [];
      for (const { flushed } of buffered) if (flushed !== undefined) callbacks.push(flushed);
      this.begin(all, callbacks);
    }
    for (const callback of writing.callbacks) callback();
    this.finishMaybe();
  }

  setKeepAlive(): void {}

  pause(): void {
    this.isReading = false;
  }

  resume(): void {
    if (this.isReading) return;
    this.isReading = true;
    this.readLater();
  }

  end(): void {
    if (this.destroyed || this.isEnding) return;
    this.isEnding = true;
    this.finishMaybe();
  }

  private finishMaybe(): void {
    const isFlushed = this.writing === null && this.buffered.length === 0;
    if (!this.isEnding || !isFlushed || this.hasShutdown || this.connecting || this.destroyed)
      return;
    this.hasShutdown = true;
    this.end_!.shutdown();
    this.kernel.after(0, () => {
      this.hasFinished = true;
      this.destroyMaybe();
    });
  }

  /** Both sides have ended: Node closes by itself. */
  private destroyMaybe(): void {
    if (this.hasFinished && this.hasEnded) this.destroy();
  }

  private readLater(): void {
    this.kernel.after(0, () => this.onReadable());
  }

  onReadable(): void {
    while (this.mayRead() && (this.rest.length > 0 || this.end_!.readable > 0)) this.read();
    if (!this.mayRead() || this.hasEof) return;
    if (this.end_!.isReset) this.fail('ECONNRESET');
    else if (this.end_!.hasFin) {
      this.hasEof = true;
      this.kernel.tick(() => this.tellEnd());
    }
  }

  /** For the network: bytes that were read before, and are to be read again. */
  unshift(bytes: Buffer): void {
    this.rest = bytes;
  }

  private readRest(view: Buffer): number {
    const { rest } = this;
    const count = Math.min(rest.length, view.length);
    view.set(rest.subarray(0, count));
    this.rest = rest.subarray(count);
    return count;
  }

  private mayRead(): boolean {
    return this.isReading && !this.destroyed && !this.connecting;
  }

  private read(): void {
    const { wire } = this;
    const { view } = wire;
    const count = this.rest.length > 0 ? this.readRest(view) : this.end_!.receive(view);
    if (!wire.deliver(count)) this.isReading = false;
    // The view stays: nothing may refer to its bytes any more. Whoever does will read this.
    if (wire.changeView() === null) poison(view, count);
  }

  private tellEnd(): void {
    if (this.hasClosed || this.error !== null) return;
    this.hasEnded = true;
    this.wire.ended();
    this.destroyMaybe();
  }

  destroy(): void {
    this.close((end) => end.close());
  }

  resetAndDestroy(): void {
    if (this.connecting) this.resetsOnConnect = true;
    else this.resetNow();
  }

  private resetNow(): void {
    this.close((end) => end.abort());
  }

  /** An error of the system, which closes the socket. */
  fail(code: string): void {
    if (this.destroyed) return;
    this.error = systemError(code);
    this.destroy();
  }

  private close(leave: (end: TcpEnd) => void): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.connecting = false;
    this.onClosed?.();
    if (this.end_ !== null) leave(this.end_);
    if (this._handle !== null) this.descriptors.give(this._handle.fd);
    this._handle = null;
    const { buffered, writing } = this;
    this.buffered = [];
    for (const { flushed } of buffered) if (flushed !== undefined) this.kernel.tick(flushed);
    this.kernel.after(0, () => {
      for (const callback of writing?.callbacks ?? []) callback();
      this.hasClosed = true;
      this.wire.closed(this.error);
    });
  }
}

function poison(view: Buffer, count: number): void {
  // Buffer's own fill looks at its arguments for longer than it takes to fill a head.
  Uint8Array.prototype.fill.call(view, POISON, 0, count);
}

function concat(buffered: readonly { bytes: Buffer }[]): Buffer {
  return joined(buffered.map(({ bytes }) => bytes));
}
