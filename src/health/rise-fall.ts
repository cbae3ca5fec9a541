// What a run of check results makes of an endpoint: pure. It takes `rise` good results in a row to
// come up and `fall` bad ones to go down, so that one odd answer flips nothing.

export interface CheckResult {
  readonly isGood: boolean;
  /** For people: `GET /health answered 500`, `connect refused`, `timeout after 1s`. */
  readonly text: string;
  readonly durationMs: number;
  /** ms since the epoch. */
  readonly atMs: number;
}

export interface CheckState {
  readonly isUp: boolean;
  /** Results in a row that speak against the present state. */
  readonly against: number;
  /** False until the first result. */
  readonly isKnown: boolean;
  /** The last result; null before the first. */
  readonly last: CheckResult | null;
}

export function initialState(initial: 'up' | 'down'): CheckState {
  return { isUp: initial === 'up', against: 0, isKnown: false, last: null };
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
  if (!state.isKnown) return { isUp: result.isGood, against: 0, isKnown: true, last: result };
  if (result.isGood === state.isUp) return { ...state, against: 0, last: result };
  const against = state.against + 1;
  const needed = state.isUp ? policy.fall : policy.rise;
  return against >= needed
    ? { isUp: result.isGood, against: 0, isKnown: true, last: result }
    : { ...state, against, last: result };
}
