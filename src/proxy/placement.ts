// How one request or session comes to an endpoint: admission, choosing, waiting in the queue. One piece
// of code for HTTP exchanges and sessions of TCP and UDP; each owns one.
//   begin -> admit -> find -> (onPlaced | onNoPlace) ... find again after a failed attempt ... -> end
// The owner counts itself on the endpoint it gets (hold.ts) before it does anything else.
import { assert } from '../base/assert.ts';
import { TimerEntry, type TimerOwner } from '../base/timer-wheel.ts';
import { type Reason, reason } from '../model/reason.ts';
import type { WorkerContext } from './context.ts';
import type { AdaptiveLimit } from './limits/adaptive-limit.ts';
import type { Place } from './limits/memory.ts';
import type { LiveEndpoint } from './live-endpoint.ts';
import type { LiveService, Waiter } from './live-service.ts';

const NO_ENDPOINT = reason('no-endpoint');
const QUEUE_FULL = reason('queue-full');
const QUEUE_TIMEOUT = reason('queue-timeout');
const OVERLOADED = reason('overloaded');
const OUT_OF_MEMORY = reason('out-of-memory');

/** The exchange or session; both are called within `find`, or later from the queue. */
export interface PlacementOwner {
  /** There is a place on this endpoint: the owner takes it now. */
  onPlaced(endpoint: LiveEndpoint): void;
  /** No endpoint takes it, and waiting is over or pointless. `detail` is for humans. */
  onNoPlace(why: Reason, detail: string): void;
  onBug(error: unknown): void;
}

export class Placement implements Waiter, TimerOwner {
  /** Endpoints that were asked, one more than once included. */
  attempts = 0;
  private readonly owner: PlacementOwner;
  private readonly context: WorkerContext;
  private readonly timer = new TimerEntry(this);
  private live!: LiveService;
  private hash = 0;
  /** Slots of the endpoints that failed. */
  private readonly tried: number[] = [];
  private isWaiting = false;
  /** When it first had to wait; the time in the queue is that of the request, not of one attempt. */
  private waitingSinceMs = -1;
  /** When it was placed first; -1: not yet. */
  private placedMs = -1;
  private shortPlace: Place | null = null;
  /** The limit that counts the owner. */
  private admittedBy: AdaptiveLimit | null = null;
  /** Idle connections were closed for the owner, which found no descriptor left. */
  private hasMadeRoom = false;

  constructor(owner: PlacementOwner, context: WorkerContext) {
    this.owner = owner;
    this.context = context;
  }

  /** As new, for a request of this service. `hash`: the key of hash policies, 32 bits. */
  begin(live: LiveService, hash: number): void {
    assert(!this.isWaiting && this.admittedBy === null, 'one request at a time is placed');
    this.live = live;
    this.hash = hash;
    if (this.tried.length > 0) this.tried.length = 0;
    this.attempts = 0;
    this.waitingSinceMs = -1;
    this.placedMs = -1;
    this.hasMadeRoom = false;
  }

  /**
   * Whether the service takes one more; null, or why not. `isLasting`: a session or tunnel, which is
   * counted apart while memory is short. After null, `end` must follow.
   */
  admit(isLasting: boolean): Reason | null {
    const { memory } = this.context;
    if (memory.isShort) {
      this.shortPlace = (isLasting ? memory.sessions : memory.requests).enter();
      if (this.shortPlace === null) return OUT_OF_MEMORY;
    }
    const { adaptive } = this.live;
    if (adaptive === null) return null;
    if (!adaptive.enter()) return OVERLOADED;
    this.admittedBy = adaptive;
    return null;
  }

