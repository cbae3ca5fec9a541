// A service as a worker lives it: the snapshot it got last, the balancer, the queue, and endpoints that
// survive snapshots. Requests ask it for an endpoint, and tell its `outcomes` how that went.
// Invariant: `endpoints` are those of the snapshot; a LiveEndpoint that left lives on only in the
// exchanges that still use it, and gets no connection back into its pool.
import type { Balancer } from '../balance/balancer.ts';
import { createBalancer } from '../balance/policies.ts';
import { rampWeight } from '../balance/slow-start.ts';
import { TimerEntry, type TimerOwner } from '../base/timer-wheel.ts';
import { type EffectiveEndpoint, takesWork } from '../model/endpoint.ts';
import { reason } from '../model/reason.ts';
import type { BalancePolicy, Service } from '../model/service.ts';
import type { ServiceSnapshot } from '../model/snapshot.ts';
import { hostOf } from '../model/upstream-host.ts';
import type { WorkerContext } from './context.ts';
import { AdaptiveLimit } from './limits/adaptive-limit.ts';
import { RetryBudget } from './limits/retry-budget.ts';
import { LiveEndpoint } from './live-endpoint.ts';
import { Outcomes, type OutcomesOwner } from './outcomes.ts';
import { DepartedSessions } from './sessions/departed-sessions.ts';
import type { Fate } from './sessions/endpoint-sessions.ts';
import { clientTls, http1Alone, isSameTls } from './tls/client-tls.ts';

const NOT_PRIMARY = reason('not-primary');
const ENDPOINT_LEFT = reason('endpoint-left');
/** Of who is the primary no more. */
const OUSTED: Fate = { inMs: 0, why: NOT_PRIMARY };

/** How often weights in slow start are raised. */
const RAMP_STEP_MS = 250;
/** A request that waits for a place on an endpoint. */
export interface Waiter {
  /** An endpoint may have a place now: try, and call `dequeue` on success. */
  onPlace(): void;
}

export class LiveService implements TimerOwner, OutcomesOwner {
  snapshot: ServiceSnapshot;
  readonly name: string;
  readonly slot: number;
  retryBudget: RetryBudget;
  private readonly context: WorkerContext;
  private balancer: Balancer<LiveEndpoint>;
  private endpoints = new Map<number, LiveEndpoint>();
  /** Endpoints that refused a moment ago: taken when every other was tried. */
  private avoided: LiveEndpoint[] = [];
  /**
   * In a panic, those that get what the others can't take: first those whose check is good, though
   * they were ejected, and in each tier first those that this worker does not avoid.
   */
  private spareTiers: Balancer<LiveEndpoint>[] = [];
  /** Those of other priorities, the best first: what failed on every endpoint goes on to them. */
  private fallbackTiers: Balancer<LiveEndpoint>[] = [];
  /** In a panic other priorities help before anything that checks took out does. */
  private isHelped = false;
  /** Slots of those that are balanced over with the others, as the policy wants it. */
  private mixedIn: number[] = [];
  private waiters: Waiter[] = [];
  /** Null where the limit is not to be found from response times. */
  adaptive: AdaptiveLimit | null = null;
  readonly outcomes: Outcomes;
  /** Of endpoints that have left. */
  readonly departed: DepartedSessions;
  private readonly timer = new TimerEntry(this);

  /** `departed`: of a service of this name that was closed before. */
  constructor(
    snapshot: ServiceSnapshot,
    context: WorkerContext,
    departed: DepartedSessions = new DepartedSessions(),
  ) {
    this.snapshot = snapshot;
    this.departed = departed;
    this.name = snapshot.service.name;
    this.slot = snapshot.slot;
    this.context = context;
    this.outcomes = new Outcomes(this, context);
    this.retryBudget = new RetryBudget(snapshot.service.retry);
    this.balancer = this.makeBalancer(snapshot.service.balance.policy);
    this.applyOptions();
    this.applyEndpoints();
    this.settleSessions([]);
  }

