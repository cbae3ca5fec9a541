// Where reads land. Wires that don't stream share one buffer, which stays in the processor's cache;
// a wire that streams has one of its own, which may be lent to the wire that its bytes go to.

import { assert } from '../../base/assert.ts';
import { Copies } from './copies.ts';
import { LargeWrites } from './large-writes.ts';
import { Rests } from './rests.ts';

/** Bytes before the received ones that a handler may overwrite: room for a message head. */
export const HEADROOM = 4096;
/** Bytes after the received ones that a handler may overwrite: room to close a chunk. */
export const TAILROOM = 64;

/**
 * Reads of 256 KiB cost a sixth less per body byte than 128 KiB: the peer is woken half as often. More gains
 * nothing. Pages that stay unused cost nothing.
 */
export const OWN_READ_BYTES = 256 * 1024;
/** What clients send that is not asked for yet is kept, a read of it at the most. */
const SHARED_READ_BYTES = 64 * 1024;
/** An answer of 64 KiB comes in one read with its head; steps of long answers with TLS cost a fifth less than with 64 KiB. */
const ANSWER_READ_BYTES = 128 * 1024;
/** Read buffers kept for reuse after a slow peer had held them; small ones take a quarter. */
const SPARE_BUFFERS_MAX = 32;
const SMALL_SPARES_MAX = 128;

/** A read buffer: the whole of it, and the part that reads land in. */
export interface ReadBuffer {
  readonly base: Buffer;
  readonly view: Buffer;
  /** Somebody reads into it, or refers to it; false among the spares. */
  isTaken: boolean;
}

function makeReadBuffer(bytes: number): ReadBuffer {
  const base = Buffer.allocUnsafeSlow(HEADROOM + bytes + TAILROOM);
  return { base, view: base.subarray(HEADROOM, HEADROOM + bytes), isTaken: false };
}

/** The read buffers of one network; one per worker thread. */
export class ReadBuffers {
  /** As `shared`, for answers in plain, which are longer than what clients send. */
  readonly answers = makeReadBuffer(ANSWER_READ_BYTES);
  /** For wires that don't stream; its bytes never outlive `onBytes`. It is the beginning of `answers`. */
  readonly shared: ReadBuffer = {
    ...this.answers,
    view: this.answers.view.subarray(0, SHARED_READ_BYTES),
  };
  /** Of bytes in it that are sent on. */
  readonly copies = new Copies();
  /** Of wires whose reads cost more than their bytes. */
  readonly rests = new Rests();
  /** Of wires with TLS that write much at a time. */
  readonly largeWrites = new LargeWrites();
  private readonly spares: ReadBuffer[] = [];
  private readonly smallSpares: ReadBuffer[] = [];

  /** A buffer for one wire alone, with room for so many bytes: small ones, for copies, stay in the processor's cache. */
  take(bytes = OWN_READ_BYTES): ReadBuffer {
    const isSmall = bytes <= ANSWER_READ_BYTES;
    const spare = isSmall ? this.smallSpares.pop() : this.spares.pop();
    const buffer = spare ?? makeReadBuffer(isSmall ? ANSWER_READ_BYTES : OWN_READ_BYTES);
    buffer.isTaken = true;
    return buffer;
  }

  /** Nothing reads into it, or refers to it, any more. Given back twice, it would serve two connections at a time. */
  give(buffer: ReadBuffer): void {
    if (buffer.base === this.shared.base) return;
    assert(buffer.isTaken, 'a read buffer is given back once');
    buffer.isTaken = false;
    if (buffer.view.length === ANSWER_READ_BYTES) {
      if (this.smallSpares.length < SMALL_SPARES_MAX) this.smallSpares.push(buffer);
    } else if (this.spares.length < SPARE_BUFFERS_MAX) this.spares.push(buffer);
  }
}
