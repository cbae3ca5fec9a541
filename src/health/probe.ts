// One active check, of whichever kind the service has.
import type { HealthCheck } from '../model/service.ts';
import { checkHttp } from './http-check.ts';
import type { CheckOutcome, CheckTarget } from './outcome.ts';
import { checkTcp } from './tcp-check.ts';

/**
 * Checks the target once. Resolves with what went wrong in the text; rejects when the check can't
 * be made at all. `signal` ends it early (the outcome is then of no interest).
 */
export function probe(
  check: HealthCheck,
  target: CheckTarget,
  signal: AbortSignal,
): Promise<CheckOutcome> {
  const at = { address: target.address, port: check.port === 0 ? target.port : check.port };
  return check.type === 'http' ? checkHttp(check, at, signal) : checkTcp(check, at, signal);
}
