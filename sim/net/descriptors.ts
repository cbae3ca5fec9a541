/** File descriptors of the simulated process: the lowest free number is given out, as Linux does. */
export class Descriptors {
  readonly max: number;
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

  give(descriptor: number): void {
    this.used.delete(descriptor);
    this.lowest = Math.min(this.lowest, descriptor);
  }
}
