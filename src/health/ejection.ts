// Passive health: an endpoint that fails real requests in a row is taken out for a while, longer
// each time it comes back and fails again. Pure: who may be ejected, for how long, and until when.
import type { PassiveHealth } from '../model/service.ts';

const TIMES_MAX = 6;

export interface Ejection {
  /** Clock.nowMs() at which it ends. */
  readonly untilMs: number;
  /** How many ejections in a row this is. */
  readonly times: number;
  /** For people: `5 failed requests in a row (reset)`. */
  readonly text: string;
}

/**
 * The ejection that follows, or null where the cap on ejected endpoints forbids it. `peers` is
 * the number of endpoints of the service, `ejected` how many of them are out already.
 */
export function eject(
  policy: PassiveHealth,
  facts: {
    readonly peers: number;
    readonly ejected: number;
    readonly before: Ejection | null;
    readonly nowMs: number;
    readonly text: string;
  },
): Ejection | null {
  if (policy.consecutiveFailures === 0) return null;
  // At least one may go where there is another to take its work.
  const cap = Math.max(1, Math.floor(facts.peers * policy.maxEjectedShare));
  if (facts.peers < 2 || policy.maxEjectedShare === 0 || facts.ejected >= cap) return null;
  const times = timesOf(policy, facts.before, facts.nowMs);
  return { untilMs: facts.nowMs + policy.ejectionMs * times, times, text: facts.text };
}

/** One more than the last, unless the endpoint has been well for as long as it was out. */
function timesOf(policy: PassiveHealth, before: Ejection | null, nowMs: number): number {
  if (before === null) return 1;
  const wellMs = nowMs - before.untilMs;
  return wellMs > policy.ejectionMs * before.times ? 1 : Math.min(TIMES_MAX, before.times + 1);
}
