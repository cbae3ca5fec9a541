// What goes to the endpoint, as long as it may have to go again: the head as we wrote it, and the
// body as far as it has come. The bytes of an unfinished write stay what they are until it is done.
import { assert } from '../../base/assert.ts';
import { HeadWriter } from '../../http1/head-writer.ts';

/** A buffer that has grown beyond this is not kept for the next request. */
const KEPT_BYTES_MAX = 16 * 1024;

export class RequestCopy {
  /** For the head. */
  writer = new HeadWriter();
  /** Everything that was sent can be sent again. */
  isWhole = true;
  private isLent = false;

  /** More of the body. */
  append(base: Buffer, start: number, end: number): void {
    if (this.isWhole) this.writer.copy(base, start, end);
  }

  /** The body has outgrown the copy: what is sent now is sent once. */
  giveUp(): void {
    this.isWhole = false;
  }

  view(): Buffer {
    return this.writer.view();
  }

  /** An unfinished write refers to the bytes. */
  lend(): void {
    this.isLent = true;
  }

  /** The write is done. */
  takeBack(): void {
    this.isLent = false;
  }

  /** The write has failed, and may still refer to the bytes: what has to go again moves. */
  rescue(): void {
    if (!this.isLent) return;
    const bytes = Buffer.from(this.writer.view());
    this.writer.abandonBuffer();
    this.writer.copy(bytes, 0, bytes.length);
    this.isLent = false;
  }

  /** The request is done with: what an unfinished write refers to, or is large, is not kept. */
  letGo(): void {
    if (this.writer.length > KEPT_BYTES_MAX) this.writer = new HeadWriter();
    else if (this.isLent) this.writer.abandonBuffer();
    this.isLent = false;
  }

  /** As new, for the next request. */
  reset(): void {
    assert(!this.isLent, 'the bytes of an unfinished write are not written over');
    this.writer.reset();
    this.isWhole = true;
  }
}
