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

/** Datagrams that the kernel holds for a listener, bytes; it takes net.core.rmem_max of that. */
const RECEIVE_BYTES = 4 * 1024 * 1024;

/** The door to datagrams; one per thread. */
export function makeNodeDatagrams(): Datagrams {
  return {
    listen: listenDatagrams,
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
  private readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  reply(bytes: Buffer, address: string, port: number): void {
    this.socket.send(bytes, 0, bytes.length, port, address);
  }
}

/** For every address there are two sockets: answers of one for both families would need other names. */
async function listenDatagrams(options: DatagramListenOptions): Promise<DatagramServer> {
  const { host, port } = options;
  if (host !== '') {
    const socket = await bind(await addressOf(host), port, options);
    return serverOf([socket]);
  }
  const first = await bind('0.0.0.0', port, options);
  try {
    return serverOf([first, await bind('::', first.address().port, options)]);
  } catch (error) {
    // A machine without IPv6.
    if (codeOf(error) === 'EAFNOSUPPORT' || codeOf(error) === 'EADDRNOTAVAIL')
      return serverOf([first]);
    first.close();
    throw error;
  }
}

async function addressOf(host: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  const { lookup } = await import('node:dns/promises');
  return (await lookup(host)).address;
}

function serverOf(sockets: readonly Socket[]): DatagramServer {
  return {
    port: sockets[0]!.address().port,
    close: () => {
      for (const socket of sockets) socket.close();
    },
  };
}

async function bind(
  address: string,
  port: number,
  { receiver }: DatagramListenOptions,
): Promise<Socket> {
  const isV6 = isIP(address) === 6;
  const socket = createSocket({
    type: isV6 ? 'udp6' : 'udp4',
    reusePort: true,
    lookup: asItIs,
    ...(isV6 ? { ipv6Only: true } : {}),
  });
  const via = new BoundSocket(socket);
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
  return socket;
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
