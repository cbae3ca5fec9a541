// The system's TCP connections as Node's own sockets hold them: `process.binding`, which Node keeps for
// old packages and does not document. Whatever is missing makes `systemHandles` null, and how they
// behave is tried by probe.ts before any is used.

/** A TCP connection of libuv's. Numbers that are returned are 0, or an error of the system's. */
export interface TcpHandle {
  readonly fd: number;
  readonly writeQueueSize: number;
  /** Called with the handle as `this` after each read; what it returns is read into next. */
  onread: (this: TcpHandle) => Buffer | undefined;
  /** Ours: whose handle it is. */
  owner?: unknown;
  /** Reads land there. It is not kept: somebody has to refer to it. */
  useUserBuffer(view: Buffer): void;
  readStart(): number;
  readStop(): number;
  /** Sends at once what the system takes; `request` is used only for what has to wait. */
  writeBuffer(request: WriteRequest, bytes: Buffer): number;
  /** Sends FIN behind what was written. 1: done, and the request is not used. */
  shutdown(request: HandleRequest): number;
  connect(request: HandleRequest, address: string, port: number): number;
  connect6(request: HandleRequest, address: string, port: number): number;
  getpeername(out: PeerName): number;
  getsockname(out: PeerName): number;
  setNoDelay(isOn: boolean): number;
  setKeepAlive(isOn: boolean, idleS: number, intervalS: number, count: number): number;
  close(done: (this: TcpHandle) => void): void;
  /** Closes with RST. */
  reset(done: (this: TcpHandle) => void): number;
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
  readonly TCP: new (kind: number) => TcpHandle;
  readonly TCPConnectWrap: new () => HandleRequest;
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => HandleRequest;
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

export function prove(): void {
  isProven = true;
}

function findHandles(): SystemHandles | null {
  try {
    const { binding } = process as unknown as { binding(name: string): unknown };
    const tcp = binding('tcp_wrap') as TcpBinding;
    const stream = binding('stream_wrap') as StreamBinding;
    const { TCP, TCPConnectWrap } = tcp;
    const { WriteWrap, ShutdownWrap, streamBaseState: state } = stream;
    const { kReadBytesOrError: readCount, kLastWriteWasAsync: wasAsync } = stream;
    const isWhole =
      [TCP, TCPConnectWrap, WriteWrap, ShutdownWrap].every((one) => typeof one === 'function') &&
      state instanceof Int32Array &&
      [readCount, wasAsync].every((at) => Number.isInteger(state[at]));
    return isWhole
      ? { TCP, TCPConnectWrap, WriteWrap, ShutdownWrap, state, readCount, wasAsync }
      : null;
  } catch {
    return null;
  }
}
