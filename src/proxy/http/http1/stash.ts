// What came early on a client's connection: the next request, or bytes of a tunnel before its 101. The
// wire is paused while anything lies here, so it is one read at most, and what was left of it.

/** Room around the bytes, for chunk framing in place. */
const ROOM = 64;

export class Stash {
  private bytes: Buffer | null = null;
  private start = 0;
  private end = 0;
  /** The bytes that are being taken: what is left of them stays where it is. */
  private taken: Buffer | null = null;

  get isEmpty(): boolean {
    return this.bytes === null;
  }

  /** What is read at this moment had lain here. */
  get isTaken(): boolean {
    return this.taken !== null;
  }

  /** Keeps base[start,end) behind what lies here already. */
  keep(base: Buffer, start: number, end: number): void {
    if (base === this.taken) {
      this.bytes = base;
      this.start = start;
      this.end = end;
      return;
    }
    const { bytes } = this;
    const before = bytes === null ? 0 : this.end - this.start;
    const grown = Buffer.allocUnsafe(before + end - start + 2 * ROOM);
    bytes?.copy(grown, ROOM, this.start, this.end);
    base.copy(grown, ROOM + before, start, end);
    this.bytes = grown;
    this.start = ROOM;
    this.end = ROOM + before + end - start;
  }

  /** Hands everything to `take`, which may keep some of it again. */
  empty(take: (base: Buffer, start: number, end: number) => void): void {
    const { bytes, start, end } = this;
    if (bytes === null) return;
    this.bytes = null;
    this.taken = bytes;
    try {
      take(bytes, start, end);
    } finally {
      this.taken = null;
    }
  }

  clear(): void {
    this.bytes = null;
  }
}
