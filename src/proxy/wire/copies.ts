// Copies of few bytes, each for one write. Nearly every such write is taken by the kernel whole, so one piece
// of memory serves them all, and nothing is made for a message: neither memory nor a view of it.

/** A copy is smaller. */
export const COPY_BYTES_MAX = 16 * 1024;
/** Views are kept for lengths up to this one: most messages are short, and have the length of others. */
const VIEW_BYTES_MAX = 1024;

export class Copies {
  private room = Buffer.allocUnsafeSlow(COPY_BYTES_MAX);
  /** Of the beginning of `room`, by length; null: not made yet. */
  private views = noViews();

  /** A copy of base[start,end). The next one takes its place, unless it is lent. */
  take(base: Buffer, start: number, end: number): Buffer {
    base.copy(this.room, 0, start, end);
    return this.view(end - start);
  }

  private view(length: number): Buffer {
    const { room, views } = this;
    if (length > VIEW_BYTES_MAX) return room.subarray(0, length);
    views[length] ??= room.subarray(0, length);
    return views[length];
  }

  /** An unfinished write refers to the last copy: it stays as it is. */
  lend(): void {
    this.room = Buffer.allocUnsafeSlow(COPY_BYTES_MAX);
    this.views = noViews();
  }
}

const noViews = () => new Array<Buffer | null>(VIEW_BYTES_MAX + 1).fill(null);
