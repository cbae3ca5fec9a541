// How many file descriptors the process may have open. The kernel gives out the lowest free number,
// so the number of a new one tells how near the end is; where a connection can't be accepted for
// want of one, nobody is told, so the last few are kept for what must go on: upstream connections,
// the stats port, health checks.
import { readFileSync } from 'node:fs';

/** Kept back, or an eighth of a small limit. */
const RESERVE_MAX = 64;

/** From here on nothing is kept open that is to be closed. */
const SCARCE_SHARE = 3 / 4;

let first = Number.POSITIVE_INFINITY;
let firstScarce = Number.POSITIVE_INFINITY;

/** Whether a connection with this descriptor is one that should not be served. */
export function isFromReserve(descriptor: number): boolean {
  if (first === Number.POSITIVE_INFINITY) first = firstOfReserve(readLimit());
  return descriptor >= first;
}

/** The lowest descriptor that is kept back where `max` may be open. */
export function firstOfReserve(max: number): number {
  return max - Math.min(RESERVE_MAX, Math.floor(max / 8));
}

/** Whether a connection with this descriptor says that there are few left: of all threads together. */
export function areScarce(descriptor: number): boolean {
  if (firstScarce === Number.POSITIVE_INFINITY) firstScarce = SCARCE_SHARE * readLimit();
  return descriptor >= firstScarce;
}

/** Linux tells in /proc; elsewhere the system's error has to do. */
function readLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? Number.MAX_SAFE_INTEGER : Number(soft);
  } catch {
    return Number.MAX_SAFE_INTEGER;
  }
}
