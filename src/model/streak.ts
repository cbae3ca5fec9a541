// Failures in a row, by kind: what passive health counts per endpoint, over all workers. Each kind
// has a limit of its own in the policy of the service; reaching it ejects the endpoint.
import type { Reason } from './reason.ts';
import type { PassiveHealth } from './service.ts';

/**
 * What is counted in a row, in the order of the ledger's columns. `failure` is any attempt that
 * failed, whatever the kind. The first four end with any answer, the others with a good one.
 */
export const streakKinds = ['failure', 'connect', 'reset', 'timeout', 'gateway', 'server'] as const;

export type StreakKind = (typeof streakKinds)[number];

/** Columns of the ledger by kind. */
export const Streak: Readonly<Record<StreakKind, number>> = {
  failure: 0,
  connect: 1,
  reset: 2,
  timeout: 3,
  gateway: 4,
  server: 5,
};

/** Columns below this one end with any answer. */
export const STREAKS_WITHOUT_ANSWER = 4;

/** Why passive health wants an endpoint out: a streak, silence, or how it does beside its peers. */
export type EjectionKind = StreakKind | 'silence' | 'success-rate' | 'latency';

export interface StreakReport {
  readonly slot: number;
  readonly kind: StreakKind | 'silence';
  /** Failures in a row. */
  readonly count: number;
  /** Code of the last one. */
  readonly reason: string;
}

/** The column of a failed attempt's own kind, besides `failure`; that of a status is not here. */
export function streakOf(reason: Reason): number {
  if (reason.retryOn === 'connect') return Streak.connect;
  const isTimeout = reason.retryOn === 'timeout' || reason.code === 'response-stalled';
  return isTimeout ? Streak.timeout : Streak.reset;
}

/** Whether the status is one that a gateway answers with when what is behind it fails. */
export function isGatewayError(status: number): boolean {
  return status >= 502 && status <= 504;
}

/**
 * Whether the status speaks against the endpoint. 501 and 505 are about the request: which methods
 * and versions are served is the same on all endpoints (HAProxy's `observe layer7` sees it so too).
 */
export function isServerFault(status: number): boolean {
  return status >= 500 && status !== 501 && status !== 505;
}

/** How many in a row eject; 0: never. */
export function streakLimit(policy: PassiveHealth, column: number): number {
  switch (column) {
    case Streak.connect:
      return policy.connectFailures;
    case Streak.reset:
      return policy.resets;
    case Streak.timeout:
      return policy.timeouts;
    case Streak.gateway:
      return policy.gatewayErrors;
    case Streak.server:
      return policy.serverErrors;
    default:
      return policy.consecutiveFailures;
  }
}

const TEXTS: Readonly<Record<StreakKind, string>> = {
  failure: 'failed requests in a row',
  connect: 'failed connects in a row',
  reset: 'broken connections in a row',
  timeout: 'timeouts in a row',
  gateway: 'gateway errors (502, 503, 504) in a row',
  server: 'server errors (5xx) in a row',
};

/** Human-readable: `3 timeouts in a row (response-timeout)`. */
export function streakText({ kind, count, reason }: StreakReport): string {
  if (kind === 'silence') return 'no answer to any request for a whole response timeout';
  return `${count} ${TEXTS[kind]} (${reason})`;
}

/** What a worker tells of an endpoint. */
export type EndpointReport =
  /** It reached its service's limit of failures in a row (passive health). */
  | ({ readonly type: 'streak' } & StreakReport)
  /** One real request failed on it: its next active check should come at once. */
  | { readonly type: 'suspect'; readonly slot: number; readonly reason: string };
