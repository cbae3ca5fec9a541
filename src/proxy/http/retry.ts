// Whether a failed attempt is made again: a pure function of why it failed, what the policy allows
// and how far the exchange got (RFC 9110 section 9.2.2).
import type { Reason } from '../../model/reason.ts';
import type { RetryPolicy } from '../../model/service.ts';

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);

/** Methods that may be repeated without harm (RFC 9110 section 9.2.2). */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}

export interface RetryFacts {
  readonly isIdempotent: boolean;
  /** A byte of a response went to the client. */
  readonly hasResponseBegun: boolean;
  /** The attempt was still connecting, or had yet to send: the endpoint has seen nothing of the request. */
  readonly isUnsent: boolean;
  /** Everything that was sent can be sent again. */
  readonly isReplayable: boolean;
  /** Attempts that reached an endpoint, this one included. */
  readonly attempts: number;
  /** There are endpoints that this exchange has not tried. */
  readonly hasUntried: boolean;
}

/**
 * `free`: again, and nothing is charged, for the endpoint never saw the request. `charged`: again
 * if the budget allows. `no`: the failure goes to the client.
 */
export function retryVerdict(
  reason: Reason,
  policy: RetryPolicy,
  facts: RetryFacts,
): 'no' | 'free' | 'charged' {
  if (reason.retry === 'never' || facts.hasResponseBegun || !facts.isReplayable) return 'no';
  if (policy.attempts <= 1) return 'no';
  if (reason.retry === 'unsent') {
    // Nothing was sent: as long as there is an endpoint that was not asked, the request is saved.
    if (!policy.on.has('connect')) return 'no';
    // One that takes no tunnels says the same however often it is asked.
    const mayRepeat = reason.code !== 'no-tunnels' && facts.attempts < policy.attempts;
    return facts.hasUntried || mayRepeat ? 'free' : 'no';
  }
  const isMove = reason.code === 'endpoint-down' || reason.code === 'not-primary';
  const isStale = reason.code === 'stale-connection';
  if (!facts.isIdempotent && !(facts.isUnsent && (isMove || isStale))) return 'no';
  const { retryOn } = reason;
  const isChosen = retryOn !== '' && retryOn !== 'status' && policy.on.has(retryOn);
  if (isMove) {
    // It only moves: the load on the others is what it would have been without that endpoint.
    if (!isChosen) return 'no';
    return facts.hasUntried || facts.attempts < policy.attempts ? 'free' : 'no';
  }
  if (facts.attempts >= policy.attempts) return 'no';
  if (isStale) return 'free';
  if (retryOn === 'status') return 'charged';
  return isChosen ? 'charged' : 'no';
}