  get service(): Service {
    return this.snapshot.service;
  }

  /**
   * The service as it is from now on; requests in flight keep what they began with. Returns the
   * endpoints that went down with it: what waits for them may be in vain. `onNotPrimary` gets those
   * that are the primary no more, before anything that waits goes to the new one.
   */
  apply(
    snapshot: ServiceSnapshot,
    onNotPrimary: ((endpoint: LiveEndpoint) => void) | null = null,
  ): LiveEndpoint[] {
    const before = this.snapshot.service;
    this.snapshot = snapshot;
    if (!isSame(snapshot.service, before)) {
      this.retryBudget = new RetryBudget(snapshot.service.retry);
      this.balancer = this.makeBalancer(snapshot.service.balance.policy);
      this.applyOptions();
    }
    // Those that were out before, or took work in spite of it, lose nothing that waits for them.
    const wereIn = [...this.endpoints.values()].filter((one) => !one.isOut);
    const mayHaveBeen = [...this.endpoints.values()].filter((one) => !one.isStandby);
    const left = this.applyEndpoints();
    this.settleSessions(left);
    if (onNotPrimary !== null) {
      for (const one of mayHaveBeen) if (one.isStandby) onNotPrimary(one);
    }
    this.wake();
    return wereIn.filter((one) => one.isOut);
  }

  /**
   * An endpoint for the next attempt, or null where none may take it. An endpoint in `tried`
   * (slots of earlier attempts) is taken again only when there is no other.
   */
  pick(tried: readonly number[], hash: number): LiveEndpoint | null {
    const picked = this.pickWorking(tried, hash) ?? this.balancer.pick(tried, hash);
    if (picked !== null) return picked;
    const untried =
      tried.length === 0
        ? undefined
        : this.avoided.find((one) => !tried.includes(one.slot) && this.hasPlace(one));
    const other = untried ?? this.pickFallback(tried) ?? this.pickFrom(this.spareTiers, tried);
    return other ?? (tried.length === 0 ? null : this.pickAgain(hash));
  }

  /** There is no other: one that was tried may have it once more. */
  private pickAgain(hash: number): LiveEndpoint | null {
    const picked = this.balancer.pick([], hash) ?? this.pickFrom(this.fallbackTiers, []);
    return picked ?? this.pickFrom(this.spareTiers, []);
  }

  /** For what failed once, even a panic that spreads over all lets the working go first. */
  private pickWorking(tried: readonly number[], hash: number): LiveEndpoint | null {
    if (tried.length === 0 || this.mixedIn.length === 0) return null;
    return this.balancer.pick([...tried, ...this.mixedIn], hash);
  }

  private pickFallback(tried: readonly number[]): LiveEndpoint | null {
    return tried.length > 0 || this.isHelped ? this.pickFrom(this.fallbackTiers, tried) : null;
  }

  private pickFrom(
    tiers: readonly Balancer<LiveEndpoint>[],
    tried: readonly number[],
  ): LiveEndpoint | null {
    for (const tier of tiers) {
      const picked = tier.pick(tried, 0);
      if (picked !== null) return picked;
    }
    return null;
  }

  /** How many endpoints may take new work, those that are passed over for a moment included. */
  get usableCount(): number {
    let count = 0;
    for (const { takesWork, isFallback } of this.endpoints.values()) {
      if (takesWork && (!isFallback || this.isHelped)) count += 1;
    }
    return count;
  }

  /** Whether an endpoint that may take work is not among these slots. */
  hasUntried(tried: readonly number[]): boolean {
    for (const { slot, takesWork } of this.endpoints.values()) {
      if (takesWork && !tried.includes(slot)) return true;
    }
    return false;
  }

