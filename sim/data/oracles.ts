// What must hold at the moment in which an attempt begins: limits, the table, and least connections.
import type { Service } from '../../src/model/service.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Book } from './book.ts';
import type { EndpointEntry, ServiceEntry, Table } from './table.ts';
import { isUsed } from './table.ts';
import type { LedgerWatch } from './watched.ts';

export class InstantOracles implements LedgerWatch {
  /** Attempts in flight by slot, counted here. */
  readonly inFlight = new Map<number, number>();
  private readonly book: Book;
  private readonly table: Table;

  private readonly kernel: Kernel;
  private readonly waitingAt: (worker: number, service: string) => number;
  private readonly hasTunnels: boolean;

  /** `waitingAt`: how many wait in a worker's queue of this service; `hasTunnels`: clients ask for WebSockets. */
  constructor(
    kernel: Kernel,
    {
      book,
      table,
      waitingAt,
      hasTunnels,
    }: {
      book: Book;
      table: Table;
      waitingAt: (worker: number, service: string) => number;
      hasTunnels: boolean;
    },
  ) {
    this.kernel = kernel;
    this.waitingAt = waitingAt;
    this.hasTunnels = hasTunnels;
    this.book = book;
    this.table = table;
  }

  onAcquire(worker: number, slot: number, count: number): void {
    const { book, table } = this;
    const entry = table.bySlot.get(slot);
    if (entry === undefined) return book.fault(`an attempt on slot ${slot}, which nobody has`);
    const mine = (this.inFlight.get(slot) ?? 0) + 1;
    this.inFlight.set(slot, mine);
    const service = table.services.get(entry.plan.service)!;
    const { name } = entry.plan;
    if (mine !== count)
      book.fault(`${name} has ${mine} attempts in flight, the ledger says ${count}`);
    if (!table.mayUse(worker, slot))
      book.fault(`worker ${worker} asks ${name}, which is ${entry.state}`);
    this.checkLimits(entry, service, count);
    if (this.isCalm(service)) this.checkLeast(entry, service);
  }

  onRelease(worker: number, slot: number): void {
    this.inFlight.set(slot, (this.inFlight.get(slot) ?? 0) - 1);
    const entry = this.table.bySlot.get(slot);
    if (entry === undefined) return;
    const service = this.table.services.get(entry.plan.service)!;
    if (this.isSettledFor(service) && isUsed(entry, service)) {
      this.kernel.tick(() => this.checkPlace(worker, entry, service));
    }
  }

  /** A place has become free: who waits for one has it now. */
  private checkPlace(worker: number, { plan }: EndpointEntry, service: ServiceEntry): void {
    const { perEndpoint, requests } = service.policy.limits;
    const waiting = this.waitingAt(worker, service.plan.name);
    if (waiting === 0) return;
    const count = this.inFlight.get(plan.slot) ?? 0;
    let sum = 0;
    for (const { plan: other } of this.table.endpointsOf(plan.service))
      sum += this.inFlight.get(other.slot) ?? 0;
    const isFree = (perEndpoint === 0 || count < perEndpoint) && (requests === 0 || sum < requests);
    if (isFree)
      this.book.fault(`${waiting} wait for ${service.plan.name}, though ${plan.name} has a place`);
  }

  private checkLimits(
    { plan }: EndpointEntry,
    { policies, policy }: ServiceEntry,
    count: number,
  ): void {
    const most = widest(policies, 'perEndpoint');
    if (count > most) this.book.fault(`${plan.name} has ${count} in flight, ${most} may be`);
    const all = widest(policies, 'requests');
    if (all === Number.POSITIVE_INFINITY || policy.retry.hedge !== null || !this.table.isSettled)
      return;
    let sum = 0;
    for (const { plan: other, isThere } of this.table.endpointsOf(plan.service))
      if (isThere) sum += this.inFlight.get(other.slot) ?? 0;
    if (sum > all) this.book.fault(`${plan.service} has ${sum} in flight, ${all} may be`);
  }

  /** Nothing has failed or changed: the choice is among all, and known. */
  private isCalm(service: ServiceEntry): boolean {
    return service.policy.balance.policy === 'least-conn' && this.isSettledFor(service);
  }

  private isSettledFor({ plan, policy, policies }: ServiceEntry): boolean {
    const { book, hasTunnels, table } = this;
    return (
      policies.length === 1 &&
      policy.retry.hedge === null &&
      policy.retry.onStatus.size === 0 &&
      table.isSettled &&
      !table.hasChanged(plan.name) &&
      table.endpointsOf(plan.name).every(({ plan: { name, habits, rejectShare, isH2c } }) => {
        // A stream that crosses a GOAWAY goes to another endpoint.
        if (isH2c && habits.h2.ageMs + habits.idleCloseMs > 0) return false;
        // A WebSocket that it does not take goes to another as well, whatever the load there.
        if (isH2c && hasTunnels && !habits.h2.takesTunnels) return false;
        return habits.faultShare === 0 && rejectShare === 0 && !book.unsteady.has(name);
      })
    );
  }

  /**
   * With the attempt that has just been placed: none may be less loaded with it than the chosen one was
   * without it. Among those it is a matter of whose turn it is (balance/least-conn.ts).
   */
  private checkLeast(chosen: EndpointEntry, service: ServiceEntry): void {
    const loadOf = ({ plan, weight }: EndpointEntry, more: number): number =>
      ((this.inFlight.get(plan.slot) ?? 0) + more) / weight;
    const load = loadOf(chosen, -1);
    const most = service.policy.limits.perEndpoint;
    for (const other of this.table.endpointsOf(service.plan.name)) {
      const isFull = most > 0 && (this.inFlight.get(other.plan.slot) ?? 0) >= most;
      if (other === chosen || isFull || !isUsed(other, service)) continue;
      if (loadOf(other, 1) < load - 1e-9) {
        const loads = `${load} for each weight there, ${loadOf(other, 1)} here`;
        this.book.fault(`${chosen.plan.name} is chosen, not ${other.plan.name}: ${loads}`);
        return;
      }
    }
  }

  get leftOver(): string[] {
    return [...this.inFlight]
      .filter(([, count]) => count !== 0)
      .map(([slot, count]) => `${slot}: ${count}`);
  }
}

/** The widest of limits that were in force; 0 is none. */
function widest(policies: readonly Service[], name: 'perEndpoint' | 'requests'): number {
  let most = 0;
  for (const { limits } of policies) {
    if (limits[name] === 0) return Number.POSITIVE_INFINITY;
    most = Math.max(most, limits[name]);
  }
  return most;
}
