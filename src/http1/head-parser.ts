// The HTTP/1.1 head parser for both directions (RFC 9112 sections 2 to 6), incremental: any split
// of the bytes gives the same result. `scan` looks at each byte once, however small the pieces, and
// refuses at once every byte that may not stand where it does; when a line is complete it is
// understood: start-line.ts takes the first one apart, `addField` and what it calls the others.
// It rejects rather than repairs: what two readers could read in two ways is a fault.
// A head that arrives in one piece is parsed where it lies; one in pieces is gathered here.
import { COLON, CR, equalsLower, isToken, LF, LOWER, TOKEN_LOWER, VALUE } from './chars.ts';
import { codingOf, isBlank, ListWalker, lengthOf, listHas } from './field-values.ts';
import {
  FIELD_IDS,
  FieldId,
  type FieldName,
  HOP_BY_HOP,
  lookUp,
  NOMINATED,
  PROTECTED,
} from './fields.ts';
import { FIELD_STRIDE, Head, type HeadFault, HeadFlag } from './head.ts';
import { isHost } from './host.ts';
import { readRequestLine, readStatusLine } from './start-line.ts';

export const HeadState = { more: 0, done: 1, rejected: 2 } as const;

export interface HeadLimits {
  /** Bytes of the whole head, the empty lines before and after it included. */
  readonly headBytes: number;
  readonly fieldCount: number;
  readonly targetBytes: number;
}

/** A gather buffer begins with this size, and doubles: thousands may wait with a few bytes each. */
const GATHER_BYTES = 512;
/** More names in Connection are refused: each is compared with every field. */
const NOMINATIONS_MAX = 32;

const NO_BYTES = Buffer.alloc(0);

/** What the mere presence of a field says. */
const PRESENCE = new Uint16Array(FIELD_IDS);
for (const name of ['forwarded', 'x-forwarded-for', 'x-forwarded-proto'] as const) {
  PRESENCE[FieldId[name]] = HeadFlag.forwarded;
}
for (const name of ['x-forwarded-host', 'x-forwarded-port', 'x-real-ip'] as const) {
  PRESENCE[FieldId[name]] = HeadFlag.forwarded;
}
PRESENCE[FieldId.via] = HeadFlag.via;
PRESENCE[FieldId['x-request-id']] = HeadFlag.requestId;
PRESENCE[FieldId.trailer] = HeadFlag.trailer;
PRESENCE[FieldId['max-forwards']] = HeadFlag.maxForwards;
PRESENCE[FieldId.cookie] = HeadFlag.cookie;
PRESENCE[FieldId['content-length']] = HeadFlag.contentLength;

/** 1 for fields whose values `readValue` reads. */
const IS_READ = new Uint8Array(FIELD_IDS);
const READ_NAMES: readonly FieldName[] = [
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'upgrade',
  'expect',
  'te',
];
for (const name of READ_NAMES) IS_READ[FieldId[name]] = 1;

export class HeadParser {
  readonly head: Head;
  state: 0 | 1 | 2 = HeadState.more;
  /** Set exactly when the state is `rejected`. */
  fault: HeadFault | '' = '';
  private readonly isRequest: boolean;
  private limits: HeadLimits;
  private readonly list = new ListWalker();
  /** Bytes of a head in pieces; null while it lies whole in the caller's buffer. */
  private gathered: Buffer | null = null;
  private gatheredBytes = 0;
  /** Where the unfinished line begins, how far it was looked at, and its colon or -1. */
  private lineStart = 0;
  private scanned = 0;
  private colonAt = -1;
  private hasStartLine = false;
  private mayBeEmptyLine: boolean;
  private hasHost = false;
  private hasCoding = false;
  private upgrades = 0;
  private nominations = 0;

  constructor(kind: 'request' | 'response', limits: HeadLimits) {
    this.isRequest = kind === 'request';
    this.mayBeEmptyLine = this.isRequest;
    this.limits = limits;
    this.head = new Head();
  }

  /** Whether nothing of a head has arrived since the last reset. */
  get isEmpty(): boolean {
    return this.gathered === null && this.state === HeadState.more;
  }

  /** Makes ready for the next message, with these limits from now on. */
  reset(limits: HeadLimits = this.limits): void {
    this.limits = limits;
    this.letGo();
    this.state = HeadState.more;
    this.fault = '';
    this.colonAt = -1;
    this.hasStartLine = false;
    this.mayBeEmptyLine = this.isRequest;
    this.hasHost = false;
    this.hasCoding = false;
    this.upgrades = 0;
    this.nominations = 0;
    this.head.clear();
  }

