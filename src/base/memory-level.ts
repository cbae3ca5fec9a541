// Whether the process is short of memory: near what it may take, with room between the two bounds so
// that it does not come and go with every buffer. Each thread looks for itself (the figure is that of
// the whole process), so that none waits for another one that is busy.
import { totalmem } from 'node:os';

/** Memory is short from this share of what there may be ... */
const SHORT_SHARE = 0.9;
/** ... until it is below this one. */
const ENOUGH_SHARE = 0.8;

/** How often a thread looks, ms. */
export const MEMORY_LOOK_MS = 500;

export class MemoryLevel {
  /** Bytes that the process has taken. */
  readonly resident: () => number;
  isShort = false;

  /** `resident` is given by tests. */
  constructor(resident = () => process.memoryUsage.rss()) {
    this.resident = resident;
  }

  /** Looks again; true when it has changed. `maxBytes` 0: what container and machine allow. */
  look(maxBytes: number): boolean {
    const bound = memoryMax(maxBytes) * (this.isShort ? ENOUGH_SHARE : SHORT_SHARE);
    const isShort = this.resident() > bound;
    const hasChanged = isShort !== this.isShort;
    this.isShort = isShort;
    return hasChanged;
  }
}

/** The bytes meant by `maxBytes`; a container without a limit tells a huge number. */
export function memoryMax(maxBytes: number): number {
  if (maxBytes > 0) return maxBytes;
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}
