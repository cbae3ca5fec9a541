// Keeps open dashboards up to date by server-sent events: once a second the cells that differ from
// what was sent last, and soon after a change of the table that change itself. Costs nothing while
// nobody looks.
import type { ServerResponse } from 'node:http';
import type { Clock, Timer } from '../base/clock.ts';
import { safeData, safeJson } from '../base/safe-text.ts';
import { REST_MS, type Steps, Turns } from '../base/turns.ts';
import type { EventLog, TableEvent } from '../control/view.ts';
import type { Cells } from './cells.ts';
import { StreamSet } from './event-streams.ts';
import { layoutOf, type PageModel, rowsOf } from './page-model.ts';
import { type Parts, PartsWriter, partsOf } from './parts.ts';
import type { Pump } from './pump.ts';

const TICK_MS = 1000;
/** After a change of the table; changes come in bursts. */
const HURRY_MS = 50;
const CHANGES_MAX = 50;
/** A large table is shown less often, so that looking takes no more than this share of the thread. */
const SHARE_MAX = 0.05;
/** ... and while the table keeps changing, of this one. */
const HURRY_SHARE_MAX = 0.25;

export interface LiveSources {
  readonly events: EventLog;
  readonly clock: Clock;
  readonly model: () => Steps<PageModel>;
  readonly pump: Pump;
}

/** What open pages show. */
interface Sent {
  /** The cells of each row as JSON: as objects they would take ten times the memory. */
  readonly rows: ReadonlyMap<string, string>;
  readonly layout: string;
}

export class Live {
  private readonly sources: LiveSources;
  private readonly streams: StreamSet;
  private readonly unsubscribe: () => void;
  /** Null while nobody looks. */
  private sent: Sent | null = null;
  private changes: TableEvent[] = [];
  private timer: Timer | null = null;
  /** A change of the table waits to be shown. */
  private isHurrying = false;
  private isTicking = false;
  /** A change is not shown before, ms. */
  private hurryFromMs = 0;
  private isClosed = false;

  constructor(sources: LiveSources) {
    this.sources = sources;
    this.streams = new StreamSet(sources.pump);
    this.unsubscribe = sources.events.subscribe((event) => this.onEvent(event));
  }

  hasPlaceFor(response: ServerResponse): boolean {
    return this.streams.hasPlaceFor(response);
  }

  /** The first message to new pages: all cells. Those that ask at the same time share it. */
  *first(): Steps {
    const model = yield* this.sources.model();
    const rows = new Map<string, string>();
    yield beginOf(model.nowMs);
    for (const [key, cells] of rowsOf(model)) {
      const json = JSON.stringify(cells);
      yield rowText(rows.size, key, json);
      rows.set(key, json);
    }
    yield '}}\n\n';
    // The others have yet to get what differs; for the new ones it is sent twice.
    this.sent ??= { rows, layout: layoutOf(model) };
    if (this.timer === null && !this.isTicking) this.schedule(TICK_MS);
  }

  /** Streams to a page, `first` to begin with. False when there are too many streams. */
  add(response: ServerResponse, first: Parts): boolean {
    return this.streams.add(response, first);
  }

  close(): void {
    this.isClosed = true;
    this.unsubscribe();
    this.timer?.cancel();
    this.streams.close();
  }

  private schedule(delayMs: number): void {
    this.timer?.cancel();
    this.timer = this.sources.clock.setTimer(delayMs, () => void this.tick());
  }

  private onEvent(event: TableEvent): void {
    if (this.sent === null) return;
    this.changes.push(event);
    if (this.changes.length > CHANGES_MAX) this.changes.shift();
    if (this.isHurrying) return;
    this.isHurrying = true;
    if (!this.isTicking) this.hurry();
  }

  private hurry(): void {
    const { clock } = this.sources;
    this.schedule(Math.max(HURRY_MS, this.hurryFromMs - clock.nowMs()));
  }

  private async tick(): Promise<void> {
    this.timer = null;
    this.isHurrying = false;
    const { changes, sent } = this;
    this.changes = [];
    if (this.streams.size === 0 || sent === null) {
      this.sent = null;
      return;
    }
    this.isTicking = true;
    const turns = new Turns(this.sources.clock, REST_MS);
    try {
      await turns.run(this.sendDifferences(sent, changes));
    } finally {
      this.isTicking = false;
    }
    const { spentMs } = turns;
    this.hurryFromMs = this.sources.clock.nowMs() + spentMs / HURRY_SHARE_MAX;
    if (this.isClosed) return;
    if (this.isHurrying) this.hurry();
    else this.schedule(Math.max(TICK_MS, spentMs / SHARE_MAX));
  }

  private *sendDifferences(sent: Sent, changes: readonly TableEvent[]): Steps {
    const model = yield* this.sources.model();
    const layout = layoutOf(model);
    const rows = new Map<string, string>();
    const writer = new PartsWriter();
    let changed = 0;
    writer.add(beginOf(model.nowMs));
    for (const [key, cells] of rowsOf(model)) {
      yield '';
      const json = JSON.stringify(cells);
      const before = sent.rows.get(key);
      rows.set(key, json === before ? before : json);
      if (json === before) continue;
      writer.add(rowText(changed, key, before === undefined ? json : difference(before, cells)));
      changed += 1;
    }
    const shown = JSON.stringify(safeData(JSON.stringify(changes)));
    writer.add(`},"changes":${safeJson(shown)}}\n\n`);
    this.streams.sendAll(writer.done());
    // The page then asks for itself anew and takes the parts that are different.
    const isLaidOut = layout === sent.layout && (yield* areSame(rows.keys(), sent.rows.keys()));
    if (!isLaidOut) this.streams.sendAll(partsOf('event: layout\ndata: {}\n\n'));
    this.sent = { rows, layout };
  }
}

/** The cells that differ from those in `before`, as JSON. */
function difference(before: string, cells: Cells): string {
  // Written by ourselves.
  const old = JSON.parse(before) as Cells;
  const others = Object.entries(cells).filter(
    ([name, [shown, value]]) => old[name]?.[0] !== shown || old[name]?.[1] !== value,
  );
  return JSON.stringify(Object.fromEntries(others));
}

function* areSame(some: Iterator<string>, others: Iterator<string>): Steps<boolean> {
  for (;;) {
    const [one, other] = [some.next(), others.next()];
    if (one.done === true || other.done === true) return one.done === other.done;
    if (one.value !== other.value) return false;
    yield '';
  }
}

function beginOf(nowMs: number): string {
  return `event: cells\ndata: {"now":${nowMs},"rows":{`;
}

function rowText(index: number, key: string, json: string): string {
  return `${index === 0 ? '' : ','}${safeJson(`${JSON.stringify(key)}:${json}`)}`;
}
