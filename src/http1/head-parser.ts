// The HTTP/1.1 head parser for both directions (RFC 9112 sections 2 to 6), incremental: any split
// of the bytes gives the same result. Two passes that stay in cache: one finds the end of a line
// and refuses every byte that may not stand in a head, the other takes the finished line apart.
// It rejects rather than repairs: what two readers could read in two ways is a fault.
// A head that arrives in one piece is parsed where it lies; one in pieces is gathered here.
import {
  COLON,
  COMMA,
  CR,
  equalsLower,
  HTAB,
  LF,
  NAME_HASHED,
  SP,
  TARGET,
  TOKEN_LOWER,
  VALUE,
} from './chars.ts';
import { FieldId, hashStep, lookUp, NOMINATED, PROTECTED } from './fields.ts';
import { FIELD_STRIDE, Head, HeadFlag, Target } from './head.ts';
import { isHost } from './host.ts';

export const HeadState = { more: 0, done: 1, rejected: 2 } as const;

export interface HeadLimits {
  /** Bytes of the whole head. */
  readonly headBytes: number;
  readonly fieldCount: number;
  readonly targetBytes: number;
}

/** Why a head was rejected; for requests these are codes of model/reason.ts. */
export type HeadFault =
  | 'bad-request-line'
  | 'bad-header'
  | 'bad-line-end'
  | 'bad-host'
  | 'bad-content-length'
  | 'bad-transfer-encoding'
  | 'ambiguous-length'
  | 'bad-connection-option'
  | 'bad-expectation'
  | 'header-too-large'
  | 'target-too-long'
  | 'unsupported-coding'
  | 'bad-version'
  | 'bad-status-line';

const GATHER_BYTES = 2048;
/** Most digits of a Content-Length that a double holds exactly: 2^53-1 has 16. */
const LENGTH_DIGITS_MAX = 16;

const SLASH = 47;
const DIGIT_0 = 48;
const DIGIT_9 = 57;

export class HeadParser {
  readonly head: Head;
  state: 0 | 1 | 2 = HeadState.more;
  /** Set exactly when the state is `rejected`. */
  fault: HeadFault | '' = '';
  private readonly isRequest: boolean;
  private limits: HeadLimits;
  /** Bytes of a head in pieces; null while it lies whole in the caller's buffer. */
  private gathered: Buffer | null = null;
  private gatheredBytes = 0;
  /** Where the line begins that is being looked for the end of, and how far it was looked at. */
  private lineStart = 0;
  private scanned = 0;
  private hasStartLine = false;
  private mayBeEmptyLine = true;
  private transferEncodings = 0;
  private hosts = 0;
  private hasNominations = false;

  constructor(kind: 'request' | 'response', limits: HeadLimits) {
    this.isRequest = kind === 'request';
    this.limits = limits;
    this.head = new Head(limits.fieldCount);
  }

  /** Whether nothing of a head has arrived since the last reset. */
  get isEmpty(): boolean {
    return this.gathered === null && this.state === HeadState.more;
  }

  /** Makes ready for the next message, with these limits from now on. */
  reset(limits: HeadLimits = this.limits): void {
    if (limits !== this.limits) {
      this.limits = limits;
      if (this.head.fields.length < limits.fieldCount * FIELD_STRIDE) {
        this.head.fields = new Int32Array(limits.fieldCount * FIELD_STRIDE);
      }
    }
    this.state = HeadState.more;
    this.fault = '';
    this.gathered = null;
    this.gatheredBytes = 0;
    this.lineStart = 0;
    this.scanned = 0;
    this.hasStartLine = false;
    this.mayBeEmptyLine = this.isRequest;
    this.transferEncodings = 0;
    this.hosts = 0;
    this.hasNominations = false;
    this.head.clear();
  }

  /**
   * Takes bytes[start,end) up to the end of the head and returns the offset after the last byte
   * taken. Then `state` says: more (all were taken), done (see `head`), rejected (see `fault`).
   */
  feed(bytes: Buffer, start: number, end: number): number {
    if (this.gathered !== null) return this.feedGathered(bytes, start, end);
    this.head.bytes = bytes;
    this.head.start = start;
    this.lineStart = start;
    this.scanned = start;
    this.scan(bytes, end);
    if (this.state !== HeadState.more) return this.head.end;
    this.gather(bytes, start, end);
    return end;
  }

