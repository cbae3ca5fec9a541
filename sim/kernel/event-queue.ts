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

/** Events by time: a binary heap. */
export class EventQueue {
  private readonly heap: SimEvent[] = [];
  private count = 0;

  get size(): number {
    return this.heap.length;
  }

  push(atMs: number, run: () => void): SimEvent {
    this.count += 1;
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
    while (this.heap.length > 0 && this.heap[0]!.run === null) this.removeFirst();
    return this.heap[0] ?? null;
  }

  /** Takes the next event that was not cancelled. */
  pop(): SimEvent | null {
    const first = this.peek();
    if (first !== null) this.removeFirst();
    return first;
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
