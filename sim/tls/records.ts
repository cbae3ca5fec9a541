// Records of the fake TLS: the header and the lengths of RFC 8446 section 5, and in the place of encryption
// a mask that is another one for each record, with a sum over what is below it. What was lost, doubled,
// reordered or came from another connection does not open.
import { roomFor } from '../kernel/bytes.ts';

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

export function hashOf(bytes: Uint8Array, from = 0x811c9dc5): number {
  let hash = from;
  for (let i = 0; i < bytes.length; i += 1) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
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

  seal(kind: number, body: Uint8Array): Buffer {
    const { length } = body;
    const record = roomFor(HEAD_BYTES + length + TAIL_BYTES);
    writeHead(record, Kind.data, length + TAIL_BYTES);
    const mask = this.nextMask();
    let sum = mask;
    for (let i = 0; i < length; i += 1) {
      const byte = body[i]!;
      sum = Math.imul(sum ^ byte, 0x01000193);
      record[HEAD_BYTES + i] = byte ^ (mask >>> (8 * (i & 3)));
    }
    const tail = HEAD_BYTES + length;
    record[tail] = kind ^ (mask & 0xff);
    record.writeUInt32BE(mix(sum, kind), tail + 1);
    record.writeUInt32BE(mask, tail + 5);
    return record;
  }

  /** What a sealed record holds, without its header; null: it is not what was sealed for here. */
  open(sealed: Uint8Array): { kind: number; body: Buffer } | null {
    const length = sealed.length - TAIL_BYTES;
    const mask = this.nextMask();
    if (length < 0) return null;
    const body = roomFor(length);
    let sum = mask;
    for (let i = 0; i < length; i += 1) {
      const byte = (sealed[i]! ^ (mask >>> (8 * (i & 3)))) & 0xff;
      sum = Math.imul(sum ^ byte, 0x01000193);
      body[i] = byte;
    }
    const kind = sealed[length]! ^ (mask & 0xff);
    const view = Buffer.from(sealed.buffer, sealed.byteOffset + length + 1, 8);
    const isWhole = view.readUInt32BE(0) === mix(sum, kind) && view.readUInt32BE(4) === mask;
    return isWhole ? { kind, body } : null;
  }

  private nextMask(): number {
    this.sequence += 1;
    return mix(this.key, this.sequence);
  }
}

/** Cuts what comes into records. */
export class RecordReader {
  private bytes: Buffer = Buffer.alloc(0);

  add(bytes: Buffer): void {
    this.bytes = this.bytes.length === 0 ? bytes : Buffer.concat([this.bytes, bytes]);
  }

  /** What has come of a record that is not whole yet. */
  get rest(): Buffer {
    return this.bytes;
  }

  /** The next whole record; null: more is needed. `bad`: it can't be one. */
  next(): { kind: number; body: Buffer } | 'bad' | 'too-long' | null {
    const { bytes } = this;
    if (bytes.length < HEAD_BYTES) return null;
    const kind = bytes[0]!;
    if (kind < Kind.change || kind > Kind.data || bytes[1] !== 3) return 'bad';
    const length = bytes.readUInt16BE(3);
    if (length > (kind === Kind.data ? SEALED_MAX : RECORD_MAX)) return 'too-long';
    if (bytes.length < HEAD_BYTES + length) return null;
    this.bytes = bytes.subarray(HEAD_BYTES + length);
    return { kind, body: bytes.subarray(HEAD_BYTES, HEAD_BYTES + length) };
  }
}
