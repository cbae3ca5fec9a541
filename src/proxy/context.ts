import type { Logger } from '../base/log.ts';
import type { Random } from '../base/prng.ts';
import type { TimerWheel } from '../base/timer-wheel.ts';
import type { WorkerLedger } from '../ledger/ledger.ts';
import type { EndpointReport } from '../model/streak.ts';
import type { AccessLog } from './access-log.ts';
import type { LiveService } from './live-service.ts';

/**
 * Requests, or TCP sessions of a listener, that a worker has at a time while memory is short. Not
 * none: what was freed need not go back to the system, and nobody would ever be served again.
 */
export const SHORT_MAX = 16;

/** What everything in a worker shares; one per worker thread. */
export interface WorkerContext {
  readonly index: number;
  readonly ledger: WorkerLedger;
  readonly wheel: TimerWheel;
  /** By name; replaced entries live on in the connections that use them. */
  readonly services: Map<string, LiveService>;
  readonly random: Random;
  readonly log: Logger;
  /** Null when it is off. */
  readonly accessLog: AccessLog | null;
  /** While it is short, few requests are taken at a time. */
  readonly memory: { isShort: boolean };
  /** Tells the main thread. */
  readonly report: (message: EndpointReport) => void;
}