  /**
   * Takes bytes[start,end) up to the end of the head and returns the offset after the last byte
   * taken. Then `state` says: more (all were taken), done (see `head`), rejected (see `fault`).
   */
  feed(bytes: Buffer, start: number, end: number): number {
    if (this.gathered !== null) return this.feedGathered(bytes, start, end);
    this.lineStart = start;
    this.scanned = start;
    this.scan(bytes, start, end);
    if (this.state !== HeadState.more) return this.head.end;
    if (start < end) this.gather(bytes, start, end);
    return end;
  }

  private feedGathered(bytes: Buffer, start: number, end: number): number {
    const before = this.gatheredBytes;
    const taken = Math.min(end - start, this.limits.headBytes - before);
    this.append(bytes, start, start + taken);
    this.scan(this.gathered!, 0, this.gatheredBytes);
    return this.state === HeadState.more ? start + taken : start + this.head.end - before;
  }

  /** The head does not end in this piece: keeps the bytes, offsets then count from its start. */
  private gather(bytes: Buffer, start: number, end: number): void {
    this.append(bytes, start, end);
    this.lineStart -= start;
    this.scanned -= start;
    if (this.colonAt >= 0) this.colonAt -= start;
    this.head.moveBy(start);
  }

  /** A parser that waits for its next use keeps nothing of what a peer sent alive. */
  letGo(): void {
    if (this.gathered === null) return;
    this.gathered = null;
    this.gatheredBytes = 0;
    this.head.bytes = NO_BYTES;
    this.list.begin(NO_BYTES, 0, 0);
  }

  private append(bytes: Buffer, start: number, end: number): void {
    const needed = this.gatheredBytes + end - start;
    if (this.gathered === null || this.gathered.length < needed) {
      const bounded = Math.min(needed * 2, this.limits.headBytes);
      // Not of the shared slab: a slow client would keep all of that alive.
      const grown = Buffer.allocUnsafeSlow(Math.max(GATHER_BYTES, bounded));
      this.gathered?.copy(grown, 0, 0, this.gatheredBytes);
      this.gathered = grown;
    }
    bytes.copy(this.gathered, this.gatheredBytes, start, end);
    this.gatheredBytes = needed;
  }

  /**
   * Reads lines until the head ends, the bytes do, or there is a fault. `origin` is where the
   * head's first byte lies.
   */
  private scan(bytes: Buffer, origin: number, end: number): void {
    const { head } = this;
    const limit = origin + this.limits.headBytes;
    const stop = end < limit ? end : limit;
    let at = this.scanned;
    head.bytes = bytes;
    for (;;) {
      if (this.hasStartLine && this.colonAt < 0) {
        while (at < stop && TOKEN_LOWER[bytes[at]!] !== 0) at += 1;
        if (at >= stop) return this.suspend(at, stop === limit);
        const isNamed = at > this.lineStart;
        if (isNamed && bytes[at] === COLON) {
          this.colonAt = at;
          at += 1;
        } else if (isNamed || bytes[at] !== CR) {
          // A line that begins with white space (folding), and white space before the colon.
          return this.rejectAt(at, bytes[at] === LF ? 'bad-line-end' : 'bad-header');
        }
      }
      while (at < stop && VALUE[bytes[at]!] === 1) at += 1;
      if (at >= stop) return this.suspend(at, stop === limit);
      if (bytes[at] !== CR) return this.rejectAt(at, this.faultOfByte(bytes[at]!));
      if (at + 1 >= stop) return this.suspend(at, stop === limit);
      if (bytes[at + 1] !== LF) return this.rejectAt(at, 'bad-line-end');
      const { lineStart, colonAt } = this;
      let fault: HeadFault | '' = '';
      this.lineStart = at + 2;
      this.colonAt = -1;
      if (colonAt >= 0) fault = this.addField(lineStart, colonAt, at);
      else if (this.hasStartLine) return this.finish(at + 2);
      else fault = this.takeStartLine(lineStart, at);
      at += 2;
      if (fault !== '') return this.rejectAt(at, fault);
    }
  }

