// What every balancing policy is: it gets the endpoints that may take work, and picks one.
// A policy sees numbers alone (slots, weights, requests in flight), no sockets and no clock.
import type { Random } from '../base/prng.ts';
import type { Turns } from './turn.ts';

/** An endpoint as a policy sees it. */
export interface Choice {
  readonly id: string;
  /** Row of the endpoint in `inFlight`. */
  readonly slot: number;
  /** Share relative to the others, above 0; slow start has already been applied. */
  readonly weight: number;
  /** Moving average of response times, microseconds; 0 before the first. */
  readonly latencyUs: number;
}

export interface BalancerContext {
  /** Requests in flight per slot, over all workers. */
  readonly inFlight: ArrayLike<number>;
  /** Requests in flight that an endpoint may have at most; 0 is no limit. */
  readonly perEndpointMax: number;
  readonly random: Random;
  /** Where least connections and round robin keep whose turn it is. */
  readonly turns: Turns;
}

export interface Balancer<C extends Choice> {
  /** The endpoints to pick from, from now on. The array is the caller's and is not changed. */
  setChoices(choices: readonly C[]): void;
  /**
   * One of the choices, or null where none is left: all are in `tried` or at their limit.
   * `tried` holds the slots of earlier attempts; `hash` is the key of hash policies (32 bits).
   */
  pick(tried: readonly number[], hash: number): C | null;
}

/** Whether `choice` is out: tried before, or at its limit. */
export function isOut(choice: Choice, tried: readonly number[], context: BalancerContext): boolean {
  if (tried.length > 0 && tried.includes(choice.slot)) return true;
  const max = context.perEndpointMax;
  return max > 0 && context.inFlight[choice.slot]! >= max;
}
