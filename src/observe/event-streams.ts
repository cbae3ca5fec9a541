// Server-sent events (WHATWG HTML, "Server-sent events"): a bounded set of responses that stay open,
// and on top of it the changes of the table as they happen. A client that comes back is first told
// what it has missed. Messages leave by the pump, and changes that come together leave together: what
// a burst of them costs does not grow with the number of those who look.
import type { ServerResponse } from 'node:http';
import { ByAddress } from '../base/by-address.ts';
import { safeJson } from '../base/safe-text.ts';
import type { EventLog, TableEvent } from '../control/view.ts';
import { type Parts, PartsWriter, partsOf } from './parts.ts';
import { type Pump, type Sender, writeNow } from './pump.ts';

const STREAMS_MAX = 100;
const RETRY_MS = 2000;
const HEARTBEAT_MS = 15_000;
/** A client that has left so much unread is cut: it comes back and asks for what it missed. */
const UNREAD_BYTES_MAX = 256 * 1024;
/** ... beside so many of the largest message so far: a large table has large messages. */
const UNREAD_MESSAGES_MAX = 2;
/** A client that has read nothing of what there is for so long is cut. */
const UNREAD_MS_MAX = 10_000;
/** First messages that are being read, of all streams: what comes later they share. */
const FIRST_BYTES_MAX = 16 * 1024 * 1024;

/** A response that stays open, and what it has yet to be sent. */
class Stream implements Sender {
  /** Of its first message, until that has been read. */
  firstBytes = 0;
  /** Since when something is unread; 0: nothing is. */
  behindSinceMs = 0;
  readonly response: ServerResponse;
  readonly address: string;
  private readonly pump: Pump;
  /** Parts that others may share; those before `sent` have been written. */
  private queue: Buffer[] = [];
  private sent = 0;
  private queuedBytes = 0;
  /** The pump has it, or its client has yet to take what was written. */
  private isBusy = false;

  constructor(response: ServerResponse, pump: Pump) {
    this.response = response;
    this.address = addressOf(response);
    this.pump = pump;
    response.on('drain', () => this.goOn());
  }

  /** What its client has not read. */
  get unreadBytes(): number {
    return this.queuedBytes + this.response.writableLength;
  }

  send({ list, length }: Parts): void {
    if (length === 0) return;
    for (const part of list) this.queue.push(part);
    this.queuedBytes += length;
    if (this.behindSinceMs === 0) this.behindSinceMs = performance.now();
    if (this.isBusy) return;
    this.isBusy = true;
    this.pump.wake(this);
  }

  sendPart(): boolean {
    const part = this.queue[this.sent];
    if (part === undefined || this.response.destroyed) return false;
    this.sent += 1;
    this.queuedBytes -= part.length;
    const isTaken = writeNow(this.response, part);
    if (isTaken && this.sent < this.queue.length) return true;
    if (isTaken) this.finish();
    return false;
  }

  private goOn(): void {
    if (this.sent < this.queue.length) this.pump.wake(this);
    else this.finish();
  }

  private finish(): void {
    this.queue = [];
    this.sent = 0;
    this.isBusy = false;
    this.firstBytes = 0;
    this.behindSinceMs = 0;
  }
}

export class StreamSet {
  private readonly pump: Pump;
  private readonly streams = new Map<ServerResponse, Stream>();
  /** The same. */
  private readonly byAddress = new ByAddress<Stream>();
  private readonly heartbeat: NodeJS.Timeout;
  private largestBytes = 0;

  constructor(pump: Pump) {
    this.pump = pump;
    const alive = partsOf(': alive\n\n');
    this.heartbeat = setInterval(() => this.sendAll(alive), HEARTBEAT_MS).unref();
  }

  /**
   * Whether there is a place for a stream of the client of `response`; where there is none, one of an
   * address that would still have as many yields.
   */
  hasPlaceFor(response: ServerResponse): boolean {
    return this.streams.size < STREAMS_MAX || this.yielding(addressOf(response)) !== null;
  }

  get size(): number {
    return this.streams.size;
  }