  /** The bytes are used up; a head that has filled its limit is rejected without another one. */
  private suspend(at: number, isFull: boolean): void {
    if (isFull) this.rejectAt(at, this.faultOfSize());
    else this.scanned = at;
  }

  private faultOfByte(byte: number): HeadFault {
    if (byte === LF) return 'bad-line-end';
    if (this.hasStartLine) return 'bad-header';
    return this.isRequest ? 'bad-request-line' : 'bad-status-line';
  }

  /** A first line that fills the whole limit is most of all a target. */
  private faultOfSize(): HeadFault {
    return this.isRequest && !this.hasStartLine ? 'target-too-long' : 'header-too-large';
  }

  private rejectAt(at: number, fault: HeadFault): void {
    this.state = HeadState.rejected;
    this.fault = fault;
    this.head.end = at;
  }

  private takeStartLine(start: number, end: number): HeadFault | '' {
    const { head } = this;
    if (start === end && this.mayBeEmptyLine) {
      // RFC 9112 section 2.2: one empty line before a request line is let pass.
      this.mayBeEmptyLine = false;
      return '';
    }
    head.start = start;
    this.hasStartLine = true;
    return this.isRequest
      ? readRequestLine(head, start, end, this.limits.targetBytes)
      : readStatusLine(head, start, end);
  }

