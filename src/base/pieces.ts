// Bytes that come in pieces, until they are taken together. A piece costs as much as its bytes: small ones
// are copied behind each other, so that whoever sends one byte at a time makes nobody keep an object of a
// hundred bytes for each.

/** A smaller piece is copied. */
const SMALL_BYTES = 1024;
const BLOCK_BYTES_MIN = 256;
const BLOCK_BYTES_MAX = 1024 * 1024;

export class Pieces {
  private whole: Buffer[] = [];
  /** What small pieces are copied to; its first `used` bytes count. */
  private block: Buffer | null = null;
  private used = 0;
  /** Of all pieces. */
  bytes = 0;

  /** The piece must not change after this. */
  push(piece: Buffer): void {
    this.bytes += piece.length;
    const isSmall = piece.length < SMALL_BYTES && this.bytes > piece.length;
    if (isSmall) return this.copy(piece);
    this.seal();
    if (piece.length > 0) this.whole.push(piece);
  }

  /** All bytes; there are none any more. */
  take(): Buffer {
    this.seal();
    const { whole, bytes } = this;
    this.whole = [];
    this.bytes = 0;
    return whole.length === 1 ? whole[0]! : Buffer.concat(whole, bytes);
  }

  private copy(piece: Buffer): void {
    if (this.block !== null && this.used + piece.length > this.block.length) this.seal();
    // As large as all that came before: there are few of them, whatever comes.
    const bytes = Math.max(piece.length, BLOCK_BYTES_MIN, Math.min(this.bytes, BLOCK_BYTES_MAX));
    this.block ??= Buffer.allocUnsafeSlow(bytes);
    piece.copy(this.block, this.used);
    this.used += piece.length;
  }

  private seal(): void {
    if (this.block === null) return;
    this.whole.push(this.block.subarray(0, this.used));
    this.block = null;
    this.used = 0;
  }
}
