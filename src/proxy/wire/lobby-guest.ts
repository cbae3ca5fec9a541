// A connection in the lobby, before it speaks TLS: read until it is paused, and then given up as the
// system's handle. One that was accepted as a handle stays that, which costs a tenth of a socket of Node's
// and leaves nothing to collect; what else a listener has accepted is a socket.
import type { RawSocket } from './raw-socket.ts';
import type { PeerName, SystemHandles, TcpHandle } from './system-handles.ts';

/** Who hears of a connection. */
export interface GuestOwner {
  /** The piece is valid during the call alone. */
  onPiece(piece: Uint8Array): void;
  /** It has failed, ended or closed. */
  onGone(): void;
}

/** reading -> paused -> released; or reset on the way. */
export interface Guest {
  /** Who it counts for. */
  readonly address: string;
  /** Begins to read, once. */
  read(owner: GuestOwner): void;
  pause(): void;
  /** Gives it up, as if nobody had read of it; null where it is closed already. */
  release(): GuestHandle | null;
  reset(): void;
}

/** A handle of the system's that nobody has. */
export interface GuestHandle {
  readonly fd?: number;
  close(): void;
  /** Returns an error of the system, and then does nothing. What is no connection of TCP has none. */
  reset?(done: () => void): number;
}

export class HandleGuest implements Guest {
  readonly address: string;
  /** Told by `onRead`, until it is null. */
  owner: GuestOwner | null = null;
  readonly view: Buffer;
  readonly system: SystemHandles;
  private readonly handle: TcpHandle;

  /** `view`: where reads land; others may use it between two. */
  constructor(handle: TcpHandle, view: Buffer, system: SystemHandles) {
    this.system = system;
    const peer: PeerName = {};
    handle.getpeername(peer);
    this.address = peer.address ?? '';
    this.handle = handle;
    this.view = view;
  }

  read(owner: GuestOwner): void {
    const { handle, system } = this;
    this.owner = owner;
    handle.holder = this;
    handle.onread = onRead;
    handle.useUserBuffer(this.view);
    // Who called has yet to learn of it.
    if (handle.readStart() !== 0) system.later(() => this.owner?.onGone());
  }

  pause(): void {
    this.handle.readStop();
  }

  release(): GuestHandle {
    this.owner = null;
    this.handle.holder = null;
    this.handle.readStop();
    return this.handle as unknown as GuestHandle;
  }

  reset(): void {
    const { handle } = this;
    this.release();
    closeHandle(handle as unknown as GuestHandle);
  }
}

function onRead(this: { holder?: unknown }): undefined {
  // Set by `read` alone, which also sets this function.
  const guest = this.holder as HandleGuest | null;
  const owner = guest?.owner ?? null;
  if (guest === null || owner === null) return;
  const { state, readCount } = guest.system;
  const count = state[readCount]!;
  if (count > 0) owner.onPiece(guest.view.subarray(0, count));
  else if (count < 0) owner.onGone();
}

export class SocketGuest implements Guest {
  readonly address: string;
  private readonly socket: RawSocket;
  private owner: GuestOwner | null = null;

  /** `address`: who it counts for where that is not who has connected. */
  constructor(socket: RawSocket, address = socket.remoteAddress ?? '') {
    this.socket = socket;
    this.address = address;
  }

  read(owner: GuestOwner): void {
    this.owner = owner;
    const { socket, onData, onGone } = this;
    socket.on('data', onData).on('end', onGone).on('error', onGone).on('close', onGone);
    socket.resume();
  }

  pause(): void {
    this.socket.pause();
    this.socket.off('data', this.onData).off('end', this.onGone);
  }

  release(): GuestHandle | null {
    const { socket } = this;
    this.leave();
    if (socket.destroyed) return null;
    socket.pause();
    return detached(socket);
  }

  reset(): void {
    const { socket } = this;
    this.leave();
    if (!socket.destroyed) socket.resetAndDestroy();
  }

  private leave(): void {
    const { socket, onData, onGone } = this;
    this.owner = null;
    socket.off('data', onData).off('end', onGone).off('error', onGone).off('close', onGone);
    socket.on('error', () => {});
  }

  private readonly onData = (piece: Buffer): void => this.owner?.onPiece(piece);

  private readonly onGone = (): void => this.owner?.onGone();
}

/** With RST, where it has one. */
export function closeHandle(handle: GuestHandle): void {
  if (handle.reset === undefined || handle.reset(() => {}) !== 0) handle.close();
}

/** Name of the symbol by which Node finds the socket of a handle. */
const OWNER = 'owner_symbol';

interface NodeHandle extends GuestHandle {
  readStop(): number;
  reading: boolean;
}

/** The system's handle of a paused socket, as if there had been no socket: it serves TLS as those do. */
function detached(socket: RawSocket): GuestHandle {
  // Undocumented, as what tls-socket.ts does with it.
  const owner = socket as unknown as { _handle: NodeHandle | null };
  const handle = owner._handle!;
  handle.readStop();
  handle.reading = false;
  owner._handle = null;
  // It would keep the socket, with all that Node has of one.
  const key = Object.getOwnPropertySymbols(handle).find((one) => one.description === OWNER);
  if (key !== undefined) (handle as unknown as Record<symbol, unknown>)[key] = null;
  return handle;
}
