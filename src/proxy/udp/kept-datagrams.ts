// What a source has sent and its endpoint has not answered: when that turns out to be gone, another one
// gets it. Bounded: of a source that sends without end, the latest.
// Invariant: `bytes` is the sum of what is kept.

/** Datagrams of one session, ... */
const COUNT_MAX = 8;
/** ... and their bytes. */
const BYTES_MAX = 16 * 1024;
/** What is older has arrived, or its source has given up, ms. */
const AGE_MS_MAX = 2000;

/** One datagram, and the slots of the endpoints that it was sent to before. */
export interface Kept {
  readonly bytes: Buffer;
  readonly atMs: number;
  readonly tried: readonly number[];
}

const NONE: readonly number[] = [];

export class KeptDatagrams {
  private list: Kept[] = [];
  private bytes = 0;
  private readonly ageMsMax: number;

  constructor(ageMsMax = AGE_MS_MAX) {
    this.ageMsMax = ageMsMax;
  }

  get count(): number {
    return this.list.length;
  }

  /** Keeps one; returns how many others were let go for it. */
  keep(bytes: Buffer, atMs: number, tried = NONE): number {
    this.list.push({ bytes, atMs, tried });
    this.bytes += bytes.length;
    let dropped = 0;
    while (this.list.length > COUNT_MAX || (this.bytes > BYTES_MAX && this.list.length > 1)) {
      this.bytes -= this.list.shift()!.bytes.length;
      dropped += 1;
    }
    return dropped;
  }

  /** Those that are worth sending again, in their order. */
  recent(nowMs: number): readonly Kept[] {
    return this.list.filter(({ atMs }) => nowMs - atMs <= this.ageMsMax);
  }

  clear(): void {
    if (this.list.length === 0) return;
    this.list = [];
    this.bytes = 0;
  }
}
