// What the checks by HTTP/1.1 and HTTP/2 have in common: how they present themselves, and what an
// answer comes to. Pure.
import { hideInQuery } from '../base/safe-text.ts';
import type { CheckExpectation, HealthCheck } from '../model/service.ts';
import { hostOf } from '../model/upstream-host.ts';
import { shownExpectation } from './expectation.ts';
import type { CheckOutcome, CheckTarget, Role } from './outcome.ts';

export const USER_AGENT = 'upriver-health-check';
/** A longer body is cut off. */
export const BODY_BYTES_MAX = 64 * 1024;

/** The Host of the request: the check's own, or what was registered. */
export function hostToAsk({ host }: HealthCheck, target: CheckTarget, isSecure: boolean): string {
  return host === '' ? hostOf(target, isSecure) : host;
}

/** What an answer with this status comes to, whatever its body says. */
export function outcomeOf(check: HealthCheck, status: number): CheckOutcome {
  const { method, path, expectStatus, wantsRole } = check;
  const isGood = expectStatus.some(({ from, to }) => status >= from && status <= to);
  const text = `${method} ${hideInQuery(path)} answered ${status}`;
  // As Patroni's /primary has it: who is not the primary answers otherwise.
  const role: Role = isGood ? 'primary' : 'replica';
  return wantsRole ? { isGood, text, role } : { isGood, text };
}

/** Its body is not what was expected. */
export function lacking({ text }: CheckOutcome, expect: CheckExpectation): CheckOutcome {
  return { isGood: false, text: `${text}, without ${shownExpectation(expect)}` };
}
