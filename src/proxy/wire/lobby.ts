// Connections whose TLS handshake has yet to begin. A handshake costs a millisecond of the thread and
// some 100 KiB until it is done, and a stranger causes it by one small message. So few are begun in a
// turn and few are under way; beyond, a connection is no more than the system's handle (lobby-guest.ts)
// until its whole ClientHello is there, and then waits for its turn (base/fair-turns.ts). While little is
// going on, it begins at once.
import { ByAddress } from '../../base/by-address.ts';
import { systemClock, type Timer, type WorkerClock } from '../../base/clock.ts';
import { type Applicant, FairTurns } from '../../base/fair-turns.ts';
import { CLIENT_HELLO_BYTES_MAX, readClientHello } from '../tls/client-hello.ts';
import { areScarce } from './descriptors.ts';
import { GrowingBytes } from './growing-bytes.ts';
import { closeHandle, type Guest, type GuestHandle } from './lobby-guest.ts';
import type { Accepted } from './tls-parts.ts';
import type { TlsWire } from './tls-wire.ts';

/** Of a thread. */
const LIMITS = { straightMax: 16, beginsATurn: 4, underWayMax: 128, staleMs: 1000 };
/** ClientHellos that are on their way, and those that are there and wait. */
const ARRIVING_MAX = 1024;
/**
 * Connections that were given up close at this pace, so that a client that comes back for each that
 * closes does not come back ahead of everyone else. Half a KiB and a descriptor keep one away. Beyond the
 * most that may wait, or where descriptors are scarce, one closes for each that comes.
 */
const CLOSES_A_STEP = 10;
const STEP_MS = 50;
const DEPARTING_MAX = 16_384;

export interface LobbyOptions {
  readonly clock?: WorkerClock;
  /** Whether a connection with this descriptor says that there are few left. */
  readonly isScarce?: (descriptor: number) => boolean;
}

export class Lobby {
  private readonly clock: WorkerClock;
  private readonly turns: FairTurns;
  private readonly arriving = new ByAddress<Arrival>();
  private readonly departing: Departing;

  constructor({ clock = systemClock, isScarce = areScarce }: LobbyOptions = {}) {
    this.clock = clock;
    this.turns = new FairTurns({ ...LIMITS, clock, waitingMax: ARRIVING_MAX });
    this.departing = new Departing(clock, isScarce);
  }

  /** Whether a handshake may begin without waiting. */
  get hasRoom(): boolean {
    return this.turns.hasRoom;
  }

  /** A handshake has begun without waiting. */
  begun(wire: TlsWire, address: string): void {
    const applicant = { address, begin() {}, cut: () => wire.crowdedOut() };
    this.turns.begun(applicant);
    // By a name of its own: V8 keeps a function that is assigned as it is written until its next full collection.
    const settled = (): void => this.turns.leave(applicant);
    wire.onSettled = settled;
  }

  /**
   * Takes the connection over, and reads its ClientHello for `timeoutMs`. `make` makes a wire of what it
   * was; null: the connection is to be closed.
   */
  enter(guest: Guest, timeoutMs: number, make: Make): void {
    const { clock, turns, arriving, departing } = this;
    const arrival = new Arrival(guest, { clock, turns, arriving, departing, timeoutMs, make });
    arriving.add(arrival);
    guest.read(arrival);
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
  private readonly guest: Guest;
  private readonly parts: ArrivalParts;
  private readonly timer: Timer;
  private readonly bytes = new GrowingBytes();
  private needed = 1;
  private isOver = false;
  private wire: TlsWire | null = null;

  constructor(guest: Guest, parts: ArrivalParts) {
    this.guest = guest;
    this.parts = parts;
    this.address = guest.address;
    this.timer = parts.clock.setTimer(parts.timeoutMs, () => this.onGone());
  }

  /** For the guest. */
  onPiece(piece: Uint8Array): void {
    const { bytes, guest, parts } = this;
    bytes.add(piece);
    if (bytes.length < this.needed) return;
    const hello = readClientHello(bytes.view);
    if (hello.kind === 'partial' && bytes.length <= CLIENT_HELLO_BYTES_MAX) {
      this.needed = hello.needed;
      return;
    }
    // What is none is for TLS to judge, as it does without us.
    guest.pause();
    parts.arriving.remove(this);
    parts.turns.wait(this);
  }

  /** For the guest: it has closed, or ended. */
  onGone(): void {
    if (this.isOver) return;
    this.leave();
    this.guest.reset();
  }

  begin(): void {
    const { guest, parts, bytes } = this;
    this.isOver = true;
    this.timer.cancel();
    const handle = guest.release();
    this.wire = handle && parts.make({ handle, first: bytes.take() });
    if (this.wire !== null) {
      const settled = (): void => parts.turns.leave(this);
      this.wire.onSettled = settled;
      return;
    }
    parts.turns.leave(this);
    handle?.close();
  }

  cut(): void {
    if (this.wire !== null) return this.wire.crowdedOut();
    if (this.isOver) return;
    this.leave();
    // There may be thousands for a while: of each no more is kept than the system's handle.
    const handle = this.guest.release();
    if (handle !== null) this.parts.departing.add(handle);
  }

  private leave(): void {
    const { parts } = this;
    this.isOver = true;
    this.timer.cancel();
    parts.arriving.remove(this);
    parts.turns.leave(this);
  }
}

/** Connections that are about to be closed, the first that came first. */
class Departing {
  private readonly handles = new Set<GuestHandle>();
  private readonly clock: WorkerClock;
  private readonly isScarce: (descriptor: number) => boolean;
  private timer: Timer | null = null;

  constructor(clock: WorkerClock, isScarce: (descriptor: number) => boolean) {
    this.clock = clock;
    this.isScarce = isScarce;
  }

  add(handle: GuestHandle): void {
    this.handles.add(handle);
    const { size } = this.handles;
    if (size > DEPARTING_MAX || this.isScarce(handle.fd ?? 0)) this.close(1);
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
      closeHandle(handle);
    }
  }
}
