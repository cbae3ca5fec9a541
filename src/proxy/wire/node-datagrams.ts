// Datagrams over Node's sockets. Every worker opens a listener's port with SO_REUSEPORT: the kernel
// chooses one of them by the addresses and ports of both sides, so what one source sends comes to one
// worker as long as the number of workers stays.
import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from 'node:dgram';
import { isIP } from 'node:net';
import { CodedError, codeOf } from '../../base/coded-error.ts';
import type { Logger } from '../../base/log.ts';
import type {
  DatagramHandler,
  DatagramListenOptions,
  DatagramPort,
  DatagramReceiver,
  DatagramServer,
  DatagramSocket,
  Datagrams,
} from '../datagrams.ts';
import { ADDRESSES_MAX, localAddresses, watchAddresses } from './local-addresses.ts';
import {
  errorName,
  handleOf,
  probeHandles,
  Sender,
  type UdpHandle,
  type UdpParts,
} from './udp-handles.ts';

/** Datagrams that the kernel holds for a listener, bytes; it takes net.core.rmem_max of that. */
const RECEIVE_BYTES = 4 * 1024 * 1024;

export interface NodeDatagramOptions {
  /** The addresses of this machine, and how often they are looked at, ms. */
  readonly addresses?: () => readonly string[];
  readonly everyMs?: number;
  /** False uses what Node documents alone, for when its internals have changed. */
  readonly isFast?: boolean;
}

/** The door to datagrams; one per thread. */
export function makeNodeDatagrams(log: Logger, options: NodeDatagramOptions = {}): Datagrams {
  const { addresses = localAddresses, everyMs, isFast = true } = options;
  /** Known before anything is listened on. */
  let fast: Fast | null = null;
  return {
    listen: async (wanted) => {
      const parts = isFast ? await probeHandles() : null;
      if (isFast && parts === null) {
        log.warn({ node: process.version }, 'datagrams use documented sockets, which cost more');
      }
      if (parts !== null) fast ??= { parts, sender: new Sender(parts) };
      return listenDatagrams(wanted, { addresses, everyMs, fast });
    },
    connect: (address, port, handler) =>
      fast === null
        ? new ConnectedSocket(address, port, handler)
        : new ConnectedHandle(fast, { address, port }, handler),
  };
}

type Lookup = NonNullable<SocketOptions['lookup']>;

/** Addresses are addresses here: Node would look each up, a turn of the loop later, at every datagram. */
const asItIs: Lookup = (address, options, callback) => {
  // Of dgram the second argument is the family, whatever its types say.
  callback(null, address, options as unknown as number);
};

/** What handles are made of, and sent by. */
interface Fast {
  readonly parts: UdpParts;
  readonly sender: Sender;
}

interface Surroundings {
  readonly addresses: () => readonly string[];
  readonly everyMs: number | undefined;
  readonly fast: Fast | null;
}

class BoundSocket implements DatagramPort {
  readonly name: string;
  private readonly socket: Socket;
  private readonly isV6: boolean;
  private readonly sender: Sender | null;
  /** Null where it is not used. */
  private handle: UdpHandle | null = null;
  private isOpen = true;

  constructor(name: string, socket: Socket, fast: Fast | null) {
    this.name = name;
    this.socket = socket;
    this.isV6 = isIP(name) === 6;
    this.sender = fast?.sender ?? null;
  }

  /** It is bound: what comes is the receiver's. */
  receive(receiver: DatagramReceiver): void {
    if (this.sender !== null) this.handle = handleOf(this.socket);
    if (this.handle === null) {
      this.socket.on('message', (bytes: Buffer, { address, port }: RemoteInfo) => {
        receiver.onDatagram(bytes, address, port, this);
      });
      return;
    }
    this.handle.onmessage = (count, _, bytes, from) => {
      // An error concerns one datagram, not the listener.
      if (count >= 0) receiver.onDatagram(bytes, from.address, from.port, this);
    };
  }

