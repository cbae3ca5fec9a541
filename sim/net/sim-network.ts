// The simulated network: who listens where, and how connections come about. The product's end of a
// connection is a SimSocket below the product's own wire; the other one is an ActorEnd.
import { formatListen } from '../../src/model/listener.ts';
import type {
  ConnectHandler,
  ListenOptions,
  Network,
  Wire,
  WireServer,
  WireTarget,
} from '../../src/proxy/network.ts';
import type { ProxiedPeer } from '../../src/proxy/proxy-header.ts';
import { readIntroduction } from '../../src/proxy/wire/accept-proxied.ts';
import { firstOfReserve } from '../../src/proxy/wire/descriptors.ts';
import { type ReadBuffer, ReadBuffers } from '../../src/proxy/wire/read-buffers.ts';
import { SocketWire } from '../../src/proxy/wire/socket-wire.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { ActorEnd, type ActorHandler } from './actor-end.ts';
import { Descriptors } from './descriptors.ts';
import { IntroSocket } from './intro-socket.ts';
import { SimSocket, type SocketAddress } from './sim-socket.ts';
import { TcpEnd } from './tcp.ts';
import { drawWeather, type Weather } from './weather.ts';

/** How long the system tries to connect to an address that never answers. */
const SYN_TIMEOUT_MS = 127_000;
const FIRST_FREE_PORT = 20_000;

/** What is told of the product's connections as they come and of what they send. */
export interface NetworkWatch {
  /** A worker has handed bytes to the system, for a port of 127.0.0.1. */
  onSent(worker: number, port: number, count: number): void;
  /** A connection has come in by `port`, and the product has looked at it; returns what its end is told to. */
  onAccepted(port: number, address: string, isOpen: () => boolean): () => void;
}

interface Accepted {
  readonly options: ListenOptions;
  readonly port: number;
  readonly end: TcpEnd;
  readonly from: SocketAddress | null;
  readonly descriptor: number;
}

/** Of a connection that began with a PROXY header. */
type Introduced = { readonly peer: ProxiedPeer | null; readonly rest: Buffer } | null;

/** What accepts the connections of an address: gets its end, and who connects. */
type Accept = (end: TcpEnd, from: SocketAddress) => void;

export interface NetworkOptions {
  /** Of each connection, by its own draws; any kind unless it is said. */
  readonly weatherOf?: (chance: Chance) => Weather;
  /** Descriptors that the product may have open. */
  readonly descriptors?: number;
  /** Where the product's reads land; plain ones unless it is said. */
  readonly buffers?: ReadBuffers;
}

export class SimNetwork implements Network {
  readonly descriptors: Descriptors;
  /** Connections that the product has begun to open, by port. */
  readonly connects = new Map<number, number>();
  /** Read buffers that a wire could not remember to give back: the garbage collector has them. */
  forfeited = 0;
  watch: NetworkWatch | null = null;
  private readonly kernel: Kernel;
  private readonly weatherOf: (chance: Chance) => Weather;
  private readonly buffers: ReadBuffers;
  /** By `host:port`, or the path of a unix socket. */
  private readonly listening = new Map<string, Accept[]>();
  /** Addresses that swallow every packet. */
  private readonly silent = new Set<string>();
  /** Connections made so far, by where they come from and lead to: names their draws. */
  private readonly counts = new Map<string, number>();
  private nextPort = FIRST_FREE_PORT;

  constructor(kernel: Kernel, options: NetworkOptions = {}) {
    this.kernel = kernel;
    this.buffers = options.buffers ?? new ReadBuffers();
    this.weatherOf = options.weatherOf ?? drawWeather;
    this.descriptors = new Descriptors(options.descriptors ?? 65_536);
  }

  // The product's side

  /** The network as one worker has it: what that sends is told with its number. */
  of(worker: number): Network {
    return {
      connect: (target, handler, introduction) =>
        this.connect(target, handler, introduction, worker),
      listen: (options) => this.listen(options),
      removeStaleSocket: () => this.removeStaleSocket(),
      isFromReserve: (descriptor) => this.isFromReserve(descriptor),
    };
  }

