// A TCP connection as two systems' kernels keep it: bytes, the end and the reset between two ends.
// Data before FIN, always in order; closing with unread bytes resets; bytes for an end that is closed
// reset; a reset may destroy what was not read.
import { joined, roomFor } from '../kernel/bytes.ts';
import type { Chance } from '../kernel/chance.ts';
import { Fifo } from '../kernel/fifo.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Weather } from './weather.ts';

/** Pieces that one write is cut into at most. */
const PIECES_MAX = 4;
/** Share of ends whose writes of one moment arrive together, as one segment does; those of others come one by one. */
const GATHERED_SHARE = 0.8;
/** Goes before what arrives together. */
const TOGETHER = null;
/** Of what arrives together the last: the peer sends no more. */
const FIN = Buffer.alloc(0);

/** Who reads and writes at an end. */
export interface TcpOwner {
  /** Bytes, the end or a reset have arrived. */
  onReadable(): void;
  /** A send that was not taken whole may be repeated; also after a reset, which it then finds. */
  onWritable(): void;
}

export class TcpEnd {
  owner: TcpOwner | null = null;
  /** Bytes that have arrived and were not read. */
  readable = 0;
  /** The peer will send no more, and all it sent has arrived. */
  hasFin = false;
  isReset = false;
  isClosed = false;
  /** Told of what the system takes. */
  onSent: ((count: number) => void) | null = null;
  /** Null until the two ends are joined. */
  private peer: TcpEnd | null = null;
  private readonly kernel: Kernel;
  private readonly chance: Chance;
  private readonly weather: Weather;
  private readonly pieces = new Fifo<Buffer>();
  /** Offset into the first piece. */
  private offset = 0;
  /** Bytes that were sent and that the peer did not read. */
  private unread = 0;
  private isShort = false;
  /** What is about to tell the owner that there is room again, where there still is. */
  private isWaking = false;
  private readonly wake = (): void => {
    this.isWaking = false;
    if (!this.isShort || this.unread >= this.weather.windowBytes) return;
    this.isShort = false;
    this.owner?.onWritable();
  };
  private hasShutdown = false;
  /** Nothing sent later arrives before this. */
  private lastArrivalMs = 0;
  /** What is on its way to the peer, in the order in which it arrives. After a loss nothing is sent any more. */
  private readonly flying = new Fifo<Buffer | typeof TOGETHER>();
  /** Writes of one moment arrive together. */
  private readonly gathers: boolean;
  /** When the last piece was sent, and when it arrives: what does either at the same moment may join it. */
  private lastSentMs = -1;
  private lastLandMs = -1;
  /** One for all that arrives: a closure for each would cost more than its bytes. */
  private readonly land = (): void => {
    const { flying } = this;
    // Lost, with all behind it.
    if (flying.shift() === undefined) return;
    const peer = this.peer!;
    let count = 0;
    let isLast = false;
    while (flying.size > 0 && flying.peek() !== TOGETHER) {
      const piece = flying.shift()!;
      if (piece === FIN) isLast = true;
      else count += peer.take(piece);
    }
    peer.arrived(count);
    if (isLast) peer.ended();
  };
  /** Raised when what is on its way to the peer is lost. */
  private flight = 0;

  constructor(kernel: Kernel, chance: Chance, weather: Weather) {
    this.kernel = kernel;
    this.chance = chance;
    this.weather = weather;
    this.gathers = chance.happens(GATHERED_SHARE);
  }

  /** Joins two ends; nothing that `server` sends arrives before `openMs`. */
  static join(client: TcpEnd, server: TcpEnd, openMs: number): void {
    client.peer = server;
    server.peer = client;
    server.lastArrivalMs = openMs;
  }

  get latencyMs(): number {
    const { latencyMs } = this.weather;
    return this.chance.between(latencyMs[0], latencyMs[1]);
  }

  /** Hands bytes to the system, which copies them; returns how many it took, or -1: it is reset. */
  send(bytes: Buffer): number {
    const count = this.takes(bytes);
    if (count > 0) {
      const copy = roomFor(count);
      copy.set(count === bytes.length ? bytes : bytes.subarray(0, count));
      this.dispatch(copy);
    }
    return count;
  }

  /** As `send`, of bytes that nobody will ever change: there is no copy. */
  sendShared(bytes: Buffer): number {
    const count = this.takes(bytes);
    if (count > 0) this.dispatch(count === bytes.length ? bytes : bytes.subarray(0, count));
    return count;
  }

  /** How many of these bytes the system takes now; -1: it is reset. */
  private takes(bytes: Buffer): number {
    if (this.isReset) return -1;
    const room = Math.min(bytes.length, this.weather.windowBytes - this.unread);
    const isPart = room > 1 && this.chance.happens(this.weather.partialShare);
    const count = isPart ? this.chance.int(1, room - 1) : Math.max(0, room);
    if (count < bytes.length) {
      this.isShort = true;
      if (count < room) this.wakeLater();
    }
    return count;
  }

  /** Takes all bytes that have arrived; they are the caller's. */
  receiveAll(): Buffer {
    const { pieces, offset, readable } = this;
    let all = pieces.shift()!;
    if (pieces.size > 0) all = joined([all, ...pieces.takeAll()]);
    this.offset = 0;
    this.readable = 0;
    this.peer!.wasRead(readable);
    return offset === 0 ? all : all.subarray(offset);
  }

