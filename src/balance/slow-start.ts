/** The share a new endpoint starts with: low, but enough to warm it up. */
const START_SHARE = 0.1;

/**
 * The weight of an endpoint in slow start: rises in a straight line from a tenth to the whole
 * over `slowStartMs`. `fromMs` is when it began (0: not in slow start), `nowMs` the same clock.
 */
export function rampWeight(
  weight: number,
  ramp: { readonly fromMs: number; readonly slowStartMs: number; readonly nowMs: number },
): number {
  if (ramp.fromMs === 0 || ramp.slowStartMs === 0) return weight;
  const share = (ramp.nowMs - ramp.fromMs) / ramp.slowStartMs;
  return weight * Math.min(1, Math.max(START_SHARE, share));
}
