// What comes on a client's connection of HTTP/1.1, and when the connection is read: not while bytes that came
// before their turn lie here, not while what comes has nowhere to go, and not while it rests (rest.ts).
// Invariant: the wire is paused while anything lies in the stash.
import { Rest, type Rested } from '../../limits/rest.ts';
import type { Wire } from '../../network.ts';
import type { HttpPlane } from '../plane.ts';
import { Stash } from './stash.ts';

/** The connection whose bytes they are. */
export interface IntakeOwner {
  /** The next bytes are those of a head. */
  readonly isAwaitingHead: boolean;
  /** Takes base[start,end); what has to wait it hands to `keep` or `postpone`. */
  takeBytes(base: Buffer, start: number, end: number): void;
  onBug(error: unknown): void;
}

export class Intake implements Rested {
  /** Bytes of the client have nowhere to go for now: it is not read. */
  isHeld = false;
  /** Bytes are being taken at this moment. */
  isTaking = false;
  private readonly wire: Wire;
  private readonly owner: IntakeOwner;
  private readonly plane: HttpPlane;
  /** What came before its turn. Made for the few connections that need it, as `rest` is. */
  private stash: Stash | null = null;
  private rest: Rest | null = null;

  constructor(wire: Wire, owner: IntakeOwner, plane: HttpPlane) {
    this.wire = wire;
    this.owner = owner;
    this.plane = plane;
  }

  /** Nothing waits for its turn. */
  get isEmpty(): boolean {
    return this.stash === null || this.stash.isEmpty;
  }

  /** What is taken at this moment had come before its turn. */
  get isCatchingUp(): boolean {
    return this.stash?.isTaken ?? false;
  }

  /** base[start,end) has come. */
  take(base: Buffer, start: number, end: number): void {
    this.isTaking = true;
    this.owner.takeBytes(base, start, end);
    this.isTaking = false;
  }

  /** Keeps base[start,end) until `goOn`. */
  keep(base: Buffer, start: number, end: number): void {
    this.wire.pause();
    this.stash ??= new Stash();
    this.stash.keep(base, start, end);
  }

  /** Keeps base[start,end) until the next turn of the event loop: the other connections come first. */
  postpone(base: Buffer, start: number, end: number): void {
    this.keep(base, start, end);
    this.plane.context.clock.nextTurn(this.onTurn);
  }

  private get onTurn(): () => void {
    return () => {
      if (this.owner.isAwaitingHead) this.goOn();
    };
  }

  /** Goes on with what came early, as far as it leads, and then with what comes. */
  goOn(): void {
    const { stash } = this;
    if (stash !== null && !stash.isEmpty && !this.isTaking) {
      try {
        stash.empty(this.takeStashed);
      } catch (error) {
        // The caller may be the endpoint's side, or another connection's.
        this.owner.onBug(error);
      }
    }
    this.read();
  }

  private get takeStashed(): (base: Buffer, start: number, end: number) => void {
    return (base, start, end) => this.take(base, start, end);
  }

  private read(): void {
    const isResting = this.rest?.isOn ?? false;
    if (this.isEmpty && !this.isHeld && !isResting) this.wire.resume();
  }

  /** What came has nowhere to go: the client is not read until `release`. */
  hold(): void {
    this.isHeld = true;
    this.wire.pause();
  }

  release(): void {
    this.isHeld = false;
    this.read();
  }

  /** Nothing is held up any more; `goOn` reads. */
  endHold(): void {
    this.isHeld = false;
  }

  /** What came cost much for little: the others come first. */
  beginRest(): void {
    this.rest ??= new Rest(this, this.plane.context.wheel);
    this.rest.begin();
    this.wire.pause();
  }

  onRested(): void {
    this.read();
  }

  onBug(error: unknown): void {
    this.owner.onBug(error);
  }

  /** What waits is not wanted any more. */
  clear(): void {
    this.stash?.clear();
  }

  /** The connection is gone. */
  end(): void {
    this.rest?.end();
    this.clear();
  }
}
