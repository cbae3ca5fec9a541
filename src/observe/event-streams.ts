// Server-sent events (WHATWG HTML, "Server-sent events"): a bounded set of responses that stay open,
// and on top of it the changes of the table as they happen. A client that comes back is first told
// what it has missed.
import type { ServerResponse } from 'node:http';
import type { EventLog, TableEvent } from '../control/view.ts';

const STREAMS_MAX = 100;
const RETRY_MS = 2000;
const HEARTBEAT_MS = 15_000;
/** A client that has left so much unread is cut: it comes back and asks for what it missed. */
const UNREAD_BYTES_MAX = 1024 * 1024;

export class StreamSet {
  /** With how many unread bytes each may lag: more where its first message was large. */
  private readonly streams = new Map<ServerResponse, number>();
  private readonly heartbeat: NodeJS.Timeout;

  constructor() {
    this.heartbeat = setInterval(() => this.sendAll(': alive\n\n'), HEARTBEAT_MS).unref();
  }

  get size(): number {
    return this.streams.size;
  }

  /**
   * Makes a stream of the response and sends `first` on it. The set owns it from now on. False
   * when there are too many; the response is then the caller's still.
   */
  add(response: ServerResponse, first: string): boolean {
    if (this.streams.size >= STREAMS_MAX) return false;
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
    response.write(`retry: ${RETRY_MS}\n\n${first}`);
    this.streams.set(response, UNREAD_BYTES_MAX + first.length);
    response.on('close', () => this.streams.delete(response));
    return true;
  }

  sendAll(text: string): void {
    for (const [stream, unreadMax] of this.streams) {
      if (stream.writableLength > unreadMax) stream.destroy();
      else stream.write(text);
    }
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
    if (lastId === null) return this.streams.add(response, '');
    const kept = this.events.since(0);
    const isOurs = lastId <= (kept.at(-1)?.id ?? 0);
    const missed = isOurs ? kept.filter(({ id }) => id > lastId) : kept;
    return this.streams.add(response, missed.map(formatEvent).join(''));
  }

  close(): void {
    this.unsubscribe();
    this.streams.close();
  }
}

function formatEvent(event: TableEvent): string {
  return `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`;
}
