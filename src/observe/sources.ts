// What the stats port reads: everything comes in here, nothing is looked up elsewhere.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { OperatorCommand, TableView } from '../control/view.ts';
import type { ProviderStatus } from '../discovery/provider.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { CertificateStatus } from '../model/tls.ts';

export interface StatsSources {
  readonly view: TableView;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Logger;
  /** The program's version. */
  readonly version: string;
  readonly workers: number;
  readonly liveness: () => { readonly ok: boolean; readonly reason: string };
  readonly readiness: () => { readonly ready: boolean; readonly reason: string };
  readonly providers: () => readonly ProviderStatus[];
  /** `error`: the problems of a refused configuration, or ''. `loadedMs`: ms since the epoch. */
  readonly config: () => { readonly error: string; readonly loadedMs: number };
  /** The state file; null without one. */
  readonly state: () => {
    readonly file: string;
    /** ms since the epoch. */
    readonly writtenMs: number | null;
    readonly error: string;
    /** Services that are served from it. */
    readonly warm: readonly string[];
  } | null;
  /** Certificates of listeners. */
  readonly certificates: () => {
    readonly list: readonly CertificateStatus[];
    /** What is wrong with them, or will be soon. */
    readonly problems: readonly string[];
  };
  /** Bytes taken of those there may be. */
  readonly memory: () => {
    readonly isShort: boolean;
    readonly resident: number;
    readonly max: number;
  };
  /** Listeners that another process listens on as well. */
  readonly sharedPorts: () => readonly { readonly listen: string; readonly pid: number | null }[];
  /**
   * Whose the other end of a connection from this machine is: 'ours' where a request came through our
   * own data plane, 'gone' where the connection has no other end any more. Without it, all are others'.
   */
  readonly ownerOfPeer?: (peer: {
    readonly address: string;
    readonly port: number;
    readonly localPort: number;
  }) => Promise<'ours' | 'other' | 'gone'>;
  /** Returns '' or why it can't be done. */
  readonly operate: (service: string, endpoint: string, command: OperatorCommand) => string;
}
