// A connection before there is a wire, for its PROXY header or its ClientHello is read first: a socket with
// the events of Node's `net.Socket`, as far as accept-proxied.ts, accept-peeked.ts and lobby.ts use them.
import type { RawSocket } from '../../src/proxy/wire/raw-socket.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { SimTcpHandle } from '../tls/sim-tcp-handle.ts';
import type { TcpEnd, TcpOwner } from './tcp.ts';

type EventName = 'data' | 'end' | 'error' | 'close';
type Listener = (...given: never[]) => void;
const NOTHING = Buffer.alloc(0);

export interface IntroParts {
  readonly tcp: TcpEnd;
  /** '' of a unix socket. */
  readonly remoteAddress: string;
  /** Of this connection, not attached yet; null where no TLS follows. */
  readonly handle: SimTcpHandle | null;
}

export class IntroSocket implements RawSocket, TcpOwner {
  readonly remoteAddress: string;
  /** What was read and put back. */
  rest: Buffer = NOTHING;
  readonly tcp: TcpEnd;
  private readonly kernel: Kernel;
  private readonly onGone: () => void;
  /** What it becomes where TLS follows. */
  private readonly handle: SimTcpHandle | null;
  private isDetached = false;
  private readonly listeners = new Map<EventName, Set<Listener>>();
  private isFlowing = true;
  private isGone = false;
  private hasEnded = false;

  /** `onGone`: the connection is closed, and its descriptor free. */
  constructor(kernel: Kernel, { tcp, remoteAddress, handle }: IntroParts, onGone: () => void) {
    this.kernel = kernel;
    this.tcp = tcp;
    this.remoteAddress = remoteAddress;
    this.handle = handle;
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

  get destroyed(): boolean {
    return this.isGone;
  }

  /** As Node's, which the lobby takes away from its socket. */
  get _handle(): SimTcpHandle | null {
    return this.isDetached || this.isGone ? null : this.handle;
  }

  set _handle(_: null) {
    this.detach();
  }

  /** The connection goes on over its handle alone. */
  detach(): SimTcpHandle {
    this.isDetached = true;
    this.handle!.attach(this.tcp);
    return this.handle!;
  }

  pause(): void {
    this.isFlowing = false;
  }

  resume(): void {
    if (this.isFlowing) return;
    this.isFlowing = true;
    this.kernel.after(0, () => this.onReadable());
  }

  destroy(): void {
    this.leave(() => this.tcp.close());
  }

  unshift(bytes: Buffer): void {
    this.rest = bytes;
  }

  resetAndDestroy(): void {
    this.leave(() => this.tcp.abort());
  }

  private leave(how: () => void): void {
    if (this.isGone || this.isDetached) return;
    this.isGone = true;
    how();
    this.onGone();
    this.kernel.after(0, () => this.emit('close'));
  }

  onReadable(): void {
    if (!this.mayRead) return;
    if (this.rest.length > 0) {
      const { rest } = this;
      this.rest = NOTHING;
      this.emit('data', rest as never);
      if (!this.mayRead) return;
    }
    if (this.tcp.readable > 0) {
      this.emit('data', this.tcp.receiveAll() as never);
      if (!this.mayRead) return;
    }
    if (this.tcp.isReset) this.wasReset();
    else if (this.tcp.hasFin && !this.hasEnded) {
      this.hasEnded = true;
      this.kernel.tick(() => this.emit('end'));
    }
  }

  private get mayRead(): boolean {
    return this.isFlowing && !this.isGone && !this.isDetached;
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
