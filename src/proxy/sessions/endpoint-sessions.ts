// The sessions on one endpoint, and what becomes of them when it takes no more work: they go on, or
// end after a time (`tcp.on_down`, `tcp.on_drain`; of `tunnels` and `udp` the same). Requests are no
// sessions: they end by themselves.
// Invariant: an end that is near is not put off by what comes later, unless the endpoint takes work
// again, or the policy itself is another.
import { TimerEntry, type TimerOwner, type TimerWheel } from '../../base/timer-wheel.ts';
import type { Reason } from '../../model/reason.ts';

export interface EndpointSession {
  /** It may stay no longer: ends now, or moves where nothing was sent. Takes itself out. */
  endSession(why: Reason): void;
  onBug(error: unknown): void;
}

/** How soon sessions end, ms, and why they do. */
export interface Fate {
  readonly inMs: number;
  readonly why: Reason;
}

export class EndpointSessions implements TimerOwner {
  private readonly wheel: TimerWheel;
  private readonly sessions = new Set<EndpointSession>();
  private readonly timer = new TimerEntry(this);
  private dueMs = Number.POSITIVE_INFINITY;
  private why: Reason | null = null;

  constructor(wheel: TimerWheel) {
    this.wheel = wheel;
  }

  get count(): number {
    return this.sessions.size;
  }

  add(session: EndpointSession): void {
    this.sessions.add(session);
  }

  delete(session: EndpointSession): void {
    this.sessions.delete(session);
  }

  /** Why a session that begins now may not stay; null where it may. */
  get lateFor(): Reason | null {
    return this.dueMs <= this.wheel.nowMs ? this.why : null;
  }

  /** The endpoint takes work: its sessions go on. */
  goOn(): void {
    this.dueMs = Number.POSITIVE_INFINITY;
    this.wheel.remove(this.timer);
  }

  /** What becomes of them while the endpoint takes no work; null: nothing new. */
  decide(fate: Fate | null): void {
    if (fate === null) return;
    const dueMs = this.wheel.nowMs + fate.inMs;
    if (dueMs >= this.dueMs) return;
    this.dueMs = dueMs;
    this.why = fate.why;
    if (fate.inMs > 0) this.wheel.schedule(this.timer, fate.inMs);
    else this.endAll();
  }

  onTimer(): void {
    this.endAll();
  }

  private endAll(): void {
    for (const session of [...this.sessions]) {
      try {
        session.endSession(this.why!);
      } catch (error) {
        // One that breaks a rule must not keep the others.
        session.onBug(error);
      }
    }
  }
}
