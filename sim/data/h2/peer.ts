// One side of an HTTP/2 connection as an actor has it (RFC 9113): streams, windows, settings. Whatever
// the product does that it must not is thrown; what the actor does is up to the actor.
import { joined, partOf } from '../../kernel/bytes.ts';
import type { Chance } from '../../kernel/chance.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { ActorEnd } from '../../net/actor-end.ts';
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  type Frame,
  FrameCutter,
  frame,
  numbers,
  PADDED,
  PREFACE,
  PRIORITY,
  Setting,
  settings,
  Type,
} from './frames.ts';
import { DEFAULT_WINDOW, Giving } from './giving.ts';
import { Decoder, Encoder, type Field } from './hpack.ts';
import type { PeerManner } from './manner.ts';
import { Outgoing } from './outgoing.ts';

const WINDOW_MAX = 0x7fff_ffff;
const OPENING = [[Setting.window, DEFAULT_WINDOW]] as const;
/** What is asked of the product is answered within so long, but on a narrow link, ms. */
const REPLY_MS = 5000;

/** Who has a stream. A call may end it. */
export interface StreamHandler {
  /** A head, or trailers where one has come. */
  onFields(fields: readonly Field[], isLast: boolean): void;
  onData(bytes: Buffer, isLast: boolean): void;
  /** The product has reset it. */
  onReset(code: number): void;
  /** Everything that was written has gone to the network. */
  onSent?(): void;
}

export class PeerStream {
  readonly id: number;
  handler: StreamHandler | null = null;
  /** Bytes that we may send. */
  send: number;
  readonly giving: Giving;
  isLocalDone = false;
  isRemoteDone = false;
  /** Ended by RST_STREAM, of ours or of the product's. */
  isResetHere = false;
  isResetThere = false;
  /** The product knows that it is gone. */
  isDead = false;

  constructor(id: number, send: number, giving: Giving) {
    this.id = id;
    this.send = send;
    this.giving = giving;
  }

  get isClosed(): boolean {
    return this.isResetHere || this.isResetThere || (this.isLocalDone && this.isRemoteDone);
  }
}

export interface PeerOwner {
  /** Server: a stream was opened; sets its handler. */
  onStream(stream: PeerStream): void;
  /** The product takes streams up to `lastId`. */
  onGoaway(lastId: number, code: number): void;
}

export interface PeerSetting {
  readonly kernel: Kernel;
  readonly end: ActorEnd;
  readonly chance: Chance;
  readonly manner: PeerManner;
  readonly isServer: boolean;
  readonly owner: PeerOwner;
  /** The product breaks a promise, found later than while something was read. */
  readonly onWrong: (text: string) => void;
  /** Links may be so slow that nothing can be said of times. */
  readonly isNarrow: boolean;
}

type Pairs = readonly (readonly [id: number, value: number])[];

export class Peer {
  readonly setting: PeerSetting;
  readonly streams = new Map<number, PeerStream>();
  /** Those that were not closed when they were counted last, and new ones. */
  private readonly live: PeerStream[] = [];
  readonly encoder: Encoder;
  /** The product's settings. */
  initialWindow = DEFAULT_WINDOW;
  maxStreams = Number.POSITIVE_INFINITY;
  takesTunnels = false;
  /** Highest id that was seen. */
  lastId = 0;
  /** Nothing is read or written any more. */
  isOver = false;
  /** Of what we may send on all streams. */
  send = DEFAULT_WINDOW;
  readonly outgoing: Outgoing;
  private readonly cutter = new FrameCutter();
  private readonly decoder = new Decoder();
  private readonly giving: Giving;
  /** SETTINGS of ours that were not acknowledged. */
  private readonly unsettled: Pairs[] = [];
  private streamWindow = DEFAULT_WINDOW;
  private streamsTaken = Number.POSITIVE_INFINITY;
  private readonly pings: { readonly content: Buffer; readonly done: () => void }[] = [];
  private prefaceLeft: number;
  private hasSettings = false;
  private block: { id: number; flags: number; parts: Buffer[] } | null = null;
  private goawayId = WINDOW_MAX;
  /** Streams get nothing until SETTINGS have opened their windows. */
  isShut: boolean;
  /** A window may be as large as can be: SETTINGS that enlarge it would be a fault of the connection. */
  private isBrimful = false;

  constructor(setting: PeerSetting) {
    const { chance, isServer, kernel, manner } = setting;
    this.setting = setting;
    this.encoder = new Encoder(chance);
    this.outgoing = new Outgoing(this);
    this.isShut = manner.opensMs > 0;
    this.prefaceLeft = isServer ? PREFACE.length : 0;
    this.giving = new Giving(this, 0, DEFAULT_WINDOW);
    if (!isServer) this.write(PREFACE);
    this.settle(manner.settings);
    if (manner.opensMs > 0) kernel.after(manner.opensMs, () => this.settle(OPENING));
    const more = manner.connectionWindow - DEFAULT_WINDOW;
    if (more > 0) this.giving.give(more);
  }

  write(bytes: Buffer): void {
    if (!this.isOver) this.setting.end.write(bytes);
  }

