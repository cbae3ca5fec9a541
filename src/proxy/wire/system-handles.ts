// The system's TCP connections as Node's own sockets hold them: `process.binding`, which Node keeps for
// old packages and does not document. Whatever is missing makes `systemHandles` null, and how they
// behave is tried by probe.ts before any is used.
import type { CipherNameAndProtocol, PeerCertificate } from 'node:tls';
import { sendPlain } from './plain-reply.ts';

/** What bytes go through. Numbers that are returned are 0, or an error of the system's. */
export interface StreamHandle {
  /** Called with the handle as `this` after each read; what it returns is read into next. */
  onread: (this: StreamHandle) => Buffer | undefined;
  /** Ours: whose handle it is. Not `owner`, for which TCP handles have a getter of Node's. */
  holder?: unknown;
  /** Reads land there. It is not kept: somebody has to refer to it. */
  useUserBuffer(view: Buffer): void;
  readStart(): number;
  readStop(): number;
  /** Sends at once what the system takes; `request` is used only for what has to wait. */
  writeBuffer(request: WriteRequest, bytes: Buffer): number;
  /** As writeBuffer, of several; `isAll`: there are no texts among them. */
  writev(request: WriteRequest, pieces: readonly Buffer[], isAll: true): number;
  /** Sends FIN behind what was written. 1: done, and the request is not used. */
  shutdown(request: HandleRequest): number;
}

/** A TCP connection of libuv's. */
export interface TcpHandle extends StreamHandle {
  readonly fd: number;
  readonly writeQueueSize: number;
  connect(request: HandleRequest, address: string, port: number): number;
  connect6(request: HandleRequest, address: string, port: number): number;
  getpeername(out: PeerName): number;
  getsockname(out: PeerName): number;
  setNoDelay(isOn: boolean): number;
  setKeepAlive(isOn: boolean, idleS: number, intervalS: number, count: number): number;
  /** `done` costs a call back into JavaScript. */
  close(done?: (this: TcpHandle) => void): void;
  /** Closes with RST. */
  reset(done: (this: TcpHandle) => void): number;
}

/** One that is no connection yet. */
export interface NewTcpHandle extends TcpHandle {
  /** From now on it is the one with this descriptor. */
  open(descriptor: number): number;
}

/** Node's encryption, over a TcpHandle. */
export interface CipherHandle extends StreamHandle {
  /** Kept from the garbage collector. */
  _parent: TcpHandle;
  onhandshakedone: (this: CipherHandle) => void;
  onerror: (this: CipherHandle, error: NodeJS.ErrnoException) => void;
  /** After enableCertCb: the client has said what it wants; goes on with certCbDone. */
  oncertcb: (this: CipherHandle, hello: { readonly servername: string }) => void;
  /** What Node made of the certificate for the name that was asked for. */
  sni_context?: unknown;
  enableCertCb(): void;
  certCbDone(): void;
  setALPNProtocols(list: Uint8Array): void;
  getALPNNegotiatedProtocol(): string | false;
  getServername(): string | false;
  isSessionReused(): boolean;
  getProtocol(): string | null;
  getCipher(): CipherNameAndProtocol | undefined;
  /** Bytes of the peer that were read before. */
  receive(bytes: Buffer): void;
  destroySSL(): void;

  // Of a client

  /** After enableSessionCallbacks: the server has given a session. */
  onnewsession: (this: CipherHandle, id: Buffer, session: Buffer) => void;
  enableSessionCallbacks(): void;
  setServername(name: string): void;
  setSession(session: Buffer): void;
  /** Says hello. */
  start(): void;
  /** Why the server's certificate is not to be trusted; null where it is. */
  verifyError(): NodeJS.ErrnoException | null;
  getPeerCertificate(isWhole: boolean): PeerCertificate;
}

export interface HandleRequest {
  oncomplete: (status: number) => void;
  owner: unknown;
}

export interface WriteRequest extends HandleRequest {
  /** Kept for as long as the system has not taken it. */
  bytes: Buffer | null;
}

export interface PeerName {
  address?: string;
  port?: number;
}

export interface SystemHandles {
  readonly TCP: new (kind: number) => NewTcpHandle;
  readonly TCPConnectWrap: new () => HandleRequest;
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => HandleRequest;
  /** Encryption with what is in `SecureContext.context`. */
  readonly wrap: (
    handle: TcpHandle,
    context: unknown,
    isServer: boolean,
    hasWrites: boolean,
  ) => CipherHandle;
  /** Calls `run` when what is going on is done, and before anything else happens. */
  readonly soon: (run: () => void) => void;
  /** Calls `run` in a turn of its own. */
  readonly later: (run: () => void) => void;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** Answers the peer without encryption, and closes the handle; then `done`. */
  readonly sendPlain: (handle: TcpHandle, reply: Buffer, done: () => void) => void;
  /** What the last call or event came to, at the places that follow. */
  readonly state: Int32Array;
  readonly readCount: number;
  readonly wasAsync: number;
}

interface StreamBinding {
  readonly WriteWrap: SystemHandles['WriteWrap'];
  readonly ShutdownWrap: SystemHandles['ShutdownWrap'];
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

interface TcpBinding {
  readonly TCP: SystemHandles['TCP'];
  readonly TCPConnectWrap: SystemHandles['TCPConnectWrap'];
}

/** The kind of handle that connects, and is no listener. */
export const CONNECTION = 0;

export const systemHandles: SystemHandles | null = findHandles();

let isProven = false;

/** Null until they were seen to work in this thread. */
export const provenHandles = (): SystemHandles | null => (isProven ? systemHandles : null);

/** The system's handles have worked in this thread. */
export function prove(): void {
  isProven = true;
}

function findHandles(): SystemHandles | null {
  try {
    const { binding } = process as unknown as { binding(name: string): unknown };
    const tcp = binding('tcp_wrap') as TcpBinding;
    const stream = binding('stream_wrap') as StreamBinding;
    const { wrap } = binding('tls_wrap') as Pick<SystemHandles, 'wrap'>;
    const { TCP, TCPConnectWrap } = tcp;
    const { WriteWrap, ShutdownWrap, streamBaseState: state } = stream;
    const { kReadBytesOrError: readCount, kLastWriteWasAsync: wasAsync } = stream;
    const isWhole =
      [TCP, TCPConnectWrap, WriteWrap, ShutdownWrap, wrap, TCP.prototype.open].every(
        (one) => typeof one === 'function',
      ) &&
      state instanceof Int32Array &&
      [readCount, wasAsync].every((at) => Number.isInteger(state[at]));
    if (!isWhole) return null;
    return {
      TCP,
      TCPConnectWrap,
      WriteWrap,
      ShutdownWrap,
      wrap,
      state,
      readCount,
      wasAsync,
      soon: (run) => process.nextTick(run),
      later: (run) => void setImmediate(run),
      nowMs: () => performance.now(),
      sendPlain,
    };
  } catch {
    return null;
  }
}
