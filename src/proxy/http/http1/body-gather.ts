// Pieces of a request's body that come in one turn of the event loop, and leave together at its end: records
// of TLS, frames of HTTP/2. Each write wakes the endpoint, which costs more than to copy 16 KiB.
// What is held is sent before anything else is written to the connection, or thrown away with it.
import { HeadWriter } from '../../../http1/head-writer.ts';
import type { Wire } from '../../network.ts';

/** A record of TLS, and the framing of a chunk. What is larger is sent from where it lies. */
const PIECE_BYTES_MAX = 16 * 1024 + 64;
/** More is not held: 64 KiB leave at once, as one packet of loopback has room for. */
const HELD_BYTES_MAX = 64 * 1024;

export class BodyGather {
  /** Made with the first piece: most requests have no body. */
  private writer: HeadWriter | null = null;

  get isEmpty(): boolean {
    return this.writer === null || this.writer.length === 0;
  }

  /** Whether a piece of so many bytes is to be held. */
  takes(bytes: number): boolean {
    return bytes <= PIECE_BYTES_MAX;
  }

  /** Copies base[from,to), which goes to `wire` later. False: what was held before had to wait for the system. */
  add(wire: Wire, base: Buffer, from: number, to: number): boolean {
    this.writer ??= new HeadWriter();
    const isTaken = this.writer.length + to - from <= HELD_BYTES_MAX || this.flush(wire);
    this.writer.copy(base, from, to);
    return isTaken;
  }

  /** Sends what is held; returns as Wire.write. */
  flush(wire: Wire): boolean {
    const { writer } = this;
    if (writer === null || writer.length === 0) return true;
    const isTaken = wire.write(writer.view());
    // A client that takes long to send the rest holds no memory by it.
    if (isTaken || wire.isCopying) writer.giveBack();
    else writer.abandonBuffer();
    return isTaken;
  }

  /** The body is done with: what is still held is thrown away. */
  letGo(): void {
    this.writer?.giveBack();
  }
}
