// What the product may send on one stream, or on all of a connection, and how it gets more.
import { frame, numbers, Type } from './frames.ts';
import type { Peer } from './peer.ts';

/** Before any setting (RFC 9113 section 6.9.2). */
export const DEFAULT_WINDOW = 65_535;

export class Giving {
  private readonly peer: Peer;
  /** 0: the connection. */
  private readonly id: number;
  /** What the product may send; below 0 where a setting has taken it back. */
  private window: number;
  /** What it has sent and not been given again. */
  private debt = 0;
  private isDue = false;
  /** It gets nothing more: whoever reads has stopped. */
  isShut = false;

  constructor(peer: Peer, id: number, window: number) {
    this.peer = peer;
    this.id = id;
    this.window = window;
  }

  /** Throws where the product has sent more than it may. */
  taken(bytes: number): void {
    if (bytes === 0) return;
    if (bytes > this.window) {
      const where = this.id === 0 ? 'the connection' : `stream ${this.id}`;
      throw new Error(`${bytes} bytes on ${where}, whose window has ${this.window}`);
    }
    this.window -= bytes;
    this.debt += bytes;
    this.giveBack();
  }

  widen(bytes: number): void {
    this.window += bytes;
    // What a setting has closed nothing else would open.
    if (this.window <= 0) this.giveBack();
  }

  give(bytes: number): void {
    this.window += bytes;
    this.peer.write(frame(Type.window, 0, this.id, numbers(bytes)));
  }

  private get isWanted(): boolean {
    const stream = this.peer.streams.get(this.id);
    const isDone = stream !== undefined && (stream.isRemoteDone || stream.isClosed);
    return !this.isShut && !isDone && (this.debt > 0 || this.window <= 0);
  }

  private get isShutAtFirst(): boolean {
    return this.id > 0 && this.peer.isShut;
  }

  private giveBack(): void {
    const { kernel, manner, chance } = this.peer.setting;
    const { isSlow, stepBytes, stepMs } = manner;
    if (!isSlow) {
      // Shut windows are opened by SETTINGS.
      if (this.isShutAtFirst) return;
      if (this.debt >= this.window) this.giveSome(Math.max(this.debt, stepBytes));
      return;
    }
    if (this.isDue) return;
    this.isDue = true;
    kernel.after(chance.between(0, stepMs), () => {
      this.isDue = false;
      this.giveSome(stepBytes);
      if (this.isWanted) this.giveBack();
    });
  }

  private giveSome(bytes: number): void {
    if (!this.isWanted) return;
    const most = Math.max(1, bytes);
    this.debt = Math.max(0, this.debt - most);
    // What a setting has taken back comes first.
    this.give(this.window < 0 ? most - this.window : most);
  }
}
