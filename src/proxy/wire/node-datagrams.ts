// Datagrams over Node's sockets. Every worker opens a listener's port with SO_REUSEPORT: the kernel
// chooses one of them by the addresses and ports of both sides, so what one source sends comes to one
// worker as long as the number of workers stays.
import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from 'node:dgram';
import { isIP } from 'node:net';
import { codeOf } from '../../base/coded-error.ts';
import type {
  DatagramHandler,
  DatagramListenOptions,
  DatagramPort,
  DatagramServer,
  DatagramSocket,
  Datagrams,
} from '../datagrams.ts';
import { ADDRESSES_MAX, localAddresses, watchAddresses } from './local-addresses.ts';

/** Datagrams that the kernel holds for a listener, bytes; it takes net.core.rmem_max of that. */
const RECEIVE_BYTES = 4 * 1024 * 1024;

/** The door to datagrams; one per thread. `addresses` are those of this machine, looked at `everyMs`. */
export function makeNodeDatagrams(addresses = localAddresses, everyMs?: number): Datagrams {
  return {
    listen: (options) => listenDatagrams(options, addresses, everyMs),
    connect: (address, port, handler) => new ConnectedSocket(address, port, handler),
  };
}

type Lookup = NonNullable<SocketOptions['lookup']>;

/** Addresses are addresses here: Node would look each up, a turn of the loop later, at every datagram. */
const asItIs: Lookup = (address, options, callback) => {
  // Of dgram the second argument is the family, whatever its types say.
  callback(null, address, options as unknown as number);
};

class BoundSocket implements DatagramPort {
  readonly name: string;
  private readonly socket: Socket;
  private isOpen = true;

  constructor(name: string, socket: Socket) {
    this.name = name;
    this.socket = socket;
  }

  get port(): number {
    return this.socket.address().port;
  }

  reply(bytes: Buffer, address: string, port: number): void {
    if (this.isOpen) this.socket.send(bytes, 0, bytes.length, port, address);
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.socket.close();
  }
}

async function listenDatagrams(
  options: DatagramListenOptions,
  addresses: () => readonly string[],
  everyMs?: number,
): Promise<DatagramServer> {
  const { host } = options;
  if (host === '') return new EveryAddress(options, addresses, everyMs);
  const socket = bind(await addressOf(host), options);
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
  private readonly addresses: () => readonly string[];
  private readonly unnamed: BoundSocket[];
  private readonly byAddress = new Map<string, BoundSocket>();
  private readonly unwatch: () => void;

  /** Throws the system's error. */
  constructor(
    options: DatagramListenOptions,
    addresses: () => readonly string[],
    everyMs: number | undefined,
  ) {
    this.addresses = addresses;
    const first = bind('0.0.0.0', options);
    this.port = first.port;
    this.options = { ...options, port: this.port };
    this.unnamed = [first];
    try {
      this.unnamed.push(bind('::', this.options));
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
    const all = this.addresses();
    const wanted = new Set(all.length > ADDRESSES_MAX ? [] : all);
    for (const [address, socket] of this.byAddress) {
      if (wanted.has(address)) continue;
      socket.close();
      this.byAddress.delete(address);
    }
    for (const address of wanted) {
      if (this.byAddress.has(address)) continue;
      try {
        this.byAddress.set(address, bind(address, this.options));
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
function bind(address: string, { port, receiver }: DatagramListenOptions): BoundSocket {
  const isV6 = isIP(address) === 6;
  const socket = createSocket({
    type: isV6 ? 'udp6' : 'udp4',
    reusePort: true,
    lookup: asItIs,
    ...(isV6 ? { ipv6Only: true } : {}),
  });
  const via = new BoundSocket(address, socket);
  // What can't be received or sent concerns one datagram, not the listener.
  socket.on('error', () => {});
  socket.on('message', (bytes: Buffer, { address: source, port: from }: RemoteInfo) => {
    receiver.onDatagram(bytes, source, from, via);
  });
  try {
    socket.bindSync({ address, port });
  } catch (error) {
    socket.close();
    throw error;
  }
  roomy(socket);
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

interface WithDescriptor {
  readonly fd?: number;
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
    const handles = Object.getOwnPropertySymbols(this.socket);
    // Undocumented; where Node has changed, nothing is known.
    const state = handles.find(({ description }) => description === 'state symbol');
    const known = state && (this.socket as unknown as Record<symbol, { handle?: WithDescriptor }>);
    return known?.[state!]?.handle?.fd ?? -1;
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
    this.handler.onAnswer(bytes);
  };

  private readonly onError = (error: Error): void => {
    if (this.isOpen) this.handler.onUnsent(codeOf(error));
  };

  private readonly onSent = (error: Error | null): void => {
    if (error !== null && this.isOpen) this.handler.onUnsent(codeOf(error));
  };
}

/** IPv6 has many spellings, of which the registry's need not be the kernel's. */
function isSameAddress(one: string, other: string): boolean {
  return one === other || one.includes(':');
}