  private feedGathered(bytes: Buffer, start: number, end: number): number {
    const before = this.gatheredBytes;
    // One byte beyond the limit is enough to see that it is exceeded.
    const taken = Math.min(end - start, this.limits.headBytes + 1 - before);
    this.append(bytes, start, start + taken);
    this.scan(this.gathered!, this.gatheredBytes);
    return this.state === HeadState.more ? start + taken : start + this.head.end - before;
  }

  /** The head does not end in this piece: keeps the bytes, offsets then count from its start. */
  private gather(bytes: Buffer, start: number, end: number): void {
    const { head } = this;
    this.append(bytes, start, end);
    head.start = 0;
    this.lineStart -= start;
    this.scanned -= start;
    head.targetStart -= start;
    head.targetEnd -= start;
    head.reasonStart -= start;
    head.reasonEnd -= start;
    if (head.authorityStart >= 0) {
      head.authorityStart -= start;
      head.authorityEnd -= start;
    }
    if (head.hostStart >= 0) {
      head.hostStart -= start;
      head.hostEnd -= start;
    }
    if (head.upgradeStart >= 0) {
      head.upgradeStart -= start;
      head.upgradeEnd -= start;
    }
    for (let i = 0; i < head.fieldCount * FIELD_STRIDE; i += 1) {
      if (i % FIELD_STRIDE !== 0) head.fields[i]! -= start;
    }
  }

  private append(bytes: Buffer, start: number, end: number): void {
    const needed = this.gatheredBytes + end - start;
    if (this.gathered === null || this.gathered.length < needed) {
      const grown = Buffer.allocUnsafe(Math.max(GATHER_BYTES, needed * 2));
      this.gathered?.copy(grown, 0, 0, this.gatheredBytes);
      this.gathered = grown;
    }
    bytes.copy(this.gathered, this.gatheredBytes, start, end);
    this.gatheredBytes = needed;
    this.head.bytes = this.gathered;
  }

  /** Takes finished lines apart until the head ends, the bytes do, or there is a fault. */
  private scan(bytes: Buffer, end: number): void {
    const limit = this.head.start + this.limits.headBytes;
    for (;;) {
      let at = this.scanned;
      while (at < end && VALUE[bytes[at]!] === 1) at += 1;
      this.scanned = at;
      if (at >= limit)
        return this.reject(this.isTargetTooLong(at) ? 'target-too-long' : 'header-too-large');
      if (at >= end) return;
      if (bytes[at] !== CR) return this.reject(this.faultOfByte(bytes[at]!));
      if (at + 1 >= end) return;
      if (bytes[at + 1] !== LF) return this.reject('bad-line-end');
      const lineStart = this.lineStart;
      this.lineStart = at + 2;
      this.scanned = at + 2;
      if (this.hasStartLine) {
        if (at === lineStart) return this.finish(at + 2);
        this.readField(bytes, lineStart, at);
      } else if (at === lineStart && this.mayBeEmptyLine) {
        // RFC 9112 section 2.2: one empty line before a request line is let pass.
        this.mayBeEmptyLine = false;
      } else if (this.isRequest) {
        this.readRequestLine(bytes, lineStart, at);
      } else {
        this.readStatusLine(bytes, lineStart, at);
      }
      if (this.state === HeadState.rejected) return;
    }
  }

  private faultOfByte(byte: number): HeadFault {
    if (byte === LF) return 'bad-line-end';
    if (this.hasStartLine) return 'bad-header';
    return this.isRequest ? 'bad-request-line' : 'bad-status-line';
  }

  private isTargetTooLong(at: number): boolean {
    return this.isRequest && !this.hasStartLine && at - this.lineStart > this.limits.targetBytes;
  }

  private reject(fault: HeadFault): void {
    this.state = HeadState.rejected;
    this.fault = fault;
    this.head.end = this.scanned;
  }

