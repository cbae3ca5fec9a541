// HTTP/1.1 connections of one worker to one endpoint that are open and idle. Last in, first out: the one
// used last is the least likely to have been closed by the endpoint meanwhile.
// Invariant: a connection in the pool has no exchange, nothing buffered, and both sides open.
import type { UpstreamConnection } from './upstream-connection.ts';

export class Pool {
  private idle: UpstreamConnection[] = [];
  private readonly most: number;
  private isClosed = false;

  /** `most`: idle connections that it takes, whatever the service allows. */
  constructor(most = Number.POSITIVE_INFINITY) {
    this.most = most;
  }

  get size(): number {
    return this.idle.length;
  }

  /** The connection used last, or null; only one idle since `sinceMs` or later counts. */
  take(sinceMs: number): UpstreamConnection | null {
    const { idle } = this;
    const last = idle.length - 1;
    if (last < 0 || idle[last]!.idleSinceMs < sinceMs) return null;
    return idle.pop()!;
  }

  /** Takes an idle connection; false when there is no room (`max`), then it is the caller's still. */
  give(connection: UpstreamConnection, max: number): boolean {
    if (this.idle.length >= max || this.idle.length >= this.most || this.isClosed) return false;
    this.idle.push(connection);
    return true;
  }

  /** The connection has closed, or is to be: forgets it. */
  remove(connection: UpstreamConnection): void {
    const at = this.idle.lastIndexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
  }

  /** Closes every idle connection. */
  clear(): void {
    const { idle } = this;
    this.idle = [];
    for (const connection of idle) connection.destroy();
  }

  /** Closes every idle connection, and takes none any more. */
  close(): void {
    this.isClosed = true;
    this.clear();
  }
}
