// Numbers shared between the workers and the main thread, in shared memory, without messages.
// Each worker owns a slab of counters that it alone writes; the main thread sums the slabs.
// Three things are shared by all and written with Atomics: requests in flight per endpoint (least
// connections are exact over all workers), failures in a row per endpoint and kind, and client
// connections per service and per client (the limits hold over all workers). When an endpoint last
// answered is shared too: any worker's word will do. So are the times by which balancers take turns
// (balance/turn.ts), which mean nothing to the ledger: it clears them with the row of an endpoint.
// The slabs have room for every slot from the start: untouched pages cost no memory.
import { assert } from '../base/assert.ts';
import { BUCKETS, bucketOf } from './histogram.ts';
import { EndpointColumn, endpointRows, ServiceColumn, serviceRows, workerRows } from './layout.ts';

/** Rows (slots) of each kind. */
export const ENDPOINT_SLOTS = 32_768;
export const SERVICE_SLOTS = 4_096;
/** Room for reasons (model/reason.ts has fewer). */
export const REASONS_MAX = 64;
/** Room for kinds of failures in a row (model/streak.ts has no more). */
export const STREAKS_MAX = 6;

/**
 * Cells that the connections of one client are counted in: two, of a table each, by halves of its hash.
 * The smaller one is the count, unless two others share both.
 */
const CLIENT_CELLS = 65_536;

/** How exactly it is known when an endpoint last answered. */
export const ANSWERED_STEP_MS = 20;

const FIRST_STATUS = 100;
const STATUSES = 500;

const ENDPOINT_WIDTH = endpointRows.length + BUCKETS;
const SERVICE_REASONS = serviceRows.length;
const SERVICE_RETRIES = SERVICE_REASONS + REASONS_MAX;
const SERVICE_STATUSES = SERVICE_RETRIES + REASONS_MAX;
const SERVICE_BUCKETS = SERVICE_STATUSES + STATUSES;
const SERVICE_WIDTH = SERVICE_BUCKETS + BUCKETS;

/** What is posted to a worker: shared buffers, no copies. */
export interface LedgerBuffers {
  readonly inFlight: SharedArrayBuffer;
  readonly streaks: SharedArrayBuffer;
  readonly connections: SharedArrayBuffer;
  readonly clients: SharedArrayBuffer;
  readonly answered: SharedArrayBuffer;
  /** Whose turn it is: by endpoint, and the clock of each service. */
  readonly turns: SharedArrayBuffer;
  readonly turnClocks: SharedArrayBuffer;
  /** The slab of this worker. */
  readonly slab: SlabBuffers;
}

interface SlabBuffers {
  readonly endpoints: SharedArrayBuffer;
  readonly services: SharedArrayBuffer;
  readonly worker: SharedArrayBuffer;
  /** This worker's part of the shared counts, to be taken back when the worker dies. */
  readonly inFlight: SharedArrayBuffer;
  readonly connections: SharedArrayBuffer;
  readonly clients: SharedArrayBuffer;
}

/** A worker's side: adds, and reads what least connections needs. One writer: the worker. */
export class WorkerLedger {
  /** Requests in flight per endpoint slot over all workers. Balancers read it directly. */
  readonly inFlight: Int32Array;
  /** Times of endpoints by slot, and clocks of services by theirs, for turns over all workers. */
  readonly turns: Int32Array;
  readonly turnClocks: Int32Array;
  private readonly streaks: Int32Array;
  private readonly connections: Int32Array;
  private readonly answered: Float64Array;
  private readonly endpoints: Float64Array;
  private readonly services: Float64Array;
  private readonly own: Float64Array;
  private readonly ownInFlight: Int32Array;
  private readonly ownConnections: Int32Array;
  private readonly clients: Int32Array;
  private readonly ownClients: Int32Array;

  constructor(buffers: LedgerBuffers) {
    this.inFlight = new Int32Array(buffers.inFlight);
    this.turns = new Int32Array(buffers.turns);
    this.turnClocks = new Int32Array(buffers.turnClocks);
    this.streaks = new Int32Array(buffers.streaks);
    this.connections = new Int32Array(buffers.connections);
    this.answered = new Float64Array(buffers.answered);
    this.endpoints = new Float64Array(buffers.slab.endpoints);
    this.services = new Float64Array(buffers.slab.services);
    this.own = new Float64Array(buffers.slab.worker);
    this.ownInFlight = new Int32Array(buffers.slab.inFlight);
    this.ownConnections = new Int32Array(buffers.slab.connections);
    this.clients = new Int32Array(buffers.clients);
    this.ownClients = new Int32Array(buffers.slab.clients);
  }