  // method SP target SP HTTP/1.x (RFC 9112 section 3): single spaces, capitals, nothing else.
  private readRequestLine(bytes: Buffer, start: number, end: number): void {
    const { head } = this;
    let at = start;
    while (at < end && TOKEN_LOWER[bytes[at]!] !== 0) at += 1;
    if (at === start || at >= end || bytes[at] !== SP) return this.reject('bad-request-line');
    head.method = methodOf(bytes, start, at);
    const targetStart = at + 1;
    at = targetStart;
    while (at < end && TARGET[bytes[at]!] === 1) at += 1;
    if (at === targetStart) return this.reject('bad-request-line');
    if (at - targetStart > this.limits.targetBytes) return this.reject('target-too-long');
    if (at >= end || bytes[at] !== SP) return this.reject('bad-request-line');
    head.targetStart = targetStart;
    head.targetEnd = at;
    if (!this.readVersion(bytes, at + 1, end)) return;
    if (end !== at + 9) return this.reject('bad-request-line');
    if (!this.readTargetForm(bytes)) return this.reject('bad-request-line');
    this.hasStartLine = true;
  }

  /** Reads HTTP/1.0 or HTTP/1.1 at `at`; false after a rejection. */
  private readVersion(bytes: Buffer, at: number, end: number): boolean {
    const isHttp =
      end - at >= 8 &&
      bytes[at] === 72 &&
      bytes[at + 1] === 84 &&
      bytes[at + 2] === 84 &&
      bytes[at + 3] === 80 &&
      bytes[at + 4] === SLASH &&
      isDigit(bytes[at + 5]!) &&
      bytes[at + 6] === 46 &&
      isDigit(bytes[at + 7]!);
    if (!isHttp) {
      this.reject(this.isRequest ? 'bad-request-line' : 'bad-status-line');
      return false;
    }
    const minor = bytes[at + 7]! - DIGIT_0;
    if (bytes[at + 5] !== DIGIT_0 + 1 || minor > 1) {
      this.reject('bad-version');
      return false;
    }
    this.head.minorVersion = minor === 1 ? 1 : 0;
    return true;
  }

  // RFC 9112 section 3.2: each form belongs to certain methods; absolute form carries the host.
  private readTargetForm(bytes: Buffer): boolean {
    const { head } = this;
    const first = bytes[head.targetStart]!;
    if (head.method === 'CONNECT') {
      head.target = Target.authority;
      return isHost(bytes, head.targetStart, head.targetEnd);
    }
    if (first === SLASH) return true;
    if (first === 42 && head.targetEnd === head.targetStart + 1) {
      head.target = Target.asterisk;
      return head.method === 'OPTIONS';
    }
    const schemeEnd = schemeLength(bytes, head.targetStart, head.targetEnd);
    if (schemeEnd === 0) return false;
    head.target = Target.absolute;
    head.authorityStart = head.targetStart + schemeEnd;
    let at = head.authorityStart;
    while (at < head.targetEnd && bytes[at] !== SLASH && bytes[at] !== 63 && bytes[at] !== 35) {
      at += 1;
    }
    head.authorityEnd = at;
    // isHost refuses an empty authority and userinfo.
    return isHost(bytes, head.authorityStart, head.authorityEnd);
  }

  // HTTP/1.x SP 3DIGIT [SP reason] (RFC 9112 section 4).
  private readStatusLine(bytes: Buffer, start: number, end: number): void {
    const { head } = this;
    if (!this.readVersion(bytes, start, end)) return;
    const at = start + 8;
    const [hundreds, tens, units] = [bytes[at + 1]!, bytes[at + 2]!, bytes[at + 3]!];
    const isWellFormed =
      end >= at + 4 &&
      bytes[at] === SP &&
      hundreds > DIGIT_0 &&
      hundreds < DIGIT_0 + 6 &&
      isDigit(tens) &&
      isDigit(units) &&
      (end === at + 4 || bytes[at + 4] === SP);
    if (!isWellFormed) return this.reject('bad-status-line');
    head.status = (hundreds - DIGIT_0) * 100 + (tens - DIGIT_0) * 10 + units - DIGIT_0;
    head.reasonStart = Math.min(end, at + 5);
    head.reasonEnd = end;
    this.hasStartLine = true;
  }

