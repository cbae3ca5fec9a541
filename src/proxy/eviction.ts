// Which client connections are closed when there is no place for another: those on which no request is
// going on, of the address that has the most, the oldest first. A client that opens thousands and leaves
// them idle makes room for others, and loses nothing by it.
import type { LiveService } from './live-service.ts';

/** A connection as it may be judged. */
export interface Evictable {
  /** The service that counts it; null: none. */
  readonly service: LiveService | null;
  readonly address: string;
  /** `idle`: between requests; `partial`: in the middle of a request's head. */
  readonly leisure: 'idle' | 'partial' | 'busy';
  /** Closes it now, and gives its place back at once. */
  evict(): void;
}

/** Connections closed at a time, so that the next ones find room without another look at all. */
const BATCH = 32;

/**
 * Closes some of `connections`, oldest first, that count for `service` (null: for any). Returns how
 * many. Heads in the middle are taken only of an address that has more than half of all.
 */
export function evictSome(connections: Iterable<Evictable>, service: LiveService | null): number {
  const counts = new Map<string, { all: number; idle: Evictable[]; partial: Evictable[] }>();
  let total = 0;
  for (const one of connections) {
    if (service !== null && one.service !== service) continue;
    total += 1;
    const { address, leisure } = one;
    let entry = counts.get(address);
    if (entry === undefined) {
      entry = { all: 0, idle: [], partial: [] };
      counts.set(address, entry);
    }
    entry.all += 1;
    if (leisure !== 'busy' && entry[leisure].length < BATCH) entry[leisure].push(one);
  }
  const byCount = [...counts.values()].sort((one, other) => other.all - one.all);
  const heaviest = byCount[0];
  const idle = byCount.find((entry) => entry.idle.length > 0)?.idle ?? [];
  const isUneven = heaviest !== undefined && heaviest.all * 2 > total && counts.size > 1;
  const evicted = idle.length > 0 || !isUneven ? idle : heaviest.partial;
  for (const one of evicted) one.evict();
  return evicted.length;
}
