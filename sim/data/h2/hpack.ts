// HPACK (RFC 7541) for actors, written apart from the product's: tables are plain lists, and each field
// is written in a way that is drawn.
import { roomFor } from '../../kernel/bytes.ts';
import type { Chance } from '../../kernel/chance.ts';
import { huffman, unhuffman } from './huffman.ts';

export type Field = readonly [name: string, value: string];

const DEFAULT_TABLE_BYTES = 4096;

// biome-ignore format: the table of appendix A, some a line
const STATIC: readonly Field[] = [
  [':authority', ''], [':method', 'GET'], [':method', 'POST'], [':path', '/'], [':path', '/index.html'],
  [':scheme', 'http'], [':scheme', 'https'], [':status', '200'], [':status', '204'], [':status', '206'],
  [':status', '304'], [':status', '400'], [':status', '404'], [':status', '500'], ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'], ['accept-language', ''], ['accept-ranges', ''], ['accept', ''],
  ['access-control-allow-origin', ''], ['age', ''], ['allow', ''], ['authorization', ''],
  ['cache-control', ''], ['content-disposition', ''], ['content-encoding', ''], ['content-language', ''],
  ['content-length', ''], ['content-location', ''], ['content-range', ''], ['content-type', ''],
  ['cookie', ''], ['date', ''], ['etag', ''], ['expect', ''], ['expires', ''], ['from', ''], ['host', ''],
  ['if-match', ''], ['if-modified-since', ''], ['if-none-match', ''], ['if-range', ''],
  ['if-unmodified-since', ''], ['last-modified', ''], ['link', ''], ['location', ''], ['max-forwards', ''],
  ['proxy-authenticate', ''], ['proxy-authorization', ''], ['range', ''], ['referer', ''], ['refresh', ''],
  ['retry-after', ''], ['server', ''], ['set-cookie', ''], ['strict-transport-security', ''],
  ['transfer-encoding', ''], ['user-agent', ''], ['vary', ''], ['via', ''], ['www-authenticate', ''],
];

/** By name: those of one name stand side by side. */
const firstStatic = new Map<string, number>();
STATIC.forEach(([name], i) => {
  if (!firstStatic.has(name)) firstStatic.set(name, i);
});

/** Both tables as one (section 2.3.3): index 1 is the first. */
class Fields {
  /** Bytes that it may have. */
  max = DEFAULT_TABLE_BYTES;
  private readonly dynamic: Field[] = [];
  private bytes = 0;

  at(index: number): Field {
    const field = STATIC[index - 1] ?? this.dynamic[index - 1 - STATIC.length];
    if (field === undefined) throw new Error(`no field has index ${index}`);
    return field;
  }

  /** The index of a field with this name, and value unless that is null; 0: there is none. */
  find(name: string, value: string | null): number {
    const fixed = firstStatic.get(name) ?? STATIC.length;
    for (let i = fixed; i < STATIC.length && STATIC[i]![0] === name; i += 1)
      if (value === null || STATIC[i]![1] === value) return i + 1;
    const { dynamic } = this;
    for (let i = 0; i < dynamic.length; i += 1) {
      const own = dynamic[i]!;
      if (own[0] === name && (value === null || own[1] === value)) return STATIC.length + 1 + i;
    }
    return 0;
  }

  add(field: Field): void {
    this.bytes += sizeOf(field);
    this.dynamic.unshift(field);
    this.evict();
  }

  resize(max: number): void {
    this.max = max;
    this.evict();
  }

  private evict(): void {
    while (this.bytes > this.max) this.bytes -= sizeOf(this.dynamic.pop()!);
  }
}

function sizeOf([name, value]: Field): number {
  return name.length + value.length + 32;
}

export class Encoder {
  private readonly fields = new Fields();
  private readonly chance: Chance;
  private readonly isPlain: boolean;
  /** What the peer has allowed. */
  private max = DEFAULT_TABLE_BYTES;
  private isResized = false;

  /** `chance`: draws how each field is written. */
  constructor(chance: Chance) {
    this.chance = chance;
    this.isPlain = chance.happens(0.4);
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setMax(max: number): void {
    if (max < this.fields.max) {
      this.fields.resize(max);
      this.isResized = true;
    }
    this.max = max;
  }

  encode(fields: readonly Field[]): Buffer {
    const out = new Writer(fields);
    if (this.isResized) out.integer(this.fields.max, 5, 0x20);
    else if (!this.isPlain && this.chance.happens(0.03)) this.resize(out);
    this.isResized = false;
    for (const field of fields) this.field(out, field);
    return out.written;
  }

  /** Changes of the table's size come first (section 4.2), at most two. */
  private resize(out: Writer): void {
    if (this.chance.happens(0.3)) {
      this.fields.resize(0);
      out.integer(0, 5, 0x20);
    }
    this.fields.resize(this.chance.int(0, Math.min(this.max, DEFAULT_TABLE_BYTES)));
    out.integer(this.fields.max, 5, 0x20);
  }

  private field(out: Writer, field: Field): void {
    const { chance, fields } = this;
    const [name, value] = field;
    if (this.isPlain) {
      out.integer(0, 4, 0);
      out.text(name);
      out.text(value);
      return;
    }
    const whole = fields.find(name, value);
    if (whole > 0 && chance.happens(0.9)) return out.integer(whole, 7, 0x80);
    const named = chance.happens(0.8) ? fields.find(name, null) : 0;
    const isAdded = chance.happens(0.3);
    if (isAdded) out.integer(named, 6, 0x40);
    else out.integer(named, 4, chance.happens(0.2) ? 0x10 : 0);
    if (named === 0) this.text(out, name);
    this.text(out, value);
    if (isAdded) fields.add(field);
  }

  private text(out: Writer, value: string): void {
    if (!this.chance.happens(0.3)) return out.text(value);
    const bytes = huffman(value);
    out.integer(bytes.length, 7, 0x80);
    out.bytes(bytes);
  }
}

/** One header block as it is written. */
class Writer {
  private readonly all: Buffer;
  private at = 0;

