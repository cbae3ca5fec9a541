// Connections of the stats port that have lost their places to others. They close at a pace, so that a client that
// comes back for each that closes does not come back as fast as it can: 1,000 of one client, who all came back at
// once, took the thread for 10 ms at a time. None of them is read meanwhile, and none has any state of TLS.
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';

/** One in each step: 200 a second. */
const STEP_MS = 5;
/** As many wait to be closed; beyond them one closes for each that comes. A descriptor and a KiB keep one. */
const WAITING_MAX = 256;

export class Departures {
  private readonly clock: Clock;
  private readonly waiting = new Set<Socket>();
  private timer: Timer | null = null;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Closes it: at once where none was closed in the last step. */
  add(socket: Socket): void {
    if (this.timer === null) {
      socket.destroy();
      this.timer = this.clock.setTimer(STEP_MS, this.step);
      return;
    }
    socket.pause();
    this.waiting.add(socket);
    socket.once('close', () => this.waiting.delete(socket));
    if (this.waiting.size > WAITING_MAX) this.closeOne();
  }

  /** Closes all, and takes none any more. */
  close(): void {
    for (const socket of [...this.waiting]) socket.destroy();
    this.waiting.clear();
    this.timer?.cancel();
    this.timer = null;
  }

  private readonly step = (): void => {
    this.timer = this.closeOne() ? this.clock.setTimer(STEP_MS, this.step) : null;
  };

  private closeOne(): boolean {
    for (const socket of this.waiting) {
      this.waiting.delete(socket);
      socket.destroy();
      return true;
    }
    return false;
  }
}
