// What is under Node's datagram sockets: handles of libuv. A session of UDP is a socket that is opened, used
// once and closed, and Node's own around it (events, look-ups, a request object for each send) costs more
// than the kernel's part. None of this is documented, so it is tried first (probeHandles); where Node has
// changed, sockets are used as they are documented.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { getSystemErrorName } from 'node:util';

/** What a send is given; the handle keeps it while it could not send at once. */
interface SendRequest {
  list?: readonly Buffer[];
}

type OnMessage = (
  this: UdpHandle,
  count: number,
  handle: UdpHandle,
  bytes: Buffer,
  from: RemoteInfo,
) => void;

export interface UdpHandle {
  readonly fd: number;
  onmessage: OnMessage;
  onerror: () => void;
  /** Whose it is; a property of ours. */
  upriver?: unknown;
  connect(address: string, port: number): number;
  connect6(address: string, port: number): number;
  recvStart(): number;
  recvStop(): number;
  /** More than 0: sent; 0: the request is kept until it is; below: an error. To a connected peer. */
  send(request: SendRequest, list: readonly Buffer[], count: number, hasCallback: boolean): number;
  /** The same to an address. */
  send(
    request: SendRequest,
    list: readonly Buffer[],
    count: number,
    port: number,
    address: string,
    hasCallback: boolean,
  ): number;
  send6: UdpHandle['send'];
  close(): void;
}

/** The constructors, as a socket of Node's has them. */
export interface UdpParts {
  readonly UDP: new () => UdpHandle;
  readonly SendWrap: new () => SendRequest;
}

/** The handle of a socket of Node's that is bound; null where it is not found. */
export function handleOf(socket: Socket): UdpHandle | null {
  const symbol = Object.getOwnPropertySymbols(socket).find(
    ({ description }) => description === 'state symbol',
  );
  if (symbol === undefined) return null;
  const state = (socket as unknown as Record<symbol, { handle?: UdpHandle | null }>)[symbol];
  return state?.handle ?? null;
}

/** Sends without an object for each time, as long as the kernel takes what it is given. */
export class Sender {
  private readonly parts: UdpParts;
  private readonly list: Buffer[] = [];
  private request: SendRequest;

  constructor(parts: UdpParts) {
    this.parts = parts;
    this.request = new parts.SendWrap();
  }

  /** To the peer that the handle is connected to; returns 0, or the error's number. */
  send(handle: UdpHandle, isV6: boolean, bytes: Buffer): number {
    const { list, request } = this;
    list[0] = bytes;
    const code = isV6
      ? handle.send6(request, list, 1, false)
      : handle.send(request, list, 1, false);
    return this.done(code, bytes);
  }

  /** To any peer; returns as `send`. */
  sendTo(handle: UdpHandle, isV6: boolean, bytes: Buffer, port: number, address: string): number {
    const { list, request } = this;
    list[0] = bytes;
    const code = isV6
      ? handle.send6(request, list, 1, port, address, false)
      : handle.send(request, list, 1, port, address, false);
    return this.done(code, bytes);
  }

  private done(code: number, bytes: Buffer): number {
    if (code !== 0) return code > 0 ? 0 : code;
    // The handle has the request now, and the bytes have to be there until it is done.
    this.request.list = [bytes];
    this.request = new this.parts.SendWrap();
    return 0;
  }
}

/** The system's name of an error's number: `ECONNREFUSED`. */
export function errorName(code: number): string {
  return getSystemErrorName(code);
}

let probing: Promise<UdpParts | null> | null = null;

/** The constructors; null where they do not do what is relied on here. Tried once per thread. */
export function probeHandles(): Promise<UdpParts | null> {
  probing ??= tryHandles().catch(() => null);
  return probing;
}

const PROBE_MS_MAX = 1000;

/** Sends one datagram from a handle to itself. */
async function tryHandles(): Promise<UdpParts | null> {
  const parts = readParts();
  if (parts === null) return null;
  const socket = createSocket('udp4');
  try {
    const { port } = socket.bindSync({ address: '127.0.0.1' });
    return (await echoes(parts, socket, port)) ? parts : null;
  } finally {
    socket.close();
  }
}

/** A request is seen where a socket of Node's hands it to its handle. */
function readParts(): UdpParts | null {
  const socket = createSocket('udp4');
  try {
    const { port } = socket.bindSync({ address: '127.0.0.1' });
    socket.connectSync(port, '127.0.0.1');
    const handle = handleOf(socket);
    if (handle === null) return null;
    const requests: object[] = [];
    handle.send = (given: object) => {
      requests.push(given);
      return 1;
    };
    socket.send('x');
    const [request] = requests;
    if (request === undefined) return null;
    return {
      UDP: handle.constructor as UdpParts['UDP'],
      SendWrap: request.constructor as UdpParts['SendWrap'],
    };
  } finally {
    socket.close();
  }
}

/** Whether a datagram goes from a new handle to this socket and back. */
function echoes(parts: UdpParts, socket: Socket, port: number): Promise<boolean> {
  const handle = new parts.UDP();
  const sender = new Sender(parts);
  const own = handleOf(socket);
  if (own === null) return Promise.resolve(false);
  return new Promise((resolve) => {
    const finish = (isGood: boolean): void => {
      clearTimeout(timer);
      handle.close();
      resolve(isGood);
    };
    const timer = setTimeout(() => finish(false), PROBE_MS_MAX);
    handle.onerror = () => {};
    handle.onmessage = function (count, same, bytes, from) {
      const isWhole = count === 4 && String(bytes) === 'pong';
      finish(isWhole && this === handle && same === handle && from.port === port);
    };
    own.onmessage = (count, _, bytes, from) => {
      const isWhole = count === 4 && String(bytes) === 'ping';
      if (!isWhole || sender.sendTo(own, false, Buffer.from('pong'), from.port, from.address) !== 0)
        finish(false);
    };
    const isOpen = handle.connect('127.0.0.1', port) === 0 && handle.recvStart() === 0;
    const hasDescriptor = Number.isInteger(handle.fd) && handle.fd > 0;
    if (!isOpen || !hasDescriptor || sender.send(handle, false, Buffer.from('ping')) !== 0)
      finish(false);
  });
}
