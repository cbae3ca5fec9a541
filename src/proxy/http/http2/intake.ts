// How much of what comes on an HTTP/2 connection is read in one turn of the event loop: a bound of work, for a
// wakeup may bring megabytes, and a frame of one byte costs its reader more than its sender. What is over waits
// for the next turn, and where it was much work for little content, for a while: the other connections come
// first (rest.ts). The connection is not read meanwhile.
import { Rest, type Rested } from '../../limits/rest.ts';
import type { Wire } from '../../network.ts';
import { TAILROOM } from '../../wire/read-buffers.ts';
import { Stash } from '../http1/stash.ts';
import type { HttpPlane } from '../plane.ts';
import type { Due } from '../turn.ts';

/** Less is not counted: a connection that says little does not ask for the end of the turn. */
const COUNTED_MIN = 256;
/**
 * Bytes for each frame; with fewer the connection rests. An honest peer sends fewer than are read in a turn: it
 * has 100 streams, each with a head, content and trailers.
 */
const WORTHY_BYTES = 64;

export interface IntakeOwner {
  readonly session: { work: number };
  /** Takes base[start,end), as Session.feed; returns the offset after what was taken. */
  feed(base: Buffer, start: number, end: number, room: number): number;
  onBug(error: unknown): void;
}

export class Intake implements Rested, Due {
  private readonly wire: Wire;
  private readonly owner: IntakeOwner;
  private readonly plane: HttpPlane;
  /** Made for the few connections that need them. */
  private stash: Stash | null = null;
  private rest: Rest | null = null;
  private isCounted = false;
  /** Bytes that were taken in this turn. */
  private bytes = 0;

  constructor(wire: Wire, owner: IntakeOwner, plane: HttpPlane) {
    this.wire = wire;
    this.owner = owner;
    this.plane = plane;
  }

  /** base[start,end) has come. */
  take(base: Buffer, start: number, end: number): void {
    if (this.stash?.isEmpty === false) this.stash.keep(base, start, end);
    else this.feed(base, start, end, TAILROOM);
  }

  private feed(base: Buffer, start: number, end: number, room: number): void {
    const { owner } = this;
    const { session } = owner;
    const at = owner.feed(base, start, end, room);
    this.bytes += at - start;
    if (session.work >= COUNTED_MIN && !this.isCounted) {
      this.isCounted = true;
      this.plane.turns.add(this);
    }
    if (at < end) this.keep(base, at, end);
  }

  private keep(base: Buffer, start: number, end: number): void {
    this.wire.pause();
    this.stash ??= new Stash();
    this.stash.keep(base, start, end);
    if (this.bytes >= WORTHY_BYTES * this.owner.session.work) return;
    this.rest ??= new Rest(this, this.plane.context.wheel);
    this.rest.begin();
  }

  /** The turn is over. */
  turn(): void {
    this.isCounted = false;
    this.bytes = 0;
    this.owner.session.work = 0;
    if (this.rest?.isOn !== true) this.goOn();
  }

  onRested(): void {
    this.goOn();
  }

  private goOn(): void {
    const { stash } = this;
    if (stash === null || stash.isEmpty) return;
    try {
      stash.empty(this.takeStashed);
    } catch (error) {
      this.owner.onBug(error);
    }
    if (stash.isEmpty) this.wire.resume();
  }

  private get takeStashed(): (base: Buffer, start: number, end: number) => void {
    return (base, start, end) => this.feed(base, start, end, 0);
  }

  /** What was not read is thrown away: nobody wants it any more. */
  end(): void {
    this.rest?.end();
    this.stash?.clear();
  }

  onBug(error: unknown): void {
    this.owner.onBug(error);
  }
}
