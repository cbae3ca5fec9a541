// The whole vocabulary between the main thread and a worker. Numbers go through the ledger;
// messages are for what must not be missed.
import type { LogFields, LogLevel } from '../base/log.ts';
import type { LedgerBuffers } from '../ledger/ledger.ts';
import type { ChallengeTable } from '../model/acme.ts';
import type { PackedDelta } from '../model/delta-packing.ts';
import type { ListenError } from '../model/listener.ts';
import type { EndpointReport } from '../model/streak.ts';
import type { TlsMaterial, UpstreamMaterial } from '../model/tls.ts';

/** workerData of a worker thread. */
export interface WorkerInit {
  readonly index: number;
  readonly ledger: LedgerBuffers;
  /** Seed of the worker's random choices. */
  readonly seed: number;
  readonly accessLog: boolean;
  /** What is below it is not posted. */
  readonly logLevel: LogLevel;
  /** What the process may take, bytes; 0: what container and machine allow. */
  readonly memoryMaxBytes: number;
}

export type ToWorker =
  | { readonly type: 'apply'; readonly delta: PackedDelta }
  /** Stop accepting, finish what is in flight, answer `drained`; cut what is left after graceMs. */
  | { readonly type: 'drain'; readonly graceMs: number }
  /** What the process may take, bytes; 0: what container and machine allow. */
  | { readonly type: 'memory-max'; readonly maxBytes: number }
  /** Every certificate with its key; those that are not named are of no use any more. */
  | {
      readonly type: 'tls';
      readonly materials: readonly TlsMaterial[];
      readonly upstream: readonly UpstreamMaterial[];
    }
  /** What certificate authorities ask now; answered by `challenged` when requests see it. */
  | {
      readonly type: 'challenges';
      readonly id: number;
      readonly table: ChallengeTable;
    }
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
  | { readonly type: 'challenged'; readonly id: number }
  | EndpointReport
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly fields: LogFields;
      readonly message: string;
    }
  /** Complete lines of the access log, each ending in a newline. */
  | { readonly type: 'access'; readonly lines: string }
  | { readonly type: 'drained'; readonly cut: number };
