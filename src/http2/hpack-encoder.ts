// The HPACK encoder (RFC 7541). A line that was seen before goes into the dynamic table, so that what
// all messages of a connection say costs a byte or two; what says something else each time does not push
// it out. Secrets are never indexed (section 7.1.3). What goes into the table is Huffman-coded; other
// values are not, for that costs more time than the bytes are worth.
import { LOWER } from '../http1/chars.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ENTRY_OVERHEAD, STATIC_ENTRIES } from './hpack-table.ts';
import { encodeHuffman, huffmanLength } from './huffman.ts';
import { DEFAULT_TABLE_BYTES } from './protocol.ts';

const STATIC_COUNT = STATIC_ENTRIES.length;
/** Buckets of the look-ups: a power of two, larger than any number of entries. */
const BUCKETS = 256;
/** A sensitive value that is shorter could be guessed from what compression does to it. */
const NEVER = new Set(['authorization', 'proxy-authorization', 'cookie', 'set-cookie']);
/** What differs from message to message: not looked for as a whole, nor kept. */
const VOLATILE = new Set(['content-length', ':path', 'date', 'etag', 'x-request-id', 'age']);
/** What HTTP/2 does not have (RFC 9113 section 8.2.2): it is not sent at all. */
const LEFT_OUT = new Set([
  ...['connection', 'transfer-encoding', 'upgrade', 'keep-alive', 'proxy-connection'],
  'http2-settings',
]);
const Policy = { table: 0, literal: 1, never: 2, leftOut: 3 } as const;

interface Row {
  readonly hash: number;
  readonly name: Buffer;
  readonly value: Buffer;
  /** Static: the index. Dynamic: how many were added before it. */
  readonly number: number;
  /** The one before it in its bucket. */
  next: Row | null;
}

/** Index, policy and spelling of the names of the static table and of those with a policy. */
interface Name {
  readonly hash: number;
  readonly text: Buffer;
  readonly index: number;
  readonly policy: number;
  readonly next: Name | null;
}

const names: (Name | null)[] = new Array(BUCKETS).fill(null);
const statics: (Row | null)[] = new Array(BUCKETS).fill(null);

function fillTables(): void {
  STATIC_ENTRIES.forEach(({ line, nameLength }, i) => {
    const name = line.subarray(0, nameLength);
    const value = line.subarray(nameLength + 2, line.length - 2);
    const hash = hashOf(name, 0, name.length, 0);
    if (findName(hash, name, 0, name.length) === null) addName(hash, name, i + 1);
    if (value.length === 0) return;
    const whole = hashOf(value, 0, value.length, hash);
    const at = whole & (BUCKETS - 1);
    statics[at] = { hash: whole, name, value, number: i + 1, next: statics[at]! };
  });
  for (const text of [...NEVER, ...VOLATILE, ...LEFT_OUT]) {
    const name = Buffer.from(text);
    const hash = hashOf(name, 0, name.length, 0);
    if (findName(hash, name, 0, name.length) === null) addName(hash, name, 0);
  }
}

function addName(hash: number, name: Buffer, index: number): void {
  const text = name.toString('latin1');
  const policy = policyOf(text);
  const at = hash & (BUCKETS - 1);
  names[at] = { hash, text: name, index, policy, next: names[at]! };
}

function policyOf(name: string): number {
  if (LEFT_OUT.has(name)) return Policy.leftOut;
  if (NEVER.has(name)) return Policy.never;
  return VOLATILE.has(name) ? Policy.literal : Policy.table;
}

/** A hash of bytes[start,end), ASCII capitals taken as small, that goes on from `seed`. */
function hashOf(bytes: Buffer, start: number, end: number, seed: number): number {
  let hash = seed;
  for (let at = start; at < end; at += 1) hash = (Math.imul(hash, 31) + LOWER[bytes[at]!]!) | 0;
  return hash;
}

function findName(hash: number, bytes: Buffer, start: number, end: number): Name | null {
  let name = names[hash & (BUCKETS - 1)]!;
  while (name !== null && !(name.hash === hash && isSameName(name.text, bytes, start, end))) {
    name = name.next!;
  }
  return name;
}

