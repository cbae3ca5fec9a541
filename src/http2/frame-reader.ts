// Takes bytes apart into frames (RFC 9113 sections 4 and 6), incremental: any split of the bytes gives
// the same frames, but that content of DATA goes on in the pieces in which it comes. What is wrong with
// a frame by itself is a fault; what is wrong with it at this moment is for session.ts to say.
// Header blocks are put together here (section 4.3), for nothing may come between their frames.
import { ErrorCode, Flag, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameType } from './protocol.ts';

/** What `read` has found. */
export const Found = {
  /** All bytes are taken, and no more can be said yet. */
  nothing: 0,
  /** A piece of DATA: payload is content, `flow` what it counts for flow control. */
  data: 1,
  /** A whole header block, of HEADERS and its CONTINUATIONs. */
  block: 2,
  /** Any other frame, whole. */
  frame: 3,
  /** The connection can't go on: `fault` and `why`. */
  fault: 4,
  /** The stream can't go on: as `fault`. */
  streamFault: 5,
} as const;

const State = { header: 0, gather: 1, padLength: 2, content: 3, skip: 4, failed: 5 } as const;

/** Frames that one header block may come in; with `blockBytesMax` it bounds what a block costs. */
const BLOCK_FRAMES_MAX = 64;
const NOTHING = Buffer.alloc(0);

/** Type -> exact length of the payload; -1: any. */
const LENGTHS = [-1, -1, 5, 4, -1, -1, 8, -1, 4, -1];
/** Type -> whether it belongs to a stream (1), to the connection (0), or to either (2). */
const PLACES = [1, 1, 1, 1, 0, 1, 0, 0, 2, 1];

