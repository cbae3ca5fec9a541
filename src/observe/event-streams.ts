// Server-sent events (WHATWG HTML, "Server-sent events"): each change of the table as it happens,
// after what a client that comes back has missed.
import type { ServerResponse } from 'node:http';
import type { EventLog, TableEvent } from '../control/view.ts';

const STREAMS_MAX = 100;
const RETRY_MS = 2000;
const HEARTBEAT_MS = 15_000;
/** A client that has not read so much is cut: it comes back and asks for what it missed. */
const BUFFERED_BYTES_MAX = 1024 * 1024;

export class EventStreams {
  private readonly events: EventLog;
  private readonly streams = new Set<ServerResponse>();
  private readonly unsubscribe: () => void;
  private readonly heartbeat: NodeJS.Timeout;

  constructor(events: EventLog) {
    this.events = events;
    this.unsubscribe = events.subscribe((event) => {
      for (const stream of this.streams) this.send(stream, formatEvent(event));
    });
    this.heartbeat = setInterval(() => {
      for (const stream of this.streams) this.send(stream, ': alive\n\n');
    }, HEARTBEAT_MS).unref();
  }

  /**
   * Makes a stream of the response, beginning after the event `lastId` (null: with the next).
   * False when there are too many; the response is then the caller's still.
   */
  add(response: ServerResponse, lastId: number | null): boolean {
    if (this.streams.size >= STREAMS_MAX) return false;
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(`retry: ${RETRY_MS}\n\n`);
    if (lastId !== null) {
      for (const event of this.events.since(lastId)) response.write(formatEvent(event));
    }
    this.streams.add(response);
    response.on('close', () => this.streams.delete(response));
    return true;
  }

  close(): void {
    this.unsubscribe();
    clearInterval(this.heartbeat);
    for (const stream of this.streams) stream.destroy();
  }

  private send(stream: ServerResponse, text: string): void {
    if (stream.writableLength > BUFFERED_BYTES_MAX) stream.destroy();
    else stream.write(text);
  }
}

function formatEvent(event: TableEvent): string {
  return `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`;
}
