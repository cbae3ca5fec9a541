// How the attempts of a service end, as its endpoints are judged by it: counts in the ledger, rows of
// failures, the average time of answers, and what control has to hear at once.
import { QuantileEstimate } from '../base/quantile.ts';
import { EndpointColumn } from '../ledger/layout.ts';
import { ANSWERED_STEP_MS } from '../ledger/ledger.ts';
import type { Reason } from '../model/reason.ts';
import type { Service } from '../model/service.ts';
import {
  isGatewayError,
  isServerFault,
  STREAKS_WITHOUT_ANSWER,
  Streak,
  streakKinds,
  streakLimit,
  streakOf,
} from '../model/streak.ts';
import type { WorkerContext } from './context.ts';
import type { LiveEndpoint } from './live-endpoint.ts';

/** How long a worker passes over an endpoint that refused it, before control has decided. */
const AVOID_MS = 1000;
/** Weight of the newest sample in the moving average of response times. */
const EWMA_SHARE = 0.1;
/** A second try comes after the time in which so many of the responses come. */
const HEDGED_SHARE = 0.95;

/** The counter of a failure without an answer, by the column of its streak. */
const COUNTERS: readonly number[] = [
  EndpointColumn.failures,
  EndpointColumn.connectFailures,
  EndpointColumn.resets,
  EndpointColumn.timeouts,
];

/** The service whose attempts they are. */
export interface OutcomesOwner {
  readonly slot: number;
  /** The policy of this moment. */
  readonly service: Service;
  /** This worker passes the endpoint over for a while. */
  avoid(endpoint: LiveEndpoint, forMs: number): void;
}

export class Outcomes {
  private readonly owner: OutcomesOwner;
  private readonly context: WorkerContext;
  /** Of response times, microseconds; kept while hedging asks for it. */
  private p95: QuantileEstimate | null = null;

  constructor(owner: OutcomesOwner, context: WorkerContext) {
    this.owner = owner;
    this.context = context;
  }

  /** Whether the time in which most responses come is to be known. */
  keepQuantile(isKept: boolean): void {
    if (!isKept) this.p95 = null;
    else this.p95 ??= new QuantileEstimate(HEDGED_SHARE);
  }

  /** The time in which most responses come, microseconds; Infinity while it is not known. */
  get quantileUs(): number {
    return this.p95?.value ?? Number.POSITIVE_INFINITY;
  }

  /**
   * An attempt failed by the endpoint's fault: counts, and tells control where it is a pattern.
   * `status` is that of an answer which is tried again elsewhere; 0 where there was none.
   */
  failed(endpoint: LiveEndpoint, reason: Reason, status = 0): void {
    const { ledger, report, wheel } = this.context;
    const { slot } = endpoint;
    ledger.addEndpoint(slot, EndpointColumn.failures, 1);
    const inRow = this.lengthen(endpoint, Streak.failure, reason.code);
    if (inRow === 1) report({ type: 'suspect', slot, reason: reason.code });
    // What broke after the answer had begun has its outcome already; a session has a single one.
    const isFirst = reason.status > 0 || this.owner.service.protocol !== 'http';
    if (isFirst) ledger.addEndpoint(slot, EndpointColumn.outcomes, 1);
    if (status === 0 || isServerFault(status)) ledger.addEndpoint(slot, EndpointColumn.faults, 1);
    if (status > 0) {
      this.noteError(endpoint, status);
      return;
    }
    const column = streakOf(reason);
    ledger.addEndpoint(slot, COUNTERS[column]!, 1);
    const { passive, timeouts } = this.owner.service;
    const sameInRow = this.lengthen(endpoint, column, reason.code);
    if (column === Streak.connect) this.owner.avoid(endpoint, AVOID_MS);
    // A frozen endpoint is ejected with its first victim; where it may not be, it is passed over here.
    if (reason.code !== 'response-timeout' || passive.timeouts === 0) return;
    if (
      ledger.answeredMs(slot) >
      this.epochMs(wheel.nowMs) - timeouts.responseMs - ANSWERED_STEP_MS
    )
      return;
    this.owner.avoid(endpoint, passive.ejectionMs);
    report({ type: 'streak', slot, kind: 'silence', count: sameInRow, reason: reason.code });
  }

  /**
   * The endpoint answered, `us` microseconds after it had the request; `status` is 0 for a tunnel.
   * Whether the answer is an error is for the streaks of errors alone.
   */
  answered(endpoint: LiveEndpoint, us: number, status = 0): void {
    const { ledger, wheel } = this.context;
    ledger.addEndpoint(endpoint.slot, EndpointColumn.outcomes, 1);
    if (isServerFault(status)) ledger.addEndpoint(endpoint.slot, EndpointColumn.faults, 1);
    if (status < 500) {
      ledger.noteAnswer(endpoint.slot, this.epochMs(wheel.nowMs));
      ledger.endStreaks(endpoint.slot);
    } else {
      ledger.endStreaks(endpoint.slot, STREAKS_WITHOUT_ANSWER);
      this.noteError(endpoint, status);
    }
    this.took(endpoint, us);
  }

  /** A UDP session ended in which the endpoint said nothing, and its host did not refuse anything. */
  notRefused({ slot }: LiveEndpoint): void {
    const { ledger } = this.context;
    ledger.endStreak(slot, Streak.connect);
    ledger.endStreak(slot, Streak.failure);
  }

  /** A TCP session, or one of UDP, is served: whatever failed in a row ends. */
  served(endpoint: LiveEndpoint): void {
    const { ledger, wheel } = this.context;
    ledger.addEndpoint(endpoint.slot, EndpointColumn.outcomes, 1);
    ledger.noteAnswer(endpoint.slot, this.epochMs(wheel.nowMs));
    ledger.endStreaks(endpoint.slot);
  }

  /** It took the endpoint `us` microseconds to answer, or to take a TCP connection. */
  took(endpoint: LiveEndpoint, us: number): void {
    endpoint.latencyUs += (us - endpoint.latencyUs) * (endpoint.latencyUs === 0 ? 1 : EWMA_SHARE);
    this.p95?.add(us);
  }

  /** The attempt that failed for `why` is repeated. */
  retried({ slot }: LiveEndpoint, why: Reason): void {
    const { ledger } = this.context;
    ledger.addRetry(this.owner.slot, why.index);
    ledger.addEndpoint(slot, EndpointColumn.retries, 1);
  }

  private noteError(endpoint: LiveEndpoint, status: number): void {
    const { ledger, wheel } = this.context;
    ledger.noteAnswer(endpoint.slot, this.epochMs(wheel.nowMs));
    // A status that is tried again need not be an error of the server's.
    if (status < 500) return;
    this.lengthen(endpoint, Streak.server, String(status));
    if (isGatewayError(status)) this.lengthen(endpoint, Streak.gateway, String(status));
    else ledger.endStreak(endpoint.slot, Streak.gateway);
  }

  /** One more in a row of this kind; control hears of it each time that the limit is full. */
  private lengthen({ slot }: LiveEndpoint, column: number, reason: string): number {
    const count = this.context.ledger.lengthenStreak(slot, column);
    const limit = streakLimit(this.owner.service.passive, column);
    if (limit > 0 && count % limit === 0) {
      this.context.report({ type: 'streak', slot, kind: streakKinds[column]!, count, reason });
    }
    return count;
  }

  /** Workers count from different starts; what they share is dated since the epoch. */
  private epochMs(monotonicMs: number): number {
    return this.context.clock.originMs + monotonicMs;
  }
}