export class FrameReader {
  /** Of the frame that `read` has found. */
  found: (typeof Found)[keyof typeof Found] = Found.nothing;
  type = 0;
  flags = 0;
  streamId = 0;
  /** The payload, or a piece of it: base[start,end), valid until the call to `read` that follows. */
  base: Buffer = NOTHING;
  start = 0;
  end = 0;
  /** DATA: bytes that the piece counts for flow control, and whether it is the last of its frame. */
  flow = 0;
  isFrameEnd = false;
  fault = 0;
  why = '';
  private readonly blockBytesMax: number;
  private state: (typeof State)[keyof typeof State] = State.header;
  private length = 0;
  /** Bytes of the payload that have not come yet; with padding, of its content. */
  private left = 0;
  private padding = 0;
  private readonly header = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES);
  private headerBytes = 0;
  private gathered: Buffer = NOTHING;
  private gatheredBytes = 0;
  /** The stream whose header block goes on in CONTINUATIONs; 0: none does. */
  private blockStream = 0;
  private blockFlags = 0;
  private blockFrames = 0;
  private block: Buffer = NOTHING;
  private blockBytes = 0;

  /** `blockBytesMax`: the most bytes that a header block may have, compressed. */
  constructor(blockBytesMax: number) {
    this.blockBytesMax = blockBytesMax;
  }

  /** A header block has begun and is not whole yet. */
  get isInBlock(): boolean {
    return (
      this.blockStream !== 0 || (this.state === State.gather && this.type === FrameType.headers)
    );
  }

  /** Takes bytes[at,end) up to what it can say something of, and returns the offset after them. */
  read(bytes: Buffer, at: number, end: number): number {
    let next = at;
    this.found = Found.nothing;
    while (next < end && this.found === Found.nothing) {
      if (this.state === State.header) next = this.readHeader(bytes, next, end);
      else if (this.state === State.gather) next = this.gather(bytes, next, end);
      else if (this.state === State.padLength) next = this.readPadLength(bytes, next);
      else if (this.state === State.content) next = this.readContent(bytes, next, end);
      else if (this.state === State.skip) next = this.skip(next, end);
      else return end;
    }
    return next;
  }

  private readHeader(bytes: Buffer, at: number, end: number): number {
    const missing = FRAME_HEADER_BYTES - this.headerBytes;
    if (missing === FRAME_HEADER_BYTES && end - at >= FRAME_HEADER_BYTES) {
      this.beginFrame(bytes, at);
      return this.takeWhole(bytes, at + FRAME_HEADER_BYTES, end);
    }
    const taken = Math.min(missing, end - at);
    bytes.copy(this.header, this.headerBytes, at, at + taken);
    this.headerBytes += taken;
    if (this.headerBytes < FRAME_HEADER_BYTES) return at + taken;
    this.headerBytes = 0;
    this.beginFrame(this.header, 0);
    return this.takeWhole(bytes, at + taken, end);
  }

  /** A payload that lies whole in the bytes is used where it lies; an empty one needs no more of them. */
  private takeWhole(bytes: Buffer, at: number, end: number): number {
    if (this.state === State.content && this.length === 0) return this.readContent(bytes, at, end);
    if (this.state !== State.gather || end - at < this.length) return at;
    this.state = State.header;
    this.endFrame(bytes, at, at + this.length);
    return at + this.length;
  }

  private beginFrame(bytes: Buffer, at: number): void {
    this.length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    this.type = bytes[at + 3]!;
    this.flags = bytes[at + 4]!;
    // Section 4.1: the reserved bit is not looked at.
    this.streamId = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
    const { type, length } = this;
    if (!this.mayBegin()) return;
    if (type === FrameType.data) this.beginData();
    else if (type > FrameType.continuation) {
      // Section 4.1: unknown types are passed over; they cost their sender as others do.
      this.left = length;
      this.state = length === 0 ? State.header : State.skip;
      this.say(Found.frame, NOTHING, 0, 0);
    } else {
      this.gatheredBytes = 0;
      this.state = State.gather;
    }
  }

  /** Whether the frame may come at all, as far as its header tells. */
  private mayBegin(): boolean {
    const { type, length, streamId } = this;
    if (length > FRAME_BYTES_MAX) return this.fail(ErrorCode.frameSizeError, 'frame too large');
    const isMore = type === FrameType.continuation && streamId === this.blockStream;
    if (this.blockStream !== 0 && !isMore) {
      return this.fail(ErrorCode.protocolError, 'a frame within a header block');
    }
    if (type > FrameType.continuation) return true;
    if (this.blockStream === 0 && type === FrameType.continuation) {
      return this.fail(ErrorCode.protocolError, 'CONTINUATION without HEADERS');
    }
    const place = PLACES[type]!;
    if (place !== 2 && (place === 1) !== streamId > 0) {
      return this.fail(ErrorCode.protocolError, 'a frame on a stream where it does not belong');
    }
    if (type === FrameType.pushPromise) {
      return this.fail(ErrorCode.protocolError, 'PUSH_PROMISE');
    }
    return this.hasGoodLength();
  }

  private hasGoodLength(): boolean {
    const { type, length, flags } = this;
    const exact = LENGTHS[type]!;
    if (exact >= 0 && length !== exact) {
      // Section 6.3: of PRIORITY it is the stream's fault alone. Its payload is passed over.
      if (type !== FrameType.priority) return this.failSize();
      this.failStream(ErrorCode.frameSizeError, 'PRIORITY of another length');
      this.left = length;
      this.state = length === 0 ? State.header : State.skip;
      return false;
    }
    if (type === FrameType.settings) {
      const isAck = (flags & Flag.ack) !== 0;
      if (length % 6 !== 0 || (isAck && length > 0)) return this.failSize();
    }
    if (type === FrameType.goaway && length < 8) return this.failSize();
    return true;
  }

  private failSize(): boolean {
    return this.fail(ErrorCode.frameSizeError, 'a frame of a length that its type does not have');
  }

  private beginData(): void {
    this.padding = 0;
    this.left = this.length;
    if ((this.flags & Flag.padded) === 0) this.state = State.content;
    else if (this.length === 0) {
      this.fail(ErrorCode.frameSizeError, 'padding without its length');
    } else this.state = State.padLength;
  }

  private readPadLength(bytes: Buffer, at: number): number {
    const padding = bytes[at]!;
    // Section 6.1: as long as the payload, or longer.
    if (padding >= this.length) this.fail(ErrorCode.protocolError, 'padding beyond its frame');
    else {
      this.padding = padding;
      this.left = this.length - 1 - padding;
      this.flow = 1;
      this.state = State.content;
      // What remains may be padding alone.
      if (this.left === 0) this.endData(bytes, at + 1, at + 1);
    }
    return at + 1;
  }

  private readContent(bytes: Buffer, at: number, end: number): number {
    const to = Math.min(at + this.left, end);
    this.left -= to - at;
    if (this.left === 0) this.endData(bytes, at, to);
    else {
      this.flow += to - at;
      this.say(Found.data, bytes, at, to);
      this.isFrameEnd = false;
    }
    return to;
  }

  /** The content of the frame is whole: its padding counts with this piece, and is passed over. */
  private endData(bytes: Buffer, from: number, to: number): void {
    this.flow += to - from + this.padding;
    this.say(Found.data, bytes, from, to);
    this.isFrameEnd = true;
    this.left = this.padding;
    this.state = this.padding === 0 ? State.header : State.skip;
  }

  private skip(at: number, end: number): number {
    const to = Math.min(at + this.left, end);
    this.left -= to - at;
    if (this.left === 0) this.state = State.header;
    return to;
  }

  private gather(bytes: Buffer, at: number, end: number): number {
    const { length } = this;
    if (this.gatheredBytes === 0 && this.gathered.length < length) {
      this.gathered = Buffer.allocUnsafeSlow(length);
    }
    const taken = Math.min(length - this.gatheredBytes, end - at);
    bytes.copy(this.gathered, this.gatheredBytes, at, at + taken);
    this.gatheredBytes += taken;
    if (this.gatheredBytes < length) return at + taken;
    const payload = this.gathered;
    this.gathered = NOTHING;
    this.gatheredBytes = 0;
    this.state = State.header;
    this.endFrame(payload, 0, length);
    return at + taken;
  }

  /** The payload bytes[start,end) of a frame other than DATA is whole. */
  private endFrame(bytes: Buffer, start: number, end: number): void {
    if (this.type === FrameType.headers) this.takeHeaders(bytes, start, end);
    else if (this.type === FrameType.continuation) this.takeContinuation(bytes, start, end);
    else this.say(Found.frame, bytes, start, end);
  }

  // Section 6.2: pad length, priority, the fragment, padding.
  private takeHeaders(bytes: Buffer, start: number, end: number): void {
    const { flags } = this;
    const isPadded = (flags & Flag.padded) !== 0;
    const padding = isPadded && start < end ? bytes[start]! : 0;
    const from = start + (isPadded ? 1 : 0) + ((flags & Flag.priority) !== 0 ? 5 : 0);
    const to = end - padding;
    if (from > to) {
      const code = padding === 0 ? ErrorCode.frameSizeError : ErrorCode.protocolError;
      this.fail(code, 'HEADERS without room for what its flags say');
    } else if ((flags & Flag.endHeaders) !== 0) this.say(Found.block, bytes, from, to);
    else {
      this.blockStream = this.streamId;
      this.blockFlags = flags;
      this.blockFrames = 1;
      this.blockBytes = 0;
      this.append(bytes, from, to);
    }
  }

  private takeContinuation(bytes: Buffer, start: number, end: number): void {
    this.blockFrames += 1;
    this.append(bytes, start, end);
    if (this.found === Found.fault || (this.flags & Flag.endHeaders) === 0) return;
    const { block, blockBytes } = this;
    this.flags = this.blockFlags;
    this.type = FrameType.headers;
    this.blockStream = 0;
    this.block = NOTHING;
    this.say(Found.block, block, 0, blockBytes);
  }

  private append(bytes: Buffer, start: number, end: number): void {
    const needed = this.blockBytes + end - start;
    if (needed > this.blockBytesMax || this.blockFrames > BLOCK_FRAMES_MAX) {
      this.fail(ErrorCode.enhanceYourCalm, 'a header block without bounds');
      return;
    }
    if (needed > this.block.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(this.blockBytesMax, needed * 2));
      this.block.copy(grown, 0, 0, this.blockBytes);
      this.block = grown;
    }
    bytes.copy(this.block, this.blockBytes, start, end);
    this.blockBytes = needed;
  }

  private say(
    found: (typeof Found)[keyof typeof Found],
    base: Buffer,
    start: number,
    end: number,
  ): void {
    this.found = found;
    this.base = base;
    this.start = start;
    this.end = end;
  }

  /** After the piece of DATA that was found: what follows counts anew. */
  takeFlow(): number {
    const { flow } = this;
    this.flow = 0;
    return flow;
  }

  private fail(code: number, why: string): false {
    this.found = Found.fault;
    this.fault = code;
    this.why = why;
    this.state = State.failed;
    return false;
  }

  private failStream(code: number, why: string): void {
    this.found = Found.streamFault;
    this.fault = code;
    this.why = why;
  }
}