  /** Finds a place on an endpoint, or waits for one. */
  find(): void {
    const { live } = this;
    const endpoint = live.isFull ? null : live.pick(this.tried, this.hash);
    if (endpoint !== null) {
      this.stopWaiting();
      this.attempts += 1;
      if (this.placedMs < 0) this.placedMs = this.context.wheel.nowMs;
      this.owner.onPlaced(endpoint);
      return;
    }
    const { limits } = live.service;
    const isUsable = live.usableCount > 0;
    const waitMs = isUsable ? limits.queueTimeoutMs : limits.parkMs;
    if (waitMs > 0) this.wait(waitMs);
    else this.giveUp(isUsable ? QUEUE_TIMEOUT : NO_ENDPOINT);
  }

  /** This request passes the endpoint over from now on, while there is another one. */
  noteTried(endpoint: LiveEndpoint): void {
    if (!this.tried.includes(endpoint.slot)) this.tried.push(endpoint.slot);
  }

  /** Another worker has taken the place that was found: finds another one, or waits. */
  lostPlace(): void {
    this.attempts -= 1;
    this.find();
  }

  /** What only moved, or could not begin here, was not tried. */
  forgetAttempt(): void {
    this.attempts -= 1;
  }

  /**
   * Whether there is an endpoint that was not tried, and one more may be. Among thousands that refuse, a
   * request gives up after some: trying them costs the work of as many requests.
   */
  get mayTryOther(): boolean {
    const { connectAttempts, connectTimeMs } = this.live.service.retry;
    if (this.attempts >= connectAttempts) return false;
    if (this.context.wheel.nowMs - this.placedMs >= connectTimeMs) return false;
    return this.live.hasUntried(this.tried);
  }

  /** One more endpoint, beside the one it has, which was not tried; null where there is none. */
  pickBeside(one: LiveEndpoint): LiveEndpoint | null {
    const seen = [...this.tried, one.slot];
    const other = this.live.pick(seen, this.hash);
    return other === null || seen.includes(other.slot) ? null : other;
  }

  /**
   * The last attempt found no descriptor or port (`code`: the system's), which is no fault of the
   * endpoint's. True: idle connections were closed, and the owner may try again, once.
   */
  makeRoom(code: string): boolean {
    const count = this.context.room.closeIdle(code);
    if (count === 0 || this.hasMadeRoom) return false;
    this.hasMadeRoom = true;
    return true;
  }

  /**
   * What bounds requests does not bound the owner any more, which lasts from here on. `answerUs` as
   * in AdaptiveLimit.leave.
   */
  endAdmission(answerUs: number): void {
    this.admittedBy?.leave(answerUs);
    this.admittedBy = null;
  }

  /** The owner is done: gives back whatever it was given here. */
  end(answerUs: number): void {
    this.stopWaiting();
    this.endAdmission(answerUs);
    this.shortPlace?.leave();
    this.shortPlace = null;
  }

  private wait(waitMs: number): void {
    const { wheel } = this.context;
    if (!this.isWaiting && !this.live.enqueue(this)) {
      this.giveUp(QUEUE_FULL);
      return;
    }
    if (this.waitingSinceMs < 0) this.waitingSinceMs = wheel.nowMs;
    this.isWaiting = true;
    wheel.schedule(this.timer, Math.max(0, this.waitingSinceMs + waitMs - wheel.nowMs));
  }

  private stopWaiting(): void {
    if (!this.isWaiting) return;
    this.isWaiting = false;
    this.live.dequeue(this);
    this.context.wheel.cancel(this.timer);
  }

  private giveUp(why: Reason): void {
    this.stopWaiting();
    this.owner.onNoPlace(why, why === NO_ENDPOINT ? this.live.whyNoEndpoint() : '');
  }

  /** An endpoint may have a place now. */
  onPlace(): void {
    if (!this.isWaiting) return;
    try {
      this.find();
    } catch (error) {
      // The caller is another request.
      this.owner.onBug(error);
    }
  }

  /** The time in the queue is up. */
  onTimer(): void {
    if (this.isWaiting) this.giveUp(this.live.usableCount > 0 ? QUEUE_TIMEOUT : NO_ENDPOINT);
  }

  onBug(error: unknown): void {
    this.owner.onBug(error);
  }
}
