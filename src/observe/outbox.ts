// Sends bodies part by part, so that what a client has not read is a reference to a body that
// others share. What bodies are held for clients is bounded in all: to make room, the client that
// has read nothing for the longest is cut off. Long ones leave in turns, whoever has asked for them.
import type { ServerResponse } from 'node:http';
import type { Connection } from './connections.ts';
import type { Parts } from './parts.ts';

/** Of bodies that are being sent, each counted once; one alone may be larger. */
const HELD_BYTES_MAX = 32 * 1024 * 1024;
/** Bodies up to this size always have room: there are no more of them than connections. */
const SMALL_BYTES = 16 * 1024;
/** A client that took nothing for so long may be cut off to make room. */
const STALLED_MS = 1000;
/** Parts written in one turn, of 32 to 100 KiB each: a page may be ready for hundreds at once. */
const PARTS_A_TURN = 8;

/** A body on its way; it is among the ready ones, or its client has yet to take what was written. */
interface Sending {
  readonly response: ServerResponse;
  readonly body: Parts;
  readonly connection: Connection;
  /** Parts written. */
  sent: number;
}

export class Outbox {
  private readonly maxBytes: number;
  private readonly bodies = new Map<Connection, Parts>();
  private readonly holders = new Map<Parts, number>();
  private heldBytes = 0;
  private readonly ready: Sending[] = [];

  constructor(maxBytes = HELD_BYTES_MAX) {
    this.maxBytes = maxBytes;
  }

  /** Sends a body and ends the response; false, with nothing done, where there is no room for it. */
  send(response: ServerResponse, body: Parts, connection: Connection): boolean {
    if (!this.hold(connection, body)) return false;
    response.once('close', () => this.release(connection));
    if (body.list.length <= 1) {
      // What is short waits for nothing.
      response.end(body.list[0]);
      return true;
    }
    const sending: Sending = { response, body, connection, sent: 0 };
    response.on('drain', () => this.goOn(sending));
    this.goOn(sending);
    return true;
  }

  /** Its client takes more. */
  private goOn(sending: Sending): void {
    const isIdle = this.ready.length === 0;
    this.ready.push(sending);
    if (isIdle) this.pump();
  }

  /** One part to each in turn, a few in all; then other work of the thread has its turn. */
  private readonly pump = (): void => {
    const beganMs = performance.now();
    for (let i = 0; i < PARTS_A_TURN && this.ready.length > 0; i += 1) {
      const sending = this.ready.shift()!;
      const { response, body, connection } = sending;
      if (response.destroyed) continue;
      connection.progressMs = performance.now();
      const isTaken = response.write(body.list[sending.sent]!);
      sending.sent += 1;
      if (sending.sent >= body.list.length) response.end();
      else if (isTaken) this.ready.push(sending);
    }
    // Half of the thread at the most: a health check must not wait behind hundreds of pages.
    if (this.ready.length > 0) setTimeout(this.pump, Math.ceil(performance.now() - beganMs));
  };

  private hold(connection: Connection, body: Parts): boolean {
    const count = this.holders.get(body) ?? 0;
    const isSmall = body.length <= SMALL_BYTES;
    while (count === 0 && !isSmall && !this.hasRoom(body)) {
      const slowest = this.slowest();
      if (slowest === null) return false;
      slowest.socket.destroy();
      this.release(slowest);
    }
    // What is small is not counted, so that it never stands in the way of what is large.
    if (isSmall) return true;
    this.bodies.set(connection, body);
    this.holders.set(body, count + 1);
    if (count === 0) this.heldBytes += body.length;
    return true;
  }

  /** One body alone always fits. */
  private hasRoom({ length }: Parts): boolean {
    return this.heldBytes === 0 || this.heldBytes + length <= this.maxBytes;
  }

  private slowest(): Connection | null {
    const stalled = [...this.bodies.keys()].filter((one) => one.isStalled(STALLED_MS));
    return stalled.sort((a, b) => a.progressMs - b.progressMs)[0] ?? null;
  }

  private release(connection: Connection): void {
    const body = this.bodies.get(connection);
    if (body === undefined) return;
    this.bodies.delete(connection);
    const left = (this.holders.get(body) ?? 1) - 1;
    if (left > 0) {
      this.holders.set(body, left);
      return;
    }
    this.holders.delete(body);
    this.heldBytes -= body.length;
  }
}
