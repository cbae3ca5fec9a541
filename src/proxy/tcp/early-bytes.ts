// What the client sent before its endpoint has shown that it serves the session: the bytes can then
// go to another endpoint. Bounded: a session that has sent more stays where it is.

/** A session that has sent more to its endpoint stays there. */
const SENT_BYTES_MAX = 16 * 1024;

export class EarlyBytes {
  /** Everything that came so far is here. */
  isWhole = true;
  private bytes: Buffer | null = null;

  /** Keeps a copy of base[start,end), which nobody was sent yet: the caller bounds how much comes. */
  keep(base: Buffer, start: number, end: number): void {
    const { bytes } = this;
    const piece = base.subarray(start, end);
    this.bytes = bytes === null ? Buffer.from(piece) : Buffer.concat([bytes, piece]);
  }

  /**
   * Keeps a copy of base[start,end), which is sent now, unless it is too much. Returns the copy where it is
   * alone: it may be sent in place of them.
   */
  keepSent(base: Buffer, start: number, end: number): Buffer | null {
    const before = this.bytes === null ? 0 : this.bytes.length;
    if (before + end - start > SENT_BYTES_MAX) this.letGo();
    else if (this.isWhole) this.keep(base, start, end);
    return before === 0 ? this.bytes : null;
  }

  /** What was kept, or null; the bytes are never changed, so an unfinished write may refer to them. */
  get view(): Buffer | null {
    return this.bytes;
  }

  /** Nothing is kept any more: the session stays where it is. */
  letGo(): void {
    this.isWhole = false;
    this.bytes = null;
  }
}
