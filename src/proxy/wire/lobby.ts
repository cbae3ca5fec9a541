// Connections whose TLS handshake has yet to begin. A handshake costs a millisecond of the thread and
// some 100 KiB until it is done, and a stranger causes it by one small message. So few are begun in a
// turn and few are under way; beyond, a connection is a plain socket until its whole ClientHello is
// there, and then waits for its turn (base/fair-turns.ts). While little is going on, it begins at once.
import { ByAddress } from '../../base/by-address.ts';
import { systemClock, type Timer, type WorkerClock } from '../../base/clock.ts';
import { type Applicant, FairTurns } from '../../base/fair-turns.ts';
import { CLIENT_HELLO_BYTES_MAX, readClientHello } from '../client-hello.ts';
import type { RawSocket } from './raw-socket.ts';
import type { Accepted } from './tls-parts.ts';
import type { TlsWire } from './tls-wire.ts';

/** Of a thread. */
const LIMITS = { straightMax: 16, beginsATurn: 4, underWayMax: 128, staleMs: 1000 };
/** ClientHellos that are on their way, and those that are there and wait. */
const ARRIVING_MAX = 1024;
/**
 * Connections that were given up close at this pace, so that a client that comes back for each that
 * closes does not come back ahead of everyone else. More than there may be close at once.
 */
const CLOSES_A_STEP = 10;
const STEP_MS = 50;
const DEPARTING_MAX = 4096;

export class Lobby {
  private readonly clock: WorkerClock;
  private readonly turns: FairTurns;
  private readonly arriving = new ByAddress<Arrival>();
  private readonly departing: Departing;

  constructor(clock: WorkerClock = systemClock) {
    this.clock = clock;
    this.turns = new FairTurns({ ...LIMITS, clock, waitingMax: ARRIVING_MAX });
    this.departing = new Departing(clock);
  }

  /** Whether a handshake may begin without waiting. */
  get hasRoom(): boolean {
    return this.turns.hasRoom;
  }

  /** A handshake has begun without waiting. */
  begun(wire: TlsWire, address: string): void {
    const applicant = { address, begin() {}, cut: () => wire.crowdedOut() };
    this.turns.begun(applicant);
    wire.onSettled = () => this.turns.leave(applicant);
  }

  /**
   * Takes the socket over, and reads its ClientHello. `make` makes a wire of what it was; null: the
   * connection is to be closed.
   */
  enter(socket: RawSocket, timeoutMs: number, make: Make): void {
    const { clock, turns, arriving, departing } = this;
    arriving.add(new Arrival(socket, { clock, turns, arriving, departing, timeoutMs, make }));
    if (arriving.size > ARRIVING_MAX) arriving.heaviest()?.cut();
  }
}

type Make = (accepted: Accepted) => TlsWire | null;

interface ArrivalParts {
  readonly clock: WorkerClock;
  readonly turns: FairTurns;
  readonly arriving: ByAddress<Arrival>;
  readonly departing: Departing;
  readonly timeoutMs: number;
  readonly make: Make;
}

/** reading -> waiting -> begun, or closed on the way. */
class Arrival implements Applicant {
  readonly address: string;
  private readonly socket: RawSocket;
  private readonly parts: ArrivalParts;
  private readonly timer: Timer;
  private bytes: Buffer = Buffer.alloc(0);
  private needed = 1;
  private wire: TlsWire | null = null;

  constructor(socket: RawSocket, parts: ArrivalParts) {
    this.socket = socket;
    this.parts = parts;
    this.address = socket.remoteAddress ?? '';
    this.timer = parts.clock.setTimer(parts.timeoutMs, this.onGone);
    socket.on('data', this.onData).on('end', this.onGone);
    socket.on('error', this.onGone).on('close', this.onGone);
  }

  private readonly onData = (piece: Buffer): void => {
    this.bytes = this.bytes.length === 0 ? piece : Buffer.concat([this.bytes, piece]);
    if (this.bytes.length < this.needed) return;
    const hello = readClientHello(this.bytes);
    if (hello.kind === 'partial' && this.bytes.length <= CLIENT_HELLO_BYTES_MAX) {
      this.needed = hello.needed;
      return;
    }
    // What is none is for TLS to judge, as it does without us.
    const { socket, parts } = this;
    socket.pause();
    socket.off('data', this.onData).off('end', this.onGone);
    parts.arriving.remove(this);
    parts.turns.wait(this);
  };

  begin(): void {
    const { socket, parts } = this;
    this.timer.cancel();
    socket.off('error', this.onGone).off('close', this.onGone);
    const handle = detached(socket);
    this.wire = parts.make({ handle, first: this.bytes });
    if (this.wire !== null) {
      this.wire.onSettled = () => parts.turns.leave(this);
      return;
    }
    parts.turns.leave(this);
    handle.close();
  }

  cut(): void {
    if (this.wire !== null) return this.wire.crowdedOut();
    this.leave();
    if (this.socket.destroyed) return;
    // There may be thousands for a while: of each no more is kept than the system's handle.
    this.socket.pause();
    this.parts.departing.add(detached(this.socket));
  }

  /** It has closed, or is closed now. */
  private readonly onGone = (): void => {
    this.leave();
    close(this.socket);
  };

  private leave(): void {
    const { socket, parts } = this;
    this.timer.cancel();
    parts.arriving.remove(this);
    parts.turns.leave(this);
    socket.off('data', this.onData).off('end', this.onGone);
    socket.off('error', this.onGone).off('close', this.onGone);
    socket.on('error', () => {});
  }
}

/** Connections that are about to be closed, the first that came first. */
class Departing {
  private readonly handles = new Set<Handle>();
  private readonly clock: WorkerClock;
  private timer: Timer | null = null;

  constructor(clock: WorkerClock) {
    this.clock = clock;
  }

  add(handle: Handle): void {
    this.handles.add(handle);
    if (this.handles.size > DEPARTING_MAX) this.close(1);
    this.timer ??= this.clock.setTicker(STEP_MS, () => this.step());
  }

  private step(): void {
    this.close(CLOSES_A_STEP);
    if (this.handles.size > 0 || this.timer === null) return;
    this.timer.cancel();
    this.timer = null;
  }

  private close(count: number): void {
    for (const handle of [...this.handles.values().take(count)]) {
      this.handles.delete(handle);
      // What is no connection of TCP can't be reset.
      if (handle.reset === undefined || handle.reset(() => {}) !== 0) handle.close();
    }
  }
}

function close(socket: RawSocket): void {
  if (!socket.destroyed) socket.resetAndDestroy();
}

/** Name of the symbol by which Node finds the socket of a handle. */
const OWNER = 'owner_symbol';

interface Handle {
  close(): void;
  /** Returns an error of the system, and then does nothing. */
  reset?(done: () => void): number;
  readStop(): number;
  reading: boolean;
}

/** The system's handle of a paused socket, as if there had been no socket: it serves TLS as those do. */
function detached(socket: RawSocket): Handle {
  // Undocumented, as what tls-socket.ts does with it.
  const owner = socket as unknown as { _handle: Handle | null };
  const handle = owner._handle!;
  handle.readStop();
  handle.reading = false;
  owner._handle = null;
  // It would keep the socket, with all that Node has of one.
  const key = Object.getOwnPropertySymbols(handle).find((one) => one.description === OWNER);
  if (key !== undefined) (handle as unknown as Record<symbol, unknown>)[key] = null;
  return handle;
}
