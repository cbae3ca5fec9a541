// One HTTP connection to an endpoint. It belongs to an exchange or lies idle in the endpoint's
// pool, never both.
//   connecting -> busy <-> idle -> closed
// Unexpected data or EOF on an idle connection closes it: they belong to no exchange.
import { TimerEntry, type TimerOwner, type TimerWheel } from '../base/timer-wheel.ts';
import type { HeadParser } from '../http1/head-parser.ts';
import type { Limits } from '../model/service.ts';
import type { WorkerContext } from './context.ts';
import type { LiveEndpoint } from './live-endpoint.ts';
import type { ClientTls, ConnectHandler, Wire } from './network.ts';
import type { Pool } from './pool.ts';

/** Errors of connect(2) and socket(2) that say something of this machine, not of the endpoint. */
const STARVED = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM']);

/** Whether a connection failed for want of descriptors, ports or memory of our own. */
export function isStarved(code: string): boolean {
  return STARVED.has(code);
}

/** The exchange's side: what happens to the connection it holds. */
export interface UpstreamUser {
  onUpstreamConnect(): void;
  /** As WireHandler.onBytes. */
  onUpstreamBytes(base: Buffer, start: number, end: number): void;
  onUpstreamEnd(): void;
  onUpstreamDrain(): void;
  /** The connection is gone, and the user's no more. */
  onUpstreamClose(error: NodeJS.ErrnoException | null): void;
  /** The time set by `setTimer` has passed. */
  onUpstreamTimer(): void;
  /** A rule of ours was broken while one of these was told. */
  onUpstreamBug(error: unknown): void;
}

/** How a connection is opened. */
export interface Opening {
  /** Where it lies while it is idle. */
  readonly home: Pool;
  /** The endpoint's `tls`, or its `http1Tls`. */
  readonly tls: ClientTls | null;
  /** What it begins with; null: nothing. */
  readonly introduction: Buffer | null;
  /** An open one, which changes hands; null: one is opened. */
  readonly wire: Wire | null;
}

export class UpstreamConnection implements ConnectHandler, TimerOwner {
  readonly wire: Wire;
  readonly endpoint: LiveEndpoint;
  /** Kept only while a response head is in pieces. */
  parser: HeadParser | null = null;
  /** Who has it; null while it is idle or closed. */
  user: UpstreamUser | null;
  /** Whether an earlier exchange was answered on it: it may then be stale. */
  isReused = false;
  /** It has no user any more, and closes when it is flushed. */
  private isLeaving = false;
  /** Monotonic ms since it lies in the pool. */
  idleSinceMs = 0;
  private readonly home: Pool;
  /** The endpoint's when it was opened. */
  private readonly tls: ClientTls | null;
  private readonly openedMs: number;
  private readonly wheel: TimerWheel;
  private readonly timer = new TimerEntry(this);

  /**
   * Connects to the endpoint; the user gets onUpstreamConnect or onUpstreamClose. An open one is to be
   * released by its maker, and has no user.
   */
  constructor(
    endpoint: LiveEndpoint,
    user: UpstreamUser | null,
    { network, wheel }: WorkerContext,
    { home, tls, introduction, wire }: Opening,
  ) {
    this.endpoint = endpoint;
    this.user = user;
    this.wheel = wheel;
    this.openedMs = wheel.nowMs;
    this.home = home;
    this.tls = tls;
    if (wire !== null) {
      this.wire = wire;
      wire.handler = this;
    } else {
      const { address, port } = endpoint;
      const target = tls === endpoint.tls ? endpoint : { address, port, tls };
      this.wire = network.connect(target, this, introduction);
    }
  }

  /** Tells the user in `ms`; 0: never. */
  setTimer(ms: number): void {
    if (ms > 0) this.wheel.schedule(this.timer, ms);
    else this.wheel.cancel(this.timer);
  }

  clearTimer(): void {
    this.wheel.cancel(this.timer);
  }

  /** The exchange is done and the connection is clean: keeps it, or closes it when it can't. */
  release({ idleUpstream, idleUpstreamMs, upstreamAgeMs }: Limits): void {
    const { endpoint, tls } = this;
    const { nowMs } = this.wheel;
    this.user = null;
    this.isReused = true;
    this.idleSinceMs = nowMs;
    this.parser = null;
    const leftMs = upstreamAgeMs === 0 ? idleUpstreamMs : upstreamAgeMs - (nowMs - this.openedMs);
    // What it was begun with may not be what the endpoint gets now.
    const isSame = tls === endpoint.tls || tls === endpoint.http1Tls;
    const isKept = isSame && endpoint.takesWork && leftMs > 0 && this.home.give(this, idleUpstream);
    if (isKept) this.setTimer(Math.min(idleUpstreamMs, leftMs));
    else this.destroy();
  }

  /** Its wire, which is the caller's: this object is used no more. */
  handOver(): Wire {
    this.user = null;
    this.wheel.remove(this.timer);
    return this.wire;
  }

  /** Closes it without a word to the user. */
  destroy(): void {
    this.user = null;
    this.wheel.remove(this.timer);
    this.wire.destroy();
  }

  /** As destroy, once the endpoint has taken what was sent; with RST where it has not within `ms`. */
  destroyFlushed(ms: number): void {
    if (this.wire.isFlushed) {
      this.destroy();
      return;
    }
    this.user = null;
    this.isLeaving = true;
    this.setTimer(ms);
  }

  /** As destroy, with RST: the endpoint sees that what it got is not complete. */
  reset(): void {
    this.user = null;
    this.wheel.remove(this.timer);
    this.wire.reset();
  }

  onConnect(): void {
    this.user?.onUpstreamConnect();
  }

  onBytes(base: Buffer, start: number, end: number): void {
    if (this.user !== null) this.user.onUpstreamBytes(base, start, end);
    else this.discard();
  }

  onEnd(): void {
    if (this.user !== null) this.user.onUpstreamEnd();
    else this.discard();
  }

  onDrain(): void {
    if (this.isLeaving) this.destroy();
    else this.user?.onUpstreamDrain();
  }

  onClose(error: NodeJS.ErrnoException | null): void {
    this.wheel.remove(this.timer);
    const { user } = this;
    this.user = null;
    if (user === null) this.home.remove(this);
    else user.onUpstreamClose(error);
  }

  onTimer(): void {
    if (this.isLeaving) this.reset();
    else if (this.user !== null) this.user.onUpstreamTimer();
    else this.discard();
  }

  onBug(error: unknown): void {
    const { user } = this;
    if (user === null) throw error;
    this.destroy();
    user.onUpstreamBug(error);
  }

  /** An idle connection is of no use any more. */
  private discard(): void {
    this.home.remove(this);
    this.destroy();
  }
}
