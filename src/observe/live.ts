// Keeps open dashboards up to date by server-sent events: once a second the cells that differ from
// what was sent last, and soon after a change of the table that change itself. Costs nothing while
// nobody looks.
import type { ServerResponse } from 'node:http';
import type { Clock, Timer } from '../base/clock.ts';
import { safeData, safeJson } from '../base/safe-text.ts';
import type { EventLog, TableEvent } from '../control/view.ts';
import type { Cell, Cells } from './cells.ts';
import { StreamSet } from './event-streams.ts';
import { layoutOf, type PageModel, rowsOf } from './page-model.ts';
import type { Body } from './renderer.ts';

const TICK_MS = 1000;
/** After a change of the table; changes come in bursts. */
const HURRY_MS = 50;
const CHANGES_MAX = 50;
/** A large table is shown less often, so that looking takes no more than this share of the thread. */
const SHARE_MAX = 0.05;

export interface LiveSources {
  readonly events: EventLog;
  readonly clock: Clock;
  readonly model: () => PageModel;
}

interface Sent {
  readonly rows: ReadonlyMap<string, Cells>;
  readonly layout: string;
}

export class Live {
  private readonly sources: LiveSources;
  private readonly streams = new StreamSet();
  private readonly unsubscribe: () => void;
  /** Null while nobody looks. */
  private sent: Sent | null = null;
  private changes: TableEvent[] = [];
  private timer: Timer | null = null;
  private isHurrying = false;

  constructor(sources: LiveSources) {
    this.sources = sources;
    this.unsubscribe = sources.events.subscribe((event) => this.onEvent(event));
  }

  get isFull(): boolean {
    return this.streams.isFull;
  }

  /** The first message to new pages: all cells. Those that ask at the same time share it. */
  first(): Body {
    const model = this.sources.model();
    const rows = rowsOf(model);
    // The others have yet to get what differs; for the new ones it is sent twice.
    this.sent ??= { rows, layout: layoutOf(model, rows) };
    if (this.timer === null) this.schedule(TICK_MS);
    const text = message('cells', { now: model.nowMs, rows: Object.fromEntries(rows) });
    return { type: 'text/event-stream', text };
  }

  /** Streams to a page, `first` to begin with. False when there are too many streams. */
  add(response: ServerResponse, first: Buffer): boolean {
    return this.streams.add(response, first);
  }

  close(): void {
    this.unsubscribe();
    this.timer?.cancel();
    this.streams.close();
  }

  private schedule(delayMs: number): void {
    this.timer?.cancel();
    this.timer = this.sources.clock.setTimer(delayMs, () => this.tick());
  }

  private onEvent(event: TableEvent): void {
    if (this.sent === null) return;
    this.changes.push(event);
    if (this.changes.length > CHANGES_MAX) this.changes.shift();
    if (this.isHurrying) return;
    this.isHurrying = true;
    this.schedule(HURRY_MS);
  }

  private tick(): void {
    this.timer = null;
    this.isHurrying = false;
    const { changes, sent } = this;
    this.changes = [];
    if (this.streams.size === 0 || sent === null) {
      this.sent = null;
      return;
    }
    const { clock } = this.sources;
    const beganMs = clock.nowMs();
    const model = this.sources.model();
    const rows = rowsOf(model);
    const layout = layoutOf(model, rows);
    const changed = differences(sent.rows, rows);
    this.sent = { rows, layout };
    const shown = safeData(JSON.stringify(changes));
    this.streams.sendAll(message('cells', { now: model.nowMs, rows: changed, changes: shown }));
    // The page then asks for itself anew and takes the parts that are different.
    if (layout !== sent.layout) this.streams.sendAll(message('layout', {}));
    this.schedule(Math.max(TICK_MS, (clock.nowMs() - beganMs) / SHARE_MAX));
  }
}

function differences(
  before: ReadonlyMap<string, Cells>,
  after: ReadonlyMap<string, Cells>,
): Record<string, Record<string, Cell>> {
  // Keys are names that others choose, __proto__ among them.
  const changed: Record<string, Record<string, Cell>> = Object.create(null);
  for (const [key, cells] of after) {
    const old = before.get(key) ?? {};
    for (const [name, cell] of Object.entries(cells)) {
      const was = old[name];
      if (was !== undefined && was[0] === cell[0] && was[1] === cell[1]) continue;
      changed[key] ??= {};
      changed[key][name] = cell;
    }
  }
  return changed;
}

function message(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${safeJson(JSON.stringify(data))}\n\n`;
}
