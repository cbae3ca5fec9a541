// Passive health: an endpoint that fails real requests in a row is taken out for a while, longer
// each time it comes back and fails again. Pure: who may be ejected, for how long, and until when.
import type { PassiveHealth } from '../model/service.ts';

/** An ejection lasts so many times the configured one at the most. */
const TIMES_MAX = 6;

export interface Ejection {
  /** Clock.nowMs() at which it ends. */
  readonly untilMs: number;
  /** How many times the configured ejection it lasts. */
  readonly times: number;
  /** Human-readable: `5 failed requests in a row (reset)`. */
  readonly text: string;
}

export interface EjectionFacts {
  /** Endpoints of the service. */
  readonly peers: number;
  /** How many of them are ejected already. */
  readonly ejected: number;
  /** How many others take work. */
  readonly othersWorking: number;
  /** The last ejection of this endpoint. */
  readonly before: Ejection | null;
  /** Clock.nowMs(). */
  readonly nowMs: number;
  readonly text: string;
}

/** Why policy lets an endpoint stay that would be ejected. Human-readable. */
export interface Refusal {
  readonly refusal: string;
}

/**
 * The ejection that follows, or why policy forbids it: the share of the ejected is bounded (though
 * one may always go where there are two), and the last that takes work stays.
 */
export function eject(policy: PassiveHealth, facts: EjectionFacts): Ejection | Refusal {
  const share = `passive.max_ejected is ${Math.round(policy.maxEjectedShare * 100)}%`;
  if (policy.maxEjectedShare === 0) return { refusal: share };
  if (facts.peers <= 1) return { refusal: 'it is the only endpoint' };
  if (facts.othersWorking === 0) return { refusal: 'no other endpoint takes work' };
  const cap = Math.max(1, Math.floor(facts.peers * policy.maxEjectedShare));
  if (facts.ejected >= cap) {
    return { refusal: `${share}: ${facts.ejected} of ${facts.peers} endpoints are ejected` };
  }
  const times = timesOf(policy, facts.before, facts.nowMs);
  return { untilMs: facts.nowMs + policy.ejectionMs * times, times, text: facts.text };
}

/** One more than the last, less one for each ejection's length that the endpoint has been well. */
function timesOf(policy: PassiveHealth, before: Ejection | null, nowMs: number): number {
  if (before === null) return 1;
  const wellMs = Math.max(0, nowMs - before.untilMs);
  const forgiven = policy.ejectionMs === 0 ? TIMES_MAX : Math.floor(wellMs / policy.ejectionMs);
  return Math.min(TIMES_MAX, Math.max(1, before.times + 1 - forgiven));
}