  /** Says SETTINGS; they hold when the product has acknowledged them. */
  settle(pairs: Pairs): void {
    if (this.isOver || this.setting.end.isClosed || this.outgoing.isStopped) return;
    if (this.isBrimful) return;
    this.unsettled.push(pairs);
    this.write(settings(pairs));
    this.expect(() => this.unsettled.includes(pairs), 'SETTINGS');
  }

  /**
   * Enlarges the window of a stream as no window may be, unless all of it was used. Returns false where SETTINGS
   * have yet to open it.
   */
  overfill(stream: PeerStream): boolean {
    if (this.isShut) return false;
    this.isBrimful = true;
    stream.giving.give(WINDOW_MAX);
    return true;
  }

  ping(done: () => void): void {
    const content = numbers(this.setting.chance.int(0, 2 ** 31), this.pings.length);
    const ping = { content, done };
    this.pings.push(ping);
    this.write(frame(Type.ping, 0, 0, content));
    this.expect(() => this.pings.includes(ping), 'PING');
  }

  private expect(isOpen: () => boolean, what: string): void {
    const { kernel, isNarrow, onWrong, end } = this.setting;
    if (isNarrow) return;
    kernel.after(REPLY_MS, () => {
      // Of whoever has broken a rule nobody notes what is answered.
      const isHeard = !this.isOver && !end.isClosed && !this.outgoing.isStopped;
      if (isHeard && end.isFlushed && isOpen())
        onWrong(`${what} is not answered for ${REPLY_MS} ms`);
    });
  }

  /** Opens a stream of ours. */
  open(id: number): PeerStream {
    const stream = this.add(id);
    this.lastId = id;
    return stream;
  }

  private add(id: number): PeerStream {
    const stream = new PeerStream(id, this.initialWindow, new Giving(this, id, this.streamWindow));
    this.streams.set(id, stream);
    this.live.push(stream);
    return stream;
  }

  /** Streams that are not closed, as far as we know: none opens again, and a connection may have had hundreds. */
  get openCount(): number {
    const { live } = this;
    let count = 0;
    for (let i = 0; i < live.length; i += 1) {
      const stream = live[i]!;
      if (stream.isClosed) continue;
      live[count] = stream;
      count += 1;
    }
    while (live.length > count) live.pop();
    return count;
  }

  reset(stream: PeerStream, code: number): void {
    if (stream.isClosed) return;
    stream.isResetHere = true;
    this.outgoing.drop(stream);
    this.write(frame(Type.reset, 0, stream.id, numbers(code)));
    // What the product sends when it has read this and answered is not for this stream.
    if (this.setting.chance.happens(0.3)) {
      this.ping(() => {
        stream.isDead = true;
      });
    }
  }

  goaway(lastId: number, code: number): void {
    this.goawayId = lastId;
    this.write(frame(Type.goaway, 0, 0, numbers(lastId, code)));
  }

  stop(): void {
    this.isOver = true;
    this.cutter.stop();
  }

  // What comes

  private readonly taking = (one: Frame): void => this.take(one);

  feed(bytes: Buffer): void {
    if (this.isOver) return;
    let at = 0;
    while (this.prefaceLeft > 0 && at < bytes.length) {
      if (bytes[at] !== PREFACE[PREFACE.length - this.prefaceLeft]) throw new Error('no preface');
      this.prefaceLeft -= 1;
      at += 1;
    }
    this.cutter.feed(at === 0 ? bytes : bytes.subarray(at), this.taking);
  }

  private take(one: Frame): void {
    const { type, flags, id, payload } = one;
    if (!this.hasSettings && type !== Type.settings)
      throw new Error(`type ${type} before SETTINGS`);
    if (this.block !== null && type !== Type.continuation)
      throw new Error(`type ${type} in a block`);
    switch (type) {
      case Type.data:
        return this.takeData(one);
      case Type.headers:
        this.block = { id, flags, parts: [unpadded(one)] };
        return this.takeBlockEnd(flags);
      case Type.continuation:
        if (this.block?.id !== id) throw new Error('CONTINUATION of another block');
        this.block.parts.push(payload);
        return this.takeBlockEnd(flags);
      case Type.reset:
        return this.takeReset(id, payload.readUInt32BE(0));
      case Type.settings:
        return (flags & ACK) !== 0 ? this.takeSettled() : this.takeSettings(payload);
      case Type.ping:
        return (flags & ACK) !== 0
          ? this.takePong(payload)
          : this.write(frame(Type.ping, ACK, 0, Buffer.from(payload)));
      case Type.goaway:
        return this.setting.owner.onGoaway(payload.readUInt32BE(0), payload.readUInt32BE(4));
      case Type.window:
        return this.takeWindow(id, payload.readUInt32BE(0));
      default:
        throw new Error(`a frame of type ${type}`);
    }
  }

  private takeData(one: Frame): void {
    const { id, flags, payload } = one;
    this.giving.taken(payload.length);
    const stream = this.known(id, 'DATA');
    if (stream === null) return;
    stream.giving.taken(payload.length);
    if (stream.isResetHere) return;
    const bytes = unpadded(one);
    stream.isRemoteDone = (flags & END_STREAM) !== 0;
    if (bytes.length > 0 || stream.isRemoteDone) stream.handler?.onData(bytes, stream.isRemoteDone);
  }

