// A worker thread at the seam of its messages: keeps what a worker keeps (the table by deltas, slots
// in use in the ledger, failures to report) and serves nobody. Messages are copied, arrive in order,
// and take their time.

import type { Timer } from '../../src/base/clock.ts';
import { WorkerLedger } from '../../src/ledger/ledger.ts';
import { DeltaUnpacker } from '../../src/model/delta-packing.ts';
import { takesWork } from '../../src/model/endpoint.ts';
import type { ListenerSnapshot, ServiceSnapshot, SnapshotDelta } from '../../src/model/snapshot.ts';
import type { Thread, ThreadEvents } from '../../src/supervisor/thread-door.ts';
import type { FromWorker, ToWorker, WorkerInit } from '../../src/worker/messages.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';

/** What the world hears of its workers. */
export interface ThreadWatcher {
  /** The delta is live in the worker from now on. */
  onApplied(thread: SimThread, delta: SnapshotDelta): void;
  /** A broken rule. */
  onFault(text: string): void;
  /** It reported this many failures in a row of an endpoint. */
  onStreak(thread: SimThread, who: string): void;
  /** It sends work of a service to this address. */
  onWork?(thread: SimThread, service: string, address: string): void;
}

/** How long a worker that is slow may take for one message. */
const SLOW_MS = 1500;

export class SimThread implements Thread {
  readonly index: number;
  readonly services = new Map<string, ServiceSnapshot>();
  listeners: readonly ListenerSnapshot[] = [];
  /** Requests in flight: slot -> whose it is and how many. */
  readonly inFlight = new Map<number, { who: string; count: number }>();
  version = 0;
  isAlive = true;
  /** Reads no messages until then. */
  hungUntilMs = 0;
  /** Takes a while for each message until then. */
  slowUntilMs = 0;
  /** Its requests fail no more. */
  isQuiet = false;
  private readonly kernel: Kernel;
  private readonly chance: Chance;
  private readonly events: ThreadEvents;
  private readonly watcher: ThreadWatcher;
  private readonly ledger: WorkerLedger;
  private readonly unpacker = new DeltaUnpacker();
  private readonly inbox: ToWorker[] = [];
  private isReading = false;
  private reading: Timer | null = null;
  private inboxMs = 0;
  private outboxMs = 0;
  private isDraining = false;

  constructor(
    init: WorkerInit,
    events: ThreadEvents,
    world: { kernel: Kernel; watcher: ThreadWatcher; name: string },
  ) {
    this.index = init.index;
    this.events = events;
    this.kernel = world.kernel;
    this.watcher = world.watcher;
    this.chance = world.kernel.chance(`thread ${world.name}`);
    this.ledger = new WorkerLedger(init.ledger);
    this.kernel.after(this.chance.between(5, 60), () => {
      if (!this.isAlive) return;
      this.send({ type: 'ready' });
      this.work();
    });
  }

  post(message: ToWorker): void {
    const copy = structuredClone(message);
    // Each takes its time, and none overtakes another.
    this.inboxMs = Math.max(this.inboxMs, this.kernel.nowMs + this.chance.between(0.02, 1.5));
    this.kernel.at(this.inboxMs, () => {
      if (!this.isAlive) return;
      this.inbox.push(copy);
      this.read();
    });
  }

  terminate(): void {
    this.die(1);
  }

  /** It ends, whatever it does; what it had in flight stays in the ledger until that is taken back. */
  die(exitCode: number, error: Error | null = null): void {
    if (!this.isAlive) return;
    this.vanish();
    this.kernel.after(this.chance.between(0.1, 5), () => {
      if (error !== null) this.events.onError(error);
      this.events.onExit(exitCode);
    });
  }

  /** The process has died: nothing is told to anyone. */
  vanish(): void {
    this.isAlive = false;
    this.reading?.cancel();
    this.inFlight.clear();
  }

