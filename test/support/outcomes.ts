// Traffic to the endpoints of one service, made by a seed, and what the comparison of its endpoints
// makes of it: no socket, no clock.
import { seededRandom } from '../../src/base/prng.ts';
import { FaultHistory, type Outlier } from '../../src/health/fault-history.ts';
import type { SuccessRatePolicy } from '../../src/model/service.ts';

export const comparing: SuccessRatePolicy = {
  windowMs: 60_000,
  minRequests: 10,
  minEndpoints: 2,
  excess: 0.01,
};

export interface Traffic {
  /** Share of failures of each endpoint at a time in seconds. */
  readonly rates: (seconds: number) => readonly number[];
  readonly perSecond: number;
  readonly seconds: number;
  readonly seed: number;
  readonly tickMs?: number;
  readonly policy?: SuccessRatePolicy;
}

export interface Found {
  readonly outlier: Outlier;
  readonly seconds: number;
  /** Failures that the endpoint has answered with until then. */
  readonly failed: number;
}

/** Requests in turn over the endpoints, until the first outlier; null where there is none. */
export function firstOutlier(traffic: Traffic): Found | null {
  const { rates, perSecond, seconds, seed, tickMs = 50, policy = comparing } = traffic;
  const random = seededRandom(seed);
  const requests = rates(0).map(() => 0);
  const faults = rates(0).map(() => 0);
  const history = new FaultHistory();
  let sent = 0;
  for (let nowMs = tickMs; nowMs <= seconds * 1000; nowMs += tickMs) {
    const now = rates(nowMs / 1000);
    for (; sent < (perSecond * nowMs) / 1000; sent += 1) {
      const slot = sent % now.length;
      requests[slot]! += 1;
      if (random() < now[slot]!) faults[slot]! += 1;
    }
    const readings = requests.map((count, slot) => {
      return { id: `e${slot}`, slot, requests: count, faults: faults[slot]! };
    });
    history.read(nowMs, readings, policy);
    const [outlier] = history.outliers(policy);
    if (outlier !== undefined) {
      return { outlier, seconds: nowMs / 1000, failed: faults[outlier.slot]! };
    }
  }
  return null;
}
