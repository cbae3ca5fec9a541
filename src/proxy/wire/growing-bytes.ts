// Bytes that come in pieces and are wanted as one: room doubles, so that whoever sends a byte at a time
// causes no more copying than he sends.

export class GrowingBytes {
  length = 0;
  private room: Buffer | null = null;

  /** Copies the piece: it may lie where the next one lands. */
  add(piece: Uint8Array): void {
    const length = this.length + piece.length;
    if (this.room === null) this.room = Buffer.from(piece);
    else {
      if (length > this.room.length) {
        const larger = Buffer.allocUnsafe(Math.max(length, 2 * this.room.length));
        larger.set(this.view);
        this.room = larger;
      }
      this.room.set(piece, this.length);
    }
    this.length = length;
  }

  /** What is there; valid until the next piece. */
  get view(): Buffer {
    return this.room === null ? Buffer.alloc(0) : this.room.subarray(0, this.length);
  }

  /** What is there, which is the caller's from now on. */
  take(): Buffer {
    const { view } = this;
    this.room = null;
    this.length = 0;
    return view;
  }
}