  connect(
    target: WireTarget,
    handler: ConnectHandler,
    introduction: Buffer | null = null,
    worker = 0,
  ): Wire {
    const { connects, descriptors, kernel } = this;
    connects.set(target.port, (connects.get(target.port) ?? 0) + 1);
    const socket = new SimSocket(kernel, descriptors, target, true);
    const wire = this.makeWire(socket, 0);
    socket.wire = wire;
    wire.handler = handler;
    socket.introduction = introduction;
    // Node opens the socket in the next tick.
    kernel.tick(() => {
      if (!socket.connecting) return;
      const descriptor = descriptors.take();
      if (descriptor < 0) socket.fail('EMFILE');
      else {
        socket.open(descriptor);
        this.reach(`product>${target.address}:${target.port}`, target, {
          isWanted: () => socket.connecting,
          opened: (end) => {
            end.onSent = (count) => this.watch?.onSent(worker, target.port, count);
            socket.connected(end);
          },
          refused: (code) => socket.fail(code),
        });
      }
    });
    return wire;
  }

  listen(options: ListenOptions): Promise<WireServer> {
    const { address } = options;
    const isUnix = address.kind === 'unix';
    const port = isUnix ? 0 : address.port || this.freePort();
    const key = isUnix ? address.path : formatListen({ ...address, port });
    const known = this.listening.get(key) ?? [];
    if (known.length > 0 && (isUnix || !options.reusePort)) {
      return Promise.reject(Object.assign(new Error(`EADDRINUSE ${key}`), { code: 'EADDRINUSE' }));
    }
    const accept: Accept = (end, from) => this.accept(options, port, end, isUnix ? null : from);
    this.listening.set(key, [...known, accept]);
    const close = (): Promise<void> => {
      this.leave(key, accept);
      return new Promise((resolve) => this.kernel.clock.nextTurn(resolve));
    };
    return new Promise((resolve) => {
      this.kernel.clock.nextTurn(() => resolve({ port, close }));
    });
  }

  private accept(
    options: ListenOptions,
    port: number,
    end: TcpEnd,
    from: SocketAddress | null,
  ): void {
    const { descriptors, kernel } = this;
    const proxy = options.proxy?.() ?? null;
    const descriptor = descriptors.take();
    // libuv keeps one descriptor back: with it, it accepts what it can't serve, and closes it.
    if (descriptor < 0) return end.close();
    const accepted = { options, port, end, from, descriptor };
    if (proxy === null || from === null || !proxy.isTrusted(from.address)) {
      return this.take(accepted, null);
    }
    const gone = (): void => descriptors.give(descriptor);
    const intro = new IntroSocket(kernel, end, from.address, gone);
    const done = ({ rest }: IntroSocket, peer: ProxiedPeer | null): void =>
      this.take(accepted, { peer, rest });
    readIntroduction(intro, proxy, done, kernel.clock);
  }

  private take({ options, port, end, from, descriptor }: Accepted, intro: Introduced): void {
    const { descriptors, kernel, watch } = this;
    const local = { address: '127.0.0.1', port };
    const socket = new SimSocket(kernel, descriptors, from, false, local);
    socket.open(descriptor);
    const wire = this.makeWire(socket, port);
    socket.wire = wire;
    if (intro !== null) {
      wire.introduce(intro.peer);
      socket.unshift(intro.rest);
    }
    socket.attach(end);
    options.onWire(wire);
    if (from === null || watch === null) return;
    socket.onClosed = watch.onAccepted(port, wire.remoteAddress, () => !socket.destroyed);
  }

  private makeWire(socket: SimSocket, port: number): SocketWire {
    const { buffers } = this;
    const forfeit = (): void => {
      this.forfeited += 1;
    };
    return new WatchedWire(socket, buffers, { port, forfeit });
  }

  removeStaleSocket(): Promise<boolean> {
    return Promise.resolve(false);
  }

  isFromReserve(descriptor: number): boolean {
    return descriptor >= firstOfReserve(this.descriptors.max);
  }

  // The actors' side

  /** An actor accepts connections on a port of 127.0.0.1; returns what makes it stop. */
  serve(port: number, onConnection: (end: ActorEnd) => void): () => void {
    const key = `127.0.0.1:${port}`;
    const accept: Accept = (tcp) => {
      onConnection(new ActorEnd(this.kernel, tcp, idleHandler));
    };
    this.listening.set(key, [...(this.listening.get(key) ?? []), accept]);
    return () => this.leave(key, accept);
  }

