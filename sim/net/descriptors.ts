/** File descriptors of the simulated process: the lowest free number is given out, as Linux does. */
export class Descriptors {
  readonly max: number;
  /** The most that one socket had to keep, for its system did not take it, bytes. */
  mostBuffered = 0;
  private readonly used = new Set<number>();
  private lowest = 0;

  constructor(max: number) {
    this.max = max;
  }

  get usedCount(): number {
    return this.used.size;
  }

  /** A number; -1: none is left. */
  take(): number {
    while (this.used.has(this.lowest)) this.lowest += 1;
    if (this.lowest >= this.max) return -1;
    this.used.add(this.lowest);
    return this.lowest;
  }

  noteBuffered(bytes: number): void {
    if (bytes > this.mostBuffered) this.mostBuffered = bytes;
  }

  give(descriptor: number): void {
    this.used.delete(descriptor);
    this.lowest = Math.min(this.lowest, descriptor);
  }
}
