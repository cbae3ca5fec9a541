// ZooKeeper's serialisation (jute): big-endian numbers, and a length before each text, buffer and list.
// Pure. What is read is read strictly: a length that does not fit into the message is refused.
// Source: zookeeper-jute, BinaryInputArchive and BinaryOutputArchive.
import { CodedError } from '../../base/coded-error.ts';

const INT_BYTES = 4;
const LONG_BYTES = 8;

/** Integers are big-endian and signed; a buffer or text has its length (4 bytes) before it. */
export class JuteWriter {
  private readonly pieces: Buffer[] = [];

  int(value: number): this {
    const piece = Buffer.alloc(INT_BYTES);
    piece.writeInt32BE(value);
    return this.put(piece);
  }

  long(value: bigint): this {
    const piece = Buffer.alloc(LONG_BYTES);
    piece.writeBigInt64BE(value);
    return this.put(piece);
  }

  bool(value: boolean): this {
    return this.put(Buffer.from([value ? 1 : 0]));
  }

  buffer(bytes: Buffer): this {
    return this.int(bytes.length).put(bytes);
  }

  text(text: string): this {
    return this.buffer(Buffer.from(text));
  }

  /** All of it as one frame, with its length before it. */
  frame(): Buffer {
    const length = this.pieces.reduce((sum, piece) => sum + piece.length, 0);
    const head = Buffer.alloc(INT_BYTES);
    head.writeInt32BE(length);
    return Buffer.concat([head, ...this.pieces]);
  }

  private put(piece: Buffer): this {
    this.pieces.push(piece);
    return this;
  }
}

/** Each method throws CodedError `bad-message` where the message ends too early. */
export class JuteReader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Bytes that were not read yet. */
  get left(): number {
    return this.bytes.length - this.at;
  }

  int(): number {
    return this.bytes.readInt32BE(this.step(INT_BYTES));
  }

  long(): bigint {
    return this.bytes.readBigInt64BE(this.step(LONG_BYTES));
  }

  /** A part of the message, not a copy; a length of -1 is an empty one. */
  buffer(): Buffer {
    const length = this.int();
    if (length === -1) return Buffer.alloc(0);
    if (length < 0) throw badMessage('has a negative length');
    const from = this.step(length);
    return this.bytes.subarray(from, this.at);
  }

  text(): string {
    return this.buffer().toString();
  }

  /** Each element takes a length of its own, so the message bounds how many there are; `onCount` may refuse it. */
  texts(onCount: (count: number) => void = () => {}): string[] {
    const count = this.int();
    if (count === -1) return [];
    if (count < 0 || count * INT_BYTES > this.left)
      throw badMessage('has a list of a wrong length');
    onCount(count);
    return Array.from({ length: count }, () => this.text());
  }

  /** Passes over what is not needed; returns where it began. */
  private step(length: number): number {
    const { at } = this;
    if (at + length > this.bytes.length) throw badMessage('ends too early');
    this.at = at + length;
    return at;
  }
}

/** The error to be thrown for a message that cannot be read; `why` goes on after "a message that". */
export function badMessage(why: string): CodedError {
  return new CodedError('bad-message', `answered a message that ${why}`);
}
