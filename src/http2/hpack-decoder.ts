// The HPACK decoder (RFC 7541): a header block in, fields out, in order. What is indexed costs a look-up
// and no copy here. Bounded: an integer by its bytes, a string by its block, the table by its size.
import { classify, type FieldPlace } from './field-kind.ts';
import { DynamicTable, Entry, STATIC_ENTRIES } from './hpack-table.ts';
import { decodedMax, decodeHuffman } from './huffman.ts';

/** Gets the fields of a block. */
export interface FieldSink {
  /**
   * base[start,end) is `name: value` CRLF, with the name up to `nameEnd`; `kind` as in field-kind.ts.
   * The bytes stay as they are until the block has ended.
   */
  onField(base: Buffer, start: number, nameEnd: number, end: number, kind: number): void;
}

/** Bytes after the first of an integer: five hold 2^35, more than any length or index may be. */
const INTEGER_BYTES_MAX = 5;
const INTEGER_MAX = 0x0fff_ffff;
const STATIC_COUNT = STATIC_ENTRIES.length;
const SEPARATOR_BYTES = 2;
const COLON = 58;
const SP = 32;
const CR = 13;
const LF = 10;
const SCRATCH_BYTES = 4096;

export class HpackDecoder {
  private readonly table: DynamicTable;
  /** What our setting allows the table to be. */
  private readonly allowedSize: number;
  private bytes: Buffer = Buffer.alloc(0);
  private at = 0;
  private end = 0;
  /** Literals of the block, one behind the other. */
  private scratch: Buffer;
  private used = 0;
  private hasFailed = false;

  /** `tableBytes`: our SETTINGS_HEADER_TABLE_SIZE. */
  constructor(tableBytes: number) {
    this.allowedSize = tableBytes;
    this.table = new DynamicTable(tableBytes);
    this.scratch = NO_SCRATCH;
  }

  /** Bytes in the dynamic table, for tests. */
  get tableSize(): number {
    return this.table.size;
  }

  /** Reads the block bytes[start,end). False: it can't be decoded, nor anything after it. */
  decode(bytes: Buffer, start: number, end: number, sink: FieldSink): boolean {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    this.used = 0;
    let mayResize = true;
    while (this.at < end && !this.hasFailed) {
      const first = bytes[this.at]!;
      if (first >= 0x80) this.readIndexed(sink);
      else if (first >= 0x40) this.readLiteral(sink, 6, true);
      else if (first < 0x20) this.readLiteral(sink, 4, false);
      // Section 4.2: changes of size stand at the beginning of a block.
      else if (mayResize) {
        this.readSize();
        continue;
      } else this.fail();
      mayResize = false;
    }
    this.bytes = NO_SCRATCH;
    // A large scratch is not kept by a connection that may lie idle.
    if (this.scratch.length > SCRATCH_BYTES) this.scratch = NO_SCRATCH;
    return !this.hasFailed;
  }

  private fail(): number {
    this.hasFailed = true;
    return -1;
  }

  private readIndexed(sink: FieldSink): void {
    const entry = this.entryAt(this.readInteger(7));
    if (entry === null) return;
    const { line, nameLength, kind } = entry;
    sink.onField(line, 0, nameLength, line.length, kind);
  }

  /** Section 2.3.3. Null, and it has failed, where there is no such entry. */
  private entryAt(index: number): Entry | null {
    if (this.hasFailed) return null;
    const isStatic = index >= 1 && index <= STATIC_COUNT;
    const entry = isStatic ? STATIC_ENTRIES[index - 1]! : this.table.at(index - STATIC_COUNT - 1);
    if (index < 1 || entry === null) {
      this.fail();
      return null;
    }
    return entry;
  }

  /** Sections 6.2.1 to 6.2.3: with incremental indexing, without, and never indexed. */
  private readLiteral(sink: FieldSink, prefixBits: number, isIndexed: boolean): void {
    const index = this.readInteger(prefixBits);
    const start = this.used;
    if (index === 0) this.readString();
    else {
      const entry = this.entryAt(index);
      if (entry === null) return;
      this.reserve(entry.nameLength);
      entry.line.copy(this.scratch, this.used, 0, entry.nameLength);
      this.used += entry.nameLength;
    }
    const nameEnd = this.used;
    this.put(COLON, SP);
    this.readString();
    const valueEnd = this.used;
    this.put(CR, LF);
    if (this.hasFailed) return;
    const { scratch, used: end } = this;
    place.start = start;
    place.nameEnd = nameEnd;
    place.valueStart = nameEnd + SEPARATOR_BYTES;
    place.end = valueEnd;
    const kind = classify(scratch, place);
    if (isIndexed) {
      const line = Buffer.allocUnsafeSlow(end - start);
      scratch.copy(line, 0, start, end);
      this.table.add(new Entry(line, nameEnd - start, kind));
    }
    sink.onField(scratch, start, nameEnd, end, kind);
  }

  private put(first: number, second: number): void {
    this.reserve(2);
    this.scratch[this.used] = first;
    this.scratch[this.used + 1] = second;
    this.used += 2;
  }

  /** Section 6.3. */
  private readSize(): void {
    const size = this.readInteger(5);
    if (this.hasFailed) return;
    if (size > this.allowedSize) this.fail();
    else this.table.resize(size);
  }

  /** Section 5.2: appends the string to the scratch. */
  private readString(): void {
    if (this.at >= this.end) {
      this.fail();
      return;
    }
    const isCoded = this.bytes[this.at]! >= 0x80;
    const length = this.readInteger(7);
    if (this.hasFailed || length > this.end - this.at) {
      this.fail();
      return;
    }
    const { bytes, at } = this;
    this.at += length;
    this.reserve(isCoded ? decodedMax(length) : length);
    const { scratch, used } = this;
    if (!isCoded) {
      bytes.copy(scratch, used, at, at + length);
      this.used += length;
      return;
    }
    const to = decodeHuffman(bytes, at, at + length, scratch, used);
    if (to < 0) this.fail();
    else this.used = to;
  }

  /** Section 5.1. */
  private readInteger(prefixBits: number): number {
    const { bytes, end } = this;
    if (this.hasFailed || this.at >= end) return this.fail();
    const mask = (1 << prefixBits) - 1;
    let value = bytes[this.at]! & mask;
    this.at += 1;
    if (value < mask) return value;
    let factor = 1;
    for (let count = 0; count < INTEGER_BYTES_MAX && this.at < end; count += 1) {
      const byte = bytes[this.at]!;
      this.at += 1;
      value += (byte & 0x7f) * factor;
      factor *= 128;
      if (byte < 0x80) return value > INTEGER_MAX ? this.fail() : value;
    }
    return this.fail();
  }

  /** Fields that were handed over keep the buffer that they lie in. */
  private reserve(count: number): void {
    const needed = this.used + count;
    if (needed <= this.scratch.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(SCRATCH_BYTES, needed * 2));
    this.scratch.copy(grown, 0, 0, this.used);
    this.scratch = grown;
  }
}

const NO_SCRATCH = Buffer.alloc(0);
/** Filled and read in one go. */
const place: { -readonly [key in keyof FieldPlace]: number } = {
  start: 0,
  nameEnd: 0,
  valueStart: 0,
  end: 0,
};
