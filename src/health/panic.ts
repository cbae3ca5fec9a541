// When so few endpoints are left that the rest would be crushed, those that only our own checks and
// counters speak against get work again (Envoy calls this the panic threshold). Pure.
import type { PanicPolicy } from '../model/service.ts';

export interface Strength {
  /** Endpoints that take work. */
  readonly working: number;
  /** Those that would, but for our check or an ejection (EffectiveEndpoint.isSpare). */
  readonly spare: number;
}

/** Whether the share that works is below the threshold. What others took out counts nowhere. */
export function isPanic({ threshold }: PanicPolicy, { working, spare }: Strength): boolean {
  return spare > 0 && working < threshold * (working + spare);
}
