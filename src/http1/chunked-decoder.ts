// The chunked coding (RFC 9112 section 7.1), decoded in place: the data octets of a piece are moved
// together over the framing between them, so that they can be sent on as one range. What goes out
// is framed anew; extensions are checked and dropped, trailers are checked and kept apart.
// Any split of the bytes gives the same data, trailers and verdict.
import { CR, HEX, LF, TOKEN_LOWER, VALUE } from './chars.ts';
import { trailerFate } from './trailers.ts';

export const BodyState = { more: 0, done: 1, rejected: 2 } as const;

const SIZE_DIGITS_MAX = 16;
/**
 * Bytes of extensions a body may have beyond its bytes of data: one that is little but framing
 * costs much work for nothing.
 */
const EXTENSION_BYTES_MAX = 4096;
/** Bytes of the whole trailer section. */
const TRAILER_BYTES_MAX = 8192;
/** At first, and eight times as many each time that they do not do. */
const TRAILER_BYTES_FIRST = 128;
const SEMICOLON = 59;
const EQUALS = 61;
const QUOTE = 34;
const BACKSLASH = 92;
const NOT_HEX = 255;

/** Where the decoder stands: what the next byte is. */
const At = {
  size: 0,
  sizeLf: 1,
  data: 2,
  dataCr: 3,
  dataLf: 4,
  trailer: 5,
  // Within an extension: ";" name [ "=" ( token | quoted-string ) ]
  nameStart: 6,
  name: 7,
  valueStart: 8,
  value: 9,
  quoted: 10,
  escaped: 11,
  afterQuote: 12,
} as const;

export class ChunkedDecoder {
  state: 0 | 1 | 2 = BodyState.more;
  fault: 'bad-chunk' | 'bad-trailer' | '' = '';
  /** After `decode`: the data of the piece lies at bytes[start, dataEnd). */
  dataEnd = 0;
  /** When done: the trailer section without what may not be in it, one CRLF per line; '' for none. */
  trailers = '';
  /** Chunks that began within the last `decode`: what it cost, beside its bytes. */
  chunks = 0;
  private at: number = At.size;
  private size = 0;
  private digits = 0;
  private surplusBytes = 0;
  /** The trailer section so far; null while it is empty, as it mostly is. */
  private trailerBytes: Buffer | null = null;
  private trailerEnd = 0;
  private trailerLineStart = 0;

  reset(): void {
    this.state = BodyState.more;
    this.fault = '';
    this.trailers = '';
    this.at = At.size;
    this.size = 0;
    this.digits = 0;
    this.surplusBytes = 0;
    this.trailerBytes = null;
    this.trailerEnd = 0;
    this.trailerLineStart = 0;
  }

  /**
   * Decodes bytes[start,end) in place and returns the offset after the last byte that belongs to
   * the body: `end`, unless the state is then done or rejected.
   */
  decode(bytes: Buffer, start: number, end: number): number {
    let from = start;
    this.dataEnd = start;
    this.chunks = 0;
    while (from < end && this.state === BodyState.more) {
      if (this.at === At.data) from = this.takeData(bytes, from, end);
      else {
        this.takeFraming(bytes[from]!);
        from += 1;
      }
    }
    return from;
  }

  private reject(fault: 'bad-chunk' | 'bad-trailer'): void {
    this.state = BodyState.rejected;
    this.fault = fault;
  }

  private takeData(bytes: Buffer, from: number, end: number): number {
    const count = Math.min(this.size, end - from);
    if (from !== this.dataEnd) bytes.copyWithin(this.dataEnd, from, from + count);
    this.dataEnd += count;
    this.size -= count;
    if (this.size === 0) this.at = At.dataCr;
    return from + count;
  }

  private takeFraming(byte: number): void {
    switch (this.at) {
      case At.size:
        return this.takeSize(byte);
      case At.sizeLf:
        return byte === LF ? this.beginChunk() : this.reject('bad-chunk');
      case At.dataCr:
        this.at = At.dataLf;
        return byte === CR ? undefined : this.reject('bad-chunk');
      case At.dataLf:
        this.at = At.size;
        return byte === LF ? undefined : this.reject('bad-chunk');
      case At.trailer:
        return this.takeTrailer(byte);
      default:
        return this.takeExtension(byte);
    }
  }

