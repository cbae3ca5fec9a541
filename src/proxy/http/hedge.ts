// The second try beside one that is slow (Dean and Barroso, The Tail at Scale): the same request on
// another endpoint; whoever answers first is heard, the other one's connection is closed.
//   idle -> waiting -> trying -> idle     `trying` ends when it wins, fails, or is not needed
// It asks by itself until the first byte of an answer. Then, or when the first try fails, the
// exchange takes its connection over (`handOver`).
// Invariant: `endpoint` is set exactly while the ledger counts the second try on it.
import { TimerEntry, type TimerOwner } from '../../base/timer-wheel.ts';
import { EndpointColumn, ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { Timeouts } from '../../model/service.ts';
import type { LiveEndpoint, LiveService } from '../live-service.ts';
import { isStarved, UpstreamConnection, type UpstreamUser } from '../upstream-connection.ts';
import type { HttpPlane } from './plane.ts';

const CONNECT_FAILED = reason('connect-failed');
const CONNECT_TIMEOUT = reason('connect-timeout');
const RESPONSE_TIMEOUT = reason('response-timeout');
const RESET = reason('reset');

export interface HedgeOwner {
  /** The first try has taken long enough. */
  onHedgeDue(): void;
  /** The second try answers first, with base[start,end): the owner calls `handOver`. */
  onHedgeAnswer(base: Buffer, start: number, end: number): void;
  onUpstreamBug(error: unknown): void;
}

/** A try as the exchange takes it over. */
export interface HedgeTry {
  readonly endpoint: LiveEndpoint;
  readonly upstream: UpstreamConnection;
  /** Monotonic ms of when the request was sent; 0 while it is not. */
  readonly sentMs: number;
  readonly isOnKept: boolean;
}

export class Hedge implements UpstreamUser, TimerOwner {
  private readonly owner: HedgeOwner;
  private readonly plane: HttpPlane;
  private readonly timer = new TimerEntry(this);
  private live!: LiveService;
  private timeouts!: Timeouts;
  private request: Buffer | null = null;
  private endpoint: LiveEndpoint | null = null;
  private upstream: UpstreamConnection | null = null;
  private sentMs = 0;
  private isOnKept = false;

  constructor(owner: HedgeOwner, plane: HttpPlane) {
    this.owner = owner;
    this.plane = plane;
  }

  get isTrying(): boolean {
    return this.endpoint !== null;
  }

  /** Lets the owner know in `delayMs`; the clock of the wheel ticks every 25 ms. */
  await(delayMs: number): void {
    this.plane.context.wheel.schedule(this.timer, delayMs);
  }

  onTimer(): void {
    this.owner.onHedgeDue();
  }

  onBug(error: unknown): void {
    this.owner.onUpstreamBug(error);
  }

  /** Sends `request`, whose bytes are ours from now on, to the endpoint. */
  try(endpoint: LiveEndpoint, request: Buffer, live: LiveService): void {
    const { context } = this.plane;
    const { ledger } = context;
    this.live = live;
    this.timeouts = live.service.timeouts;
    this.request = request;
    this.endpoint = endpoint;
    this.sentMs = 0;
    ledger.acquire(endpoint.slot);
    ledger.addEndpoint(endpoint.slot, EndpointColumn.attempts, 1);
    ledger.addService(live.slot, ServiceColumn.hedges, 1);
    const kept = endpoint.pool.take(0);
    this.isOnKept = kept !== null;
    if (kept !== null) {
      kept.user = this;
      this.upstream = kept;
      this.send();
      return;
    }
    ledger.addEndpoint(endpoint.slot, EndpointColumn.connects, 1);
    this.upstream = new UpstreamConnection(endpoint, this, context);
    this.upstream.setTimer(this.timeouts.connectMs);
  }

  private send(): void {
    const upstream = this.upstream!;
    this.sentMs = this.plane.context.clock.nowMs();
    upstream.wire.write(this.request!);
    upstream.setTimer(this.timeouts.responseMs);
  }

  /** Gives the try to the exchange, which becomes the user of its connection; null: there is none. */
  handOver(): HedgeTry | null {
    const { endpoint, upstream, sentMs, isOnKept } = this;
    if (endpoint === null) return null;
    this.endpoint = null;
    this.upstream = null;
    this.request = null;
    return { endpoint, upstream: upstream!, sentMs, isOnKept };
  }

  /** The second try is not needed, or not any more. */
  cancel(): void {
    this.plane.context.wheel.cancel(this.timer);
    const { endpoint, upstream } = this;
    if (endpoint === null) return;
    this.endpoint = null;
    this.upstream = null;
    this.request = null;
    upstream?.destroy();
    this.plane.context.ledger.release(endpoint.slot);
    this.live.placeFreed();
  }

  /** The second try has failed: the first one goes on alone. */
  private fail(why: Reason | null): void {
    const { endpoint, live } = this;
    this.cancel();
    if (why !== null) live.attemptFailed(endpoint!, why);
  }

  onUpstreamConnect(): void {
    this.send();
  }

  onUpstreamBytes(base: Buffer, start: number, end: number): void {
    this.owner.onHedgeAnswer(base, start, end);
  }

  onUpstreamEnd(): void {
    // A kept connection may have been closed before the request came.
    this.fail(this.isOnKept ? null : RESET);
  }

  onUpstreamClose(error: NodeJS.ErrnoException | null): void {
    this.upstream = null;
    if (this.sentMs === 0) this.fail(isStarved(error?.code ?? '') ? null : CONNECT_FAILED);
    else this.fail(this.isOnKept ? null : RESET);
  }

  onUpstreamTimer(): void {
    this.fail(this.sentMs === 0 ? CONNECT_TIMEOUT : RESPONSE_TIMEOUT);
  }

  onUpstreamDrain(): void {}

  onUpstreamBug(error: unknown): void {
    this.owner.onUpstreamBug(error);
  }
}
