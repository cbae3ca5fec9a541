// What an actor sends on its streams: heads at once, content as windows allow.
import { joined, partOf, roomFor } from '../../kernel/bytes.ts';
import { END_HEADERS, END_STREAM, frame, numbers, PADDED, PRIORITY, Type } from './frames.ts';
import type { Field } from './hpack.ts';
import type { Peer, PeerStream } from './peer.ts';

const FRAME_MAX = 16_384;
/** Padding and priority of a header block. */
const AROUND_BYTES = 100;
const NOTHING = Buffer.alloc(0);

interface Content {
  readonly stream: PeerStream;
  bytes: Buffer;
  /** Bytes of a frame, about. */
  readonly pieceBytes: number;
  readonly isLast: boolean;
  readonly trailers: readonly Field[];
}

export class Outgoing {
  private readonly peer: Peer;
  /** In the order in which they were written. */
  private waiting: Content[] = [];
  /** Nothing more is sent. */
  isStopped = false;

  constructor(peer: Peer) {
    this.peer = peer;
  }

  /** Sends a header block, in one frame or several. */
  fields(stream: PeerStream, fields: readonly Field[], isLast: boolean): void {
    const { peer } = this;
    if (isLast) stream.isLocalDone = true;
    this.block(stream.id, peer.encoder.encode(fields), isLast);
  }

  block(id: number, block: Buffer, isLast: boolean): void {
    const { peer } = this;
    const { chance, manner } = peer.setting;
    const end = isLast ? END_STREAM : 0;
    const isSplit = chance.happens(manner.splitShare) || block.length > FRAME_MAX;
    const first = isSplit
      ? chance.int(0, Math.min(block.length, FRAME_MAX - AROUND_BYTES))
      : block.length;
    peer.write(this.headers(id, end | (isSplit ? 0 : END_HEADERS), partOf(block, 0, first)));
    for (let at = first, count = 0; isSplit; count += 1) {
      const most = Math.min(block.length - at, FRAME_MAX);
      // An empty one may come as well; in the end all of it has to go.
      const bytes = count > 4 ? most : chance.int(0, most);
      const isEnd = at + bytes === block.length;
      const part = block.subarray(at, at + bytes);
      peer.write(frame(Type.continuation, isEnd ? END_HEADERS : 0, id, part));
      at += bytes;
      if (isEnd) return;
    }
  }

  private headers(id: number, flags: number, block: Buffer): Buffer {
    const { chance, manner } = this.peer.setting;
    const padding = chance.happens(manner.paddedShare) ? chance.int(0, 60) : -1;
    const hasPriority = chance.happens(manner.paddedShare);
    const parts: Buffer[] = [];
    if (padding >= 0) parts.push(Buffer.of(padding));
    if (hasPriority) parts.push(numbers(chance.int(0, 1) * 0x8000_0000), Buffer.of(16));
    parts.push(block);
    if (padding > 0) parts.push(Buffer.alloc(padding));
    const all = (padding >= 0 ? PADDED : 0) | (hasPriority ? PRIORITY : 0);
    return frame(Type.headers, flags | all, id, joined(parts));
  }

  /** Sends content, by and by if the windows are full. `trailers`: none where they are empty. */
  content(
    stream: PeerStream,
    bytes: Buffer,
    isLast: boolean,
    trailers: readonly Field[] = [],
  ): void {
    const { chance, manner } = this.peer.setting;
    const cuts = manner.cuts === 1 ? 1 : chance.int(1, manner.cuts);
    const pieceBytes = Math.min(FRAME_MAX, Math.max(1, Math.ceil(bytes.length / cuts)));
    this.waiting.push({ stream, bytes, pieceBytes, isLast, trailers });
    this.pump();
  }

  has(stream: PeerStream): boolean {
    return this.waiting.some((one) => one.stream === stream);
  }

  drop(stream: PeerStream): void {
    this.waiting = this.waiting.filter((one) => one.stream !== stream);
  }

  /** Sends as far as windows allow: what waits for its stream's holds up no other. */
  pump(): void {
    if (this.waiting.length === 0 || this.isStopped) return;
    const { waiting } = this;
    const stuck = new Set<PeerStream>();
    const done: PeerStream[] = [];
    this.waiting = waiting.filter((one) => {
      if (stuck.has(one.stream)) return true;
      if (this.push(one)) {
        done.push(one.stream);
        return false;
      }
      stuck.add(one.stream);
      return true;
    });
    for (const stream of done) if (!this.has(stream)) stream.handler?.onSent?.();
  }

  /** Whether all of it went. */
  private push(one: Content): boolean {
    const { peer } = this;
    const { stream } = one;
    while (one.bytes.length > 0) {
      const most = Math.min(one.bytes.length, one.pieceBytes, stream.send, peer.send);
      if (most <= 0) return false;
      const isEnd = one.isLast && most === one.bytes.length && one.trailers.length === 0;
      const { bytes } = one;
      this.data(stream, partOf(bytes, 0, most), isEnd);
      one.bytes = most === bytes.length ? NOTHING : bytes.subarray(most);
    }
    if (!one.isLast || stream.isLocalDone) return true;
    if (one.trailers.length > 0) this.fields(stream, one.trailers, true);
    else this.data(stream, NOTHING, true);
    return true;
  }

  /** One frame of DATA, whatever the windows say. */
  data(stream: PeerStream, bytes: Buffer, isLast: boolean): void {
    const { peer } = this;
    const { chance, manner } = peer.setting;
    const room = Math.min(FRAME_MAX, stream.send, peer.send) - bytes.length - 1;
    const isPadded = room > 0 && chance.happens(manner.paddedShare);
    const padding = isPadded ? chance.int(0, Math.min(room, 100)) : 0;
    const payload = isPadded ? padded(bytes, padding) : bytes;
    stream.send -= payload.length;
    peer.send -= payload.length;
    if (isLast) stream.isLocalDone = true;
    const flags = (isLast ? END_STREAM : 0) | (isPadded ? PADDED : 0);
    peer.write(frame(Type.data, flags, stream.id, payload));
  }
}

function padded(bytes: Buffer, padding: number): Buffer {
  const all = roomFor(1 + bytes.length + padding);
  all[0] = padding;
  all.set(bytes, 1);
  all.fill(0, 1 + bytes.length);
  return all;
}