  private takeSize(byte: number): void {
    const digit = HEX[byte]!;
    if (digit !== NOT_HEX) {
      this.digits += 1;
      this.size = this.size * 16 + digit;
      const isTooLarge = this.digits > SIZE_DIGITS_MAX || this.size > Number.MAX_SAFE_INTEGER;
      return isTooLarge ? this.reject('bad-chunk') : undefined;
    }
    // No size, or something else behind it than an extension or the end: a blank, a sign, an x.
    if (this.digits === 0) this.reject('bad-chunk');
    else if (byte === CR) this.at = At.sizeLf;
    else if (byte === SEMICOLON) this.at = At.nameStart;
    else this.reject('bad-chunk');
  }

  private beginChunk(): void {
    this.at = this.size === 0 ? At.trailer : At.data;
    this.digits = 0;
    this.chunks += 1;
    this.surplusBytes = Math.max(0, this.surplusBytes - this.size);
  }

  // RFC 9112 section 7.1.1. The white space that its grammar tolerates for old senders' sake is
  // refused: readers differ on it.
  private takeExtension(byte: number): void {
    this.surplusBytes += 1;
    if (this.surplusBytes > EXTENSION_BYTES_MAX) return this.reject('bad-chunk');
    const next = nextInExtension(this.at, byte);
    if (next < 0) this.reject('bad-chunk');
    else this.at = next;
  }

  /** Trailers are rare: the section is gathered, and each line taken when its CRLF is there. */
  private takeTrailer(byte: number): void {
    const { trailerEnd } = this;
    if (trailerEnd === TRAILER_BYTES_MAX) return this.reject('bad-trailer');
    const trailerBytes = this.trailerRoom(trailerEnd);
    const isAfterCr = trailerEnd > this.trailerLineStart && trailerBytes[trailerEnd - 1] === CR;
    const isAllowed = isAfterCr ? byte === LF : byte === CR || VALUE[byte] === 1;
    if (!isAllowed) return this.reject('bad-trailer');
    trailerBytes[trailerEnd] = byte;
    this.trailerEnd = trailerEnd + 1;
    if (byte === LF) this.takeTrailerLine(trailerBytes, this.trailerLineStart, trailerEnd - 1);
  }

  /** Most sections are the last CRLF alone: what holds the longest would cost more than all other framing. */
  private trailerRoom(used: number): Buffer {
    let room = this.trailerBytes;
    if (room !== null && used < room.length) return room;
    const size = room === null ? TRAILER_BYTES_FIRST : room.length * 8;
    const wider = Buffer.allocUnsafe(Math.min(size, TRAILER_BYTES_MAX));
    if (room !== null) wider.set(room);
    room = wider;
    this.trailerBytes = room;
    return room;
  }

  private takeTrailerLine(bytes: Buffer, start: number, end: number): void {
    this.trailerLineStart = this.trailerEnd;
    if (start === end) {
      this.state = BodyState.done;
      this.trailerBytes = null;
      return;
    }
    const fate = trailerFate(bytes, start, end);
    if (fate === 'malformed') this.reject('bad-trailer');
    else if (fate === 'kept') this.trailers += bytes.toString('latin1', start, this.trailerEnd);
  }
}

/** The place after `byte` at the place `at` of an extension; -1 where it may not stand. */
function nextInExtension(at: number, byte: number): number {
  const isToken = TOKEN_LOWER[byte] !== 0;
  const isText = VALUE[byte] === 1;
  switch (at) {
    case At.nameStart:
      return isToken ? At.name : -1;
    case At.name:
      if (isToken) return At.name;
      return byte === EQUALS ? At.valueStart : afterExtension(byte);
    case At.valueStart:
      if (byte === QUOTE) return At.quoted;
      return isToken ? At.value : -1;
    case At.value:
      return isToken ? At.value : afterExtension(byte);
    case At.quoted:
      if (byte === QUOTE) return At.afterQuote;
      if (byte === BACKSLASH) return At.escaped;
      return isText ? At.quoted : -1;
    case At.escaped:
      return isText ? At.quoted : -1;
    default:
      return afterExtension(byte);
  }
}

function afterExtension(byte: number): number {
  if (byte === CR) return At.sizeLf;
  return byte === SEMICOLON ? At.nameStart : -1;
}