function isSameName(name: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i += 1) {
    if (name[i] !== LOWER[bytes[start + i]!]) return false;
  }
  return true;
}

function isSame(value: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (value.length !== end - start) return false;
  for (let i = 0; i < value.length; i += 1) if (value[i] !== bytes[start + i]) return false;
  return true;
}

/** A field where it lies: one object is filled again and again. */
export class Field {
  nameBase: Buffer = NOTHING;
  nameStart = 0;
  nameEnd = 0;
  valueBase: Buffer = NOTHING;
  valueStart = 0;
  valueEnd = 0;
}

const NOTHING = Buffer.alloc(0);

export class HpackEncoder {
  private readonly buckets: (Row | null)[] = new Array(BUCKETS).fill(null);
  /** In the order in which they were added; those before `oldest` are gone. */
  private readonly rows: Row[] = [];
  private added = 0;
  private size = 0;
  private maxSize = DEFAULT_TABLE_BYTES;
  /** The smallest size since the last block, and whether the peer is to be told. */
  private smallest = DEFAULT_TABLE_BYTES;
  private isResized = false;
  /** Hashes of lines that were sent: a line goes into the table when it comes again. */
  private readonly seen = new Int32Array(BUCKETS);

  /** The peer's SETTINGS_HEADER_TABLE_SIZE; no more than the default is used. */
  setTableSize(bytes: number): void {
    const size = Math.min(bytes, DEFAULT_TABLE_BYTES);
    if (size === this.maxSize) return;
    this.maxSize = size;
    this.smallest = Math.min(this.smallest, size);
    this.isResized = true;
    this.evictTo(size);
  }

  /** To be called first in each block: section 4.2 wants changes of the table's size there. */
  begin(out: FrameWriter): void {
    if (!this.isResized) return;
    this.isResized = false;
    if (this.smallest < this.maxSize) integer(out, 0x20, 5, this.smallest);
    integer(out, 0x20, 5, this.maxSize);
    this.smallest = this.maxSize;
  }

  /** Appends one field; none that HTTP/2 does not have. */
  add(out: FrameWriter, field: Field): void {
    const { nameBase, nameStart, nameEnd, valueBase, valueStart, valueEnd } = field;
    const nameHash = hashOf(nameBase, nameStart, nameEnd, 0);
    const name = findName(nameHash, nameBase, nameStart, nameEnd);
    const policy = name === null ? Policy.table : name.policy;
    if (policy === Policy.leftOut) return;
    if (policy !== Policy.table) {
      putName(out, policy === Policy.never ? NEVER_INDEXED : UNINDEXED, name, field);
      plainString(out, valueBase, valueStart, valueEnd);
      return;
    }
    const hash = hashOf(valueBase, valueStart, valueEnd, nameHash);
    const index = this.find(hash, field);
    if (index > 0) integer(out, 0x80, 7, index);
    else if (this.isKept(hash, valueEnd - valueStart + nameEnd - nameStart)) {
      putName(out, INDEXED, name, field);
      codedString(out, valueBase, valueStart, valueEnd);
      this.keep(hash, field);
    } else {
      putName(out, UNINDEXED, name, field);
      plainString(out, valueBase, valueStart, valueEnd);
    }
  }

  /** Appends a field of the static table by its index (1 to 61). */
  indexed(out: FrameWriter, index: number): void {
    integer(out, 0x80, 7, index);
  }

  /** The index of the whole line, or 0. */
  private find(hash: number, field: Field): number {
    const at = hash & (BUCKETS - 1);
    const oldest = this.added - this.rows.length;
    for (let row = this.buckets[at]!; row !== null; row = row.next!) {
      // The rows of a bucket are in order: what follows is older, and gone as well.
      if (row.number < oldest) break;
      if (row.hash === hash && isRow(row, field)) return STATIC_COUNT + this.added - row.number;
    }
    for (let row = statics[at]!; row !== null; row = row.next!) {
      if (row.hash === hash && isRow(row, field)) return row.number;
    }
    return 0;
  }