  constructor(fields: readonly Field[]) {
    // Huffman codes have 30 bits at most, integers so small five bytes.
    let most = FIELD_EXTRA_MAX;
    for (const [name, value] of fields) most += (name.length + value.length) * 4 + FIELD_EXTRA_MAX;
    this.all = scratch.length >= most ? scratch : Buffer.allocUnsafe(most);
  }

  /** What was written. */
  get written(): Buffer {
    const bytes = roomFor(this.at);
    this.all.copy(bytes, 0, 0, this.at);
    return bytes;
  }

  integer(value: number, bits: number, mark: number): void {
    this.at = putInteger(this.all, this.at, value, bits, mark);
  }

  /** A string as it is. */
  text(value: string): void {
    this.integer(value.length, 7, 0);
    this.at += this.all.write(value, this.at, 'latin1');
  }

  bytes(bytes: Buffer): void {
    this.all.set(bytes, this.at);
    this.at += bytes.length;
  }
}

const FIELD_EXTRA_MAX = 20;
/** One block is written at a time. */
const scratch = Buffer.allocUnsafeSlow(4096);

/** Section 5.1: in the last `bits` of the first byte, and on; `mark` are its other bits. Returns where it ends. */
function putInteger(all: Buffer, at: number, value: number, bits: number, mark: number): number {
  const most = (1 << bits) - 1;
  all[at] = mark | Math.min(value, most);
  let end = at + 1;
  if (value < most) return end;
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128), end += 1) all[end] = 128 | (rest % 128);
  all[end] = rest;
  return end + 1;
}

/** As `putInteger`, alone. */
export function integer(value: number, bits: number, mark: number): Buffer {
  const all = Buffer.alloc(8);
  return all.subarray(0, putInteger(all, 0, value, bits, mark));
}

/** Reads what the product writes; throws where that is no HPACK. */
export class Decoder {
  private readonly fields = new Fields();
  /** Our SETTINGS_HEADER_TABLE_SIZE, as the product has acknowledged it. */
  private max = DEFAULT_TABLE_BYTES;
  /** The next block must begin with a table of at most so many bytes; -1: with anything. */
  private mustShrinkTo = -1;
  private bytes: Buffer = Buffer.alloc(0);
  private at = 0;

  setMax(max: number): void {
    this.max = max;
    if (max >= this.fields.max) return;
    this.mustShrinkTo = this.mustShrinkTo < 0 ? max : Math.min(max, this.mustShrinkTo);
  }

  decode(block: Buffer): Field[] {
    this.bytes = block;
    this.at = 0;
    const list: Field[] = [];
    while (this.at < block.length) {
      const first = block[this.at]!;
      if ((first & 0xe0) === 0x20) this.resize(list);
      else {
        if (this.mustShrinkTo >= 0) throw new Error('no change of the table, which has to shrink');
        list.push(this.field(first));
      }
    }
    return list;
  }

  private resize(list: readonly Field[]): void {
    const max = this.integer(5);
    if (list.length > 0) throw new Error('a change of the table within a block');
    if (max > this.max) throw new Error(`a table of ${max} bytes where ${this.max} may be`);
    if (max <= this.mustShrinkTo) this.mustShrinkTo = -1;
    this.fields.resize(max);
  }

  private field(first: number): Field {
    if ((first & 0x80) !== 0) return this.fields.at(this.integer(7));
    const isAdded = (first & 0x40) !== 0;
    const index = this.integer(isAdded ? 6 : 4);
    const name = index > 0 ? this.fields.at(index)[0] : this.text();
    const field: Field = [name, this.text()];
    if (isAdded) this.fields.add(field);
    return field;
  }

  private byte(): number {
    if (this.at >= this.bytes.length) throw new Error('a header block that ends too soon');
    this.at += 1;
    return this.bytes[this.at - 1]!;
  }

  private integer(bits: number): number {
    const most = (1 << bits) - 1;
    let value = this.byte() & most;
    if (value < most) return value;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (value > 2 ** 24) throw new Error('an integer beyond all lengths');
      if (byte < 128) return value;
    }
  }

  private text(): string {
    const isHuffman = (this.bytes[this.at]! & 0x80) !== 0;
    const length = this.integer(7);
    const end = this.at + length;
    if (end > this.bytes.length) throw new Error('a string that ends too late');
    const { bytes, at } = this;
    this.at = end;
    return isHuffman ? unhuffman(bytes.subarray(at, end)) : bytes.toString('latin1', at, end);
  }
}