  get port(): number {
    return this.socket.address().port;
  }

  reply(bytes: Buffer, address: string, port: number): void {
    if (!this.isOpen) return;
    if (this.handle === null) this.socket.send(bytes, 0, bytes.length, port, address);
    else this.sender!.sendTo(this.handle, this.isV6, bytes, port, address);
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.handle = null;
    this.socket.close();
  }
}

async function listenDatagrams(
  options: DatagramListenOptions,
  around: Surroundings,
): Promise<DatagramServer> {
  const { host } = options;
  if (host === '') return new EveryAddress(options, around);
  const socket = bind(await addressOf(host), options, around.fast);
  return { port: socket.port, close: () => socket.close() };
}

/**
 * A port on every address. An answer leaves from the address that a socket is bound to, and from one that
 * the kernel chooses where that is none. So each address of this machine has a socket of its own, which
 * the kernel prefers, and the two without an address get what comes to any other.
 */
class EveryAddress implements DatagramServer {
  readonly port: number;
  private readonly options: DatagramListenOptions;
  private readonly around: Surroundings;
  private readonly unnamed: BoundSocket[];
  private readonly byAddress = new Map<string, BoundSocket>();
  private readonly unwatch: () => void;

  /** Throws the system's error. */
  constructor(options: DatagramListenOptions, around: Surroundings) {
    const { addresses, everyMs, fast } = around;
    this.around = around;
    const first = bind('0.0.0.0', options, fast);
    this.port = first.port;
    this.options = { ...options, port: this.port };
    this.unnamed = [first];
    try {
      this.unnamed.push(bind('::', this.options, fast));
    } catch (error) {
      // A machine without IPv6.
      const code = codeOf(error);
      if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL') {
        first.close();
        throw error;
      }
    }
    this.review();
    this.unwatch = watchAddresses(addresses, () => this.review(), everyMs);
  }

  private review(): void {
    const all = this.around.addresses();
    const wanted = new Set(all.length > ADDRESSES_MAX ? [] : all);
    for (const [address, socket] of this.byAddress) {
      if (wanted.has(address)) continue;
      socket.close();
      this.byAddress.delete(address);
    }
    for (const address of wanted) {
      if (this.byAddress.has(address)) continue;
      try {
        this.byAddress.set(address, bind(address, this.options, this.around.fast));
      } catch {
        // Not yet, or another process has it: the socket without an address serves it.
      }
    }
  }

  close(): void {
    this.unwatch();
    for (const socket of [...this.unnamed, ...this.byAddress.values()]) socket.close();
  }
}

async function addressOf(host: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  const { lookup } = await import('node:dns/promises');
  return (await lookup(host)).address;
}

/** Throws the system's error. */
function bind(
  address: string,
  { port, receiver }: DatagramListenOptions,
  fast: Fast | null,
): BoundSocket {
  const isV6 = isIP(address) === 6;
  const socket = createSocket({
    type: isV6 ? 'udp6' : 'udp4',
    reusePort: true,
    lookup: asItIs,
    ...(isV6 ? { ipv6Only: true } : {}),
  });
  const via = new BoundSocket(address, socket, fast);
  // What can't be received or sent concerns one datagram, not the listener.
  socket.on('error', () => {});
  try {
    socket.bindSync({ address, port });
  } catch (error) {
    socket.close();
    throw error;
  }
  roomy(socket);
  via.receive(receiver);
  return via;
}

/** A burst waits in the kernel while the thread is busy; where it may not, it does with less. */
function roomy(socket: Socket): void {
  try {
    socket.setRecvBufferSize(RECEIVE_BYTES);
  } catch {
    // The system's own size has to do.
  }
}

class ConnectedSocket implements DatagramSocket {
  private readonly socket: Socket;
  private readonly handler: DatagramHandler;
  private readonly address: string;
  private readonly port: number;
  private isOpen = true;

