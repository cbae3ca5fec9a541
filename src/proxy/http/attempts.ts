// The tries of one exchange: the one that counts, and at times a second one beside a first that is slow
// (Dean and Barroso, The Tail at Scale). Whichever answers first is heard; the other is dropped.
//   one -> (second try due) two -> (an answer, or a failure) one
import type { TimerWheel } from '../../base/timer-wheel.ts';
import { ServiceColumn } from '../../ledger/layout.ts';
import type { Reason } from '../../model/reason.ts';
import type { HttpVersion, LiveEndpoint } from '../live-endpoint.ts';
import type { Placement } from '../placement.ts';
import { Alarm, type AlarmOwner } from './alarm.ts';
import type { EndpointEvents, EndpointSide, Tried } from './endpoint-side.ts';
import { Http1Attempt } from './http1/http1-attempt.ts';
import { Http2Attempt } from './http2/http2-attempt.ts';
import type { HttpPlane } from './plane.ts';
import type { RequestCopy } from './request-copy.ts';
import { asksWebSocket } from './upgrade.ts';

/** Kept connections that lay idle for longer are not used for what can't be repeated. */
const FRESH_MS = 1000;

/** The exchange, whose request all tries are of. */
export interface AttemptsOwner extends EndpointEvents, AlarmOwner, Tried {
  /** The request may be sent more than once. */
  readonly isRepeatable: boolean;
  /** Before an attempt ends: what it moved is counted on its endpoint. */
  countBytes(attempt: EndpointSide): void;
}

export class Attempts {
  /** The try that counts. */
  current: EndpointSide;
  /** The next try is made on a fresh connection, for a kept one was closed. */
  needsFresh = false;
  private readonly owner: AttemptsOwner;
  private readonly plane: HttpPlane;
  private readonly wheel: TimerWheel;
  private readonly placement: Placement;
  private readonly copy: RequestCopy;
  /** For a second try; made for the first request that has one. */
  private spare: EndpointSide | null = null;
  /** Those of the other protocol, which are not in use. */
  private readonly parked: EndpointSide[] = [];
  private hedgeDue: Alarm | null = null;

  constructor(owner: AttemptsOwner, plane: HttpPlane, placement: Placement, copy: RequestCopy) {
    this.owner = owner;
    this.plane = plane;
    this.wheel = plane.context.wheel;
    this.placement = placement;
    this.copy = copy;
    this.current = this.make('http1');
  }

  begin(): void {
    this.needsFresh = false;
  }

  private make(speaks: HttpVersion): EndpointSide {
    const { owner, plane } = this;
    return speaks === 'http1' ? new Http1Attempt(owner, plane) : new Http2Attempt(owner, plane);
  }

  /** What speaks to this endpoint as it is to be spoken to, in the place of `side`. */
  private fit(side: EndpointSide | null, endpoint: LiveEndpoint): EndpointSide {
    const speaks = versionFor(this.owner, endpoint);
    return side !== null && side.speaks === speaks ? side : this.swap(side, speaks);
  }

  /** Apart, for it makes a closure. */
  private swap(side: EndpointSide | null, speaks: HttpVersion): EndpointSide {
    const { parked } = this;
    const at = parked.findIndex((one) => one.speaks === speaks);
    const found = at < 0 ? this.make(speaks) : parked.splice(at, 1)[0]!;
    if (side !== null) parked.push(side);
    return found;
  }

  /** Begins the try that counts; false: the endpoint has no place any more. */
  open(endpoint: LiveEndpoint): boolean {
    this.hedgeDue?.clear();
    this.current = this.fit(this.current, endpoint);
    return this.openOn(this.current, endpoint);
  }

  private openOn(attempt: EndpointSide, endpoint: LiveEndpoint): boolean {
    const freshMs = this.owner.isRepeatable ? 0 : Math.max(0, this.wheel.nowMs - FRESH_MS);
    return attempt.open(endpoint, this.needsFresh ? -1 : freshMs);
  }

  /** Ends a try. A request that waits for a place may be placed before this returns. */
  drop(attempt: EndpointSide, isReset = false): void {
    if (attempt.endpoint === null) return;
    this.owner.countBytes(attempt);
    attempt.drop(isReset);
  }

  /** Whether a second try is under way. */
  get hasSpare(): boolean {
    return this.spare !== null && this.spare.endpoint !== null;
  }

  /** The request is with the endpoint: after a while, where the service asks for it, another is tried. */
  awaitHedge(): void {
    const { copy } = this;
    const { isRepeatable, upgrade, live } = this.owner;
    const isSafe = isRepeatable && copy.isDone && copy.isWhole && upgrade === '';
    const afterMs = isSafe ? live.hedgeAfterMs : Number.POSITIVE_INFINITY;
    if (afterMs === Number.POSITIVE_INFINITY || this.hasSpare) return;
    this.hedgeDue ??= new Alarm(this.owner, this.wheel);
    this.hedgeDue.set(afterMs);
  }

  isHedgeDue(alarm: Alarm): boolean {
    return alarm === this.hedgeDue;
  }

  /** The first try has taken long enough. */
  hedge(): void {
    const { current } = this;
    const { live } = this.owner;
    if (current.hasAnswered || this.hasSpare) return;
    const endpoint = this.placement.pickBeside(current.endpoint!);
    if (endpoint === null || !live.retryBudget.spend(this.wheel.nowMs)) return;
    // The first try's write may not be done: then the bytes stay with that, and a copy goes on.
    this.copy.rescue();
    this.plane.context.ledger.addService(live.slot, ServiceColumn.hedges, 1);
    this.spare = this.fit(this.spare, endpoint);
    this.openOn(this.spare, endpoint);
  }

  /** The second try has failed for `why`: the first one goes on alone. */
  spareFailed(attempt: EndpointSide, why: Reason): void {
    if (why.blamesEndpoint) this.owner.live.outcomes.failed(attempt.endpoint!, why);
    this.drop(attempt);
  }

  /** The endpoint is the primary no more: a second try there ends. */
  leave(endpoint: LiveEndpoint): void {
    if (this.hasSpare && this.spare!.endpoint === endpoint) this.drop(this.spare!);
  }

  /** The second try is the one that counts now; the first has ended. */
  promoteSpare(): void {
    const second = this.spare!;
    this.spare = this.current;
    this.current = second;
  }

  /** The first byte of an answer decides which try is heard. */
  decide(attempt: EndpointSide): void {
    this.hedgeDue?.clear();
    if (!this.hasSpare) return;
    if (attempt === this.current) {
      this.drop(this.spare!);
      return;
    }
    this.plane.context.ledger.addService(this.owner.live.slot, ServiceColumn.hedgesWon, 1);
    this.drop(this.current);
    this.copy.rescue();
    this.promoteSpare();
  }

  /** No second try any more. */
  endHedging(): void {
    this.hedgeDue?.clear();
    if (this.hasSpare) this.drop(this.spare!);
  }
}

/** What the endpoint is spoken to by, for this request. */
function versionFor({ service, upgrade }: Tried, endpoint: LiveEndpoint): HttpVersion {
  const { protocol } = service.upstream;
  if (protocol === 'http1') return 'http1';
  if (protocol !== 'auto') return 'http2';
  // Without TLS there is no ALPN, and without a choice it is HTTP/1.1.
  if (endpoint.http1Tls === null) return 'http1';
  const isBeyondHttp2 = upgrade !== '' && (endpoint.refusesTunnels || !asksWebSocket(upgrade));
  return isBeyondHttp2 ? 'http1' : endpoint.agreed;
}
