// Bodies leave part by part, in turns of the thread, whoever has asked for them. Node tells that a
// socket has taken a part before anything else of the thread has its turn: whoever wrote the next one
// then would send a page of many megabytes, to every reader that keeps up, in one piece.
import type { ServerResponse } from 'node:http';
import { systemClock } from '../base/clock.ts';
import { takeTurn } from '../base/turns.ts';

/** Parts written in one turn, of 32 to 100 KiB each: a page may be ready for hundreds at once. */
const PARTS_A_TURN = 8;
/** A turn of writing ends after so long, however few that were. */
const TURN_MS = 2;
/** Of the thread's time: a health check must not wait behind hundreds of pages. */
const SHARE_MAX = 0.5;

export interface Sender {
  /** Writes one part, and returns whether it can write another at once. */
  sendPart(): boolean;
}

export class Pump {
  /** Each is in it once at most. */
  private ready: Sender[] = [];
  private isScheduled = false;
  /** The next turn may begin then; ms. */
  private freeMs = 0;

  /** The sender has a part to write, and may write it. It must not be waiting already. */
  wake(sender: Sender): void {
    this.ready.push(sender);
    if (!this.isScheduled) this.schedule();
  }

  private schedule(): void {
    this.isScheduled = true;
    const waitMs = this.freeMs - performance.now();
    if (waitMs <= 0) takeTurn(systemClock, this.turn);
    else setTimeout(() => takeTurn(systemClock, this.turn), Math.ceil(waitMs));
  }

  /** One part to each in turn, a few in all; then other work of the thread has its turn. */
  private readonly turn = (): void => {
    const { ready } = this;
    this.ready = [];
    const beganMs = performance.now();
    let count = 0;
    while (count < ready.length && count < PARTS_A_TURN && performance.now() - beganMs < TURN_MS) {
      const sender = ready[count]!;
      count += 1;
      if (sender.sendPart()) this.ready.push(sender);
    }
    // Those that have had their part stand behind those that wait.
    this.ready = [...ready.slice(count), ...this.ready];
    const endedMs = performance.now();
    this.freeMs = endedMs + (endedMs - beganMs) * (1 / SHARE_MAX - 1);
    this.isScheduled = false;
    if (this.ready.length > 0) this.schedule();
  };
}

/** Writes at once, so that what that costs is part of the turn; Node would do it after it. */
export function writeNow(response: ServerResponse, part: Buffer): boolean {
  const { socket } = response;
  socket?.cork();
  const isTaken = response.write(part);
  socket?.uncork();
  return isTaken;
}
