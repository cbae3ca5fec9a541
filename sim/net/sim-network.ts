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
import type { ProxiedPeer } from '../../src/proxy/proxy-protocol/proxy-header.ts';
import { readIntroduction } from '../../src/proxy/wire/accept-proxied.ts';
import { beginTls, takeSecure, waitForTls } from '../../src/proxy/wire/accept-secure.ts';
import type { TlsTarget } from '../../src/proxy/wire/connect-tls.ts';
import { firstOfReserve } from '../../src/proxy/wire/descriptors.ts';
import { HandleSocket } from '../../src/proxy/wire/handle-socket.ts';
import { Lobby } from '../../src/proxy/wire/lobby.ts';
import { type ReadBuffer, ReadBuffers } from '../../src/proxy/wire/read-buffers.ts';
import { type SocketDoor, SocketWire } from '../../src/proxy/wire/socket-wire.ts';
import { Chance, hashOfName } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { SimPipeHandle, SimTcpHandle } from '../tls/sim-tcp-handle.ts';
import { SimTls } from '../tls/sim-tls.ts';
import { type ActorTls, TlsEnd } from '../tls/tls-end.ts';
import { ActorEnd, type ActorHandler } from './actor-end.ts';
import { Backlog } from './backlog.ts';
import { Descriptors } from './descriptors.ts';
import { IntroSocket } from './intro-socket.ts';
import { SimSocket, type SocketAddress } from './sim-socket.ts';
import { TcpEnd } from './tcp.ts';
import { drawWeather, type Weather } from './weather.ts';

/** How long the system tries to connect to an address that never answers. */
const SYN_TIMEOUT_MS = 127_000;
const FIRST_FREE_PORT = 20_000;
const LOOPBACK = '127.0.0.1';

/** What is told of the product's connections as they come and of what they send. */
export interface NetworkWatch {
  /** A worker has handed bytes to the system, for a port of 127.0.0.1. */
  onSent(worker: number, port: number, count: number): void;
  /** A connection has come in by `port`, and the product has looked at it; returns what its end is told to. */
  onAccepted(port: number, address: string, isOpen: () => boolean): () => void;
}

interface Accepted {
  readonly listening: Listening;
  readonly end: TcpEnd;
  /** Null: by a unix socket. */
  readonly from: SocketAddress | null;
  readonly descriptor: number;
}

/** One listener of a worker. */
interface Listening {
  readonly options: ListenOptions;
  readonly port: number;
  readonly lobby: Lobby;
}

/** Of a connection that began with a PROXY header. */
type Introduced = { readonly peer: ProxiedPeer | null; readonly rest: Buffer } | null;

/** Makes an actor's end of the connection that it has got. */
export type MakeEnd = (tls: ActorTls | null) => ActorEnd;

/** What accepts the connections of an address: gets its end, and who connects. */
type Accept = (end: TcpEnd, from: SocketAddress) => void;

export interface NetworkOptions {
  /** Of each connection, by its own draws; any kind unless it is said. */
  readonly weatherOf?: (chance: Chance) => Weather;
  /** Descriptors that the product may have open. */
  readonly descriptors?: number;
  /** Where the product's reads land; plain ones unless it is said. */
  readonly buffers?: ReadBuffers;
  /** How long connections wait to be accepted together, ms; 0, and no waiting, unless it is said. */
  readonly acceptMs?: number;
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
  private readonly acceptMs: number;
  private readonly buffers: ReadBuffers;
  /** By `host:port`, or the path of a unix socket. */
  private readonly listening = new Map<string, Accept[]>();
  /** Addresses that swallow every packet. */
  private readonly silent = new Set<string>();
  /** Connections made so far, by where they come from and lead to: names their draws. */
  private readonly links = new Map<string, Link>();
  /** Of the other ends, by the same names. */
  private readonly serverLinks = new Map<string, Link>();
  readonly tls: SimTls;
  /** Of each worker. */
  private readonly lobbies = new Map<number, Lobby>();
  private nextPort = FIRST_FREE_PORT;

  constructor(kernel: Kernel, options: NetworkOptions = {}) {
    this.kernel = kernel;
    this.buffers = options.buffers ?? new ReadBuffers();
    this.weatherOf = options.weatherOf ?? drawWeather;
    this.acceptMs = options.acceptMs ?? 0;
    this.descriptors = new Descriptors(options.descriptors ?? 65_536);
    const { descriptors, buffers } = this;
    this.tls = new SimTls({ kernel, descriptors, buffers });
  }

