import type { Chance } from '../kernel/chance.ts';

/** How one connection behaves; each direction alike. */
export interface Weather {
  /** One way, least and most, ms. */
  readonly latencyMs: readonly [number, number];
  /** Bytes that may be on their way or unread: the rest of a write waits. */
  readonly windowBytes: number;
  /** Share of writes of which the system takes a part, though there is room for all of it. */
  readonly partialShare: number;
  /** Share of writes that arrive in pieces, at different moments. */
  readonly splitShare: number;
  /** Share of resets that overtake or destroy bytes that were not read. */
  readonly lossyResetShare: number;
}

/** A quick link that keeps writes whole. */
export const fairWeather: Weather = {
  latencyMs: [0.05, 0.3],
  windowBytes: 256 * 1024,
  partialShare: 0,
  splitShare: 0,
  lossyResetShare: 0.5,
};

/** Weather of any kind: from quick and whole to a window of a few bytes and single-byte pieces. */
export function drawWeather(chance: Chance): Weather {
  if (chance.happens(0.4)) return fairWeather;
  const leastMs = chance.between(0.02, 2);
  return {
    latencyMs: [leastMs, leastMs + chance.between(0, 20)],
    windowBytes: chance.size(64, 256 * 1024),
    partialShare: chance.pick([0, 0.1, 0.5]),
    splitShare: chance.pick([0, 0.1, 0.1, 0.5, 1]),
    lossyResetShare: 0.5,
  };
}

/** How long threads leave connections that have come before they accept them, ms. Most have time for each. */
export function drawAcceptMs(chance: Chance): number {
  return chance.happens(0.3) ? chance.between(0.1, 5) : 0;
}
