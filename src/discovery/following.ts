// What a provider follows beside what is wanted of it: the same for every one.
import { type ServiceSource, sourceKey } from '../model/source.ts';
import type { Update } from './provider.ts';

export interface Arrangement<F> {
  /** What is followed, by the keys of their sources; brought up to what is wanted. */
  readonly following: Map<string, F>;
  /** A source that is here twice is wanted once. */
  readonly wanted: Iterable<ServiceSource>;
  /** Starts to follow; null for what can't be followed. */
  readonly begin: (source: ServiceSource) => F | null;
  /** It is followed from now on. */
  readonly begun?: (one: F) => void;
  /** It is not followed any more. */
  readonly end: (one: F) => void;
}

/** Ends what is not wanted any more, and then begins what is wanted and not followed. */
export function arrange<F>({ following, wanted, begin, begun, end }: Arrangement<F>): void {
  const sources = new Map([...wanted].map((source) => [sourceKey(source), source]));
  for (const [key, one] of [...following]) {
    if (sources.has(key)) continue;
    following.delete(key);
    end(one);
  }
  for (const [key, source] of sources) {
    if (following.has(key)) continue;
    const one = begin(source);
    if (one === null) continue;
    following.set(key, one);
    begun?.(one);
  }
}

/** The update that takes a source back; `change` says why, human-readable. */
export function removal(
  provider: string,
  source: ServiceSource,
  { change, receivedMs }: { readonly change: string; readonly receivedMs: number },
): Update {
  const cause = { kind: 'registry', text: `${provider}: ${change}` } as const;
  return { kind: 'remove', provider, source, cause, receivedMs };
}
