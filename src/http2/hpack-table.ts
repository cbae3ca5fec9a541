// The tables of HPACK (RFC 7541 section 2.3 and appendix A). An entry is kept as the line that it would
// be in HTTP/1.1, so that what is indexed is copied in one go; what it means is worked out once.
import { classify } from './field-kind.ts';

/** Counted for each entry beside its bytes (section 4.1). */
export const ENTRY_OVERHEAD = 32;
/** `: ` and CRLF. */
const LINE_OVERHEAD = 4;

export class Entry {
  /** name ": " value CRLF */
  readonly line: Buffer;
  readonly nameLength: number;
  /** As `classify` says. */
  readonly kind: number;
  /** As section 4.1 counts it. */
  readonly size: number;

  constructor(line: Buffer, nameLength: number, kind: number) {
    this.line = line;
    this.nameLength = nameLength;
    this.kind = kind;
    this.size = line.length - LINE_OVERHEAD + ENTRY_OVERHEAD;
  }
}

// biome-ignore format: as in appendix A
const STATIC: readonly string[] = [
  ':authority', ':method: GET', ':method: POST', ':path: /', ':path: /index.html', ':scheme: http',
  ':scheme: https', ':status: 200', ':status: 204', ':status: 206', ':status: 304', ':status: 400',
  ':status: 404', ':status: 500', 'accept-charset', 'accept-encoding: gzip, deflate',
  'accept-language', 'accept-ranges', 'accept', 'access-control-allow-origin', 'age', 'allow',
  'authorization', 'cache-control', 'content-disposition', 'content-encoding', 'content-language',
  'content-length', 'content-location', 'content-range', 'content-type', 'cookie', 'date', 'etag',
  'expect', 'expires', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match', 'if-range',
  'if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards', 'proxy-authenticate',
  'proxy-authorization', 'range', 'referer', 'refresh', 'retry-after', 'server', 'set-cookie',
  'strict-transport-security', 'transfer-encoding', 'user-agent', 'vary', 'via',
  'www-authenticate',
];

/** The entry of index i is at i - 1. */
export const STATIC_ENTRIES: readonly Entry[] = STATIC.map((text) => {
  const at = text.indexOf(': ');
  const name = at < 0 ? text : text.slice(0, at);
  const value = at < 0 ? '' : text.slice(at + 2);
  return entryOf(name, value);
});

function entryOf(name: string, value: string): Entry {
  const line = Buffer.from(`${name}: ${value}\r\n`, 'latin1');
  const valueStart = name.length + 2;
  const kind = classify(line, { start: 0, nameEnd: name.length, valueStart, end: line.length - 2 });
  return new Entry(line, name.length, kind);
}

/** A decoder's dynamic table (sections 2.3.2 and 4): the newest entry has index 62. */
export class DynamicTable {
  /** Bytes that the entries take. */
  size = 0;
  /** Bytes that they may take. */
  maxSize: number;
  /** A ring: entries lie before `next`, the newest last. */
  private ring: (Entry | null)[] = new Array(64).fill(null);
  private next = 0;
  private count = 0;

  constructor(maxSize: number) {
    this.maxSize = maxSize;
  }

  get length(): number {
    return this.count;
  }

  /** The entry that was added `age` entries before the newest; null where there is none. */
  at(age: number): Entry | null {
    if (age >= this.count) return null;
    const { ring } = this;
    return ring[(this.next - 1 - age) & (ring.length - 1)]!;
  }

  /** Section 4.4: makes room first; an entry that is larger than the table empties it. */
  add(entry: Entry): void {
    this.shrinkTo(this.maxSize - entry.size);
    if (entry.size > this.maxSize) return;
    if (this.count === this.ring.length) this.grow();
    this.ring[this.next] = entry;
    this.next = (this.next + 1) & (this.ring.length - 1);
    this.count += 1;
    this.size += entry.size;
  }

  /** Section 4.3. */
  resize(maxSize: number): void {
    this.maxSize = maxSize;
    this.shrinkTo(maxSize);
  }

  private shrinkTo(size: number): void {
    const { ring } = this;
    while (this.count > 0 && this.size > size) {
      const oldest = (this.next - this.count) & (ring.length - 1);
      this.size -= ring[oldest]!.size;
      ring[oldest] = null;
      this.count -= 1;
    }
  }

  private grow(): void {
    const { ring, next } = this;
    const ordered = [...ring.slice(next), ...ring.slice(0, next)];
    this.ring = [...ordered, ...new Array<Entry | null>(ring.length).fill(null)];
    this.next = ring.length;
  }
}
