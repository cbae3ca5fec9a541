// Sends bodies part by part, so that what a client has not read is a reference to a body that
// others share. What bodies are held for clients is bounded in all: to make room, the
// client that has read nothing for the longest is cut off.
import type { ServerResponse } from 'node:http';
import type { Connection } from './connections.ts';
import type { Parts } from './parts.ts';

/** Of bodies that are being sent, each counted once; one alone may be larger. */
const HELD_BYTES_MAX = 32 * 1024 * 1024;
/** Bodies up to this size always have room: there are no more of them than connections. */
const SMALL_BYTES = 16 * 1024;
/** A client that took nothing for so long may be cut off to make room. */
const STALLED_MS = 1000;

export class Outbox {
  private readonly maxBytes: number;
  private readonly bodies = new Map<Connection, Parts>();
  private readonly holders = new Map<Parts, number>();
  private heldBytes = 0;

  constructor(maxBytes = HELD_BYTES_MAX) {
    this.maxBytes = maxBytes;
  }

  /** Sends a body and ends the response; false, with nothing done, where there is no room for it. */
  send(response: ServerResponse, body: Parts, connection: Connection): boolean {
    if (!this.hold(connection, body)) return false;
    let sent = 0;
    const next = (): void => {
      connection.progressMs = performance.now();
      let isTaken = true;
      while (isTaken && sent < body.list.length) {
        isTaken = response.write(body.list[sent]!);
        sent += 1;
      }
      if (sent < body.list.length) response.once('drain', next);
      else response.end();
    };
    response.once('close', () => this.release(connection));
    next();
    return true;
  }

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