  /** Packets to this port of 127.0.0.1 are lost from now on, or not any more. */
  setSilent(port: number, isSilent: boolean): void {
    if (isSilent) this.silent.add(`127.0.0.1:${port}`);
    else this.silent.delete(`127.0.0.1:${port}`);
  }

  /**
   * An actor connects to a port of 127.0.0.1; it may write after onOpen. `name` is the actor's, `from` where it
   * is, 127.0.0.1 unless it is said.
   */
  dial(name: string, port: number, handler: ActorHandler, from?: SocketAddress): ActorEnd {
    const target = { address: '127.0.0.1', port };
    const tcp = this.makeEnd(`${name}>${port}`);
    const end = new ActorEnd(this.kernel, tcp, handler);
    this.reach(`${name}>${port}`, target, {
      tcp,
      ...(from === undefined ? {} : { from }),
      isWanted: () => !end.isClosed,
      opened: () => handler.onOpen?.(),
      refused: (code) => end.refused(code),
    });
    return end;
  }

  // Between them

  private reach(name: string, target: WireTarget, dialling: Dialling): void {
    const client = dialling.tcp ?? this.makeEnd(name);
    const key = `${target.address}:${target.port}`;
    if (this.silent.has(key)) {
      this.kernel.after(SYN_TIMEOUT_MS, () => dialling.refused('ETIMEDOUT'));
      return;
    }
    const { latencyMs } = client;
    this.kernel.after(latencyMs, () => {
      if (!dialling.isWanted()) return;
      const accepts = this.listening.get(key) ?? this.listening.get(`:${target.port}`);
      const openMs = this.kernel.nowMs + latencyMs;
      if (accepts === undefined) {
        this.kernel.at(openMs, () => dialling.refused('ECONNREFUSED'));
        return;
      }
      const server = this.makeEnd(`${name}/server`);
      TcpEnd.join(client, server, openMs);
      const free = this.freePort();
      const from = dialling.from ?? { address: '127.0.0.1', port: free };
      this.kernel.at(openMs, () => {
        if (dialling.isWanted()) dialling.opened(client);
        else client.close();
      });
      accepts[free % accepts.length]!(server, from);
    });
  }

  private makeEnd(name: string): TcpEnd {
    const count = (this.counts.get(name) ?? 0) + 1;
    this.counts.set(name, count);
    const chance = this.kernel.chance(`link ${name} ${count}`);
    return new TcpEnd(this.kernel, chance, this.weatherOf(chance));
  }

  private leave(key: string, accept: Accept): void {
    const left = (this.listening.get(key) ?? []).filter((other) => other !== accept);
    if (left.length > 0) this.listening.set(key, left);
    else this.listening.delete(key);
  }

  private freePort(): number {
    this.nextPort += 1;
    return this.nextPort;
  }

  /** Addresses on which somebody listens. */
  get listeningKeys(): string[] {
    return [...this.listening.keys()];
  }
}

interface WatchedWireOptions {
  readonly port: number;
  readonly forfeit: () => void;
}

/** The product's wire, which tells when it borrows a second buffer: that one is never given back. */
class WatchedWire extends SocketWire {
  private readonly forfeit: () => void;
  private hasBorrowed = false;

  constructor(socket: SimSocket, buffers: ReadBuffers, options: WatchedWireOptions) {
    super(socket, buffers, options.port);
    this.forfeit = options.forfeit;
  }

  override borrow(buffer: ReadBuffer): void {
    if (this.hasBorrowed && !this.isFlushed) this.forfeit();
    this.hasBorrowed = true;
    super.borrow(buffer);
  }
}

/** One attempt to connect. */
interface Dialling {
  /** The client's end, where it is made already. */
  readonly tcp?: TcpEnd;
  /** Who connects; any port of 127.0.0.1 unless it is said. */
  readonly from?: SocketAddress;
  /** False once who connects has given up. */
  readonly isWanted: () => boolean;
  readonly opened: (end: TcpEnd) => void;
  readonly refused: (code: string) => void;
}

const idleHandler: ActorHandler = { onBytes() {}, onEnd() {}, onReset() {} };
