// Records of the fake TLS: the header and the lengths of RFC 8446 section 5, and in the place of encryption
// a mask that is another one for each record, with a sum over what is below it. What was lost, doubled,
// reordered or came from another connection does not open.
import { bothOf, roomFor } from '../kernel/bytes.ts';

export const Kind = { change: 20, alert: 21, handshake: 22, data: 23 } as const;

export const HEAD_BYTES = 5;
/** Of what one record holds. */
export const RECORD_MAX = 16_384;
/** The kind and the sum, behind what is sealed. */
const TAIL_BYTES = 9;
/** Of a sealed record, as the RFC allows it. */
const SEALED_MAX = RECORD_MAX + 256;

/** What is sent before there are keys. */
export function plainRecord(kind: number, body: Buffer): Buffer {
  const record = roomFor(HEAD_BYTES + body.length);
  writeHead(record, kind, body.length);
  record.set(body, HEAD_BYTES);
  return record;
}

function writeHead(record: Buffer, kind: number, length: number): void {
  record[0] = kind;
  record[1] = 3;
  record[2] = 3;
  record[3] = length >> 8;
  record[4] = length & 0xff;
}

export function mix(a: number, b: number): number {
  let hash = Math.imul(a ^ b, 0x85ebca6b) ^ (a >>> 13);
  hash = Math.imul(hash ^ (hash >>> 16), 0xc2b2ae35);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** Four bytes at a time, for the messages of a handshake are hashed on both sides. */
export function hashOf(bytes: Uint8Array, from = 0x811c9dc5): number {
  const { length } = bytes;
  let hash = from | 0;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    const word =
      bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    hash = Math.imul(hash ^ word, 0x01000193);
    hash ^= hash >>> 15;
  }
  for (; at < length; at += 1) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash >>> 0;
}

/** One direction of a connection. */
export class Protection {
  private key: number;
  private sequence = 0;

  constructor(key: number) {
    this.key = key;
  }

  /** As KeyUpdate does. */
  renew(): void {
    this.key = mix(this.key, 0x5eed);
    this.sequence = 0;
  }

  seal(kind: number, body: Buffer): Buffer {
    const { length } = body;
    const record = roomFor(HEAD_BYTES + length + TAIL_BYTES);
    writeHead(record, Kind.data, length + TAIL_BYTES);
    const mask = this.nextMask();
    record.set(body, HEAD_BYTES);
    const tail = HEAD_BYTES + length;
    const sum = (length < LONG_BYTES ? cover : coverLong)(record, HEAD_BYTES, tail, mask, 0);
    record[tail] = kind ^ (mask & 0xff);
    putNumber(record, tail + 1, mix(sum, kind));
    putNumber(record, tail + 5, mask);
    return record;
  }

  /** What a sealed record holds, without its header; null: it is not what was sealed for here. */
  open(sealed: Buffer): { kind: number; body: Buffer } | null {
    const length = sealed.length - TAIL_BYTES;
    const mask = this.nextMask();
    if (length < 0) return null;
    // What was sealed is read once: it is uncovered where it lies.
    const sum = (length < LONG_BYTES ? cover : coverLong)(sealed, 0, length, mask, mask);
    const kind = sealed[length]! ^ (mask & 0xff);
    const isWhole =
      numberAt(sealed, length + 1) === mix(sum, kind) && numberAt(sealed, length + 5) === mask;
    return isWhole ? { kind, body: sealed.subarray(0, length) } : null;
  }

  private nextMask(): number {
    this.sequence += 1;
    return mix(this.key, this.sequence);
  }
}

/** From this length on a view for whole words costs less than it spares. */
const LONG_BYTES = 512;

/**
 * Covers with the mask what lies from `start` on, before `end`, or uncovers it; returns a sum over what is plain,
 * which is what lies there but for `flip`: 0, or the mask. Four bytes at a time: byte by byte was a twentieth of a
 * world with TLS.
 */
function cover(bytes: Uint8Array, start: number, end: number, mask: number, flip: number): number {
  let sum = mask | 0;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    const word =
      bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    const other = word ^ mask;
    bytes[at] = other;
    bytes[at + 1] = other >>> 8;
    bytes[at + 2] = other >>> 16;
    bytes[at + 3] = other >>> 24;
    sum = Math.imul(sum ^ word ^ flip, 0x01000193);
    sum ^= sum >>> 15;
  }
  for (let shift = 0; at < end; at += 1, shift += 8) {
    const byte = bytes[at]!;
    bytes[at] = byte ^ (mask >>> shift);
    sum = Math.imul(sum ^ ((byte ^ (flip >>> shift)) & 0xff), 0x01000193);
  }
  return sum;
}

/** As `cover`, of what is long. Two sums: the next step of the one need not wait for the other. */
function coverLong(
  bytes: Uint8Array,
  start: number,
  end: number,
  mask: number,
  flip: number,
): number {
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let even = mask | 0;
  let odd = ~mask;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    const one = words.getInt32(at, true);
    const two = words.getInt32(at + 4, true);
    words.setInt32(at, one ^ mask, true);
    words.setInt32(at + 4, two ^ mask, true);
    even = Math.imul(even ^ one ^ flip, 0x01000193);
    odd = Math.imul(odd ^ two ^ flip, 0x01000193);
    even ^= even >>> 15;
    odd ^= odd >>> 15;
  }
  return mix(mix(even, odd), cover(bytes, at, end, mask, flip)) | 0;
}

/** Four bytes, the highest first. */
export function putNumber(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function numberAt(bytes: Uint8Array, at: number): number {
  const high = (bytes[at]! << 24) | (bytes[at + 1]! << 16);
  return (high | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Cuts what comes into records. */
export class RecordReader {
  private bytes: Buffer = NOTHING;
  private at = 0;

  add(bytes: Buffer): void {
    this.bytes = this.at === this.bytes.length ? bytes : bothOf(this.rest, bytes);
    this.at = 0;
  }

  /** What has come of a record that is not whole yet. */
  get rest(): Buffer {
    return this.at === 0 ? this.bytes : this.bytes.subarray(this.at);
  }

  /** The next whole record; null: more is needed. `bad`: it can't be one. */
  next(): { kind: number; body: Buffer } | 'bad' | 'too-long' | null {
    const { bytes, at } = this;
    if (bytes.length - at < HEAD_BYTES) return null;
    const kind = bytes[at]!;
    if (kind < Kind.change || kind > Kind.data || bytes[at + 1] !== 3) return 'bad';
    const length = (bytes[at + 3]! << 8) | bytes[at + 4]!;
    if (length > (kind === Kind.data ? SEALED_MAX : RECORD_MAX)) return 'too-long';
    const end = at + HEAD_BYTES + length;
    if (bytes.length < end) return null;
    this.at = end;
    return { kind, body: bytes.subarray(at + HEAD_BYTES, end) };
  }
}

const NOTHING: Buffer = Buffer.alloc(0);