  constructor(address: string, port: number, handler: DatagramHandler) {
    this.handler = handler;
    this.address = address;
    this.port = port;
    this.socket = createSocket({ type: isIP(address) === 6 ? 'udp6' : 'udp4' });
    this.socket.on('message', this.onMessage);
    this.socket.on('error', this.onError);
    try {
      this.socket.connectSync(port, address);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get descriptor(): number {
    return handleOf(this.socket)?.fd ?? -1;
  }

  send(bytes: Buffer): void {
    if (this.isOpen) this.socket.send(bytes, this.onSent);
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.socket.close();
  }

  /** A socket is bound before it is connected, and in between anyone may send to it. */
  private readonly onMessage = (bytes: Buffer, { address, port }: RemoteInfo): void => {
    if (!this.isOpen || port !== this.port || !isSameAddress(address, this.address)) return;
    tellAnswer(this.handler, bytes);
  };

  private readonly onError = (error: Error): void => {
    if (this.isOpen) tellUnsent(this.handler, codeOf(error));
  };

  private readonly onSent = (error: Error | null): void => {
    if (error !== null && this.isOpen) tellUnsent(this.handler, codeOf(error));
  };
}

/** A connected socket without Node's own around it. */
class ConnectedHandle implements DatagramSocket {
  readonly address: string;
  readonly port: number;
  readonly handler: DatagramHandler;
  private readonly sender: Sender;
  private readonly isV6: boolean;
  private handle: UdpHandle | null;

  /** Throws the system's error. */
  constructor(
    { parts, sender }: Fast,
    { address, port }: { address: string; port: number },
    handler: DatagramHandler,
  ) {
    this.address = address;
    this.port = port;
    this.handler = handler;
    this.sender = sender;
    this.isV6 = isIP(address) === 6;
    const handle = new parts.UDP();
    this.handle = handle;
    handle.upriver = this;
    handle.onmessage = onHandleMessage;
    handle.onerror = onHandleError;
    const code = this.isV6 ? handle.connect6(address, port) : handle.connect(address, port);
    const failed = code === 0 ? handle.recvStart() : code;
    if (failed === 0) return;
    this.close();
    throw new CodedError(errorName(failed), `${errorName(failed)} ${address}:${port}`);
  }

  get descriptor(): number {
    return this.handle?.fd ?? -1;
  }

  get isOpen(): boolean {
    return this.handle !== null;
  }

  send(bytes: Buffer): void {
    if (this.handle === null) return;
    const code = this.sender.send(this.handle, this.isV6, bytes);
    // Not before the caller has done with what it does.
    if (code !== 0) process.nextTick(tellLater, this, code);
  }

  close(): void {
    const { handle } = this;
    if (handle === null) return;
    this.handle = null;
    handle.close();
  }
}

function onHandleError(): void {}

const onHandleMessage: UdpHandle['onmessage'] = (count, handle, bytes, from) => {
  // Of ours.
  const socket = handle.upriver as ConnectedHandle;
  if (!socket.isOpen) return;
  if (count < 0) {
    tellUnsent(socket.handler, errorName(count));
    return;
  }
  if (from.port !== socket.port || !isSameAddress(from.address, socket.address)) return;
  tellAnswer(socket.handler, bytes);
};

function tellLater(socket: ConnectedHandle, code: number): void {
  if (socket.isOpen) tellUnsent(socket.handler, errorName(code));
}

/** What breaks a rule of ours in one session must not end the others. */
function tellAnswer(handler: DatagramHandler, bytes: Buffer): void {
  try {
    handler.onAnswer(bytes);
  } catch (error) {
    handler.onBug(error);
  }
}

function tellUnsent(handler: DatagramHandler, code: string): void {
  try {
    handler.onUnsent(code);
  } catch (error) {
    handler.onBug(error);
  }
}

/** IPv6 has many spellings, of which the registry's need not be the kernel's. */
function isSameAddress(one: string, other: string): boolean {
  return one === other || one.includes(':');
}