  /**
   * Makes a stream of the response and sends `first` on it, a body that others may share. The set
   * owns the response from now on. False when there are too many; it is then the caller's still.
   */
  add(response: ServerResponse, first: Parts): boolean {
    if (!this.hasPlaceFor(response) || !this.hasRoom(first)) return false;
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      // Proxies of nginx's kind would hold the events back.
      'x-accel-buffering': 'no',
    });
    // HEAD has no body to wait for.
    if (response.req.method === 'HEAD') {
      response.end();
      return true;
    }
    const stream = new Stream(response, this.pump);
    if (this.streams.size >= STREAMS_MAX) this.cut(this.yielding(stream.address)!);
    this.streams.set(response, stream);
    this.byAddress.add(stream);
    response.on('close', () => this.remove(stream));
    this.largestBytes = Math.max(this.largestBytes, first.length);
    stream.send(partsOf(`retry: ${RETRY_MS}\n\n`));
    stream.firstBytes = first.length;
    stream.send(first);
    return true;
  }

  /** To each stream; one that reads too slowly is cut. */
  sendAll(bytes: Parts): void {
    if (this.streams.size === 0) return;
    this.largestBytes = Math.max(this.largestBytes, bytes.length);
    const unreadMax = UNREAD_BYTES_MAX + UNREAD_MESSAGES_MAX * this.largestBytes;
    const lateMs = performance.now() - UNREAD_MS_MAX;
    for (const stream of this.streams.values()) {
      const isLate = stream.behindSinceMs > 0 && stream.behindSinceMs < lateMs;
      if (isLate || stream.unreadBytes > unreadMax) this.cut(stream);
      else stream.send(bytes);
    }
  }

  close(): void {
    clearInterval(this.heartbeat);
    for (const response of this.streams.keys()) response.destroy();
  }

  private hasRoom({ length }: Parts): boolean {
    let held = 0;
    for (const { firstBytes } of this.streams.values()) held += firstBytes;
    return held === 0 || held + length <= FIRST_BYTES_MAX;
  }

  /** The oldest of the address that has the most, where another one of `address` leaves it as many. */
  private yielding(address: string): Stream | null {
    const { byAddress } = this;
    const oldest = byAddress.heaviest();
    if (oldest === null) return null;
    return byAddress.countOf(oldest.address) > byAddress.countOf(address) + 1 ? oldest : null;
  }

  private remove(stream: Stream): void {
    this.streams.delete(stream.response);
    this.byAddress.remove(stream);
  }

  /** Its client comes back and asks for what it missed. */
  private cut(stream: Stream): void {
    this.remove(stream);
    stream.response.destroy();
  }
}

function addressOf({ req }: ServerResponse): string {
  return req.socket?.remoteAddress ?? '';
}

export class EventStreams {
  private readonly events: EventLog;
  private readonly streams: StreamSet;
  private readonly unsubscribe: () => void;
  /** Changes that have yet to be sent: those of one turn of the thread. */
  private fresh: TableEvent[] = [];

  constructor(events: EventLog, pump: Pump) {
    this.events = events;
    this.streams = new StreamSet(pump);
    this.unsubscribe = events.subscribe((event) => this.onEvent(event));
  }

  private onEvent(event: TableEvent): void {
    if (this.streams.size === 0) return;
    this.fresh.push(event);
    if (this.fresh.length === 1) setImmediate(() => this.sendFresh());
  }

  private sendFresh(): void {
    if (this.fresh.length === 0) return;
    const body = bodyOf(this.fresh);
    this.fresh = [];
    this.streams.sendAll(body);
  }

  /**
   * Streams the events after number `lastId` (null: from the next one on). A number that was never
   * given comes from the process before this one: everything that is kept is new to that client.
   * False when there are too many streams.
   */
  add(response: ServerResponse, lastId: number | null): boolean {
    // What a new client is told of what has been is not to come again.
    this.sendFresh();
    if (lastId === null) return this.streams.add(response, partsOf(''));
    const kept = this.events.since(0);
    const isOurs = lastId <= (kept.at(-1)?.id ?? 0);
    const missed = isOurs ? kept.filter(({ id }) => id > lastId) : kept;
    return this.streams.add(response, bodyOf(missed));
  }

  close(): void {
    this.unsubscribe();
    this.streams.close();
  }
}

function bodyOf(events: readonly TableEvent[]): Parts {
  const writer = new PartsWriter();
  for (const event of events) writer.add(formatEvent(event));
  return writer.done();
}

function formatEvent(event: TableEvent): string {
  return `id: ${event.id}\ndata: ${safeJson(JSON.stringify(event))}\n\n`;
}
