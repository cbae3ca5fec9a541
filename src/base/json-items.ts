// Reads JSON as it arrives, one element of the outermost list (or member of the outermost map) at a
// time: a long answer is never whole in memory as text, nothing is parsed at one go, and what is too
// much is known before it has all been read. What it accepts is what JSON.parse accepts; a key that
// comes twice has its last value, as there.
import { CodedError } from './coded-error.ts';
import { Pieces } from './pieces.ts';

export interface ItemBounds {
  /** Elements of the list, members of the map. */
  readonly items: number;
  /** Bytes of one of them, or of the whole where it is neither list nor map. */
  readonly itemBytes: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN = [0x5b, 0x7b];
const CLOSE = [0x5d, 0x7d];
/** Deeper than anything that a registry sends; JSON.parse takes ever longer for what is deeper. */
const DEPTH_MAX = 64;
/** Values of one element: so many are parsed in less than 50 ms. */
const VALUES_MAX = 250_000;
const NONE = -1;
const UNKNOWN = -2;

/**
 * `push` and `end` throw CodedError `not-json`, or `too-many`, `too-long` and `too-complex` (nested deeper
 * than 64, or an element of more than 250,000 values) where a bound is passed; the messages say no more than which.
 */
export class JsonItems {
  private readonly bounds: ItemBounds;
  /** What is made of an element before it is kept. */
  private readonly shape: (item: unknown) => unknown;
  /** Before the first byte that counts, within a list, a map, anything else, and after the end. */
  private state: 'start' | 'list' | 'map' | 'other' | 'end' = 'start';
  private whole: unknown = null;
  private readonly list: unknown[] = [];
  private readonly members: [string, unknown][] = [];
  /** Bytes of the element that is being read, of earlier chunks. */
  private readonly pieces = new Pieces();
  private depth = 0;
  /** Commas and brackets of the element so far. */
  private values = 0;
  private isInString = false;
  /** The next backslash of the chunk. */
  private backslash = UNKNOWN;
  /** The last byte of the chunk before was a backslash that escapes the next. */
  private isEscaped = false;

  constructor(bounds: ItemBounds, shape: (item: unknown) => unknown = (item) => item) {
    this.bounds = bounds;
    this.shape = shape;
  }

  /** The next bytes of the text. */
  push(chunk: Buffer): void {
    let at = 0;
    if (this.state === 'start') at = this.begin(chunk);
    if (this.state === 'other') return this.keep(chunk.subarray(at));
    if (this.state === 'list' || this.state === 'map') at = this.scan(chunk, at);
    if (this.state === 'end') expectSpace(chunk, at);
  }

  /** The whole value. */
  end(): unknown {
    if (this.state === 'other') return parse(this.take());
    if (this.state !== 'end') throw notJson();
    // Not by assignment: `__proto__` is a key like any other.
    return this.members.length > 0 ? Object.fromEntries(this.members) : this.whole;
  }

  /** Where the value begins: the place behind its bracket, or its first byte. */
  private begin(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length && isSpace(chunk[at]!)) at += 1;
    if (at === chunk.length) return at;
    const kind = OPEN.indexOf(chunk[at]!);
    this.state = (['list', 'map'] as const)[kind] ?? 'other';
    if (kind < 0) return at;
    this.whole = kind === 0 ? this.list : {};
    return at + 1;
  }

  /** Takes elements up to the end of the chunk or of the value; returns the place behind. */
  private scan(chunk: Buffer, from: number): number {
    let start = from;
    let at = from;
    this.backslash = UNKNOWN;
    if (this.isEscaped) {
      at += 1;
      this.isEscaped = false;
    }
    while (at < chunk.length) {
      const byte = chunk[at]!;
      if (this.isInString) {
        at = this.stringEnd(chunk, at);
        continue;
      }
      at += 1;
      if (byte === QUOTE) this.isInString = true;
      else if (byte === COMMA && this.depth === 0) {
        this.keep(chunk.subarray(start, at - 1));
        this.finish(false);
        start = at;
      } else if (byte === COMMA) this.note();
      else if (OPEN.includes(byte)) {
        this.depth += 1;
        this.note();
      } else if (CLOSE.includes(byte)) {
        this.depth -= 1;
        if (this.depth >= 0) continue;
        this.keep(chunk.subarray(start, at - 1));
        this.close(byte);
        return at;
      }
    }
    this.keep(chunk.subarray(start));
    return at;
  }

  private note(): void {
    this.values += 1;
    if (this.values > VALUES_MAX || this.depth > DEPTH_MAX) {
      throw new CodedError('too-complex', 'too complex');
    }
  }

  /** Within a string: the place behind its end, or the end of the chunk. */
  private stringEnd(chunk: Buffer, from: number): number {
    let at = from;
    for (;;) {
      const quote = chunk.indexOf(QUOTE, at);
      // Looked for once, and not for each string.
      if (this.backslash < at && this.backslash !== NONE) {
        this.backslash = chunk.indexOf(BACKSLASH, at);
      }
      const { backslash } = this;
      if (quote >= 0 && (backslash === NONE || quote < backslash)) {
        this.isInString = false;
        return quote + 1;
      }
      if (backslash === NONE) return chunk.length;
      at = backslash + 2;
      if (at <= chunk.length) continue;
      this.isEscaped = true;
      return chunk.length;
    }
  }

  private keep(piece: Buffer): void {
    if (piece.length === 0) return;
    this.pieces.push(piece);
    if (this.pieces.bytes > this.bounds.itemBytes) throw new CodedError('too-long', 'too long');
  }

  private take(): string {
    const text = this.pieces.take().toString();
    this.values = 0;
    return text;
  }

  private finish(isLast: boolean): void {
    const text = this.take();
    const count = this.list.length + this.members.length;
    // `[]` and `{}`; a comma must have something on both sides.
    if (isLast && count === 0 && /^[ \t\r\n]*$/.test(text)) return;
    if (count >= this.bounds.items) throw new CodedError('too-many', 'too many');
    if (this.state === 'list') {
      this.list.push(this.shape(parse(text)));
      return;
    }
    const [member, ...others] = Object.entries(parse(`{${text}}`) as object);
    if (member === undefined || others.length > 0) throw notJson();
    this.members.push([member[0], this.shape(member[1])]);
  }

  private close(byte: number): void {
    if (byte !== (this.state === 'list' ? CLOSE[0] : CLOSE[1])) throw notJson();
    this.finish(true);
    this.state = 'end';
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notJson();
  }
}

function notJson(): CodedError {
  return new CodedError('not-json', 'not JSON');
}

function expectSpace(chunk: Buffer, from: number): void {
  for (let at = from; at < chunk.length; at += 1) if (!isSpace(chunk[at]!)) throw notJson();
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
