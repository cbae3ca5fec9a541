// The history of the table: every change of an endpoint's state with its cause. The last ones are
// kept; subscribers get the next ones.
import type { Cause } from '../model/cause.ts';

const KEPT = 1000;

export interface TableEvent {
  readonly id: number;
  /** ms since the epoch. */
  readonly atMs: number;
  readonly service: string;
  /** '' where the event concerns the service as a whole. */
  readonly endpoint: string;
  /** State before; '' for one that is new. */
  readonly from: string;
  /** State after; '' for one that is gone. A service as a whole is `served`, in `panic`, or not there. */
  readonly to: string;
  readonly reason: string;
  readonly cause: Cause;
}

export class EventLog {
  private readonly kept: TableEvent[] = [];
  private readonly listeners = new Set<(event: TableEvent) => void>();
  private lastId = 0;

  add(event: Omit<TableEvent, 'id'>): void {
    this.lastId += 1;
    const numbered = { id: this.lastId, ...event };
    this.kept.push(numbered);
    if (this.kept.length > KEPT) this.kept.shift();
    for (const listener of this.listeners) listener(numbered);
  }

  /** The kept events after `id`, oldest first. */
  since(id: number): readonly TableEvent[] {
    return this.kept.filter((event) => event.id > id);
  }

  /** Calls `listener` with each event from now on; returns how to end that. */
  subscribe(listener: (event: TableEvent) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}