  /** An attempt (or TCP session) begins on the endpoint. Returns the number in flight before it. */
  acquire(slot: number): number {
    this.ownInFlight[slot]! += 1;
    return Atomics.add(this.inFlight, slot, 1);
  }

  /** The attempt that `acquire` counted has ended. */
  release(slot: number): void {
    assert(this.ownInFlight[slot]! > 0, 'release follows acquire');
    this.ownInFlight[slot]! -= 1;
    Atomics.sub(this.inFlight, slot, 1);
  }

  /** A client connection of the service begins. Returns how many there are now, over all workers. */
  openConnection(serviceSlot: number): number {
    this.ownConnections[serviceSlot]! += 1;
    return Atomics.add(this.connections, serviceSlot, 1) + 1;
  }

  /** The connection that `openConnection` counted has ended. */
  closeConnection(serviceSlot: number): void {
    assert(this.ownConnections[serviceSlot]! > 0, 'close follows open');
    this.ownConnections[serviceSlot]! -= 1;
    Atomics.sub(this.connections, serviceSlot, 1);
  }

  /**
   * A connection of the client with this hash begins. Returns how many it has, over all workers, or more: clients
   * share cells.
   */
  openClient(hash: number): number {
    const [one, other] = clientCells(hash);
    this.ownClients[one]! += 1;
    this.ownClients[other]! += 1;
    return Math.min(Atomics.add(this.clients, one, 1), Atomics.add(this.clients, other, 1)) + 1;
  }

  /** The connection that `openClient` counted has ended. */
  closeClient(hash: number): void {
    const [one, other] = clientCells(hash);
    assert(this.ownClients[one]! > 0 && this.ownClients[other]! > 0, 'close follows open');
    this.ownClients[one]! -= 1;
    this.ownClients[other]! -= 1;
    Atomics.sub(this.clients, one, 1);
    Atomics.sub(this.clients, other, 1);
  }

  /** One more failure in a row of the kind in this column; returns the row over all workers. */
  lengthenStreak(slot: number, column: number): number {
    return Atomics.add(this.streaks, slot * STREAKS_MAX + column, 1) + 1;
  }

  /** The rows of failures end whose columns are below `end`. */
  endStreaks(slot: number, end = STREAKS_MAX): void {
    const first = slot * STREAKS_MAX;
    for (let i = first; i < first + end; i += 1) {
      if (this.streaks[i] !== 0) Atomics.store(this.streaks, i, 0);
    }
  }

  /** This one row of failures ends. */
  endStreak(slot: number, column: number): void {
    if (this.streaks[slot * STREAKS_MAX + column] !== 0)
      Atomics.store(this.streaks, slot * STREAKS_MAX + column, 0);
  }

  /** The endpoint answered at `ms`, since the epoch. Told in steps: each is a write that all see. */
  noteAnswer(slot: number, ms: number): void {
    if (ms - this.answered[slot]! >= ANSWERED_STEP_MS) this.answered[slot] = ms;
  }

  /** When it last answered anyone, ms since the epoch, at most a step too early; 0: never. */
  answeredMs(slot: number): number {
    return this.answered[slot]!;
  }

  addEndpoint(slot: number, column: number, amount: number): void {
    this.endpoints[slot * ENDPOINT_WIDTH + column]! += amount;
  }

  addService(serviceSlot: number, column: number, amount: number): void {
    this.services[serviceSlot * SERVICE_WIDTH + column]! += amount;
  }

  /** A row of ledger/layout.ts that is of no service. */
  addWorker(column: number, amount: number): void {
    this.own[column]! += amount;
  }

  /** An exchange of the service ended with this status, `us` microseconds after its complete head. */
  addExchange(serviceSlot: number, status: number, us: number): void {
    const row = serviceSlot * SERVICE_WIDTH;
    this.services[row + ServiceColumn.requests]! += 1;
    this.services[row + ServiceColumn.latencySumUs]! += us;
    this.services[row + SERVICE_BUCKETS + bucketOf(us)]! += 1;
    if (status >= FIRST_STATUS && status < FIRST_STATUS + STATUSES) {
      this.services[row + SERVICE_STATUSES + status - FIRST_STATUS]! += 1;
    }
  }

