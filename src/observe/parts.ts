// Bytes to send, in parts: what is made in turns, and read slowly, is never one large piece.
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';

/** UTF-16 units that are encoded at a time. */
const PART_LENGTH = 32 * 1024;

export class Parts {
  readonly list: readonly Buffer[];
  /** Bytes in all. */
  readonly length: number;

  constructor(list: readonly Buffer[]) {
    this.list = list;
    this.length = list.reduce((sum, { length }) => sum + length, 0);
  }

  /** The same as gzip; packed beside this thread. */
  async packed(): Promise<Parts> {
    const packed: Buffer[] = [];
    for await (const part of Readable.from(this.list).pipe(createGzip({ level: 1 }))) {
      packed.push(part as Buffer);
    }
    return new Parts(packed);
  }

  /** All of it as one text (UTF-8). */
  toString(): string {
    return Buffer.concat(this.list).toString();
  }
}

/** Takes pieces of text and makes parts of them. */
export class PartsWriter {
  private readonly list: Buffer[] = [];
  private texts: string[] = [];
  private pending = 0;

  add(text: string): void {
    if (text === '') return;
    this.texts.push(text);
    this.pending += text.length;
    if (this.pending >= PART_LENGTH) this.encode();
  }

  done(): Parts {
    if (this.pending > 0) this.encode();
    return new Parts(this.list);
  }

  private encode(): void {
    this.list.push(Buffer.from(this.texts.join('')));
    this.texts = [];
    this.pending = 0;
  }
}

export function partsOf(text: string): Parts {
  return new Parts(text === '' ? [] : [Buffer.from(text)]);
}
