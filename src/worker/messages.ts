// The whole vocabulary between the main thread and a worker. Numbers go through the ledger;
// messages are for what must not be missed.
import type { LogFields, LogLevel } from '../base/log.ts';
import type { LedgerBuffers } from '../ledger/ledger.ts';
import type { PackedDelta } from '../model/delta-packing.ts';
import type { StreakReport } from '../model/streak.ts';

/** workerData of a worker thread. */
export interface WorkerInit {
  readonly index: number;
  readonly ledger: LedgerBuffers;
  /** Seed of the worker's random choices. */
  readonly seed: number;
  readonly accessLog: boolean;
}

export type ToWorker =
  | { readonly type: 'apply'; readonly delta: PackedDelta }
  /** Stop accepting, finish what is in flight, answer `drained`; cut what is left after graceMs. */
  | { readonly type: 'drain'; readonly graceMs: number }
  | { readonly type: 'ping'; readonly id: number }
  /** Exit now, whatever is in flight. */
  | { readonly type: 'stop' };

export type FromWorker =
  | { readonly type: 'ready' }
  /** The delta of this version is live: new requests see it, its listeners are open or refused. */
  | {
      readonly type: 'applied';
      readonly version: number;
      readonly listenErrors: readonly ListenError[];
    }
  /** A listener that was refused could be opened after all, or another one was lost. */
  | { readonly type: 'listeners'; readonly listenErrors: readonly ListenError[] }
  | { readonly type: 'pong'; readonly id: number }
  /** An endpoint reached its service's limit of failures in a row (passive health). */
  | ({ readonly type: 'streak' } & StreakReport)
  /** One real request failed on this endpoint: its next active check should come at once. */
  | { readonly type: 'suspect'; readonly slot: number; readonly reason: string }
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly fields: LogFields;
      readonly message: string;
    }
  /** Complete lines of the access log, each ending in a newline. */
  | { readonly type: 'access'; readonly lines: string }
  | { readonly type: 'drained'; readonly cut: number };

export interface ListenError {
  /** formatListen of the address. */
  readonly listener: string;
  /** The service, or '' for a router. */
  readonly service: string;
  /** EADDRINUSE, EACCES, ... */
  readonly code: string;
  readonly message: string;
}