  // name ":" OWS value OWS (RFC 9112 section 5). A line that starts with white space (folding) and
  // white space before the colon are faults, for the name is a token.
  private readField(bytes: Buffer, start: number, end: number): void {
    const { head } = this;
    let hash = 0;
    let at = start;
    for (; at < end; at += 1) {
      const hashed = NAME_HASHED[bytes[at]!]!;
      if (hashed === 0) break;
      hash = hashStep(hash, hashed);
    }
    if (at === start || at >= end || bytes[at] !== COLON) return this.reject('bad-header');
    if (head.fieldCount >= this.limits.fieldCount) return this.reject('header-too-large');
    const nameEnd = at;
    at += 1;
    while (at < end && (bytes[at] === SP || bytes[at] === HTAB)) at += 1;
    let valueEnd = end;
    while (valueEnd > at && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB)) {
      valueEnd -= 1;
    }
    const id = lookUp(bytes, start, nameEnd, hash);
    const { fields } = head;
    const field = head.fieldCount * FIELD_STRIDE;
    fields[field] = id;
    fields[field + 1] = start;
    fields[field + 2] = nameEnd;
    fields[field + 3] = at;
    fields[field + 4] = valueEnd;
    head.fieldCount += 1;
    if (id !== 0) this.readKnown(id, bytes, at, valueEnd);
  }

  private readKnown(id: number, bytes: Buffer, start: number, end: number): void {
    const { head } = this;
    switch (id) {
      case FieldId.host:
        this.hosts += 1;
        if (this.hosts > 1 || (this.isRequest && !isHostValue(bytes, start, end))) {
          return this.reject(this.isRequest ? 'bad-host' : 'bad-header');
        }
        head.hostStart = start;
        head.hostEnd = end;
        return;
      case FieldId['content-length']:
        if (head.contentLength >= 0) return this.reject('bad-content-length');
        head.contentLength = lengthOf(bytes, start, end);
        head.flags |= HeadFlag.contentLength;
        if (head.contentLength < 0) this.reject('bad-content-length');
        return;
      case FieldId['transfer-encoding']:
        return this.readTransferEncoding(bytes, start, end);
      case FieldId.connection:
        return this.readConnection(bytes, start, end);
      case FieldId.upgrade:
        head.upgradeStart = start;
        head.upgradeEnd = end;
        return;
      case FieldId.expect:
        // RFC 9110 section 10.1.1 knows this one expectation.
        if (!this.isRequest) return;
        if (!equalsLower(bytes, start, end, '100-continue')) return this.reject('bad-expectation');
        head.flags |= HeadFlag.expectContinue;
        return;
      case FieldId.te:
        if (equalsLower(bytes, start, end, 'trailers')) head.flags |= HeadFlag.teTrailers;
        return;
      case FieldId.forwarded:
      case FieldId['x-forwarded-for']:
      case FieldId['x-forwarded-proto']:
      case FieldId['x-forwarded-host']:
      case FieldId['x-forwarded-port']:
      case FieldId['x-real-ip']:
        head.flags |= HeadFlag.forwarded;
        return;
      case FieldId.via:
        head.flags |= HeadFlag.via;
        return;
      case FieldId['x-request-id']:
        head.flags |= HeadFlag.requestId;
        return;
      case FieldId.trailer:
        head.flags |= HeadFlag.trailer;
        return;
      case FieldId['max-forwards']:
        head.flags |= HeadFlag.maxForwards;
        return;
      case FieldId.cookie:
        head.flags |= HeadFlag.cookie;
        return;
    }
  }

  // Exactly `chunked`, once (RFC 9112 sections 6.1 and 7; we implement no other coding).
  private readTransferEncoding(bytes: Buffer, start: number, end: number): void {
    this.transferEncodings += 1;
    if (this.transferEncodings > 1) return this.reject('bad-transfer-encoding');
    if (equalsLower(bytes, start, end, 'chunked')) {
      this.head.isChunked = true;
      return;
    }
    this.reject(isToken(bytes, start, end) ? 'unsupported-coding' : 'bad-transfer-encoding');
  }

  private readConnection(bytes: Buffer, start: number, end: number): void {
    const { head } = this;
    forEachOption(bytes, start, end, (from, to) => {
      if (equalsLower(bytes, from, to, 'close')) head.flags |= HeadFlag.close;
      else if (equalsLower(bytes, from, to, 'keep-alive')) head.flags |= HeadFlag.keepAlive;
      else if (equalsLower(bytes, from, to, 'upgrade')) head.flags |= HeadFlag.upgrade;
      else if (isToken(bytes, from, to)) this.hasNominations = true;
      else this.reject(this.isRequest ? 'bad-connection-option' : 'bad-header');
    });
  }

  /** The empty line has come: what only the whole head can tell. */
  private finish(end: number): void {
    const { head } = this;
    head.end = end;
    if (this.transferEncodings > 0) {
      if (head.contentLength >= 0) return this.reject('ambiguous-length');
      // RFC 9112 section 6.1: a recipient must not find it in HTTP/1.0.
      if (head.minorVersion === 0) return this.reject('bad-transfer-encoding');
    }
    if (this.isRequest && this.hosts === 0 && head.minorVersion === 1)
      return this.reject('bad-host');
    if (this.hasNominations && !this.dropNominated()) return this.reject('bad-connection-option');
    if (head.upgradeStart < 0 || head.minorVersion === 0) head.flags &= ~HeadFlag.upgrade;
    this.state = HeadState.done;
  }

  /**
   * Marks the fields that Connection names (RFC 9110 section 7.6.1). False for a request that
   * names a field whose removal would change what it means to the endpoint; a response that
   * does so keeps the field.
   */
  private dropNominated(): boolean {
    const { fields, bytes, fieldCount } = this.head;
    let isAllowed = true;
    for (let at = 0; at < fieldCount * FIELD_STRIDE; at += FIELD_STRIDE) {
      if (fields[at] !== FieldId.connection) continue;
      forEachOption(bytes, fields[at + 3]!, fields[at + 4]!, (from, to) => {
        const name = bytes.toString('latin1', from, to).toLowerCase();
        for (let other = 0; other < fieldCount * FIELD_STRIDE; other += FIELD_STRIDE) {
          if (!equalsLower(bytes, fields[other + 1]!, fields[other + 2]!, name)) continue;
          if (PROTECTED[fields[other]!] === 1) isAllowed = false;
          else if (fields[other] === 0) fields[other] = NOMINATED;
        }
      });
    }
    return isAllowed || !this.isRequest;
  }
}