  // name ":" OWS value OWS (RFC 9112 section 5).
  private addField(start: number, colonAt: number, end: number): HeadFault | '' {
    const { head } = this;
    if (head.fieldCount >= this.limits.fieldCount) return 'header-too-large';
    if (head.fieldCount * FIELD_STRIDE === head.fields.length) head.grow();
    const { bytes, fields } = head;
    let valueStart = colonAt + 1;
    while (valueStart < end && isBlank(bytes[valueStart]!)) valueStart += 1;
    let valueEnd = end;
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1]!)) valueEnd -= 1;
    const id = lookUp(bytes, start, colonAt);
    const field = head.fieldCount * FIELD_STRIDE;
    fields[field] = id;
    fields[field + 1] = start;
    fields[field + 2] = colonAt;
    fields[field + 3] = valueStart;
    fields[field + 4] = valueEnd;
    head.fieldCount += 1;
    if (id === 0) return '';
    head.flags |= PRESENCE[id]!;
    return IS_READ[id] === 1 ? this.readValue(field) : '';
  }

  private readValue(field: number): HeadFault | '' {
    const { head } = this;
    const { bytes, fields } = head;
    const start = fields[field + 3]!;
    const end = fields[field + 4]!;
    switch (fields[field]) {
      case FieldId.host:
        return this.isRequest ? this.readHost(start, end) : '';
      case FieldId['content-length']:
        if (head.contentLength >= 0) return 'bad-content-length';
        head.contentLength = lengthOf(bytes, start, end);
        return head.contentLength < 0 ? 'bad-content-length' : '';
      case FieldId['transfer-encoding']:
        return this.readCoding(start, end);
      case FieldId.connection:
        return this.readConnection(start, end);
      case FieldId.upgrade:
        this.upgrades += 1;
        head.upgradeStart = start;
        head.upgradeEnd = end;
        return '';
      case FieldId.expect:
        return this.isRequest ? this.readExpect(start, end) : '';
      case FieldId.te:
        if (listHas(bytes, start, end, 'trailers')) head.flags |= HeadFlag.teTrailers;
        return '';
      default:
        return '';
    }
  }

  /** RFC 9112 section 3.2: exactly one, and valid. */
  private readHost(start: number, end: number): HeadFault | '' {
    const { head } = this;
    if (this.hasHost || !isHost(head.bytes, start, end)) return 'bad-host';
    this.hasHost = true;
    head.hostStart = start;
    head.hostEnd = end;
    return '';
  }

  /** RFC 9110 section 10.1.1 knows this one expectation. */
  private readExpect(start: number, end: number): HeadFault | '' {
    if (!equalsLower(this.head.bytes, start, end, '100-continue')) return 'bad-expectation';
    this.head.flags |= HeadFlag.expectContinue;
    return '';
  }

  // Exactly `chunked`, once. White space around it is OWS (RFC 9110 section 5.5), as in every field:
  // what leaves us is framed and written by ourselves, so nothing is passed on that could be read
  // two ways.
  private readCoding(start: number, end: number): HeadFault | '' {
    const { bytes } = this.head;
    if (this.hasCoding) return 'bad-transfer-encoding';
    this.hasCoding = true;
    const coding = codingOf(bytes, start, end);
    if (coding === 'chunked') {
      this.head.isChunked = true;
      return '';
    }
    return coding === 'other' ? 'unsupported-coding' : 'bad-transfer-encoding';
  }

  private readConnection(start: number, end: number): HeadFault | '' {
    const { head, list } = this;
    const { bytes } = head;
    list.begin(bytes, start, end);
    while (list.step()) {
      const { start: from, end: to } = list;
      if (equalsLower(bytes, from, to, 'close')) head.flags |= HeadFlag.close;
      else if (equalsLower(bytes, from, to, 'keep-alive')) head.flags |= HeadFlag.keepAlive;
      else if (equalsLower(bytes, from, to, 'upgrade')) head.flags |= HeadFlag.upgrade;
      else if (from < to && !this.isNominationFine(from, to)) return 'bad-connection-option';
    }
    return '';
  }

  /**
   * A request that nominates a field whose removal would change what it means to the endpoint is
   * refused, with such a field in it or not; a response that does so keeps the field.
   */
  private isNominationFine(start: number, end: number): boolean {
    const { bytes } = this.head;
    this.nominations += 1;
    if (this.nominations > NOMINATIONS_MAX || !isToken(bytes, start, end)) return false;
    return !this.isRequest || PROTECTED[lookUp(bytes, start, end)] === 0;
  }

  /** The empty line has come: what only the whole head can tell. */
  private finish(end: number): void {
    const { head } = this;
    const fault = this.faultOfWhole();
    if (fault !== '') return this.rejectAt(end, fault);
    head.end = end;
    if (this.nominations > 0) this.dropNominated();
    if (head.has(HeadFlag.upgrade) && !this.mayUpgrade()) head.flags &= ~HeadFlag.upgrade;
    if (head.minorVersion === 0 && head.has(HeadFlag.expectContinue)) {
      // RFC 9110 section 10.1.1: to be ignored in HTTP/1.0; such a client can't take a 100.
      head.flags &= ~HeadFlag.expectContinue;
      head.dropNamed('expect');
    }
    this.state = HeadState.done;
  }

  private faultOfWhole(): HeadFault | '' {
    const { contentLength, minorVersion } = this.head;
    if (this.hasCoding && contentLength >= 0) return 'ambiguous-length';
    // RFC 9112 section 6.1: in HTTP/1.0 its framing is faulty.
    if (this.hasCoding && minorVersion === 0) return 'bad-transfer-encoding';
    return this.isRequest && !this.hasHost && minorVersion === 1 ? 'bad-host' : '';
  }

  /** RFC 9110 section 7.8; two Upgrade fields, an empty one and one with a body we don't pass on. */
  private mayUpgrade(): boolean {
    const { head } = this;
    const isOne = this.upgrades === 1 && head.upgradeEnd > head.upgradeStart;
    return isOne && head.minorVersion === 1 && !head.isChunked && head.contentLength <= 0;
  }

  /** Marks the fields that Connection names (RFC 9110 section 7.6.1). */
  private dropNominated(): void {
    const { fields, fieldCount, bytes } = this.head;
    const { list } = this;
    for (let at = 0; at < fieldCount * FIELD_STRIDE; at += FIELD_STRIDE) {
      if (fields[at] !== FieldId.connection) continue;
      list.begin(bytes, fields[at + 3]!, fields[at + 4]!);
      while (list.step()) this.dropNamed(list.start, list.end);
    }
  }

  private dropNamed(start: number, end: number): void {
    const { fields, fieldCount, bytes } = this.head;
    for (let at = 0; at < fieldCount * FIELD_STRIDE; at += FIELD_STRIDE) {
      const id = fields[at]!;
      if (PROTECTED[id] === 1 || HOP_BY_HOP[id] === 1) continue;
      const nameStart = fields[at + 1]!;
      const isNamed = fields[at + 2]! - nameStart === end - start;
      if (isNamed && areSameLower(bytes, nameStart, start, end)) fields[at] = NOMINATED;
    }
  }
}

/** Whether the bytes at `other` are those of [start,end), ASCII case aside. */
function areSameLower(bytes: Buffer, other: number, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    if (LOWER[bytes[at]!] !== LOWER[bytes[other + at - start]!]) return false;
  }
  return true;
}
