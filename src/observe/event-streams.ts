// Server-sent events (WHATWG HTML, "Server-sent events"): a bounded set of responses that stay open,
// and on top of it the changes of the table as they happen. A client that comes back is first told
// what it has missed.
import type { ServerResponse } from 'node:http';
import { safeJson } from '../base/safe-text.ts';
import type { EventLog, TableEvent } from '../control/view.ts';

const STREAMS_MAX = 100;
const RETRY_MS = 2000;
const HEARTBEAT_MS = 15_000;
/** A client that has left so much unread is cut: it comes back and asks for what it missed. */
const UNREAD_BYTES_MAX = 256 * 1024;
/** Of all streams together: then the one that has left the most unread is cut. */
const UNREAD_BYTES_ALL = 8 * 1024 * 1024;

export class StreamSet {
  /** With how many unread bytes each may lag: more until its first message has been read. */
  private readonly streams = new Map<ServerResponse, number>();
  private readonly heartbeat: NodeJS.Timeout;

  constructor() {
    this.heartbeat = setInterval(() => this.sendAll(': alive\n\n'), HEARTBEAT_MS).unref();
  }

  get isFull(): boolean {
    return this.streams.size >= STREAMS_MAX;
  }

  get size(): number {
    return this.streams.size;
  }

  /**
   * Makes a stream of the response and sends `first` on it, a body that others may share. The set
   * owns the response from now on. False when there are too many; it is then the caller's still.
   */
  add(response: ServerResponse, first: Buffer): boolean {
    if (this.isFull) return false;
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
    response.write(`retry: ${RETRY_MS}\n\n`);
    if (first.length > 0) response.write(first);
    this.streams.set(response, UNREAD_BYTES_MAX + first.length);
    response.once('drain', () => {
      if (this.streams.has(response)) this.streams.set(response, UNREAD_BYTES_MAX);
    });
    response.on('close', () => this.streams.delete(response));
    return true;
  }

  sendAll(text: string): void {
    if (this.streams.size === 0) return;
    const bytes = Buffer.from(text);
    let unread = 0;
    for (const [stream, unreadMax] of this.streams) {
      if (stream.writableLength > unreadMax) this.cut(stream);
      else stream.write(bytes);
      unread += stream.writableLength;
    }
    // One alone has the bound of its own: its first message may be large.
    while (unread > UNREAD_BYTES_ALL && this.streams.size > 1) unread -= this.cutSlowest();
  }

  /** Cuts the stream that has left the most unread; returns how much that was. */
  private cutSlowest(): number {
    let slowest: ServerResponse | null = null;
    for (const stream of this.streams.keys()) {
      if (slowest === null || stream.writableLength > slowest.writableLength) slowest = stream;
    }
    const unread = slowest?.writableLength ?? Infinity;
    if (slowest !== null) this.cut(slowest);
    return unread;
  }

  private cut(stream: ServerResponse): void {
    this.streams.delete(stream);
    stream.destroy();
  }

  close(): void {
    clearInterval(this.heartbeat);
    for (const stream of this.streams.keys()) stream.destroy();
  }
}

export class EventStreams {
  private readonly events: EventLog;
  private readonly streams = new StreamSet();
  private readonly unsubscribe: () => void;

  constructor(events: EventLog) {
    this.events = events;
    this.unsubscribe = events.subscribe((event) => this.streams.sendAll(formatEvent(event)));
  }

  /**
   * Streams the events after number `lastId` (null: from the next one on). A number that was never
   * given comes from the process before this one: everything that is kept is new to that client.
   * False when there are too many streams.
   */
  add(response: ServerResponse, lastId: number | null): boolean {
    if (lastId === null) return this.streams.add(response, Buffer.alloc(0));
    const kept = this.events.since(0);
    const isOurs = lastId <= (kept.at(-1)?.id ?? 0);
    const missed = isOurs ? kept.filter(({ id }) => id > lastId) : kept;
    return this.streams.add(response, Buffer.from(missed.map(formatEvent).join('')));
  }

  get isFull(): boolean {
    return this.streams.isFull;
  }

  close(): void {
    this.unsubscribe();
    this.streams.close();
  }
}

function formatEvent(event: TableEvent): string {
  return `id: ${event.id}\ndata: ${safeJson(JSON.stringify(event))}\n\n`;
}
