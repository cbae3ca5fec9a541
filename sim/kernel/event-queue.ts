import type { Timer } from '../../src/base/clock.ts';
import { Fifo } from './fifo.ts';

/** Something that happens at a moment of simulated time. */
export class SimEvent implements Timer {
  /** Null once it is cancelled. */
  run: (() => void) | null;

  constructor(run: () => void) {
    this.run = run;
  }

  cancel(): void {
    this.run = null;
  }
}

const FIRST_ROOM = 1024;
const NEVER = Number.POSITIVE_INFINITY;

/**
 * Events by time, and those of one moment in the order in which they were set: a binary heap, and a
 * plain list of those that were set for the very moment in which they were set. All of that moment that
 * are in the heap were set before. Times and orders are in arrays of their own: as fields of events, each
 * time would be an object, and each comparison a look at two.
 */
export class EventQueue {
  private readonly heap: SimEvent[] = [];
  private times = new Float64Array(FIRST_ROOM);
  private orders = new Float64Array(FIRST_ROOM);
  private readonly now = new Fifo<SimEvent>();
  /** The moment of those in `now`. */
  private atNowMs = 0;
  private count = 0;

  get size(): number {
    return this.heap.length + this.now.size;
  }

  /** Sets `run` for a moment; one that is not after `nowMs` is now. */
  push(atMs: number, run: () => void, nowMs: number): SimEvent {
    const event = new SimEvent(run);
    if (atMs <= nowMs) {
      this.atNowMs = nowMs;
      this.now.push(event);
      return event;
    }
    const { heap } = this;
    let at = heap.length;
    heap.push(event);
    if (at === this.times.length) this.grow();
    const { times, orders } = this;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      // What is set later comes later.
      if (times[parent]! <= atMs) break;
      heap[at] = heap[parent]!;
      times[at] = times[parent]!;
      orders[at] = orders[parent]!;
      at = parent;
    }
    heap[at] = event;
    times[at] = atMs;
    this.count += 1;
    orders[at] = this.count;
    return event;
  }

  /** When the next event comes that was not cancelled; infinity: there is none. */
  nextMs(): number {
    const { heap, now } = this;
    while (heap.length > 0 && heap[0]!.run === null) this.removeFirst();
    while (now.size > 0 && now.peek()!.run === null) now.shift();
    const heapMs = heap.length === 0 ? NEVER : this.times[0]!;
    return now.size > 0 ? Math.min(heapMs, this.atNowMs) : heapMs;
  }

  /** Takes the event whose moment `nextMs` has just returned. */
  shift(): SimEvent {
    const { heap, now } = this;
    const isNow = now.size > 0 && (heap.length === 0 || this.times[0]! > this.atNowMs);
    return isNow ? now.shift()! : this.removeFirst();
  }

  private removeFirst(): SimEvent {
    const { heap, times, orders } = this;
    const first = heap[0]!;
    const last = heap.pop()!;
    const { length } = heap;
    if (length === 0) return first;
    const lastMs = times[length]!;
    const lastOrder = orders[length]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && this.isBefore(child + 1, times[child]!, orders[child]!)) child += 1;
      if (!this.isBefore(child, lastMs, lastOrder)) break;
      heap[at] = heap[child]!;
      times[at] = times[child]!;
      orders[at] = orders[child]!;
      at = child;
    }
    heap[at] = last;
    times[at] = lastMs;
    orders[at] = lastOrder;
    return first;
  }

  private isBefore(at: number, otherMs: number, otherOrder: number): boolean {
    const atMs = this.times[at]!;
    return atMs < otherMs || (atMs === otherMs && this.orders[at]! < otherOrder);
  }

  private grow(): void {
    const { times, orders } = this;
    this.times = new Float64Array(times.length * 2);
    this.times.set(times);
    this.orders = new Float64Array(orders.length * 2);
    this.orders.set(orders);
  }
}
