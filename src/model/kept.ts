// What is kept over a restart: what the registries last said, and what our checks came to.
import type { Endpoint } from './endpoint.ts';
import type { ServiceSource } from './source.ts';

/** What a registry last said of a source. */
export interface KeptSource {
  readonly source: ServiceSource;
  /** What the service said of itself; null where it said nothing. */
  readonly settings: Readonly<Record<string, string>> | null;
  readonly endpoints: readonly Endpoint[];
  /** Who described himself earlier has the lower one; none where that is not known. */
  readonly order?: number;
}

/** What the active checks of a service came to: ids of endpoints. */
export interface KeptChecks {
  readonly service: string;
  readonly up: readonly string[];
  readonly down: readonly string[];
}

export interface Kept {
  readonly sources: readonly KeptSource[];
  readonly checks: readonly KeptChecks[];
}
