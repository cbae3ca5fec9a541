// Keeps open dashboards up to date by server-sent events: once a second the cells that differ from
// what was sent last, and soon after a change of the table that change itself. Costs nothing while
// nobody looks.
import type { ServerResponse } from 'node:http';
import type { Clock, Timer } from '../base/clock.ts';
import { safeData, safeJson } from '../base/safe-text.ts';
import { type Steps, Turns } from '../base/turns.ts';
import type { EventLog, TableEvent } from '../control/view.ts';
import type { Cell, Cells } from './cells.ts';
import { StreamSet } from './event-streams.ts';
import { layoutOf, type PageModel, rowsInSteps } from './page-model.ts';
import { type Parts, PartsWriter, partsOf } from './parts.ts';

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
  /** A change of the table waits to be shown. */
  private isHurrying = false;
  private isTicking = false;
  /** A change is not shown before, ms. */
  private hurryFromMs = 0;
  private isClosed = false;

  constructor(sources: LiveSources) {
    this.sources = sources;
    this.unsubscribe = sources.events.subscribe((event) => this.onEvent(event));
  }

  get isFull(): boolean {
    return this.streams.isFull;
  }

  /** The first message to new pages: all cells. Those that ask at the same time share it. */
  *first(): Steps {
    const model = yield* this.sources.model();
    const rows = yield* rowsInSteps(model);
    // The others have yet to get what differs; for the new ones it is sent twice.
    this.sent ??= { rows, layout: layoutOf(model, rows) };
    if (this.timer === null && !this.isTicking) this.schedule(TICK_MS);
    yield* cellsSteps(model.nowMs, rows, null);
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
    const turns = new Turns(this.sources.clock);
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
    const rows = yield* rowsInSteps(model);
    const layout = layoutOf(model, rows);
    const changed = yield* differences(sent.rows, rows);
    this.sent = { rows, layout };
    const writer = new PartsWriter();
    for (const text of cellsSteps(model.nowMs, changed, changes)) {
      writer.add(text);
      yield '';
    }
    this.streams.sendAll(writer.done());
    // The page then asks for itself anew and takes the parts that are different.
    if (layout !== sent.layout) this.streams.sendAll(partsOf('event: layout\ndata: {}\n\n'));
  }
}

function* differences(
  before: ReadonlyMap<string, Cells>,
  after: ReadonlyMap<string, Cells>,
): Steps<Map<string, Cells>> {
  const changed = new Map<string, Cells>();
  for (const [key, cells] of after) {
    yield '';
    const old = before.get(key) ?? {};
    const others = Object.entries(cells).filter(([name, cell]) => !isSame(old[name], cell));
    if (others.length > 0) changed.set(key, Object.fromEntries(others));
  }
  return changed;
}

function isSame(one: Cell | undefined, other: Cell): boolean {
  return one !== undefined && one[0] === other[0] && one[1] === other[1];
}

/** A message with these cells, by row, and the changes of the table that led to them. */
function* cellsSteps(
  nowMs: number,
  rows: ReadonlyMap<string, Cells>,
  changes: readonly TableEvent[] | null,
): Steps {
  yield `event: cells\ndata: {"now":${nowMs},"rows":{`;
  let isFirst = true;
  for (const [key, cells] of rows) {
    const comma = isFirst ? '' : ',';
    isFirst = false;
    // Keys are names that others choose, __proto__ among them.
    yield `${comma}${safeJson(`${JSON.stringify(key)}:${JSON.stringify(cells)}`)}`;
  }
  const shown = changes === null ? null : safeData(JSON.stringify(changes));
  yield shown === null ? '}}\n\n' : `},"changes":${safeJson(JSON.stringify(shown))}}\n\n`;
}
