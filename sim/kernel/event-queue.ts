import type { Timer } from '../../src/base/clock.ts';

/** Something that happens at a moment of simulated time. */
export class SimEvent implements Timer {
  readonly atMs: number;
  /** Events of one moment come in the order in which they were set. */
  readonly order: number;
  /** Null once it is cancelled. */
  run: (() => void) | null;

  constructor(atMs: number, order: number, run: () => void) {
    this.atMs = atMs;
    this.order = order;
    this.run = run;
  }

  cancel(): void {
    this.run = null;
  }
}

/**
 * Events by time: a binary heap, and a plain list of those that were set for the very moment in which
 * they were set. All of that moment that are in the heap were set before.
 */
export class EventQueue {
  private readonly heap: SimEvent[] = [];
  private readonly now: SimEvent[] = [];
  /** How many of `now` have gone. */
  private gone = 0;
  private count = 0;

  get size(): number {
    return this.heap.length + this.now.length - this.gone;
  }

  /** Sets `run` for a moment; one that is not after `nowMs` is now. */
  push(atMs: number, run: () => void, nowMs: number): SimEvent {
    this.count += 1;
    if (atMs <= nowMs) {
      const event = new SimEvent(nowMs, this.count, run);
      this.now.push(event);
      return event;
    }
    const event = new SimEvent(atMs, this.count, run);
    const { heap } = this;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent]!, event)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
    return event;
  }

  /** The next event that was not cancelled, which stays; null: there is none. */
  peek(): SimEvent | null {
    const { heap, now } = this;
    while (heap.length > 0 && heap[0]!.run === null) this.removeFirst();
    while (this.gone < now.length && now[this.gone]!.run === null) this.gone += 1;
    if (this.gone === now.length) {
      now.length = 0;
      this.gone = 0;
      return heap.length === 0 ? null : heap[0]!;
    }
    const first = now[this.gone]!;
    return heap.length > 0 && isBefore(heap[0]!, first) ? heap[0]! : first;
  }

  /** Takes the event that `peek` has just returned. */
  shift(event: SimEvent): void {
    if (this.heap[0] === event) this.removeFirst();
    else this.gone += 1;
  }

  private removeFirst(): void {
    const { heap } = this;
    const last = heap.pop()!;
    const { length } = heap;
    if (length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (isBefore(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(one: SimEvent, other: SimEvent): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
