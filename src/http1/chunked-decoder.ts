// The chunked coding (RFC 9112 section 7.1), decoded in place: the data octets of a piece are moved
// together over the framing between them, so that they can be sent on as one range. What goes out
// is framed anew; extensions are checked and dropped, trailers are checked and kept apart.
import { COLON, CR, HEX, LF, NAME_HASHED, VALUE } from './chars.ts';
import { HOP_BY_HOP, hashStep, LOOKALIKE, lookUp, PROTECTED } from './fields.ts';

export const BodyState = { more: 0, done: 1, rejected: 2 } as const;

const SIZE_DIGITS_MAX = 16;
/** Bytes of extensions of one chunk, and of the whole trailer section. */
const EXTENSION_BYTES_MAX = 1024;
const TRAILER_BYTES_MAX = 8192;
const SEMICOLON = 59;

/** Where the decoder stands. */
const At = { size: 0, extension: 1, sizeLf: 2, data: 3, dataCr: 4, dataLf: 5, trailer: 6 } as const;

export class ChunkedDecoder {
  state: 0 | 1 | 2 = BodyState.more;
  fault: 'bad-chunk' | 'bad-trailer' | '' = '';
  /** After `decode`: the data of the piece lies at bytes[start, dataEnd). */
  dataEnd = 0;
  /** When done: the trailer section without what may not be in it, one CRLF per line; '' for none. */
  trailers = '';
  private at: number = At.size;
  private size = 0;
  private digits = 0;
  private extensionBytes = 0;
  private trailerLine = '';
  private trailerBytes = 0;

  reset(): void {
    this.state = BodyState.more;
    this.fault = '';
    this.trailers = '';
    this.at = At.size;
    this.size = 0;
    this.digits = 0;
    this.extensionBytes = 0;
    this.trailerLine = '';
    this.trailerBytes = 0;
  }

  /**
   * Decodes bytes[start,end) in place and returns the offset after the last byte that belongs to
   * the body: `end`, unless the state is then done or rejected.
   */
  decode(bytes: Buffer, start: number, end: number): number {
    let from = start;
    this.dataEnd = start;
    while (from < end && this.state === BodyState.more) {
      if (this.at === At.data) from = this.takeData(bytes, from, end);
      else if (this.at === At.trailer) from = this.takeTrailer(bytes, from, end);
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
      case At.extension:
        this.extensionBytes += 1;
        if (byte === CR) this.at = At.sizeLf;
        else if (VALUE[byte] === 0 || this.extensionBytes > EXTENSION_BYTES_MAX) {
          this.reject('bad-chunk');
        }
        return;
      case At.sizeLf:
        if (byte !== LF || this.digits === 0) return this.reject('bad-chunk');
        this.at = this.size === 0 ? At.trailer : At.data;
        this.digits = 0;
        this.extensionBytes = 0;
        return;
      case At.dataCr:
        if (byte !== CR) return this.reject('bad-chunk');
        this.at = At.dataLf;
        return;
      case At.dataLf:
        if (byte !== LF) return this.reject('bad-chunk');
        this.at = At.size;
        return;
    }
  }

  private takeSize(byte: number): void {
    const digit = HEX[byte]!;
    if (digit !== 255) {
      this.digits += 1;
      this.size = this.size * 16 + digit;
      if (this.digits > SIZE_DIGITS_MAX || !Number.isSafeInteger(this.size)) {
        this.reject('bad-chunk');
      }
      return;
    }
    if (this.digits === 0) return this.reject('bad-chunk');
    if (byte === CR) this.at = At.sizeLf;
    else if (byte === SEMICOLON) this.at = At.extension;
    else this.reject('bad-chunk');
  }

  /** Trailers are rare: a line is gathered as text, and taken when its CRLF is there. */
  private takeTrailer(bytes: Buffer, from: number, end: number): number {
    let at = from;
    while (at < end && this.state === BodyState.more && this.at === At.trailer) {
      const byte = bytes[at]!;
      at += 1;
      this.trailerBytes += 1;
      if (this.trailerBytes > TRAILER_BYTES_MAX) this.reject('bad-trailer');
      else if (byte === LF) this.takeTrailerLine();
      else if (this.trailerLine.endsWith('\r') || (byte !== CR && VALUE[byte] === 0)) {
        this.reject('bad-trailer');
      } else this.trailerLine += String.fromCharCode(byte);
    }
    return at;
  }

  private takeTrailerLine(): void {
    if (!this.trailerLine.endsWith('\r')) return this.reject('bad-trailer');
    const line = this.trailerLine.slice(0, -1);
    this.trailerLine = '';
    if (line === '') {
      this.state = BodyState.done;
      return;
    }
    const kept = trailerFieldOf(line);
    if (kept === null) return this.reject('bad-trailer');
    if (kept) this.trailers += `${line}\r\n`;
  }
}

/**
 * Whether a trailer line goes on: null when it is no field line. RFC 9110 section 6.5.1: framing,
 * routing, authentication and request modifiers must not come in a trailer; those are dropped.
 */
function trailerFieldOf(line: string): boolean | null {
  const bytes = Buffer.from(line, 'latin1');
  let hash = 0;
  let at = 0;
  for (; at < bytes.length; at += 1) {
    const hashed = NAME_HASHED[bytes[at]!]!;
    if (hashed === 0) break;
    hash = hashStep(hash, hashed);
  }
  if (at === 0 || bytes[at] !== COLON) return null;
  const id = lookUp(bytes, 0, at, hash);
  return id === 0 || (HOP_BY_HOP[id] === 0 && PROTECTED[id] === 0 && id !== LOOKALIKE);
}
