// Sends bodies part by part, so that what a client has not read is a reference to a body that
// others share. What bodies are held for clients is bounded in all: to make room, the client that
// has read nothing for the longest is cut off. Long ones leave by the pump (pump.ts).
import type { ServerResponse } from 'node:http';
import type { Connection } from './connections.ts';
import type { Parts } from './parts.ts';
import { type Pump, type Sender, writeNow } from './pump.ts';

/** Of bodies that are being sent, each counted once; one alone may be larger. */
const HELD_BYTES_MAX = 32 * 1024 * 1024;
/** Bodies up to this size always have room: there are no more of them than connections. */
const SMALL_BYTES = 16 * 1024;
/** A client that took nothing for so long may be cut off to make room. */
const STALLED_MS = 1000;

export class Outbox {
  private readonly pump: Pump;
  private readonly maxBytes: number;
  private readonly bodies = new Map<Connection, Parts>();
  private readonly holders = new Map<Parts, number>();
  private heldBytes = 0;

  constructor(pump: Pump, maxBytes = HELD_BYTES_MAX) {
    this.pump = pump;
    this.maxBytes = maxBytes;
  }

  /** Sends a body and ends the response; false, with nothing done, where there is no room for it. */
  send(response: ServerResponse, body: Parts, connection: Connection): boolean {
    if (!this.hold(connection, body)) return false;
    response.once('close', () => this.release(connection));
    if (body.length <= SMALL_BYTES && body.list.length <= 1) {
      // What is short waits for nothing.
      response.end(body.list[0]);
      return true;
    }
    const sending = new Sending(response, body, connection);
    response.on('drain', () => this.pump.wake(sending));
    this.pump.wake(sending);
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

/** A body on its way; the pump has it, or its client has yet to take what was written. */
class Sending implements Sender {
  private readonly response: ServerResponse;
  private readonly body: Parts;
  private readonly connection: Connection;
  /** Parts written. */
  private sent = 0;

  constructor(response: ServerResponse, body: Parts, connection: Connection) {
    this.response = response;
    this.body = body;
    this.connection = connection;
  }

  sendPart(): boolean {
    const { response, body, connection } = this;
    // The drain of the last part has nothing to follow it.
    if (response.destroyed || this.sent >= body.list.length) return false;
    connection.progressMs = performance.now();
    const isTaken = writeNow(response, body.list[this.sent]!);
    this.sent += 1;
    const hasMore = this.sent < body.list.length;
    if (!hasMore) response.end();
    return hasMore && isTaken;
  }
}
