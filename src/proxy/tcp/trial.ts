// Whether an endpoint serves the session that it has accepted. It need not: whatever listens for it may
// close at once. The endpoint is on trial until its first byte, or until the session has lasted for
// `tcp.early_failure`; what the client sends meanwhile is kept, so that it can go to another endpoint.
// Invariant: an endpoint is credited with a session once, and only while the session is held on it.
import type { TimerWheel } from '../../base/timer-wheel.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { Hold } from '../hold.ts';
import type { LiveService } from '../live-service.ts';
import type { Placement } from '../placement.ts';
import { EarlyBytes } from './early-bytes.ts';

export const SESSION_REFUSED = reason('session-refused');

/** The session, as far as the trial asks. */
export interface TrialOwner {
  readonly live: LiveService;
  /** Bytes that the endpoint has sent. */
  readonly bytesOut: number;
  readonly hasClientEnded: boolean;
}

/** What a session is made of, as far as its endpoint goes. */
export interface TrialParts {
  readonly hold: Hold;
  readonly placement: Placement;
  readonly wheel: TimerWheel;
}

export class Trial {
  /** What the client has sent so far, as long as the session may move to another endpoint. */
  readonly early = new EarlyBytes();
  /** The endpoint was credited with a session that it serves. */
  isCredited = false;
  private readonly owner: TrialOwner;
  private readonly hold: Hold;
  private readonly placement: Placement;
  private readonly wheel: TimerWheel;
  /** Of the wheel's clock; 0 before an endpoint has accepted. */
  private connectedMs = 0;

  constructor(owner: TrialOwner, { hold, placement, wheel }: TrialParts) {
    this.owner = owner;
    this.hold = hold;
    this.placement = placement;
    this.wheel = wheel;
  }

  /** The endpoint has accepted: its trial begins. */
  begin(): void {
    this.connectedMs = this.wheel.nowMs;
  }

  /** The endpoint has sent something, or is not doubted: the session stays. */
  trust(): void {
    this.early.letGo();
    if (!this.isEarly) this.credit();
  }

  /** The endpoint serves the session, and has not cut it early. */
  credit(): void {
    if (this.isCredited || this.hold.endpoint === null) return;
    this.isCredited = true;
    this.owner.live.outcomes.served(this.hold.endpoint);
  }

  /** The session ends while its endpoint still has it. */
  end(): void {
    if (this.owner.bytesOut > 0) this.credit();
  }

  /** Whether the session is younger than an endpoint that serves nobody lets it become. */
  get isEarly(): boolean {
    const ageMs = this.wheel.nowMs - this.connectedMs;
    return ageMs < this.owner.live.service.tcp.earlyFailureMs;
  }

  /**
   * Whether the endpoint, which has closed now, never served: it sent nothing to a client that had
   * not ended the session itself. A client that had may want no answer; a reset is none in any case.
   */
  wasRefused(isReset: boolean): boolean {
    const { bytesOut, hasClientEnded } = this.owner;
    if (bytesOut > 0 || !this.isEarly) return false;
    return isReset || !hasClientEnded;
  }

  /**
   * Whether the session may go to another endpoint after a failure for `why`: as long as there is one
   * that was not asked, it is saved.
   */
  mayMove(why: Reason): boolean {
    const { retry } = this.owner.live.service;
    const { attempts, mayTryOther } = this.placement;
    if (!this.early.isWhole || retry.attempts <= 1 || !retry.on.has('connect')) return false;
    // What an endpoint has seen and refused it is not shown again.
    return mayTryOther || (why !== SESSION_REFUSED && attempts < retry.attempts);
  }
}
