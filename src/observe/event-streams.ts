// Server-sent events (WHATWG HTML, "Server-sent events"): a bounded set of responses that stay open,
// and on top of it the changes of the table as they happen. A client that comes back is first told
// what it has missed.
import type { ServerResponse } from 'node:http';
import { safeJson } from '../base/safe-text.ts';
import type { EventLog, TableEvent } from '../control/view.ts';
import { type Parts, partsOf } from './parts.ts';

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

interface Stream {
  /** Of its first message, until that has been read. */
  firstBytes: number;
  /** Since when something is unread; 0: nothing is. */
  behindSinceMs: number;
}

export class StreamSet {
  private readonly streams = new Map<ServerResponse, Stream>();
  private readonly heartbeat: NodeJS.Timeout;
  private largestBytes = 0;

  constructor() {
    const alive = partsOf(': alive\n\n');
    this.heartbeat = setInterval(() => this.sendAll(alive), HEARTBEAT_MS).unref();
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
  add(response: ServerResponse, first: Parts): boolean {
    if (this.isFull || !this.hasRoom(first)) return false;
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
    const stream: Stream = { firstBytes: 0, behindSinceMs: 0 };
    this.streams.set(response, stream);
    response.on('close', () => this.streams.delete(response));
    response.on('drain', () => {
      stream.firstBytes = 0;
      stream.behindSinceMs = 0;
    });
    this.largestBytes = Math.max(this.largestBytes, first.length);
    write(response, stream, partsOf(`retry: ${RETRY_MS}\n\n`));
    if (first.length === 0) return true;
    stream.firstBytes = first.length;
    write(response, stream, first);
    return true;
  }

  sendAll(bytes: Parts): void {
    if (this.streams.size === 0) return;
    this.largestBytes = Math.max(this.largestBytes, bytes.length);
    const unreadMax = UNREAD_BYTES_MAX + UNREAD_MESSAGES_MAX * this.largestBytes;
    const lateMs = performance.now() - UNREAD_MS_MAX;
    for (const [response, stream] of this.streams) {
      const isLate = stream.behindSinceMs > 0 && stream.behindSinceMs < lateMs;
      if (isLate || response.writableLength > unreadMax) this.cut(response);
      else write(response, stream, bytes);
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

  private cut(response: ServerResponse): void {
    this.streams.delete(response);
    response.destroy();
  }
}

function write(response: ServerResponse, stream: Stream, data: Parts): void {
  let isTaken = true;
  for (const part of data.list) isTaken = response.write(part);
  if (isTaken) stream.firstBytes = 0;
  else if (stream.behindSinceMs === 0) stream.behindSinceMs = performance.now();
}

export class EventStreams {
  private readonly events: EventLog;
  private readonly streams = new StreamSet();
  private readonly unsubscribe: () => void;

  constructor(events: EventLog) {
    this.events = events;
    this.unsubscribe = events.subscribe((event) =>
      this.streams.sendAll(partsOf(formatEvent(event))),
    );
  }

  /**
   * Streams the events after number `lastId` (null: from the next one on). A number that was never
   * given comes from the process before this one: everything that is kept is new to that client.
   * False when there are too many streams.
   */
  add(response: ServerResponse, lastId: number | null): boolean {
    if (lastId === null) return this.streams.add(response, partsOf(''));
    const kept = this.events.since(0);
    const isOurs = lastId <= (kept.at(-1)?.id ?? 0);
    const missed = isOurs ? kept.filter(({ id }) => id > lastId) : kept;
    return this.streams.add(response, partsOf(missed.map(formatEvent).join('')));
  }

  close(): void {
    this.unsubscribe();
    this.streams.close();
  }
}

function formatEvent(event: TableEvent): string {
  return `id: ${event.id}\ndata: ${safeJson(JSON.stringify(event))}\n\n`;
}
