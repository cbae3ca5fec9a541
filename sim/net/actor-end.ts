// The end of a connection at which an actor sits: a client or an endpoint, not the product.
import { bothOf } from '../kernel/bytes.ts';
import { Fifo } from '../kernel/fifo.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { TcpEnd, TcpOwner } from './tcp.ts';

/** One per connection, set by the actor. */
export interface ActorHandler {
  /** It has connected; actors that accept don't get this. */
  onOpen?(): void;
  /** Connecting failed: ECONNREFUSED or ETIMEDOUT. Last. */
  onRefused?(code: string): void;
  /** The bytes are the actor's. */
  onBytes(bytes: Buffer): void;
  /** The peer will send no more. */
  onEnd(): void;
  /** The connection is gone by the peer's reset. Last. */
  onReset(): void;
  /** With TLS: the peer has ended it without close_notify; onReset follows. */
  onTruncated?(): void;
  /** Everything that was written is with the system. */
  onRoom?(): void;
}

export class ActorEnd implements TcpOwner {
  handler: ActorHandler;
  /** The actor has closed it, or it was reset or refused. */
  isClosed = false;
  /** Goes in front of what is written first, in one piece with it. */
  lead: Buffer | null = null;
  private readonly kernel: Kernel;
  private readonly tcp: TcpEnd;
  /** What was not sent of the write that is under way; null: there is none. */
  private rest: Buffer | null = null;
  /** Writes behind it. */
  private readonly waiting = new Fifo<Buffer>();
  private isPaused = false;
  private isEnding = false;
  private hasTellEnd = false;

  constructor(kernel: Kernel, tcp: TcpEnd, handler: ActorHandler) {
    this.kernel = kernel;
    this.tcp = tcp;
    this.handler = handler;
    tcp.owner = this;
  }

  get isFlushed(): boolean {
    return this.rest === null;
  }

  protected get nowMs(): number {
    return this.kernel.nowMs;
  }

  /**
   * Sends bytes, by and by if there is no room; they must never be changed. Returns whether the system
   * took all of them.
   */
  write(bytes: Buffer): boolean {
    return this.writeRaw(bytes);
  }

  /** As `write`, below whatever encrypts. */
  writeRaw(bytes: Buffer): boolean {
    if (this.isClosed || this.isEnding) return false;
    const { lead } = this;
    this.lead = null;
    const all = lead === null ? bytes : bothOf(lead, bytes);
    if (this.rest !== null) this.waiting.push(all);
    else {
      this.rest = all;
      this.flush();
    }
    return this.isFlushed;
  }

  /** Sends FIN after what was written; reads on. */
  end(): void {
    if (this.isClosed || this.isEnding) return;
    this.isEnding = true;
    if (this.isFlushed) this.tcp.shutdown();
  }

  /** Closes both directions now; what was not sent is lost. */
  close(): void {
    this.isClosed = true;
    this.tcp.close();
  }

  reset(): void {
    this.isClosed = true;
    this.tcp.abort();
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.kernel.after(0, () => this.onReadable());
  }

  onReadable(): void {
    if (this.isClosed || this.isPaused) return;
    if (this.tcp.readable > 0) {
      this.took(this.tcp.receiveAll());
      if (this.isClosed || this.isPaused) return;
    }
    if (this.tcp.isReset) this.wasReset();
    else if (this.tcp.hasFin && !this.hasTellEnd) {
      this.hasTellEnd = true;
      this.ended();
    }
  }

  onWritable(): void {
    if (this.isClosed || this.rest === null) return;
    this.flush();
    if (!this.isClosed && this.isFlushed) this.handler.onRoom?.();
  }

  private flush(): void {
    while (this.rest !== null) {
      const bytes: Buffer = this.rest;
      const sent = this.tcp.sendShared(bytes);
      // A paused actor that writes finds the reset by that.
      if (sent < 0) return this.kernel.tick(() => this.wasReset());
      if (sent < bytes.length) {
        this.rest = bytes.subarray(sent);
        return;
      }
      this.rest = this.waiting.shift() ?? null;
    }
    if (this.isEnding) this.tcp.shutdown();
  }

  private wasReset(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.rest = null;
    this.waiting.clear();
    this.tcp.close();
    this.lost();
  }

  // What has come, for those who decrypt it first

  /** For the network: it has connected. */
  opened(): void {
    this.handler.onOpen?.();
  }

  protected took(bytes: Buffer): void {
    this.handler.onBytes(bytes);
  }

  protected ended(): void {
    this.handler.onEnd();
  }

  protected lost(): void {
    this.handler.onReset();
  }

  /** For the network: there is no connection. */
  refused(code: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.handler.onRefused?.(code);
  }
}