  // The product's side

  /** The network as one worker has it: what that sends is told with its number. */
  of(worker: number): Network {
    return {
      connect: (target, handler, introduction) =>
        this.connect(target, handler, introduction, worker),
      listen: (options) => this.listen(options, worker),
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
    if (target.tls) {
      const known = { ...target, tls: target.tls };
      return this.connectTls(known, handler, { introduction, worker });
    }
    const socket = new SimSocket(kernel, descriptors, target, true);
    const wire = this.makeWire(socket, 0, this.buffers.answers);
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
        this.reach(linkTo(target), target, {
          isWanted: () => socket.connecting,
          opened: (end) => {
            end.onSent = this.tellSent(worker, target.port);
            socket.connected(end);
          },
          refused: (code) => socket.fail(code),
        });
      }
    });
    return wire;
  }

  private connectTls(
    target: TlsTarget,
    handler: ConnectHandler,
    { introduction, worker }: { introduction: Buffer | null; worker: number },
  ): Wire {
    const { descriptors, kernel } = this;
    const { wire, handle } = this.tls.client(target, handler, introduction);
    kernel.tick(() => {
      if (!handle.isConnecting) return;
      const descriptor = descriptors.take();
      if (descriptor < 0) return handle.refused('EMFILE');
      handle.fd = descriptor;
      this.reach(linkTo(target), target, {
        isWanted: () => handle.isConnecting,
        opened: (end) => {
          end.onSent = this.tellSent(worker, target.port);
          handle.opened(end);
        },
        refused: (code) => handle.refused(code),
      });
    });
    return wire;
  }

  private tellSent(worker: number, port: number): (count: number) => void {
    return (count) => this.watch?.onSent(worker, port, count);
  }

  /** The lobby of a worker: how many handshakes it has at a time. */
  private lobbyOf(worker: number): Lobby {
    const known = this.lobbies.get(worker) ?? new Lobby({ clock: this.kernel.clock });
    this.lobbies.set(worker, known);
    return known;
  }

  listen(options: ListenOptions, worker = 0): Promise<WireServer> {
    const { address } = options;
    const isUnix = address.kind === 'unix';
    const port = isUnix ? 0 : address.port || this.freePort();
    const key = isUnix ? address.path : formatListen({ ...address, port });
    const known = this.listening.get(key) ?? [];
    if (known.length > 0 && (isUnix || !options.reusePort)) {
      return Promise.reject(Object.assign(new Error(`EADDRINUSE ${key}`), { code: 'EADDRINUSE' }));
    }
    const listening = { options, port, lobby: this.lobbyOf(worker) };
    const backlog = new Backlog(this.kernel, this.acceptMs);
    const accept: Accept = (end, from) =>
      backlog.add(() => this.accept(listening, end, isUnix ? null : from));
    this.listening.set(key, [...known, accept]);
    const close = async (): Promise<void> => {
      this.leave(key, accept);
      await new Promise<void>((resolve) => this.kernel.clock.nextTurn(resolve));
      // Who waits is accepted before the listener closes.
      backlog.take();
    };
    return new Promise((resolve) => {
      this.kernel.clock.nextTurn(() => resolve({ port, close }));
    });
  }

  private accept(listening: Listening, end: TcpEnd, from: SocketAddress | null): void {
    const { descriptors, kernel } = this;
    const { options } = listening;
    const proxy = options.proxy?.() ?? null;
    const descriptor = descriptors.take();
    // libuv keeps one descriptor back: with it, it accepts what it can't serve, and closes it.
    if (descriptor < 0) return end.close();
    const accepted = { listening, end, from, descriptor };
    const isSecure = (options.tls?.() ?? null) !== null;
    if (proxy === null || !proxy.isTrusted(from?.address ?? '')) {
      if (isSecure) this.takeTls(accepted, from);
      else this.take(accepted, null);
      return;
    }
    const handle = isSecure ? this.makeHandle(accepted, from) : null;
    const intro = this.rawSocket(accepted, { from, handle });
    const done = (raw: IntroSocket, peer: ProxiedPeer | null): void => {
      if (handle === null) this.take(accepted, { peer, rest: raw.rest });
      else takeSecure(raw, this.securing(accepted, { handle, from }), { peer });
    };
    readIntroduction(intro, proxy, done, kernel.clock);
  }

  /** As the product's acceptHandles. */
  private takeTls(accepted: Accepted, from: SocketAddress | null): void {
    const { options, lobby } = accepted.listening;
    const system = this.tls.parts.system!;
    const handle = this.makeHandle(accepted, from);
    const securing = this.securing(accepted, { handle, from });
    const isSocket = from === null ? !lobby.hasRoom : !isBare(from);
    if ((options.peek?.() ?? null) !== null || isSocket) {
      takeSecure(this.rawSocket(accepted, { from, handle }), securing, null);
      return;
    }
    handle.attach(accepted.end);
    if (!lobby.hasRoom) waitForTls(handle, securing, { tls: options.tls!()!, system });
    else if (!beginTls({ handle }, securing, null)) handle.close();
  }

  private makeHandle(
    { listening, descriptor }: Accepted,
    remote: SocketAddress | null,
  ): SimTcpHandle {
    const local = { address: '127.0.0.1', port: listening.port };
    const { cipher } = this.tls;
    // Typed as TCP all the same, as what the product accepts is: it asks each whether it is that.
    const handle =
      remote === null
        ? (new SimPipeHandle(cipher) as unknown as SimTcpHandle)
        : new SimTcpHandle(cipher, { remote, local });
    handle.fd = descriptor;
    return handle;
  }

  private rawSocket(
    { end, descriptor }: Accepted,
    { from, handle }: { from: SocketAddress | null; handle: SimTcpHandle | null },
  ): IntroSocket {
    const { kernel, descriptors } = this;
    const gone = (): void => descriptors.give(descriptor);
    return new IntroSocket(kernel, { tcp: end, remoteAddress: from?.address ?? '', handle }, gone);
  }

  private securing(
    { listening }: Accepted,
    { handle, from }: { handle: SimTcpHandle; from: SocketAddress | null },
  ) {
    const { buffers } = this;
    const { options, port, lobby } = listening;
    const onWire = (wire: Wire): void => {
      options.onWire(wire);
      if (from === null) return;
      const isOpen = (): boolean => !handle.isClosing;
      const onClose = this.watch?.onAccepted(port, sourceOf(wire, from), isOpen) ?? null;
      if (isOpen()) handle.onClose = onClose;
    };
    return { ...options, port, buffers, lobby, onWire, parts: this.tls.parts };
  }

  private take(accepted: Accepted, intro: Introduced): void {
    const { listening, end, from, descriptor } = accepted;
    const { descriptors, kernel, watch } = this;
    const { options, port } = listening;
    if (intro === null && from !== null && isBare(from)) return this.takeHandle(accepted, from);
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
    socket.onClosed = watch.onAccepted(port, sourceOf(wire, from), () => !socket.destroyed);
  }

  /** As the product's wireOf: a connection over the system's handle. */
  private takeHandle(accepted: Accepted, from: SocketAddress): void {
    const { buffers, watch } = this;
    const { options, port } = accepted.listening;
    const handle = this.makeHandle(accepted, from);
    const socket = new HandleSocket(this.tls.parts.system!, handle, buffers.shared.view);
    const wire = this.makeWire(socket, port);
    socket.wire = wire;
    handle.attach(accepted.end);
    socket.start();
    options.onWire(wire);
    const isOpen = (): boolean => !handle.isClosing;
    const onClose = watch?.onAccepted(port, from.address, isOpen) ?? null;
    if (isOpen()) handle.onClose = onClose;
  }

  private makeWire(socket: SocketDoor, port: number, shared = this.buffers.shared): SocketWire {
    const { buffers } = this;
    const forfeit = (): void => {
      this.forfeited += 1;
    };
    return new WatchedWire(socket, buffers, { port, shared, forfeit });
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
    return this.serveMade(port, (make) => onConnection(make(null)));
  }

  /** As `serve`; the actor makes its end, with TLS or not. */
  serveMade(port: number, onConnection: (make: MakeEnd) => void): () => void {
    const key = `127.0.0.1:${port}`;
    const { kernel } = this;
    const handler = idleHandler;
    const accept: Accept = (tcp) => {
      onConnection((tls) =>
        tls === null
          ? new ActorEnd(kernel, tcp, handler)
          : new TlsEnd(kernel, tcp, { handler, tls }),
      );
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
   * An actor connects to a port of 127.0.0.1, or to the unix socket that stands for it where nobody listens there; it
   * may write after onOpen. `name` is the actor's.
   */
  dial(name: string, port: number, handler: ActorHandler, dialling: DialOptions = {}): ActorEnd {
    const target = { address: '127.0.0.1', port };
    const { from, tls = null } = dialling;
    const link = `${name}>${port}`;
    const tcp = this.makeEnd(link);
    const { kernel } = this;
    const end =
      tls === null ? new ActorEnd(kernel, tcp, handler) : new TlsEnd(kernel, tcp, { handler, tls });
    this.reach(link, target, {
      tcp,
      from,
      isWanted: () => !end.isClosed,
      opened: () => end.opened(),
      refused: (code) => end.refused(code),
    });
    return end;
  }

  // Between them

  private reach(name: string, target: WireTarget, dialling: Dialling): void {
    const client = dialling.tcp ?? this.makeEnd(name);
    const key = placeOf(target);
    if (this.silent.has(key)) {
      this.kernel.after(SYN_TIMEOUT_MS, () => dialling.refused('ETIMEDOUT'));
      return;
    }
    const { latencyMs } = client;
    this.kernel.after(latencyMs, () => {
      if (!dialling.isWanted()) return;
      const accepts =
        this.listening.get(key) ??
        this.listening.get(`:${target.port}`) ??
        this.listening.get(unixPathOf(target.port));
      const openMs = this.kernel.nowMs + latencyMs;
      if (accepts === undefined) {
        this.kernel.at(openMs, () => dialling.refused('ECONNREFUSED'));
        return;
      }
      const server = this.makeEnd(name, '/server');
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

  /** `side`: added to the name, for the other end. */
  private makeEnd(name: string, side: '' | '/server' = ''): TcpEnd {
    const { kernel } = this;
    const links = side === '' ? this.links : this.serverLinks;
    let link = links.get(name);
    if (link === undefined) {
      link = { hash: hashOfName(kernel.seed, `link ${name}${side} `), count: 0 };
      links.set(name, link);
    }
    link.count += 1;
    const chance = new Chance(kernel.seed, `${link.count}`, link.hash);
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

/** The unix socket of what would have this port. */
export function unixPathOf(port: number): string {
  return `/run/${port}.sock`;
}

export interface DialOptions {
  /** Who connects; any port of 127.0.0.1 unless it is said. */
  readonly from?: SocketAddress | undefined;
  readonly tls?: ActorTls | null;
}

interface WatchedWireOptions {
  readonly port: number;
  readonly shared: ReadBuffer;
  readonly forfeit: () => void;
}

/** The product's wire, which tells when it borrows a second buffer: that one is never given back. */
class WatchedWire extends SocketWire {
  private readonly forfeit: () => void;
  private hasBorrowed = false;

  constructor(socket: SocketDoor, buffers: ReadBuffers, options: WatchedWireOptions) {
    super(socket, buffers, options.port, options.shared);
    this.forfeit = options.forfeit;
  }

  override borrow(buffer: ReadBuffer): void {
    if (this.hasBorrowed && !this.isFlushed) this.forfeit();
    this.hasBorrowed = true;
    super.borrow(buffer);
  }
}

/** `address:port`, and the product's links there: made once, for V8 looks up a text that is new among all that it knows. */
const places = new Map<number, string>();
const linksTo = new Map<number, string>();

function placeOf({ address, port }: WireTarget): string {
  if (address !== LOOPBACK) return `${address}:${port}`;
  const known = places.get(port) ?? `${LOOPBACK}:${port}`;
  places.set(port, known);
  return known;
}

function linkTo({ address, port }: WireTarget): string {
  if (address !== LOOPBACK) return `product>${address}:${port}`;
  const known = linksTo.get(port) ?? `product>${LOOPBACK}:${port}`;
  linksTo.set(port, known);
  return known;
}

/** What the draws of connections of one name begin with, and how many there were. */
interface Link {
  readonly hash: number;
  count: number;
}

/** One attempt to connect. */
interface Dialling {
  /** The client's end, where it is made already. */
  readonly tcp?: TcpEnd;
  /** Who connects; any port of 127.0.0.1 unless it is said. */
  readonly from?: SocketAddress | undefined;
  /** False once who connects has given up. */
  readonly isWanted: () => boolean;
  readonly opened: (end: TcpEnd) => void;
  readonly refused: (code: string) => void;
}

const idleHandler: ActorHandler = { onBytes() {}, onEnd() {}, onReset() {} };

/** Most connections are the system's handles until they are secure; others are sockets, as by the public way. */
function isBare({ port }: SocketAddress): boolean {
  return port % 4 !== 0;
}

/** Who has connected. The wire itself is not asked: what the product has not asked it does not know later. */
function sourceOf(wire: Wire, from: SocketAddress): string {
  return wire.isIntroduced ? wire.remoteAddress : from.address;
}
