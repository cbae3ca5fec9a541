// The product's shared parts with an eye on them: what is taken and given back, and what must hold at
// every instant. The classes are the product's own; nothing of what they do is changed.
import { SLOTS, TICK_MS, type TimerEntry, TimerWheel } from '../../src/base/timer-wheel.ts';
import { type LedgerBuffers, WorkerLedger } from '../../src/ledger/ledger.ts';
import { AccessLog, type AccessRecord } from '../../src/proxy/access-log.ts';
import { type ReadBuffer, ReadBuffers } from '../../src/proxy/wire/read-buffers.ts';

/** What is told of the ledger. */
export interface LedgerWatch {
  /** An attempt has begun on this endpoint, which has `count` in flight with it. */
  onAcquire(worker: number, slot: number, count: number): void;
  onRelease(worker: number, slot: number): void;
}

export function watchBoth(one: LedgerWatch, other: LedgerWatch): LedgerWatch {
  return {
    onAcquire(worker, slot, count) {
      one.onAcquire(worker, slot, count);
      other.onAcquire(worker, slot, count);
    },
    onRelease(worker, slot) {
      one.onRelease(worker, slot);
      other.onRelease(worker, slot);
    },
  };
}

export class WatchedLedger extends WorkerLedger {
  private readonly worker: number;
  private readonly watch: LedgerWatch;

  constructor(buffers: LedgerBuffers, worker: number, watch: LedgerWatch) {
    super(buffers);
    this.worker = worker;
    this.watch = watch;
  }

  override acquire(slot: number): number {
    const before = super.acquire(slot);
    this.watch.onAcquire(this.worker, slot, before + 1);
    return before;
  }

  override release(slot: number): void {
    super.release(slot);
    this.watch.onRelease(this.worker, slot);
  }
}

/** Hands the records of an access log on. */
export class WatchedAccessLog extends AccessLog {
  private readonly onRecord: (record: AccessRecord) => void;

  constructor(wheel: TimerWheel, onRecord: (record: AccessRecord) => void) {
    super({ wheel, wallMs: () => 0, send() {} });
    this.onRecord = onRecord;
  }

  override add(record: AccessRecord): void {
    this.onRecord(record);
  }
}

/** Remembers every timer that was set. */
export class WatchedWheel extends TimerWheel {
  private readonly entries = new Set<TimerEntry>();

  override schedule(entry: TimerEntry, delayMs: number): void {
    // What sits in a slot was set before.
    if (entry.slotMs === Number.POSITIVE_INFINITY) this.entries.add(entry);
    super.schedule(entry, delayMs);
  }

  override remove(entry: TimerEntry): void {
    this.entries.delete(entry);
    super.remove(entry);
  }

  /** When the first tick from `fromMs` on finds a timer in its slot; `toMs`: none before that does. */
  quietUntilMs(fromMs: number, toMs: number): number {
    const first = Math.floor(fromMs / TICK_MS);
    const last = Math.min(first + SLOTS, Math.floor(toMs / TICK_MS));
    for (let tick = first; tick < last; tick += 1) {
      const head = this.slots[tick % SLOTS]!;
      if (head.next !== head) return tick * TICK_MS;
    }
    return toMs;
  }

  /** What the timers that are going to fire belong to. */
  get setFor(): string[] {
    return [...this.entries]
      .filter(({ isSet }) => isSet)
      .map(({ owner }) => owner.constructor.name);
  }
}

/** What freed read buffers are overwritten with: who still refers to one sends this. */
const FREED = 0x7f;

/** Counts read buffers, and makes the bytes of one that was given back unreadable. */
export class WatchedBuffers extends ReadBuffers {
  /** Buffers that were taken and not given back. */
  readonly out = new Set<ReadBuffer>();
  private onFault: (text: string) => void;

  private constructor(onFault: (text: string) => void) {
    super();
    this.onFault = onFault;
  }

  /** Buffers of which none is in use: those of the world before, where that left none. */
  static clean(onFault: (text: string) => void): WatchedBuffers {
    if (last === null || last.out.size + last.rests.size + last.largeWrites.keptBytes > 0)
      last = new WatchedBuffers(onFault);
    last.onFault = onFault;
    return last;
  }

  /** Their world is over: nothing of it is kept. */
  forget(): void {
    this.onFault = ignore;
  }

  override take(bytes?: number): ReadBuffer {
    const buffer = super.take(bytes);
    if (this.out.has(buffer)) this.onFault('a read buffer is taken that is in use');
    this.out.add(buffer);
    return buffer;
  }

  override give(buffer: ReadBuffer): void {
    if (buffer.base !== this.shared.base) {
      if (!this.out.delete(buffer)) this.onFault('a read buffer is given back twice');
      buffer.base.fill(FREED, 0, FREED_BYTES);
    }
    super.give(buffer);
  }
}

const ignore = (): void => {};

/** Making them anew for each world costs as much as a hundred exchanges. */
let last: WatchedBuffers | null = null;

/** Enough to be seen: filling all of it would take longer than the exchange. */
const FREED_BYTES = 8192;
