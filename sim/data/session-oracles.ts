// What must hold of TCP sessions at every instant, from docs/tcp.md: they end when their endpoint takes no
// work any more, as soon as the service says so; nothing reaches an endpoint that is not the primary any more,
// once the worker knows that; one source has no more connections than it may.
import type { Service } from '../../src/model/service.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { NetworkWatch } from '../net/sim-network.ts';
import type { Book } from './book.ts';
import type { Table } from './table.ts';
import type { LedgerWatch } from './watched.ts';

/** Timers are late by two ticks at most. */
const TICK_SLACK_MS = 60;
/** What the client has closed may wait for its endpoint to read. */
const FLUSH_MS = 2000;

/** Workers that a world may have. */
const WORKERS_MAX = 2;

/** Why an endpoint takes no work, as a worker knows it; it has none of these while it does. */
export interface Out {
  readonly policy: Service;
  readonly isStandby: boolean;
  /** How long its sessions may go on, ms; null: as long as they like. */
  readonly fateMs: number | null;
}

interface Due {
  readonly policy: Service;
  readonly atMs: number;
}

/** Sessions of one worker on one slot. */
class Sessions {
  count = 0;
  due: Due | null = null;
}

export class SessionOracles implements LedgerWatch, NetworkWatch {
  private readonly kernel: Kernel;
  private readonly book: Book;
  private readonly table: Table;
  /** By worker and slot. */
  private readonly inFlight: Sessions[] = [];
  /** Connections of each source to each TCP service that are open, or were a moment ago. */
  private readonly sources = new Map<string, { closedMs: number }[]>();

  constructor(kernel: Kernel, { book, table }: { book: Book; table: Table }) {
    this.kernel = kernel;
    this.book = book;
    this.table = table;
  }

  onAcquire(worker: number, slot: number): void {
    this.sessionsOf(worker, slot).count += 1;
  }

  onRelease(worker: number, slot: number): void {
    this.sessionsOf(worker, slot).count -= 1;
  }

  private sessionsOf(worker: number, slot: number): Sessions {
    const at = slot * WORKERS_MAX + worker;
    while (this.inFlight.length <= at) this.inFlight.push(new Sessions());
    return this.inFlight[at]!;
  }

  /** A worker has the table, and no other is on its way: `outs` by slot. */
  applied(worker: number, outs: ReadonlyMap<number, Out>): void {
    for (const [slot, { plan }] of this.table.bySlot) {
      if (this.table.services.get(plan.service)!.protocol !== 'tcp') continue;
      this.appliedTo(worker, slot, outs.get(slot) ?? null);
    }
  }

  private appliedTo(worker: number, slot: number, out: Out | null): void {
    const sessions = this.sessionsOf(worker, slot);
    if (out === null) {
      sessions.due = null;
      return;
    }
    const { policy, fateMs } = out;
    const nowMs = this.kernel.nowMs;
    // What a service is told anew about its sessions counts from then on.
    if (sessions.due?.policy !== policy) sessions.due = null;
    const dueMs = fateMs === null ? Number.POSITIVE_INFINITY : nowMs + fateMs;
    // Where the timer of before is about to fire, it does so: that is the end at this moment, as ticks have it.
    const knownMs = (sessions.due?.atMs ?? Number.POSITIVE_INFINITY) - TICK_SLACK_MS;
    if (dueMs >= knownMs) return;
    const due = { policy, atMs: dueMs };
    sessions.due = due;
    if (fateMs === 0) this.checkEnded(worker, slot);
    else {
      this.kernel.at(dueMs + TICK_SLACK_MS, () => {
        if (sessions.due === due) this.checkEnded(worker, slot);
      });
    }
  }

  private checkEnded(worker: number, slot: number): void {
    const { count } = this.sessionsOf(worker, slot);
    const { plan } = this.table.bySlot.get(slot)!;
    if (count > 0)
      this.fault(`${count} sessions of worker ${worker} on ${plan.name} go on`, plan.service);
  }

  private fault(text: string, service: string): void {
    this.book.fault(text, service);
  }

  // The network

  onSent(worker: number, port: number, count: number): void {
    const { table } = this;
    const slot = table.slotOfPort(port);
    if (slot < 0 || !table.isBarred(worker, slot)) return;
    const { plan } = table.bySlot.get(slot)!;
    this.fault(
      `worker ${worker} sends ${count} bytes to ${plan.name}, not the primary`,
      plan.service,
    );
  }

  onAccepted(port: number, address: string, isOpen: () => boolean): () => void {
    const service = [...this.table.services.values()].find(({ plan }) => plan.port === port);
    if (service?.protocol !== 'tcp') return () => {};
    const { nowMs } = this.kernel;
    if (service.plan.passes !== null) {
      // Which service counts it shows later, with its ClientHello.
      this.noteCrowd(service, address, Number.POSITIVE_INFINITY);
      return () => {};
    }
    const key = `${port} ${address}`;
    const all = (this.sources.get(key) ?? []).filter(({ closedMs }) => closedMs > nowMs - FLUSH_MS);
    this.sources.set(key, all);
    if (!isOpen()) {
      // Refused at once: that is judged when the client knows.
      this.noteCrowd(service, address, all.length + 1);
      return () => {};
    }
    const one = { closedMs: Number.POSITIVE_INFINITY };
    all.push(one);
    const open = all.filter(({ closedMs }) => closedMs === Number.POSITIVE_INFINITY).length;
    const most = mostOf(service.policies);
    const { name } = service.plan;
    if (open > most) this.fault(`${address} has ${open} connections to ${name}`, name);
    this.noteCrowd(service, address, all.length);
    return () => {
      one.closedMs = this.kernel.nowMs;
    };
  }

  /** The source has, or had a moment ago, as many as it may. */
  private noteCrowd(
    { plan, policies }: { plan: { name: string }; policies: readonly Service[] },
    address: string,
    count: number,
  ): void {
    const { nowMs } = this.kernel;
    const least = Math.min(
      ...policies.map(({ limits: { connectionsPerClient } }) =>
        connectionsPerClient === 0 ? Number.POSITIVE_INFINITY : connectionsPerClient,
      ),
    );
    if (count > least) this.table.periods.add(`crowd ${plan.name} ${address}`, nowMs, nowMs);
  }
}

/** The widest limit that was in force; 0 is none. */
function mostOf(policies: readonly Service[]): number {
  return Math.max(
    ...policies.map(({ limits: { connectionsPerClient } }) =>
      connectionsPerClient === 0 ? Number.POSITIVE_INFINITY : connectionsPerClient,
    ),
  );
}
