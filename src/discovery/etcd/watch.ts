// What the watch loops of both APIs have in common: what they are given, and what they report.
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/prng.ts';
import type { EtcdClient } from './client.ts';
import type { EtcdError } from './error.ts';
import type { Api, Entry } from './stock.ts';

export interface EtcdContext {
  readonly client: EtcdClient;
  readonly clock: Clock;
  readonly random: Random;
  /** Of all keys that are followed, without a slash at its end. */
  readonly prefix: string;
}

/** Everything below the prefix. */
export interface Listing {
  /** By what follows the prefix. */
  readonly entries: Map<string, Entry>;
  /** When directories were made; none of v3. */
  readonly dirs: ReadonlyMap<string, number>;
  /** Why something that it leaves out may be there all the same, or ''. */
  readonly doubt: string;
  /** For people: "revision 41 -> 42". */
  readonly change: string;
  readonly receivedMs: number;
}

/** One step from one state of the store to the next. Paths are what follows the prefix. */
export interface Step {
  readonly puts: ReadonlyMap<string, Entry>;
  readonly removals: readonly string[];
  /** v2: directories that are gone with all that is in them; '' is the prefix itself. */
  readonly lostDirs: readonly string[];
  /** v2: directories that were made. */
  readonly dirs: ReadonlyMap<string, number>;
  /** Whether what goes was taken out; null: as its entry says. */
  readonly isMeant: boolean | null;
  /** Why what goes by itself may be there all the same, or ''. */
  readonly doubt: string;
  readonly change: string;
  readonly receivedMs: number;
}

/** What a loop reports. None of it throws. */
export interface WatchEvents {
  onListing(api: Api, listing: Listing): void;
  onStep(api: Api, step: Step): void;
  /** The last exchange was good. `outageMs` have passed since the one before, 0 where none failed. */
  onAnswer(api: Api, address: string, outageMs: number): void;
  onError(api: Api, error: EtcdError, address: string): void;
  /** It is not followed any more. */
  onEnd(api: Api): void;
  /** How many keys there are as far as the receiver knows. */
  count(api: Api): number;
}

/** How far a watch has come. Who goes on in its place sees by it what has happened meanwhile. */
export interface Mark {
  readonly clusterId: string;
  /** Index of v2, revision of v3. */
  readonly revision: bigint;
  /** Which leader's time it was, of v2; '' where that is not known. */
  readonly term: string;
}

export interface EtcdWatch {
  /** Null where nothing was listed yet, by this one or by the one whose place it has. */
  readonly mark: Mark | null;
  start(): void;
  /** Nothing is reported after this. */
  stop(): void;
}
