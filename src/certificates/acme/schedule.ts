// When a certificate is renewed, and how long a failure is waited after. Pure.
import type { Random } from '../../base/prng.ts';

/** So much of its life is left when a certificate is renewed ... */
const LEFT = 1 / 3;
/** ... and up to so much more: many that were issued at once are renewed one after the other. */
const LEFT_JITTER = 1 / 30;

const MINUTE_MS = 60_000;
/** Failures that cost the CA little: it was not reached, or asked for patience. */
const UNREACHED = { baseMs: 5000, factor: 2, capMs: 60 * MINUTE_MS };
/**
 * Failures that CAs count: Let's Encrypt allows five validations of a name to fail in an hour. These
 * waits make five in the first hour and a quarter, and eight on the first day.
 */
const REFUSED = { baseMs: 30_000, factor: 4, capMs: 6 * 60 * MINUTE_MS };
/** A wait that a CA asks for counts up to this. */
const ASKED_MS_MAX = 7 * 24 * 60 * MINUTE_MS;

/** No attempt is held back for longer: what says more was written by a clock that was wrong. */
export const NEXT_MS_MAX = 2 * ASKED_MS_MAX;

/** When a certificate of this life is renewed, ms since the epoch. */
export function renewalMs(fromMs: number, untilMs: number, random: Random): number {
  const life = untilMs - fromMs;
  return Math.floor(untilMs - life * (LEFT + LEFT_JITTER * random()));
}

/** How long nothing is ordered after a success, by what is left of the new certificate's life, ms. */
export function pauseMs(leftMs: number): number {
  return Math.max(5000, leftMs / 4);
}

export interface Failure {
  /** The CA was not reached, or could not do it now: nothing was tried that it counts. */
  readonly isUnreached: boolean;
  /** How long it asked us to wait (Retry-After), ms; 0 where it did not. */
  readonly retryAfterMs: number;
}

/** How long the next attempt waits after the n-th failure in a row (from 1), ms. */
export function failureWaitMs(
  n: number,
  { isUnreached, retryAfterMs }: Failure,
  random: Random,
): number {
  const { baseMs, factor, capMs } = isUnreached ? UNREACHED : REFUSED;
  const waitMs = Math.min(capMs, baseMs * factor ** Math.min(n - 1, 20));
  const askedMs = Math.min(retryAfterMs, ASKED_MS_MAX);
  // A CA that names a time means it; others are spread, and never asked sooner.
  const floorMs = askedMs > 0 && isUnreached ? askedMs : Math.max(waitMs, askedMs);
  return Math.ceil(floorMs * (1 + random() / 4));
}
