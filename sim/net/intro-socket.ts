// A connection before its PROXY header was read: a socket with the events of Node's `net.Socket`, as far as
// accept-proxied.ts uses them.
import type { IntroducedSocket } from '../../src/proxy/wire/accept-proxied.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { TcpEnd, TcpOwner } from './tcp.ts';

type EventName = 'data' | 'end' | 'error' | 'close';
type Listener = (...given: never[]) => void;

export class IntroSocket implements IntroducedSocket, TcpOwner {
  readonly remoteAddress: string;
  /** What was read and put back. */
  rest: Buffer = Buffer.alloc(0);
  readonly tcp: TcpEnd;
  private readonly kernel: Kernel;
  private readonly onGone: () => void;
  private readonly listeners = new Map<EventName, Set<Listener>>();
  private isFlowing = true;
  private isGone = false;
  private hasEnded = false;

  /** `onGone`: the connection is closed, and its descriptor free. */
  constructor(kernel: Kernel, tcp: TcpEnd, remoteAddress: string, onGone: () => void) {
    this.kernel = kernel;
    this.tcp = tcp;
    this.remoteAddress = remoteAddress;
    this.onGone = onGone;
    tcp.owner = this;
    kernel.after(0, () => this.onReadable());
  }

  on(event: EventName, listener: Listener): this {
    const known = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, known.add(listener));
    return this;
  }

  off(event: EventName, listener: Listener): this {
    this.listeners.get(event)?.delete(listener);
    return this;
  }

  private emit(event: EventName, ...given: never[]): void {
    for (const listener of [...(this.listeners.get(event) ?? [])]) listener(...given);
  }

  pause(): void {
    this.isFlowing = false;
  }

  unshift(bytes: Buffer): void {
    this.rest = bytes;
  }

  resetAndDestroy(): void {
    if (this.isGone) return;
    this.isGone = true;
    this.tcp.abort();
    this.onGone();
    this.kernel.after(0, () => this.emit('close'));
  }

  onReadable(): void {
    if (!this.isFlowing || this.isGone) return;
    if (this.tcp.readable > 0) {
      this.emit('data', this.tcp.receiveAll() as never);
      if (!this.isFlowing || this.isGone) return;
    }
    if (this.tcp.isReset) this.wasReset();
    else if (this.tcp.hasFin && !this.hasEnded) {
      this.hasEnded = true;
      this.kernel.tick(() => this.emit('end'));
    }
  }

  onWritable(): void {}

  private wasReset(): void {
    this.isGone = true;
    this.tcp.close();
    this.onGone();
    this.kernel.after(0, () => {
      this.emit('error', new Error('ECONNRESET') as never);
      this.emit('close');
    });
  }
}