  private takeBlockEnd(flags: number): void {
    if ((flags & END_HEADERS) === 0) return;
    const { id, flags: first, parts } = this.block!;
    this.block = null;
    const fields = this.decoder.decode(joined(parts));
    const isLast = (first & END_STREAM) !== 0;
    const isNew = this.setting.isServer && id % 2 === 1 && id > this.lastId;
    const stream = isNew ? this.accept(id) : this.known(id, 'HEADERS');
    if (stream === null || stream.isResetHere) return;
    stream.isRemoteDone = isLast;
    stream.handler?.onFields(fields, isLast);
  }

  /** The product opens a stream here. */
  private accept(id: number): PeerStream | null {
    if (this.openCount >= this.streamsTaken)
      throw new Error(`stream ${id}, though ${this.openCount} are open`);
    this.lastId = id;
    const stream = this.add(id);
    // On its way when we said that no more are taken.
    if (id > this.goawayId) {
      stream.isResetHere = true;
      return stream;
    }
    this.setting.owner.onStream(stream);
    return stream;
  }

  /** The stream that a frame with content is for; null: it was refused here. */
  private known(id: number, what: string): PeerStream | null {
    const stream = this.streams.get(id);
    if (stream === undefined) throw new Error(`${what} on stream ${id}, which is nobody's`);
    if (stream.isRemoteDone) throw new Error(`${what} on stream ${id} after its end`);
    if (stream.isResetThere)
      throw new Error(`${what} on stream ${id}, which the product has reset`);
    if (stream.isDead) throw new Error(`${what} on stream ${id}, whose reset it has read`);
    return stream;
  }

  private takeReset(id: number, code: number): void {
    const stream = this.streams.get(id);
    if (stream === undefined) throw new Error(`RST_STREAM of stream ${id}, which is nobody's`);
    if (stream.isResetThere) throw new Error(`RST_STREAM of stream ${id} again`);
    const wasHere = stream.isResetHere;
    stream.isResetThere = true;
    this.outgoing.drop(stream);
    if (!wasHere) stream.handler?.onReset(code);
  }

  private takeSettings(payload: Buffer): void {
    this.hasSettings = true;
    for (let at = 0; at < payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      const id = payload.readUInt16BE(at);
      if (id === Setting.streams) this.maxStreams = value;
      else if (id === Setting.tableBytes) this.encoder.setMax(value);
      else if (id === Setting.tunnels) this.takesTunnels = value === 1;
      else if (id === Setting.window) {
        for (const stream of this.streams.values()) stream.send += value - this.initialWindow;
        this.initialWindow = value;
      }
    }
    this.write(frame(Type.settings, ACK, 0, Buffer.alloc(0)));
    this.outgoing.pump();
  }

  /** Ours hold from now on. */
  private takeSettled(): void {
    const pairs = this.unsettled.shift();
    if (pairs === undefined) {
      if (this.outgoing.isStopped) return;
      throw new Error('an ACK of no SETTINGS');
    }
    for (const [id, value] of pairs) {
      if (id === Setting.tableBytes) this.decoder.setMax(value);
      else if (id === Setting.frameBytes) this.cutter.max = value;
      else if (id === Setting.streams) this.streamsTaken = value;
      else if (id === Setting.window) {
        if (pairs === OPENING) this.isShut = false;
        for (const { giving } of this.streams.values()) giving.widen(value - this.streamWindow);
        this.streamWindow = value;
      }
    }
  }

  private takePong(payload: Buffer): void {
    // Whoever breaks rules has sent what is not written down here.
    if (this.outgoing.isStopped) return;
    const ping = this.pings.shift();
    if (ping === undefined || !ping.content.equals(payload)) throw new Error('an ACK of no PING');
    ping.done();
  }

  private takeWindow(id: number, increment: number): void {
    if (increment === 0) throw new Error('WINDOW_UPDATE of 0');
    if (id === 0) this.send += increment;
    else {
      const stream = this.streams.get(id);
      if (stream === undefined) throw new Error(`WINDOW_UPDATE of stream ${id}`);
      if (stream.isDead || stream.isResetThere)
        throw new Error(`WINDOW_UPDATE of reset stream ${id}`);
      stream.send += increment;
      if (stream.send > WINDOW_MAX) throw new Error(`a window of ${stream.send} bytes`);
    }
    if (this.send > WINDOW_MAX) throw new Error(`a window of ${this.send} bytes`);
    this.outgoing.pump();
  }
}

/** What lies in a frame of DATA or HEADERS. */
function unpadded({ flags, payload, type }: Frame): Buffer {
  let start = 0;
  let { length: end } = payload;
  if ((flags & PADDED) !== 0) {
    start = 1;
    end -= payload[0]!;
  }
  if (type === Type.headers && (flags & PRIORITY) !== 0) start += 5;
  if (start > end) throw new Error('padding that is longer than its frame');
  return partOf(payload, start, end);
}
