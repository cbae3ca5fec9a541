// When V8 collects young objects. In the middle of a world it copies all that its book keeps, twice, and makes it
// old; between two worlds there is next to nothing to copy.
import { getHeapSpaceStatistics } from 'node:v8';

/** A third to a half of the nursery (`--max-semi-space-size`, package.json): most worlds fit into what is left. */
const USED_MAX_BYTES = 48 * 1024 * 1024;

/** Collects young objects where there are many; nothing without `--expose-gc`. A world has ended, and no other has begun. */
export function collectBetween(): void {
  if (gc === undefined) return;
  const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space');
  if (young !== undefined && young.space_used_size > USED_MAX_BYTES) gc({ type: 'minor' });
}