  /** Why there is no endpoint, human-readable: `3 endpoints: 2 down, 1 maint`. */
  whyNoEndpoint(): string {
    const { endpoints } = this.snapshot;
    if (endpoints.length === 0) return 'none registered';
    const standby = endpoints.find(({ isStandby }) => isStandby === true);
    if (standby?.reason.startsWith('no primary') === true) return standby.reason;
    const counts = new Map<string, number>();
    for (const { state, weight, priority } of endpoints) {
      const plain = weight === 0 && state === 'up' ? 'weight 0' : state;
      const word = priority === this.snapshot.priority ? plain : `${plain} of priority ${priority}`;
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    const parts = [...counts].map(([word, count]) => `${count} ${word}`);
    return `${endpoints.length} registered: ${parts.join(', ')}`;
  }

  /** Whether this endpoint has fewer requests in flight than its limit. */
  private hasPlace(endpoint: LiveEndpoint): boolean {
    const max = this.service.limits.perEndpoint;
    return max === 0 || this.context.ledger.inFlight[endpoint.slot]! < max;
  }

  /** Whether the service has as many requests in flight as it may have, over all workers. */
  get isFull(): boolean {
    const max = this.service.limits.requests;
    if (max === 0) return false;
    const { inFlight } = this.context.ledger;
    let count = 0;
    for (const slot of this.endpoints.keys()) count += inFlight[slot]!;
    return count >= max;
  }

  /** How long the first try of a request is waited for before a second one, ms; Infinity: always. */
  get hedgeAfterMs(): number {
    const { hedge } = this.service.retry;
    if (hedge === null) return Number.POSITIVE_INFINITY;
    return hedge.afterMs > 0 ? hedge.afterMs : this.outcomes.quantileUs / 1000;
  }

  /** Closes the connections that lie idle; returns how many. */
  closeIdle(): number {
    let count = 0;
    for (const endpoint of this.endpoints.values()) count += endpoint.closeIdle();
    return count;
  }

  /** This worker passes the endpoint over for a while. */
  avoid(endpoint: LiveEndpoint, forMs: number): void {
    endpoint.avoidUntilMs = this.context.wheel.nowMs + forMs;
    this.offerChoices();
    this.scheduleStep();
  }

  /** Lets `waiter` know when an endpoint may have a place; false when the queue is full. */
  enqueue(waiter: Waiter): boolean {
    if (this.waiters.length >= this.service.limits.queue) return false;
    this.waiters.push(waiter);
    this.scheduleStep();
    return true;
  }

  get waitingCount(): number {
    return this.waiters.length;
  }

  dequeue(waiter: Waiter): void {
    const at = this.waiters.indexOf(waiter);
    if (at >= 0) this.waiters.splice(at, 1);
  }

  /** An attempt has ended: the first in the queue may take its place. */
  placeFreed(): void {
    this.waiters[0]?.onPlace();
  }

  /** Steps what changes with time alone: slow start, endpoints passed over, the queue. */
  onTimer(): void {
    this.offerChoices();
    // Places that other workers freed are seen here. While no endpoint is up there is none to see.
    if (this.waiters.length > 0 && this.usableCount > 0) this.wake();
    this.scheduleStep();
  }

  /**
   * The service is gone: idle connections close; exchanges in flight finish by themselves, but those on
   * a primary: nothing says any more who that is.
   */
  close(onNotPrimary: ((endpoint: LiveEndpoint) => void) | null = null): void {
    this.context.wheel.remove(this.timer);
    this.apply({ ...this.snapshot, endpoints: [] }, onNotPrimary);
  }

  private applyOptions(): void {
    const { limits, retry } = this.service;
    if (!limits.adaptive) this.adaptive = null;
    else this.adaptive ??= new AdaptiveLimit();
    this.outcomes.keepQuantile(retry.hedge?.afterMs === 0);
  }

  private makeBalancer(policy: BalancePolicy): Balancer<LiveEndpoint> {
    const { ledger, random } = this.context;
    return createBalancer(policy, {
      inFlight: ledger.inFlight,
      perEndpointMax: this.service.limits.perEndpoint,
      random,
      turns: { times: ledger.turns, clocks: ledger.turnClocks, service: this.slot },
    });
  }

  /** Returns those that are no longer the service's. */
  private applyEndpoints(): LiveEndpoint[] {
    const before = this.endpoints;
    this.endpoints = new Map();
    const left = this.takeLeave(before);
    for (const endpoint of this.snapshot.endpoints) {
      const known = before.get(endpoint.slot);
      const live = isSamePlace(known, endpoint)
        ? known!
        : new LiveEndpoint(endpoint, this.context.wheel, this.departed.take(endpoint));
      this.setUpstream(live, endpoint);
      live.priority = endpoint.priority;
      live.isFallback = endpoint.priority !== this.snapshot.priority;
      live.isSpare = this.snapshot.isPanicking && endpoint.isSpare && !live.isFallback;
      live.isDown = endpoint.state === 'down';
      live.isStandby = endpoint.isStandby === true;
      live.takesWork = live.isSpare || takesWork(endpoint);
      live.isOut = !live.takesWork && (live.isDown || endpoint.state === 'ejected');
      if (!live.takesWork) live.retire();
      this.endpoints.set(endpoint.slot, live);
    }
    const all = [...this.endpoints.values()].filter(({ takesWork }) => takesWork);
    this.isHelped =
      this.snapshot.isPanicking &&
      all.some(({ isFallback }) => isFallback) &&
      all.some(({ isFallback, isSpare }) => !isFallback && !isSpare);
    this.offerChoices();
    this.scheduleStep();
    return left;
  }

  /** Returns those of these that are in the snapshot no more. */
  private takeLeave(before: ReadonlyMap<number, LiveEndpoint>): LiveEndpoint[] {
    const bySlot = new Map(this.snapshot.endpoints.map((one) => [one.slot, one]));
    const left = [...before.values()].filter((one) => !isSamePlace(one, bySlot.get(one.slot)));
    for (const endpoint of left) {
      endpoint.takesWork = false;
      // It is no longer the primary, whichever is next.
      endpoint.isStandby = this.service.primary !== null;
      this.departed.keep(endpoint);
      endpoint.retire();
    }
    return left;
  }

  /** Certificates and keys for endpoints are others than before. */
  renewTls(): void {
    for (const endpoint of this.snapshot.endpoints) {
      this.setUpstream(this.endpoints.get(endpoint.slot)!, endpoint);
    }
  }

  /** How the endpoint is spoken to. Idle connections that were begun otherwise are closed. */
  private setUpstream(live: LiveEndpoint, endpoint: EffectiveEndpoint): void {
    const { protocol, upstream } = this.service;
    live.host = hostOf(endpoint, upstream.tls !== null);
    const tls = clientTls(upstream, endpoint, this.context.upstreamTls);
    // A TCP service agrees on no protocol.
    const next = tls === null || protocol === 'http' ? tls : { ...tls, protocols: [] };
    if (isSameTls(live.tls, next)) return;
    live.secure(next, http1Alone(next));
  }

  /** Ends sessions, now or later, where their endpoint takes no work; those that move find another. */
  private settleSessions(left: readonly LiveEndpoint[]): void {
    const { protocol, tcp, udp, tunnels } = this.service;
    const stays = { http: tunnels, tcp, udp }[protocol];
    const { onDownMs, onDrainMs } = stays;
    const isOther = this.departed.settle(stays, fate(onDrainMs));
    for (const endpoint of left)
      endpoint.sessions.decide(endpoint.isStandby ? OUSTED : fate(onDrainMs));
    for (const { slot, state, isStandby } of this.snapshot.endpoints) {
      const { takesWork, sessions } = this.endpoints.get(slot)!;
      const isOut = state === 'down' || state === 'ejected';
      if (takesWork || isOther) sessions.goOn();
      if (!takesWork)
        sessions.decide(isStandby === true ? OUSTED : fate(isOut ? onDownMs : onDrainMs));
    }
  }

  /** Hands the balancer the endpoints that may take work, at the weight they have now. */
  private offerChoices(): void {
    const { clock, wheel } = this.context;
    const { nowMs } = wheel;
    const { slowStartMs } = this.service;
    const choices: LiveEndpoint[] = [];
    const avoided: LiveEndpoint[] = [];
    const spares: LiveEndpoint[] = [];
    const fallbacks: LiveEndpoint[] = [];
    const isSpreading = this.service.panic.spread === 'all';
    const isSpilling = !isSpreading || this.isHelped;
    for (const endpoint of this.snapshot.endpoints) {
      const live = this.endpoints.get(endpoint.slot)!;
      if (!live.takesWork) continue;
      const fromMs = endpoint.slowStartFromMs;
      // The wall clock, which slow start is dated by; not read where it does not apply.
      const wallMs = fromMs === 0 ? 0 : clock.wallMs();
      live.weight = rampWeight(endpoint.weight, { fromMs, slowStartMs, nowMs: wallMs });
      if (live.isFallback) fallbacks.push(live);
      else if (live.isSpare && isSpilling) spares.push(live);
      else (live.avoidUntilMs > nowMs ? avoided : choices).push(live);
    }
    if (isSpreading && this.isHelped) choices.push(...nearest(fallbacks));
    // When all refuse, one of them may be back: none is passed over.
    this.balancer.setChoices(choices.length > 0 ? choices : avoided);
    this.avoided = avoided;
    this.spareTiers = this.tiersOf(spares, ({ isDown }) => (isDown ? 1 : 0));
    this.fallbackTiers = this.tiersOf(fallbacks, ({ priority }) => priority);
    this.mixedIn = isSpilling ? [] : choices.filter((one) => one.isSpare).map(({ slot }) => slot);
  }

  /** A balancer for each rank, the lowest first; in each those that the worker avoids come last. */
  private tiersOf(
    endpoints: readonly LiveEndpoint[],
    rankOf: (endpoint: LiveEndpoint) => number,
  ): Balancer<LiveEndpoint>[] {
    const { nowMs } = this.context.wheel;
    const byRank = Map.groupBy(endpoints, (one) => {
      return 2 * rankOf(one) + (one.avoidUntilMs > nowMs ? 1 : 0);
    });
    const ranks = [...byRank.keys()].sort((a, b) => a - b);
    return ranks.map((rank) => {
      const balancer = this.makeBalancer('least-conn');
      balancer.setChoices(byRank.get(rank)!);
      return balancer;
    });
  }

  private scheduleStep(): void {
    const { wheel } = this.context;
    const isAwaited = this.waiters.length > 0 && this.usableCount > 0;
    const isChanging =
      isAwaited ||
      this.snapshot.endpoints.some((endpoint) => endpoint.state === 'slow-start') ||
      [...this.endpoints.values()].some((endpoint) => endpoint.avoidUntilMs > wheel.nowMs);
    if (isChanging) wheel.schedule(this.timer, isAwaited ? 1 : RAMP_STEP_MS);
    else wheel.cancel(this.timer);
  }

  /** All may try, in their order; those that find no place keep theirs in the queue. */
  private wake(): void {
    for (const waiter of [...this.waiters]) waiter.onPlace();
  }
}

/** `inMs`: null where sessions go on. */
function fate(inMs: number | null): Fate | null {
  return inMs === null ? null : { inMs, why: ENDPOINT_LEFT };
}

function isSamePlace(
  known: LiveEndpoint | undefined,
  endpoint: EffectiveEndpoint | undefined,
): boolean {
  return (
    known !== undefined &&
    known.id === endpoint?.id &&
    known.address === endpoint.address &&
    known.port === endpoint.port
  );
}

/** Those of the lowest priority among them. */
function nearest(endpoints: readonly LiveEndpoint[]): LiveEndpoint[] {
  const best = Math.min(...endpoints.map(({ priority }) => priority));
  return endpoints.filter(({ priority }) => priority === best);
}

/** What comes from the main thread is another object when it was sent again. */
function isSame(one: Service, other: Service): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
