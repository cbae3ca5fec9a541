// Writes frames, one behind the other, into one buffer that leaves as it is. Field lines are put behind
// the room of their frame's header, which is filled in when the block is whole.
import { ErrorCode, Flag, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameType } from './protocol.ts';

const START_BYTES = 16_384;
/** Buffers that wait for the next connection which has something to send; one list per thread. */
const spares: Buffer[] = [];
const SPARES_MAX = 64;
const SPARE_BYTES_MAX = 128 * 1024;
const NONE = Buffer.alloc(0);
/** Below this many bytes a loop beats the call of copy. */
const LOOP_BYTES_MAX = 48;

function keep(buffer: Buffer): void {
  const isSpare = buffer.length > 0 && buffer.length <= SPARE_BYTES_MAX;
  if (isSpare && spares.length < SPARES_MAX) spares.push(buffer);
}

export class FrameWriter {
  buffer: Buffer = NONE;
  used = 0;

  /** What was written; refers to the buffer. */
  view(): Buffer {
    return this.buffer.subarray(0, this.used);
  }

  clear(): void {
    this.used = 0;
  }

  /** As `clear`, and an idle connection holds no buffer. */
  letGo(): void {
    this.used = 0;
    keep(this.buffer);
    this.buffer = NONE;
  }

  /** Leaves the buffer to an unfinished write, and goes on with another; `takeBack` follows where the write is done. */
  abandonBuffer(): Buffer {
    const { buffer } = this;
    this.buffer = NONE;
    this.used = 0;
    return buffer;
  }

  /** No write refers to the buffer that was left to one: it is written to again. */
  takeBack(buffer: Buffer): void {
    if (this.buffer === NONE) this.buffer = buffer;
    else keep(buffer);
  }

  /** Makes room for `count` bytes, to be written at `used`. */
  reserve(count: number): void {
    const needed = this.used + count;
    if (needed <= this.buffer.length) return;
    const { buffer, used } = this;
    const spare = used === 0 && needed <= START_BYTES ? spares.pop() : undefined;
    this.buffer = spare ?? Buffer.allocUnsafeSlow(Math.max(START_BYTES, needed * 2));
    buffer.copy(this.buffer, 0, 0, used);
  }

  /** Appends from[start,end). */
  bytes(from: Buffer, start: number, end: number): void {
    const count = end - start;
    this.reserve(count);
    const { buffer, used } = this;
    if (count > LOOP_BYTES_MAX) from.copy(buffer, used, start, end);
    else for (let i = 0; i < count; i += 1) buffer[used + i] = from[start + i]!;
    this.used = used + count;
  }

  /** One DATA frame with from[start,end). */
  data(streamId: number, from: Buffer, start: number, end: number, isLast: boolean): void {
    this.header(end - start, FrameType.data, isLast ? Flag.endStream : 0, streamId);
    this.bytes(from, start, end);
  }

  /** The header block begins here; returns what `endBlock` is to be given. */
  beginBlock(): number {
    const at = this.used;
    this.reserve(FRAME_HEADER_BYTES);
    this.used += FRAME_HEADER_BYTES;
    return at;
  }

  /** What was written since is the block; a large one is split (section 4.3). */
  endBlock(at: number, streamId: number, isLast: boolean): void {
    const length = this.used - at - FRAME_HEADER_BYTES;
    const flags = isLast ? Flag.endStream : 0;
    if (length > FRAME_BYTES_MAX) this.splitBlock(at, streamId, flags);
    else this.putHeader(at, length, FrameType.headers, flags | Flag.endHeaders, streamId);
  }

  private splitBlock(at: number, streamId: number, flags: number): void {
    const block = Buffer.from(this.buffer.subarray(at + FRAME_HEADER_BYTES, this.used));
    this.used = at;
    for (let from = 0; from < block.length; from += FRAME_BYTES_MAX) {
      const to = Math.min(from + FRAME_BYTES_MAX, block.length);
      const type = from === 0 ? FrameType.headers : FrameType.continuation;
      const more = to === block.length ? Flag.endHeaders : 0;
      this.header(to - from, type, (from === 0 ? flags : 0) | more, streamId);
      this.bytes(block, from, to);
    }
  }

  /** Pairs of identifier and value (section 6.5). */
  settings(pairs: readonly (readonly [number, number])[]): void {
    this.header(pairs.length * 6, FrameType.settings, 0, 0);
    this.reserve(pairs.length * 6);
    for (const [id, value] of pairs) {
      this.buffer.writeUInt16BE(id, this.used);
      this.buffer.writeUInt32BE(value, this.used + 2);
      this.used += 6;
    }
  }

  settingsAck(): void {
    this.header(0, FrameType.settings, Flag.ack, 0);
  }

  /** `isAck`: with the eight bytes that from[start...) are. */
  ping(isAck: boolean, from: Buffer, start: number): void {
    this.header(8, FrameType.ping, isAck ? Flag.ack : 0, 0);
    this.bytes(from, start, start + 8);
  }

  windowUpdate(streamId: number, increment: number): void {
    this.header(4, FrameType.windowUpdate, 0, streamId);
    this.uint32(increment);
  }

  reset(streamId: number, code: number): void {
    this.header(4, FrameType.rstStream, 0, streamId);
    this.uint32(code);
  }

  /** `lastId`: of the last stream of the peer's that was, or may be, worked on. */
  goaway(lastId: number, code: number = ErrorCode.noError): void {
    this.header(8, FrameType.goaway, 0, 0);
    this.uint32(lastId);
    this.uint32(code);
  }

  private uint32(value: number): void {
    this.reserve(4);
    this.buffer.writeUInt32BE(value, this.used);
    this.used += 4;
  }

  private header(length: number, type: number, flags: number, streamId: number): void {
    this.reserve(FRAME_HEADER_BYTES);
    this.putHeader(this.used, length, type, flags, streamId);
    this.used += FRAME_HEADER_BYTES;
  }

  private putHeader(at: number, length: number, type: number, flags: number, id: number): void {
    const { buffer } = this;
    buffer[at] = length >>> 16;
    buffer[at + 1] = length >>> 8;
    buffer[at + 2] = length;
    buffer[at + 3] = type;
    buffer[at + 4] = flags;
    buffer[at + 5] = id >>> 24;
    buffer[at + 6] = id >>> 16;
    buffer[at + 7] = id >>> 8;
    buffer[at + 8] = id;
  }
}