function isDigit(byte: number): boolean {
  return byte >= DIGIT_0 && byte <= DIGIT_9;
}

function isToken(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    if (TOKEN_LOWER[bytes[at]!] === 0) return false;
  }
  return end > start;
}

/** Calls `visit` for each non-empty element of a comma-separated list (RFC 9110 section 5.6.1). */
function forEachOption(
  bytes: Buffer,
  start: number,
  end: number,
  visit: (from: number, to: number) => void,
): void {
  let from = start;
  while (from < end) {
    let to = from;
    while (to < end && bytes[to] !== COMMA) to += 1;
    let first = from;
    let last = to;
    while (first < last && (bytes[first] === SP || bytes[first] === HTAB)) first += 1;
    while (last > first && (bytes[last - 1] === SP || bytes[last - 1] === HTAB)) last -= 1;
    if (last > first) visit(first, last);
    from = to + 1;
  }
}

/** Digits alone, at most 2^53-1 (RFC 9110 section 8.6); -1 for anything else. */
function lengthOf(bytes: Buffer, start: number, end: number): number {
  if (end === start || end - start > LENGTH_DIGITS_MAX) return -1;
  let length = 0;
  for (let at = start; at < end; at += 1) {
    if (!isDigit(bytes[at]!)) return -1;
    length = length * 10 + bytes[at]! - DIGIT_0;
  }
  return Number.isSafeInteger(length) ? length : -1;
}

/** An empty Host is allowed (RFC 9110 section 7.2: a target without an authority). */
function isHostValue(bytes: Buffer, start: number, end: number): boolean {
  return end === start || isHost(bytes, start, end);
}

/** The length of `http://` or `https://` at `start`, or 0. */
function schemeLength(bytes: Buffer, start: number, end: number): number {
  if (end - start > 7 && equalsLower(bytes, start, start + 7, 'http://')) return 7;
  return end - start > 8 && equalsLower(bytes, start, start + 8, 'https://') ? 8 : 0;
}

const METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT'];

/** The method as a string that is shared where it is a common one. */
function methodOf(bytes: Buffer, start: number, end: number): string {
  for (const method of METHODS) {
    if (method.length !== end - start) continue;
    let i = 0;
    while (i < method.length && bytes[start + i] === method.charCodeAt(i)) i += 1;
    if (i === method.length) return method;
  }
  return bytes.toString('latin1', start, end);
}
