// A parsed message head: offsets into the bytes it was parsed from, and what its fields mean for
// framing and forwarding. One object is used again and again; it is valid until its parser's next
// `reset`, and its offsets until the bytes are given up.

import { equalsLower } from './chars.ts';
import { NOMINATED } from './fields.ts';

/** Why a head was rejected; for requests these are codes of model/reason.ts. */
export type HeadFault =
  | 'bad-request-line'
  | 'bad-status-line'
  | 'bad-version'
  | 'bad-header'
  | 'bad-line-end'
  | 'bad-host'
  | 'bad-content-length'
  | 'bad-transfer-encoding'
  | 'unsupported-coding'
  | 'ambiguous-length'
  | 'bad-connection-option'
  | 'bad-expectation'
  | 'header-too-large'
  | 'target-too-long';

export const Target = { origin: 0, absolute: 1, authority: 2, asterisk: 3 } as const;

/** Bits of `Head.flags`. */
export const HeadFlag = {
  /** Connection: close. */
  close: 1,
  /** Connection: keep-alive. */
  keepAlive: 2,
  /** Connection: upgrade with one Upgrade field, in HTTP/1.1, on a message without a body. */
  upgrade: 4,
  /** Expect: 100-continue, in HTTP/1.1. */
  expectContinue: 8,
  /** TE has `trailers`. */
  teTrailers: 16,
  /** Any of Forwarded, X-Forwarded-*, X-Real-IP. */
  forwarded: 32,
  via: 64,
  requestId: 128,
  trailer: 256,
  maxForwards: 512,
  cookie: 1024,
  contentLength: 2048,
} as const;

/** Fields that a head has room for at first: most heads have no more. */
const FIELDS_FIRST = 24;

/** Integers per field in `Head.fields`. */
export const FIELD_STRIDE = 5;

export class Head {
  bytes: Buffer = Buffer.alloc(0);
  /** Offset of the first byte of the start line, once that is complete. */
  start = 0;
  /** Offset after the empty line. */
  end = 0;
  /** Request: the method, case-sensitive; response: ''. */
  method = '';
  targetStart = 0;
  targetEnd = 0;
  target: 0 | 1 | 2 | 3 = Target.origin;
  /** Absolute and authority form: the authority within the target; else -1. */
  authorityStart = -1;
  authorityEnd = -1;
  /** Of HTTP/2 it is the head that this would have in HTTP/1.1. */
  majorVersion: 1 | 2 = 1;
  minorVersion: 0 | 1 = 1;
  /** Response: the status code. */
  status = 0;
  reasonStart = 0;
  reasonEnd = 0;
  /** Per field: id (0: a name we do not act on), name start and end, value start and end. */
  fields: Int32Array;
  fieldCount = 0;
  /** -1 where there is none. */
  contentLength = -1;
  isChunked = false;
  flags = 0;
  /** Value of the request's Host; -1 where there is none. */
  hostStart = -1;
  hostEnd = -1;
  /** Value of Upgrade; -1 where there is none. */
  upgradeStart = -1;
  upgradeEnd = -1;

  constructor() {
    this.fields = new Int32Array(FIELDS_FIRST * FIELD_STRIDE);
  }

  /** Makes room for one more field. */
  grow(): void {
    const grown = new Int32Array(this.fields.length * 2);
    grown.set(this.fields);
    this.fields = grown;
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  /** A part of the head as text, one character per byte. */
  text(start: number, end: number): string {
    return this.bytes.toString('latin1', start, end);
  }

  /** The value of the first field with this id as text, or null. */
  valueOf(id: number): string | null {
    const { fields } = this;
    for (let at = 0; at < this.fieldCount * FIELD_STRIDE; at += FIELD_STRIDE) {
      if (fields[at] === id) return this.text(fields[at + 3]!, fields[at + 4]!);
    }
    return null;
  }

  /** The value of the first field with this lower-case name as text, or null; for rare questions. */
  valueOfName(name: string): string | null {
    const { fields } = this;
    for (let at = 0; at < this.fieldCount * FIELD_STRIDE; at += FIELD_STRIDE) {
      if (equalsLower(this.bytes, fields[at + 1]!, fields[at + 2]!, name)) {
        return this.text(fields[at + 3]!, fields[at + 4]!);
      }
    }
    return null;
  }

  /** The values of all fields with this lower-case name as text; for rare questions. */
  valuesOfName(name: string): string[] {
    const { fields } = this;
    const values: string[] = [];
    for (let at = 0; at < this.fieldCount * FIELD_STRIDE; at += FIELD_STRIDE) {
      if (!equalsLower(this.bytes, fields[at + 1]!, fields[at + 2]!, name)) continue;
      values.push(this.text(fields[at + 3]!, fields[at + 4]!));
    }
    return values;
  }

  /** Visits each field: id, the name's offset, and the offsets of its value. */
  forEachField(visit: (id: number, nameStart: number, start: number, end: number) => void): void {
    const { fields } = this;
    for (let at = 0; at < this.fieldCount * FIELD_STRIDE; at += FIELD_STRIDE) {
      visit(fields[at]!, fields[at + 1]!, fields[at + 3]!, fields[at + 4]!);
    }
  }

  /** Takes the fields with this lower-case name out of what is copied on. */
  dropNamed(name: string): void {
    const { fields } = this;
    for (let at = 0; at < this.fieldCount * FIELD_STRIDE; at += FIELD_STRIDE) {
      if (equalsLower(this.bytes, fields[at + 1]!, fields[at + 2]!, name)) fields[at] = NOMINATED;
    }
  }

  /** The bytes were copied elsewhere, `shift` further to the front: moves every offset along. */
  moveBy(shift: number): void {
    const { fields } = this;
    this.start -= shift;
    this.targetStart -= shift;
    this.targetEnd -= shift;
    this.reasonStart -= shift;
    this.reasonEnd -= shift;
    if (this.authorityStart >= 0) {
      this.authorityStart -= shift;
      this.authorityEnd -= shift;
    }
    if (this.hostStart >= 0) {
      this.hostStart -= shift;
      this.hostEnd -= shift;
    }
    if (this.upgradeStart >= 0) {
      this.upgradeStart -= shift;
      this.upgradeEnd -= shift;
    }
    const fieldsEnd = this.fieldCount * FIELD_STRIDE;
    for (let at = 0; at < fieldsEnd; at += FIELD_STRIDE) {
      fields[at + 1]! -= shift;
      fields[at + 2]! -= shift;
      fields[at + 3]! -= shift;
      fields[at + 4]! -= shift;
    }
  }

  clear(): void {
    this.method = '';
    this.targetStart = 0;
    this.targetEnd = 0;
    this.target = Target.origin;
    this.authorityStart = -1;
    this.authorityEnd = -1;
    this.majorVersion = 1;
    this.minorVersion = 1;
    this.status = 0;
    this.reasonStart = 0;
    this.reasonEnd = 0;
    this.fieldCount = 0;
    this.contentLength = -1;
    this.isChunked = false;
    this.flags = 0;
    this.hostStart = -1;
    this.hostEnd = -1;
    this.upgradeStart = -1;
    this.upgradeEnd = -1;
  }
}
