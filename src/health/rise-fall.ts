// What a run of check results makes of an endpoint: pure. It takes `rise` good results in a row to
// come up and `fall` bad ones to go down, so that one odd answer flips nothing.

import type { Role } from './outcome.ts';

export interface CheckResult {
  readonly isGood: boolean;
  /** Human-readable: `GET /health answered 500`, `connect refused`, `timeout after 1s`. */
  readonly text: string;
  readonly durationMs: number;
  /** ms since the epoch. */
  readonly atMs: number;
  /** What the endpoint said that it is; undefined where it was not asked, or did not answer. */
  readonly role?: Role;
}

export interface CheckState {
  readonly isUp: boolean;
  /** Results in a row that speak against the present state. */
  readonly against: number;
  /** False until the first result. */
  readonly isKnown: boolean;
  /** What it last said that it is; null where it never did. */
  readonly role?: Role | null;
  /** The last result; null before the first. */
  readonly last: CheckResult | null;
}

/** Before the first check; `initial` is `health.initial`. */
export function initialState(initial: 'up' | 'down'): CheckState {
  return { isUp: initial === 'up', against: 0, isKnown: false, role: null, last: null };
}

/**
 * The state after one more result. The first result of all decides at once: a new endpoint is not
 * kept waiting for `rise` checks, nor given traffic for `fall`.
 */
export function observe(
  state: CheckState,
  result: CheckResult,
  policy: { readonly rise: number; readonly fall: number },
): CheckState {
  const role = result.role ?? state.role ?? null;
  if (!state.isKnown) return { isUp: result.isGood, against: 0, isKnown: true, role, last: result };
  if (result.isGood === state.isUp) return { ...state, against: 0, role, last: result };
  const against = state.against + 1;
  const needed = state.isUp ? policy.fall : policy.rise;
  return against >= needed
    ? { isUp: result.isGood, against: 0, isKnown: true, role, last: result }
    : { ...state, against, role, last: result };
}