  /** The endpoint answered with this status, `us` microseconds after it got the request. */
  addResponse(slot: number, status: number, us: number): void {
    const row = slot * ENDPOINT_WIDTH;
    const statusClass = Math.floor(status / 100);
    if (statusClass >= 1 && statusClass <= 5) {
      this.endpoints[row + EndpointColumn.responses1xx + statusClass - 1]! += 1;
    }
    this.endpoints[row + endpointRows.length + bucketOf(us)]! += 1;
  }

  /** An exchange ended for this reason (index of model/reason.ts). */
  addReason(serviceSlot: number, reasonIndex: number): void {
    this.services[serviceSlot * SERVICE_WIDTH + SERVICE_REASONS + reasonIndex]! += 1;
  }

  /** An attempt failed for this reason and is tried again. */
  addRetry(serviceSlot: number, reasonIndex: number): void {
    this.services[serviceSlot * SERVICE_WIDTH + SERVICE_RETRIES + reasonIndex]! += 1;
  }
}

/** The main thread's side: makes slabs, sums them, clears slots for reuse. */
export class Ledger {
  private readonly inFlightCounts: Int32Array;
  private readonly streakCounts: Int32Array;
  private readonly connectionCounts: Int32Array;
  private readonly clientCounts: Int32Array;
  private readonly answeredTimes: Float64Array;
  private readonly turns: Int32Array;
  private readonly shared: Omit<LedgerBuffers, 'slab'>;
  private readonly slabs: SlabBuffers[] = [];
  private readonly endpointSlabs: Float64Array[] = [];
  private readonly serviceSlabs: Float64Array[] = [];
  private readonly workerSlabs: Float64Array[] = [];

  constructor() {
    this.shared = {
      inFlight: new SharedArrayBuffer(ENDPOINT_SLOTS * 4),
      streaks: new SharedArrayBuffer(ENDPOINT_SLOTS * STREAKS_MAX * 4),
      answered: new SharedArrayBuffer(ENDPOINT_SLOTS * 8),
      turns: new SharedArrayBuffer(ENDPOINT_SLOTS * 4),
      turnClocks: new SharedArrayBuffer(SERVICE_SLOTS * 4),
      connections: new SharedArrayBuffer(SERVICE_SLOTS * 4),
      clients: new SharedArrayBuffer(CLIENT_CELLS * 2 * 4),
    };
    this.clientCounts = new Int32Array(this.shared.clients);
    this.inFlightCounts = new Int32Array(this.shared.inFlight);
    this.streakCounts = new Int32Array(this.shared.streaks);
    this.connectionCounts = new Int32Array(this.shared.connections);
    this.answeredTimes = new Float64Array(this.shared.answered);
    this.turns = new Int32Array(this.shared.turns);
  }

  /**
   * The buffers for worker number `index`. A worker that replaces a dead one gets its slab, so
   * that no counter goes backwards; what the dead one had in flight is taken back.
   */
  buffersFor(index: number): LedgerBuffers {
    assert(index <= this.slabs.length, 'workers are numbered without gaps');
    let slab = this.slabs[index];
    if (slab === undefined) {
      slab = {
        endpoints: new SharedArrayBuffer(ENDPOINT_SLOTS * ENDPOINT_WIDTH * 8),
        services: new SharedArrayBuffer(SERVICE_SLOTS * SERVICE_WIDTH * 8),
        worker: new SharedArrayBuffer(workerRows.length * 8),
        inFlight: new SharedArrayBuffer(ENDPOINT_SLOTS * 4),
        connections: new SharedArrayBuffer(SERVICE_SLOTS * 4),
        clients: new SharedArrayBuffer(CLIENT_CELLS * 2 * 4),
      };
      this.slabs.push(slab);
      this.endpointSlabs.push(new Float64Array(slab.endpoints));
      this.serviceSlabs.push(new Float64Array(slab.services));
      this.workerSlabs.push(new Float64Array(slab.worker));
    } else {
      takeBack(this.inFlightCounts, new Int32Array(slab.inFlight));
      takeBack(this.connectionCounts, new Int32Array(slab.connections));
      takeBack(this.clientCounts, new Int32Array(slab.clients));
    }
    return { ...this.shared, slab };
  }

