// A TCP connection as two systems' kernels keep it: bytes, the end and the reset between two ends.
// Data before FIN, always in order; closing with unread bytes resets; bytes for an end that is closed
// reset; a reset may destroy what was not read.
import { roomFor } from '../kernel/bytes.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Weather } from './weather.ts';

/** Pieces that one write is cut into at most. */
const PIECES_MAX = 4;

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
  private readonly pieces: Buffer[] = [];
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
  private readonly flying: Buffer[] = [];
  /** One for all that arrives: a closure for each would cost more than its bytes. */
  private readonly land = (): void => {
    const piece = this.flying.shift();
    if (piece !== undefined) this.peer!.arrived(piece);
  };
  /** Raised when what is on its way to the peer is lost. */
  private flight = 0;

  constructor(kernel: Kernel, chance: Chance, weather: Weather) {
    this.kernel = kernel;
    this.chance = chance;
    this.weather = weather;
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
    let all = pieces[0]!;
    if (pieces.length > 1) all = Buffer.concat(pieces);
    pieces.length = 0;
    this.offset = 0;
    this.readable = 0;
    this.peer!.wasRead(readable);
    return offset === 0 ? all : all.subarray(offset);
  }

  /** Takes bytes that have arrived, as many as fit; returns how many. */
  receive(target: Buffer): number {
    let count = 0;
    while (count < target.length && this.pieces.length > 0) {
      const piece = this.pieces[0]!;
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
    this.arriveLater(() => {
      this.peer!.hasFin = true;
      this.peer!.owner?.onReadable();
    });
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
      this.flying.length = 0;
      this.lastArrivalMs = this.kernel.nowMs;
      this.arriveLater(() => this.peer!.wasReset(true));
    } else this.arriveLater(() => this.peer!.wasReset(false));
  }

  private dispatch(bytes: Buffer): void {
    this.onSent?.(bytes.length);
    this.unread += bytes.length;
    const isSplit = bytes.length > 1 && this.chance.happens(this.weather.splitShare);
    if (!isSplit) return this.sendPiece(bytes);
    const cuts = this.chance.int(1, Math.min(PIECES_MAX, bytes.length) - 1);
    let start = 0;
    for (let i = 0; i < cuts && start < bytes.length - 1; i += 1) {
      const end = this.chance.int(start + 1, bytes.length - 1);
      this.sendPiece(bytes.subarray(start, end));
      start = end;
    }
    this.sendPiece(bytes.subarray(start));
  }

  private sendPiece(piece: Buffer): void {
    this.flying.push(piece);
    this.kernel.at(this.nextArrivalMs(), this.land);
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

  private arrived(piece: Buffer): void {
    if (this.isReset) return;
    if (this.isClosed) {
      this.isReset = true;
      this.sendReset();
      return;
    }
    this.pieces.push(piece);
    this.readable += piece.length;
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
    this.pieces.length = 0;
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