  /** Whether the line is to be kept: it has come before, and is small beside the table. */
  private isKept(hash: number, bytes: number): boolean {
    if (bytes + ENTRY_OVERHEAD > this.maxSize / 4) return false;
    const at = hash & (BUCKETS - 1);
    if (this.seen[at] === hash) return true;
    this.seen[at] = hash;
    return false;
  }

  private keep(hash: number, field: Field): void {
    const name = Buffer.from(field.nameBase.subarray(field.nameStart, field.nameEnd));
    for (let i = 0; i < name.length; i += 1) name[i] = LOWER[name[i]!]!;
    const value = Buffer.from(field.valueBase.subarray(field.valueStart, field.valueEnd));
    this.evictTo(this.maxSize - sizeOf(name, value));
    const at = hash & (BUCKETS - 1);
    const row: Row = { hash, name, value, number: this.added, next: this.buckets[at]! };
    this.buckets[at] = row;
    this.rows.push(row);
    this.added += 1;
    this.size += sizeOf(name, value);
    this.cut(row);
  }

  /** What is gone is at the end of its bucket: nothing there is looked at any more, nor kept. */
  private cut(first: Row): void {
    const oldest = this.added - this.rows.length;
    let row = first;
    while (row.next !== null && row.next.number >= oldest) row = row.next;
    row.next = null;
  }

  private evictTo(size: number): void {
    const { rows } = this;
    let gone = 0;
    while (gone < rows.length && this.size > size) {
      this.size -= sizeOf(rows[gone]!.name, rows[gone]!.value);
      gone += 1;
    }
    if (gone > 0) rows.splice(0, gone);
  }
}

function sizeOf(name: Buffer, value: Buffer): number {
  return name.length + value.length + ENTRY_OVERHEAD;
}

function isRow(row: Row, field: Field): boolean {
  return (
    isSame(row.value, field.valueBase, field.valueStart, field.valueEnd) &&
    isSameName(row.name, field.nameBase, field.nameStart, field.nameEnd)
  );
}

/** How a literal begins (sections 6.2.1 to 6.2.3): its bits, and those of its name's index. */
const INDEXED = { pattern: 0x40, bits: 6 } as const;
const UNINDEXED = { pattern: 0, bits: 4 } as const;
const NEVER_INDEXED = { pattern: 0x10, bits: 4 } as const;

function putName(
  out: FrameWriter,
  { pattern, bits }: { readonly pattern: number; readonly bits: number },
  name: Name | null,
  { nameBase, nameStart, nameEnd }: Field,
): void {
  const index = name === null ? 0 : name.index;
  integer(out, pattern, bits, index);
  if (index === 0) lowerString(out, nameBase, nameStart, nameEnd);
}

/** Section 5.1, behind the bits of `pattern`. */
function integer(out: FrameWriter, pattern: number, prefixBits: number, value: number): void {
  out.reserve(6);
  const { buffer } = out;
  const mask = (1 << prefixBits) - 1;
  if (value < mask) {
    buffer[out.used] = pattern | value;
    out.used += 1;
    return;
  }
  buffer[out.used] = pattern | mask;
  out.used += 1;
  let rest = value - mask;
  while (rest >= 128) {
    buffer[out.used] = (rest & 127) | 128;
    out.used += 1;
    rest = Math.floor(rest / 128);
  }
  buffer[out.used] = rest;
  out.used += 1;
}

function plainString(out: FrameWriter, bytes: Buffer, start: number, end: number): void {
  integer(out, 0, 7, end - start);
  out.bytes(bytes, start, end);
}

function lowerString(out: FrameWriter, bytes: Buffer, start: number, end: number): void {
  integer(out, 0, 7, end - start);
  out.reserve(end - start);
  const { buffer, used } = out;
  for (let i = start; i < end; i += 1) buffer[used + i - start] = LOWER[bytes[i]!]!;
  out.used += end - start;
}

function codedString(out: FrameWriter, bytes: Buffer, start: number, end: number): void {
  const length = huffmanLength(bytes, start, end);
  if (length >= end - start) {
    plainString(out, bytes, start, end);
    return;
  }
  integer(out, 0x80, 7, length);
  out.reserve(length);
  out.used = encodeHuffman(bytes, start, end, out.buffer, out.used);
}

fillTables();