  /** Takes bytes that have arrived, as many as fit; returns how many. */
  receive(target: Buffer): number {
    let count = 0;
    while (count < target.length && this.pieces.size > 0) {
      const piece = this.pieces.peek()!;
      const { offset } = this;
      const part = Math.min(piece.length - offset, target.length - count);
      const isWhole = part === piece.length;
      target.set(isWhole ? piece : piece.subarray(offset, offset + part), count);
      count += part;
      this.offset += part;
      if (this.offset < piece.length) break;
      this.pieces.shift();
      this.offset = 0;
    }
    this.readable -= count;
    this.peer!.wasRead(count);
    return count;
  }

  /** Sends FIN after what was sent. */
  shutdown(): void {
    if (this.hasShutdown || this.isReset || this.peer === null) return;
    this.hasShutdown = true;
    const joins = this.gathers && this.flying.size > 0 && this.kernel.nowMs === this.lastSentMs;
    if (joins) this.flying.push(FIN);
    else this.arriveLater(() => this.peer!.ended());
  }

  /** Closes both directions, as close(2). */
  close(): void {
    if (this.isClosed) return;
    if (this.readable > 0) this.abort();
    else {
      this.shutdown();
      this.leave();
    }
  }

  /** Closes with RST. */
  abort(): void {
    if (this.isClosed) return;
    this.leave();
    if (!this.isReset && this.peer !== null) this.sendReset();
  }

  private leave(): void {
    this.isClosed = true;
    this.owner = null;
    this.drop();
  }

  private sendReset(): void {
    if (this.chance.happens(this.weather.lossyResetShare)) {
      this.flight += 1;
      this.flying.clear();
      this.lastArrivalMs = this.kernel.nowMs;
      this.arriveLater(() => this.peer!.wasReset(true));
    } else this.arriveLater(() => this.peer!.wasReset(false));
  }

  private dispatch(bytes: Buffer): void {
    this.onSent?.(bytes.length);
    this.unread += bytes.length;
    const isSplit = bytes.length > 1 && this.chance.happens(this.weather.splitShare);
    if (!isSplit) return this.sendPiece(bytes, this.gathers);
    const cuts = this.chance.int(1, Math.min(PIECES_MAX, bytes.length) - 1);
    let start = 0;
    for (let i = 0; i < cuts && start < bytes.length - 1; i += 1) {
      const end = this.chance.int(start + 1, bytes.length - 1);
      this.sendPiece(bytes.subarray(start, end), false);
      start = end;
    }
    this.sendPiece(bytes.subarray(start), false);
  }

  /** `mayJoin`: it may arrive with what was sent before. */
  private sendPiece(piece: Buffer, mayJoin: boolean): void {
    const { flying, kernel } = this;
    if (!mayJoin || flying.size === 0 || !this.joins()) {
      if (!mayJoin || flying.size === 0) this.nextArrivalMs();
      flying.push(TOGETHER);
      this.lastLandMs = this.lastArrivalMs;
      kernel.at(this.lastLandMs, this.land);
    }
    this.lastSentMs = kernel.nowMs;
    flying.push(piece);
  }

  /** Whether what is sent now arrives together with what is on its way; if it does not, draws when it arrives. */
  private joins(): boolean {
    return this.kernel.nowMs === this.lastSentMs || this.nextArrivalMs() === this.lastLandMs;
  }

  private nextArrivalMs(): number {
    this.lastArrivalMs = Math.max(this.kernel.nowMs + this.latencyMs, this.lastArrivalMs);
    return this.lastArrivalMs;
  }

  /** Calls `run` after the latency, and after whatever was sent before; not if it is lost. */
  private arriveLater(run: () => void): void {
    const { flight } = this;
    this.kernel.at(this.nextArrivalMs(), () => {
      if (this.flight === flight) run();
    });
  }

  /** A piece that has come, with others or alone; returns how many bytes it has. */
  private take(piece: Buffer): number {
    if (!this.isReset && !this.isClosed) {
      this.pieces.push(piece);
      this.readable += piece.length;
    }
    return piece.length;
  }

  /** All of what comes together is there. */
  private arrived(count: number): void {
    if (this.isReset || count === 0) return;
    if (this.isClosed) {
      this.isReset = true;
      this.sendReset();
      return;
    }
    this.owner?.onReadable();
  }

  private ended(): void {
    this.hasFin = true;
    this.owner?.onReadable();
  }

  /** Linux lets bytes that arrived be read before the reset is told; a lost packet takes them. */
  private wasReset(isLossy: boolean): void {
    if (this.isReset) return;
    this.isReset = true;
    if (isLossy) this.drop();
    // The first of the two may close it.
    this.owner?.onReadable();
    this.owner?.onWritable();
  }

  private drop(): void {
    this.pieces.clear();
    this.offset = 0;
    this.readable = 0;
  }

  private wasRead(count: number): void {
    this.unread -= count;
    if (this.isShort && count > 0) this.wakeLater();
  }

  /** Lets the owner send the rest of what was not taken. */
  private wakeLater(): void {
    if (this.isWaking) return;
    this.isWaking = true;
    this.kernel.after(this.latencyMs, this.wake);
  }
}
