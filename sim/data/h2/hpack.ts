// HPACK (RFC 7541) for actors, written apart from the product's: tables are plain lists, and each field
// is written in a way that is drawn.
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

  /** 0: there is none. */
  find(match: (field: Field) => boolean): number {
    const fixed = STATIC.findIndex(match);
    if (fixed >= 0) return fixed + 1;
    const own = this.dynamic.findIndex(match);
    return own < 0 ? 0 : STATIC.length + 1 + own;
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
    const parts: Buffer[] = [];
    if (this.isResized) parts.push(integer(this.fields.max, 5, 0x20));
    else if (!this.isPlain && this.chance.happens(0.03)) this.resize(parts);
    this.isResized = false;
    for (const field of fields) parts.push(this.field(field));
    return Buffer.concat(parts);
  }

  /** Changes of the table's size come first (section 4.2), at most two. */
  private resize(parts: Buffer[]): void {
    if (this.chance.happens(0.3)) {
      this.fields.resize(0);
      parts.push(integer(0, 5, 0x20));
    }
    this.fields.resize(this.chance.int(0, Math.min(this.max, DEFAULT_TABLE_BYTES)));
    parts.push(integer(this.fields.max, 5, 0x20));
  }

  private field(field: Field): Buffer {
    const { chance, fields } = this;
    const [name, value] = field;
    if (this.isPlain) return Buffer.concat([integer(0, 4, 0), text(name), text(value)]);
    const whole = fields.find((one) => one[0] === name && one[1] === value);
    if (whole > 0 && chance.happens(0.9)) return integer(whole, 7, 0x80);
    const named = chance.happens(0.8) ? fields.find((one) => one[0] === name) : 0;
    const begin = named > 0 ? '' : name;
    const write = (bits: number, mark: number): Buffer => {
      const head = integer(named, bits, mark);
      return Buffer.concat(
        named > 0 ? [head, this.text(value)] : [head, this.text(begin), this.text(value)],
      );
    };
    if (chance.happens(0.3)) {
      const bytes = write(6, 0x40);
      fields.add(field);
      return bytes;
    }
    return chance.happens(0.2) ? write(4, 0x10) : write(4, 0);
  }

  private text(value: string): Buffer {
    if (!this.chance.happens(0.3)) return text(value);
    const bytes = huffman(value);
    return Buffer.concat([integer(bytes.length, 7, 0x80), bytes]);
  }
}

/** A string as it is. */
export function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([integer(bytes.length, 7, 0), bytes]);
}

/** Section 5.1: in the last `bits` of the first byte, and on; `mark` are its other bits. */
export function integer(value: number, bits: number, mark: number): Buffer {
  const most = 2 ** bits - 1;
  if (value < most) return Buffer.of(mark | value);
  const bytes = [mark | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(128 | (rest % 128));
  bytes.push(rest);
  return Buffer.from(bytes);
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
    const most = 2 ** bits - 1;
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
    const bytes = this.bytes.subarray(this.at, end);
    this.at = end;
    return isHuffman ? unhuffman(bytes) : bytes.toString('latin1');
  }
}
