// The only words between discovery and control. A provider watches one registry and says what is
// registered; it knows nothing of health checks of ours, listeners or traffic.
// A failure of the registry is not an Update: the table stays as it is and the sync age grows.
import type { Cause } from '../model/cause.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { ServiceSource } from '../model/source.ts';

/** Settings that a service gives itself in the registry: `listen` -> `8000`, `health.path` -> ... */
export type ServiceSettings = Readonly<Record<string, string>>;

export interface ProvidedService {
  readonly source: ServiceSource;
  readonly endpoints: readonly Endpoint[];
  /** From tags `upriver.KEY=VALUE` or Meta; null where the service says nothing about itself. */
  readonly settings: ServiceSettings | null;
  /** Who described himself earlier has the lower one; 0 or none where the registry can't tell. */
  readonly order?: number;
  /** What is wrong with what instances say of themselves, human-readable. */
  readonly problems?: readonly string[];
  /**
   * Why this answer is doubtful (no known leader, index went backwards, filtered by ACLs), or ''.
   * The guard decides what a doubtful answer may remove.
   */
  readonly doubt: string;
  /** No second read can clear the doubt: services may be yet to register again. */
  readonly isLasting?: boolean;
  /**
   * With isLasting: Clock.nowMs() at which the outage was over that the doubt is about, where several may
   * follow each other within one doubt.
   */
  readonly sinceMs?: number;
  /** Why an endpoint is there although the registry did not just say so, by id. */
  readonly kept?: ReadonlyMap<string, string>;
  /** Asked a second time, it said the same: what was held for want of that goes at once. */
  readonly isConfirmed?: boolean;
}

/** What is served of a source before a provider that is new has said anything of it. */
export interface Known {
  readonly endpoints: readonly Endpoint[];
  /** Some are there although the registry did not just say so. */
  readonly isHeld: boolean;
}

/** The receiver diffs: an Update that changes nothing changes nothing. */
export type Update =
  | {
      readonly kind: 'upsert';
      readonly provider: string;
      readonly service: ProvidedService;
      readonly cause: Cause;
      /** Clock.nowMs() when the registry's answer had been received whole. */
      readonly receivedMs: number;
    }
  | {
      readonly kind: 'remove';
      readonly provider: string;
      readonly source: ServiceSource;
      readonly cause: Cause;
      readonly receivedMs: number;
    };

export interface ProviderStatus {
  readonly name: string;
  /** Every followed service has been answered at least once. */
  readonly isSynced: boolean;
  /** Clock.nowMs() of the last good answer or renewed wait; 0 before the first. */
  readonly lastSyncMs: number;
  readonly errors: number;
  /** '' when the last exchange with the registry was good. */
  readonly lastError: string;
  /** Where it asks now: the agent's address. */
  readonly address: string;
  readonly watches: number;
  /** What it does not name may be yet to register again, as after an outage. */
  readonly isInDoubt?: boolean;
  /** How often a second read confirmed an answer, contradicted it, or could not be had. */
  readonly secondReads?: Readonly<Record<string, number>>;
}

export interface Provider {
  readonly name: string;
  /**
   * The services that configuration wants from this provider; called before start and again at
   * each change of configuration. Watches that are no longer wanted end with a `remove`.
   */
  follow(sources: readonly ServiceSource[]): void;
  /**
   * What the provider of the same name before this one had provided and not taken back, and that one
   * itself, which runs still; called before start.
   */
  inherit?(sources: readonly ServiceSource[], before: Provider | null): void;
  /** The registry does not answer for this source now: nothing that is known of it ends meanwhile. */
  isFailing?(source: ServiceSource): boolean;
  /** Whether what it has not spoken of is not there; without, as soon as it has answered. */
  hasNamedAll?(): boolean;
  /** Begins to watch; `onUpdate` is never called after `stop`, nor before `start` returned. */
  start(onUpdate: (update: Update) => void): void;
  status(): ProviderStatus;
  stop(): Promise<void>;
}