  private read(): void {
    if (this.isReading || this.inbox.length === 0) return;
    this.isReading = true;
    const hangMs = Math.max(0, this.hungUntilMs - this.kernel.nowMs);
    const isSlow = this.slowUntilMs > this.kernel.nowMs;
    const readMs = isSlow ? this.chance.between(10, SLOW_MS) : this.chance.between(0.01, 0.5);
    this.reading = this.kernel.after(hangMs + readMs, () => {
      this.isReading = false;
      if (!this.isAlive) return;
      // It began to hang for longer while it did.
      if (this.hungUntilMs > this.kernel.nowMs) return this.read();
      const message = this.inbox.shift();
      if (message !== undefined) this.take(message);
      this.read();
    });
  }

  private take(message: ToWorker): void {
    switch (message.type) {
      case 'apply':
        return this.apply(this.unpacker.unpack(message.delta));
      case 'ping':
        return this.send({ type: 'pong', id: message.id });
      case 'drain':
        this.isDraining = true;
        return this.send({ type: 'drained', cut: 0 });
      case 'stop':
        return this.die(0);
    }
  }

  private apply(delta: SnapshotDelta): void {
    const { version } = delta;
    if (version < this.version) {
      this.watcher.onFault(`worker ${this.index} got version ${version} after ${this.version}`);
    }
    this.version = version;
    for (const snapshot of delta.upsert) {
      if (snapshot.endpoints.some((one) => one === undefined)) {
        this.watcher.onFault(`worker ${this.index} can't unpack ${snapshot.service.name}`);
      }
      this.services.set(snapshot.service.name, snapshot);
    }
    for (const name of delta.remove) this.services.delete(name);
    if (delta.listeners !== null) this.listeners = delta.listeners;
    this.watcher.onApplied(this, delta);
    this.send({ type: 'applied', version, listenErrors: [] });
  }

  private send(message: FromWorker): void {
    const copy = structuredClone(message);
    this.outboxMs = Math.max(this.outboxMs, this.kernel.nowMs + this.chance.between(0.02, 3));
    this.kernel.at(this.outboxMs, () => {
      if (this.isAlive) this.events.onMessage(copy);
    });
  }

  /** Requests now and then, each a while in flight; some fail. */
  private work(): void {
    if (!this.isAlive || this.isDraining) return;
    this.kernel.after(this.chance.between(20, 400), () => this.work());
    const services = [...this.services.values()];
    if (services.length === 0) return;
    const { endpoints, priority, service } = this.chance.pick(services);
    const working = endpoints.filter((one) => one !== undefined && takesWork(one));
    const first = working.filter((one) => one.priority === priority);
    const usable = first.length > 0 ? first : working;
    if (usable.length === 0) return;
    const { slot, id, address, port } = this.chance.pick(usable);
    const who = whoOf(service.name, { id, address, port });
    this.watcher.onWork?.(this, service.name, address);
    this.acquire(slot, who);
    const isFailing = this.chance.happens(0.03) && !this.isQuiet;
    this.kernel.after(this.chance.size(5, 20_000), () => this.finish(slot, who, isFailing));
  }

  private acquire(slot: number, who: string): void {
    this.ledger.acquire(slot);
    const held = this.inFlight.get(slot);
    if (held !== undefined && held.who !== who) {
      this.watcher.onFault(`slot ${slot} of ${who} has requests of ${held.who} in flight`);
    }
    this.inFlight.set(slot, { who, count: (held?.count ?? 0) + 1 });
  }

  private finish(slot: number, who: string, isFailing: boolean): void {
    if (!this.isAlive) return;
    if (isFailing) {
      this.watcher.onStreak(this, who);
      this.send({ type: 'suspect', slot, reason: 'reset' });
      this.send({ type: 'streak', slot, kind: 'reset', count: 3, reason: 'reset' });
    }
    this.ledger.release(slot);
    const held = this.inFlight.get(slot)!;
    if (held.count === 1) this.inFlight.delete(slot);
    else this.inFlight.set(slot, { who, count: held.count - 1 });
  }
}

/** Who an endpoint is: another address is another one. */
export function whoOf(
  service: string,
  { id, address, port }: { id: string; address: string; port: number },
): string {
  return `${service} ${id} at ${address}:${port}`;
}
