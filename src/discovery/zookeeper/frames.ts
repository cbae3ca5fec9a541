// Puts the bytes of a connection together to messages: each has its length before it. Pure.
import { Pieces } from '../../base/pieces.ts';
import { type Bound, excessOf } from '../../model/bounds.ts';
import { ZookeeperError } from './error.ts';
import { badMessage } from './jute.ts';

const LENGTH_BYTES = 4;

export class Frames {
  private readonly bound: Bound;
  private readonly pieces = new Pieces();
  /** Of the message that is being put together; null while its length is not known. */
  private length: number | null = null;

  constructor(bound: Bound) {
    this.bound = bound;
  }

  /** The messages that are whole with these bytes. Throws for a length that is none, or too much. */
  take(bytes: Buffer): Buffer[] {
    this.pieces.push(bytes);
    const whole: Buffer[] = [];
    for (;;) {
      if (this.length === null) {
        if (this.pieces.bytes < LENGTH_BYTES) return whole;
        this.length = this.lengthOf(this.shift(LENGTH_BYTES).readInt32BE());
      }
      if (this.pieces.bytes < this.length) return whole;
      whole.push(this.shift(this.length));
      this.length = null;
    }
  }

  private lengthOf(length: number): number {
    const { bound } = this;
    if (length < 0) throw badMessage('has a negative length');
    if (length <= bound.max) return length;
    throw new ZookeeperError('too-large', excessOf(bound), { isRefusal: true });
  }

  /** The first bytes, put together only when all of them are there. */
  private shift(length: number): Buffer {
    const all = this.pieces.take();
    this.pieces.push(all.subarray(length));
    return all.subarray(0, length);
  }
}
