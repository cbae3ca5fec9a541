// Frames of HTTP/2 (RFC 9113 section 4) for actors, written apart from the product's.
import { bothOf, roomFor } from '../../kernel/bytes.ts';

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const HEADER_BYTES = 9;

export const Type = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;

export const Code = {
  none: 0,
  protocol: 1,
  internal: 2,
  flow: 3,
  closed: 5,
  size: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
  calm: 11,
} as const;

export const Setting = {
  tableBytes: 1,
  push: 2,
  streams: 3,
  window: 4,
  frameBytes: 5,
  tunnels: 8,
} as const;

export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;
export const PADDED = 8;
export const PRIORITY = 32;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

/** One frame. `length` lies about how long it is. */
export function frame(
  type: number,
  flags: number,
  id: number,
  payload: Buffer,
  length = -1,
): Buffer {
  const bytes = roomFor(HEADER_BYTES + payload.length);
  const told = length < 0 ? payload.length : length;
  bytes[0] = told >>> 16;
  bytes[1] = told >>> 8;
  bytes[2] = told;
  bytes[3] = type;
  bytes[4] = flags;
  bytes[5] = id >>> 24;
  bytes[6] = id >>> 16;
  bytes[7] = id >>> 8;
  bytes[8] = id;
  if (payload.length > 0) bytes.set(payload, HEADER_BYTES);
  return bytes;
}

export function numbers(...values: readonly number[]): Buffer {
  const bytes = roomFor(values.length * 4);
  values.forEach((value, i) => {
    bytes.writeUInt32BE(value >>> 0, i * 4);
  });
  return bytes;
}

export function settings(pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const bytes = roomFor(pairs.length * 6);
  pairs.forEach(([id, value], i) => {
    bytes.writeUInt16BE(id, i * 6);
    bytes.writeUInt32BE(value, i * 6 + 2);
  });
  return frame(Type.settings, 0, 0, bytes);
}

function numberAt(bytes: Buffer, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** Cuts what comes into frames. Throws for a frame that is larger than it may be. */
export class FrameCutter {
  /** What may come as the payload of one frame. */
  max = 16_384;
  private rest: Buffer | null = null;
  private isStopped = false;

  stop(): void {
    this.isStopped = true;
  }

  feed(bytes: Buffer, take: (frame: Frame) => void): void {
    const data = this.rest === null ? bytes : bothOf(this.rest, bytes);
    this.rest = null;
    let at = 0;
    while (!this.isStopped && data.length - at >= HEADER_BYTES) {
      const length = (data[at]! << 16) | (data[at + 1]! << 8) | data[at + 2]!;
      if (length > this.max) throw new Error(`a frame of ${length} bytes`);
      const end = at + HEADER_BYTES + length;
      if (end > data.length) break;
      const payload = data.subarray(at + HEADER_BYTES, end);
      const id = numberAt(data, at + 5) & 0x7fff_ffff;
      const one = { type: data[at + 3]!, flags: data[at + 4]!, id, payload };
      at = end;
      take(one);
    }
    if (at < data.length && !this.isStopped) this.rest = at === 0 ? data : data.subarray(at);
  }
}