  /** Attempts and sessions on the endpoint now, over all workers. */
  inFlight(slot: number): number {
    return Atomics.load(this.inFlightCounts, slot);
  }

  /** Client connections of the service now, over all workers. */
  connections(serviceSlot: number): number {
    return Atomics.load(this.connectionCounts, serviceSlot);
  }

  /** An endpoint that was ejected starts its rows of failures anew. */
  clearStreaks(slot: number): void {
    for (let i = 0; i < STREAKS_MAX; i += 1)
      Atomics.store(this.streakCounts, slot * STREAKS_MAX + i, 0);
  }

  /** One counter of the endpoint, over all workers, those that have ended included. */
  endpointTotal(slot: number, column: number): number {
    return sumAt(this.endpointSlabs, slot * ENDPOINT_WIDTH + column);
  }

  /** One counter of the service, over all workers, those that have ended included. */
  serviceTotal(serviceSlot: number, column: number): number {
    return sumAt(this.serviceSlabs, serviceSlot * SERVICE_WIDTH + column);
  }

  /** Over all workers, of a row that is of no service. */
  workerTotal(column: number): number {
    return sumAt(this.workerSlabs, column);
  }

  statusTotal(serviceSlot: number, status: number): number {
    const column = SERVICE_STATUSES + status - FIRST_STATUS;
    return sumAt(this.serviceSlabs, serviceSlot * SERVICE_WIDTH + column);
  }

  /** Exchanges that ended for this reason (index of model/reason.ts). */
  reasonTotal(serviceSlot: number, reasonIndex: number): number {
    return sumAt(this.serviceSlabs, serviceSlot * SERVICE_WIDTH + SERVICE_REASONS + reasonIndex);
  }

  /** Attempts that failed for this reason and were tried again. */
  retryTotal(serviceSlot: number, reasonIndex: number): number {
    return sumAt(this.serviceSlabs, serviceSlot * SERVICE_WIDTH + SERVICE_RETRIES + reasonIndex);
  }

  /** Counts per latency bucket (ledger/histogram.ts) of whole exchanges. */
  serviceBuckets(serviceSlot: number): Float64Array {
    return sumRange(this.serviceSlabs, serviceSlot * SERVICE_WIDTH + SERVICE_BUCKETS);
  }

  /** Counts per latency bucket of the endpoint: from request sent to response begun. */
  endpointBuckets(slot: number): Float64Array {
    return sumRange(this.endpointSlabs, slot * ENDPOINT_WIDTH + endpointRows.length);
  }

  /** Zeroes a row before another endpoint gets it. Only when no worker refers to the slot. */
  clearEndpoint(slot: number): void {
    assert(this.inFlight(slot) === 0, 'a slot with requests in flight is not reused');
    const start = slot * ENDPOINT_WIDTH;
    for (const slab of this.endpointSlabs) slab.fill(0, start, start + ENDPOINT_WIDTH);
    this.clearStreaks(slot);
    this.answeredTimes[slot] = 0;
    Atomics.store(this.turns, slot, 0);
  }

  /** Zeroes a row before another service gets it. Only when no worker refers to the slot. */
  clearService(serviceSlot: number): void {
    const start = serviceSlot * SERVICE_WIDTH;
    for (const slab of this.serviceSlabs) slab.fill(0, start, start + SERVICE_WIDTH);
  }
}

/** The two cells of a client: `hash` has 32 bits. */
function clientCells(hash: number): [number, number] {
  return [hash & (CLIENT_CELLS - 1), CLIENT_CELLS + ((hash >>> 16) & (CLIENT_CELLS - 1))];
}

function takeBack(total: Int32Array, own: Int32Array): void {
  for (let slot = 0; slot < own.length; slot += 1) {
    const count = own[slot]!;
    if (count !== 0) Atomics.sub(total, slot, count);
  }
  own.fill(0);
}

function sumAt(slabs: readonly Float64Array[], index: number): number {
  let sum = 0;
  for (const slab of slabs) sum += slab[index]!;
  return sum;
}

function sumRange(slabs: readonly Float64Array[], start: number): Float64Array {
  const sums = new Float64Array(BUCKETS);
  for (const slab of slabs) {
    for (let i = 0; i < BUCKETS; i += 1) sums[i]! += slab[start + i]!;
  }
  return sums;
}
