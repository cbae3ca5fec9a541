// One HTTP/2 connection without its socket (RFC 9113 sections 3 to 8): bytes in by `feed`, frames out in
// `out`, and streams in between. It keeps the rules of either role, the windows, and the bounds.
// What comes is given to the users of streams as it comes; what waits for a window waits in its stream
// and holds up no other. Nothing here knows requests: see StreamUser and SessionOwner.
import { assert } from '../base/assert.ts';
import { Cost, FloodGuard } from './flood-guard.ts';
import { Found, FrameReader } from './frame-reader.ts';
import { FrameWriter } from './frame-writer.ts';
import { encodeRequest, encodeResponse, encodeTrailers } from './head-block.ts';
import type { HeadText } from './head-text.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { PeerSettings } from './peer-settings.ts';
import {
  DEFAULT_TABLE_BYTES,
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FRAME_BYTES_MAX,
  FrameType,
  MAX_31,
  PREFACE,
  SettingId,
} from './protocol.ts';
import { type Content, Stream, type StreamUser } from './stream.ts';

/** Who has the connection. */
export interface SessionOwner {
  /** Server: a request's head has come; `text` counts until this returns. Sets the stream's user. */
  onRequest(stream: Stream, text: HeadText, isLast: boolean): void;
  /** Server: a request was malformed, and its stream was reset. */
  onMalformed(text: HeadText): void;
  /** Something lies in `out`. Often called; to be cheap. */
  onOutput(): void;
  /** Much lies in `out`: it is to be sent now. */
  onFull(): void;
  /** A stream has ended, whichever way. */
  onStreamClosed(): void;
  /** The peer takes no more streams, or those alone that it began to work on. */
  onGoaway(code: number): void;
  /** The peer has broken a rule of the connection: GOAWAY is in `out`, and nothing more is taken. */
  onFault(code: number, why: string): void;
}

export interface SessionOptions {
  readonly isServer: boolean;
  /** Where heads are put together; shared with others, for it is used in one go. */
  readonly text: HeadText;
  /** Streams that the peer may have open; a client's peer may open none. */
  readonly streams: number;
  /** What the peer may send on a stream, and on all together, before it is taken. */
  readonly streamWindow: number;
  readonly connectionWindow: number;
  /** Monotonic ms; coarse ticks are enough. */
  readonly nowMs: () => number;
}

/** Bounds of the heads that come; they may change from one to the next. */
export interface HeadBounds {
  readonly headBytes: number;
  readonly fieldCount: number;
}

/** Output from which on it is sent at once. */
const FULL_BYTES = 32 * 1024;
/** Replies to what a peer sends, while it takes nothing: then it is no peer. */
const UNTAKEN_BYTES_MAX = 256 * 1024;
const NOTHING = Buffer.alloc(0);
const PING = Buffer.from('upriver.');
/** Ids of streams that we have reset, on which the peer may still be sending. */
const RESETS_KEPT = 256;
/** Content of fewer bytes waits for what has come with it. */
const SMALL_BYTES = 512;
/** A header block, compressed. What it decodes to is bounded by HeadBounds. */
export const BLOCK_BYTES_MAX = 128 * 1024;

export class Session {
  readonly out = new FrameWriter();
  readonly streams = new Map<number, Stream>();
  readonly peer = new PeerSettings();
  /** The socket does not take more for now: set by the owner, which then calls `drained`. */
  isCongested = false;
  /** A rule was broken, or the owner has ended it: nothing is read or sent any more. */
  isOver = false;
  /** Frames, or pieces of them, that the last `feed` has read. */
  frames = 0;
  /** The peer has said that it takes no new streams. */
  hasGoaway = false;
  private readonly owner: SessionOwner;
  private readonly options: SessionOptions;
  private readonly reader = new FrameReader(BLOCK_BYTES_MAX);
  private readonly decoder = new HpackDecoder(DEFAULT_TABLE_BYTES);
  private readonly encoder = new HpackEncoder();
  private readonly guard: FloodGuard;
  private bounds: HeadBounds;
  private prefaceBytes: number;
  private sendWindow = DEFAULT_WINDOW;
  private receiveWindow = DEFAULT_WINDOW;
  private unreturned = 0;
  /** The highest id of the peer's streams, and the next of ours. */
  private lastPeerId = 0;
  private nextId = 1;
  /** Streams of the peer's beyond this id are not worked on: GOAWAY said so. */
  private lastTakenId = MAX_31;
  private readonly resets = new Set<number>();
  /** Streams with content that waits, whose turn it is first. */
  private readonly waiting = new Set<Stream>();
  /** Streams with small pieces that wait for each other while `feed` reads. */
  private gathering: Stream[] = [];
  private hasMore = false;
  private isPumping = false;
  private isLeaving = false;
  /** Filled for each call of a user's onData. */
  private readonly piece = { base: NOTHING as Buffer, from: 0, to: 0, room: 0 };
  private hasSettings = false;
  /** Waits for the answer to our PING. */
  private onPong: (() => void) | null = null;

  /** `prefaceBytes`: how much of the client's preface has been read already. */
  constructor(owner: SessionOwner, options: SessionOptions, bounds: HeadBounds, prefaceBytes = 0) {
    this.owner = owner;
    this.options = options;
    this.bounds = bounds;
    this.guard = new FloodGuard(options.nowMs);
    this.prefaceBytes = options.isServer ? prefaceBytes : PREFACE.length;
    this.begin();
  }

  /** Our preface (section 3.4). */
  private begin(): void {
    const { isServer, streams, streamWindow, connectionWindow } = this.options;
    const { out } = this;
    if (!isServer) out.bytes(PREFACE, 0, PREFACE.length);
    out.settings([
      isServer ? [SettingId.maxConcurrentStreams, streams] : [SettingId.enablePush, 0],
      [SettingId.initialWindowSize, streamWindow],
      [SettingId.maxHeaderListSize, this.bounds.headBytes],
    ]);
    this.receiveWindow = connectionWindow;
    out.windowUpdate(0, connectionWindow - DEFAULT_WINDOW);
    this.owner.onOutput();
  }

  setBounds(bounds: HeadBounds): void {
    this.bounds = bounds;
  }

  /** A header block has begun, and its end has not come. */
  get isInHead(): boolean {
    return this.reader.isInBlock;
  }

  get waitingCount(): number {
    return this.waiting.size;
  }

  // What comes

  /** Takes base[start,end); `tailroom` bytes behind them may be written to. */
  feed(base: Buffer, start: number, end: number, tailroom: number): void {
    let at = start;
    this.frames = 0;
    if (this.prefaceBytes < PREFACE.length) at = this.readPreface(base, at, end);
    const { reader } = this;
    while (at < end && !this.isOver) {
      at = reader.read(base, at, end);
      if (reader.found === Found.nothing) continue;
      this.frames += 1;
      this.hasMore = at < end;
      this.take(at === end ? tailroom : 0);
    }
    if (this.gathering.length > 0) this.giveGathered();
  }

  private readPreface(base: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.prefaceBytes < PREFACE.length) {
      if (base[at] !== PREFACE[this.prefaceBytes]) {
        this.fail(ErrorCode.protocolError, 'no HTTP/2 preface');
        return end;
      }
      at += 1;
      this.prefaceBytes += 1;
    }
    return at;
  }

  /** `room`: bytes behind the payload that may be written to. */
  private take(room: number): void {
    const { reader } = this;
    if (reader.found === Found.fault) return this.fail(reader.fault, reader.why);
    // Section 3.4: the first frame is SETTINGS.
    if (
      !this.hasSettings &&
      !(reader.found === Found.frame && reader.type === FrameType.settings)
    ) {
      return this.fail(ErrorCode.protocolError, 'no SETTINGS at the beginning');
    }
    if (reader.found === Found.data) this.takeData(room);
    else if (reader.found === Found.block) this.takeBlock();
    else if (reader.found === Found.streamFault) this.takeStreamFault();
    else this.takeFrame();
  }

  private takeStreamFault(): void {
    const { reader } = this;
    const stream = this.streams.get(reader.streamId);
    if (stream !== undefined) this.failStream(stream, reader.fault, reader.why);
    else if (this.isIdle(reader.streamId)) this.charge(Cost.priority);
    else this.refuse(reader.streamId, reader.fault);
  }

  private takeFrame(): void {
    switch (this.reader.type) {
      case FrameType.rstStream:
        return this.takeReset();
      case FrameType.settings:
        return this.takeSettings();
      case FrameType.ping:
        return this.takePing();
      case FrameType.goaway:
        return this.takeGoaway();
      case FrameType.windowUpdate:
        return this.takeWindowUpdate();
      case FrameType.priority:
        return this.charge(Cost.priority);
      default:
        return this.charge(Cost.unknown);
    }
  }

  private charge(cost: number): void {
    if (!this.guard.spend(cost)) this.fail(ErrorCode.enhanceYourCalm, 'a flood of frames');
  }

  /** Section 5.1.1: a stream that was never opened. */
  private isIdle(id: number): boolean {
    const isPeers = (id % 2 === 1) === this.options.isServer;
    return isPeers ? id > this.lastPeerId : id >= this.nextId;
  }

  // DATA

  private takeData(room: number): void {
    const { reader } = this;
    const { streamId, isFrameEnd, base, start, end } = reader;
    const flow = reader.takeFlow();
    const isLast = isFrameEnd && (reader.flags & Flag.endStream) !== 0;
    if (flow > this.receiveWindow) {
      return this.fail(ErrorCode.flowControlError, 'DATA beyond the window of the connection');
    }
    this.returnToConnection(flow);
    const stream = this.streams.get(streamId);
    if (stream === undefined) return this.takeStrayData(streamId);
    if (stream.isRemoteDone) {
      return this.failStream(stream, ErrorCode.streamClosed, 'DATA after END_STREAM');
    }
    if (!stream.hasHead) {
      return this.failStream(stream, ErrorCode.protocolError, 'DATA before the head');
    }
    stream.receiveWindow -= flow;
    if (stream.receiveWindow < 0) {
      return this.fail(ErrorCode.flowControlError, 'DATA beyond the window of its stream');
    }
    if (end === start && !isLast && isFrameEnd) this.charge(Cost.emptyData);
    else this.guard.earnReceived(end - start);
    if (this.isOver || !this.mayContain(stream, end - start, isLast)) return;
    stream.unreturned += flow;
    if (end > start) this.giveData(stream, this.content(base, start, end, end + room), isLast);
    else if (isLast) this.endRemote(stream, '');
    else this.returnToStream(stream);
  }

  private takeStrayData(id: number): void {
    if (this.isIdle(id)) this.fail(ErrorCode.protocolError, 'DATA on an idle stream');
    else if (this.resets.has(id)) this.charge(Cost.unknown);
    else this.fail(ErrorCode.streamClosed, 'DATA on a closed stream');
  }

  /** Section 8.1.1: the content is as long as its head said. */
  private mayContain(stream: Stream, bytes: number, isLast: boolean): boolean {
    if (stream.expected < 0) return true;
    stream.expected -= bytes;
    if (stream.expected >= 0 && !(isLast && stream.expected > 0)) return true;
    this.failStream(stream, ErrorCode.protocolError, 'content of another length than announced');
    return false;
  }

  private content(base: Buffer, from: number, to: number, room: number): Content {
    const { piece } = this;
    piece.base = base;
    piece.from = from;
    piece.to = to;
    piece.room = room;
    return piece;
  }

  private giveData(stream: Stream, piece: Content, isLast: boolean): void {
    const isSmall = this.hasMore && !isLast && piece.to - piece.from < SMALL_BYTES;
    if (stream.isPaused || stream.inbox !== null || isSmall) {
      this.keepData(stream, piece, isLast);
      return;
    }
    stream.isRemoteDone = isLast;
    stream.user?.onData(stream, piece, isLast);
    if (isLast) this.closeIfDone(stream);
    else if (!stream.isPaused) this.returnToStream(stream);
  }

  /**
   * What is not read for now waits; and small pieces wait for each other until all that has come is read:
   * what they cost further on does not depend on their size.
   */
  private keepData(stream: Stream, piece: Content, isLast: boolean): void {
    stream.keep(piece);
    if (!stream.isPaused && !stream.isGathering) {
      stream.isGathering = true;
      this.gathering.push(stream);
    }
    if (isLast) this.endRemote(stream, '');
  }

  private giveGathered(): void {
    const { gathering } = this;
    this.gathering = [];
    for (const stream of gathering) {
      stream.isGathering = false;
      if (!stream.isPaused) this.empty(stream);
    }
  }

  /** The peer's message is whole. */
  private endRemote(stream: Stream, trailers: string): void {
    stream.isRemoteDone = true;
    if (stream.inbox !== null) stream.keepEnd(trailers);
    else stream.user?.onEnd(stream, trailers);
    this.closeIfDone(stream);
  }

  /** The connection's window does not wait for anybody: each stream's own bounds what waits. */
  private returnToConnection(flow: number): void {
    const { connectionWindow } = this.options;
    this.receiveWindow -= flow;
    this.unreturned += flow;
    if (this.unreturned < connectionWindow / 2) return;
    this.out.windowUpdate(0, this.unreturned);
    this.receiveWindow += this.unreturned;
    this.unreturned = 0;
    this.owner.onOutput();
  }

  private returnToStream(stream: Stream): void {
    if (stream.isRemoteDone || stream.isClosed) return;
    if (stream.unreturned < this.options.streamWindow / 2) return;
    this.out.windowUpdate(stream.id, stream.unreturned);
    stream.receiveWindow += stream.unreturned;
    stream.unreturned = 0;
    this.owner.onOutput();
  }

  /** What comes on the stream waits there, as much of it as its window allows. */
  pause(stream: Stream): void {
    stream.isPaused = true;
  }

  /** Gives what has waited, as far as the stream is not paused again. */
  resume(stream: Stream): void {
    if (!stream.isPaused) return;
    stream.isPaused = false;
    this.empty(stream);
  }

  private empty(stream: Stream): void {
    const { inbox } = stream;
    while (inbox !== null && !stream.isPaused && !stream.isClosed) {
      const bytes = inbox.take();
      if (bytes === null) break;
      stream.user?.onData(stream, this.content(bytes, 0, bytes.length, bytes.length), false);
    }
    if (stream.isPaused || stream.isClosed) return;
    stream.inbox = null;
    this.returnToStream(stream);
    if (inbox === null || !inbox.isEnded) return;
    stream.user?.onEnd(stream, inbox.trailers);
    this.closeIfDone(stream);
  }

  // HEADERS

  private takeBlock(): void {
    const { reader } = this;
    const { streamId: id } = reader;
    const isLast = (reader.flags & Flag.endStream) !== 0;
    const stream = this.streams.get(id);
    const isNew = stream === undefined && this.options.isServer && id > this.lastPeerId;
    if (isNew && id % 2 === 0) return this.fail(ErrorCode.protocolError, 'an even stream id');
    if (stream === undefined && !isNew && this.isIdle(id)) {
      return this.fail(ErrorCode.protocolError, 'HEADERS on an idle stream');
    }
    const isFirst = isNew || (stream !== undefined && !stream.hasHead);
    if (!this.decode(isFirst)) return this.fail(ErrorCode.compressionError, 'HPACK');
    if (isNew) this.openRequest(id, isLast);
    else if (stream === undefined) this.takeStrayBlock(id);
    else if (stream.isRemoteDone) {
      this.failStream(stream, ErrorCode.streamClosed, 'HEADERS after END_STREAM');
    } else if (stream.hasHead) this.takeTrailers(stream, isLast);
    else this.takeResponse(stream, isLast);
  }

  /** A block is decoded whatever becomes of it: those that follow depend on it (section 4.3). */
  private decode(isFirst: boolean): boolean {
    const { reader, options, bounds } = this;
    const { text } = options;
    const first = options.isServer ? 'request' : 'response';
    text.begin(isFirst ? first : 'trailers', bounds.headBytes, bounds.fieldCount);
    if (!this.decoder.decode(reader.base, reader.start, reader.end, text)) return false;
    text.end();
    return true;
  }

  private takeStrayBlock(id: number): void {
    if (this.resets.has(id)) this.charge(Cost.unknown);
    else this.fail(ErrorCode.streamClosed, 'HEADERS on a closed stream');
  }

  private openRequest(id: number, isLast: boolean): void {
    const { options, owner } = this;
    const { text } = options;
    this.lastPeerId = id;
    if (id > this.lastTakenId) return this.charge(Cost.unknown);
    // What is decoded and thrown away is all cost.
    if (text.isTooLarge) this.charge(Cost.tooLarge + text.count / Cost.fieldsPerPoint);
    if (this.isOver) return;
    if (this.streams.size >= options.streams) return this.refuse(id, ErrorCode.refusedStream);
    if (text.fault !== '') {
      this.refuse(id, ErrorCode.protocolError);
      owner.onMalformed(text);
      return;
    }
    const stream = this.addStream(id, null);
    stream.hasHead = true;
    stream.isRemoteDone = isLast;
    owner.onRequest(stream, text, isLast);
  }

  private takeResponse(stream: Stream, isLast: boolean): void {
    const { text } = this.options;
    const isInterim = text.status < 200;
    if (text.isTooLarge) {
      return this.failStream(stream, ErrorCode.enhanceYourCalm, 'header-too-large');
    }
    if (text.fault !== '' || (isInterim && isLast)) {
      const why = text.fault === '' ? 'an interim response that ends its stream' : text.fault;
      return this.failStream(stream, ErrorCode.protocolError, why);
    }
    stream.hasHead = !isInterim;
    stream.isRemoteDone = isLast;
    stream.user?.onHead(stream, text, isLast);
    this.closeIfDone(stream);
  }

  private takeTrailers(stream: Stream, isLast: boolean): void {
    const { text } = this.options;
    if (!isLast || text.fault !== '') {
      return this.failStream(stream, ErrorCode.protocolError, 'trailers that are none');
    }
    if (text.isTooLarge) {
      return this.failStream(stream, ErrorCode.enhanceYourCalm, 'trailers are too large');
    }
    if (this.mayContain(stream, 0, true)) this.endRemote(stream, text.lines);
  }

  // Other frames

  private takeReset(): void {
    const { reader } = this;
    const { streamId: id } = reader;
    if (this.isIdle(id)) return this.fail(ErrorCode.protocolError, 'RST_STREAM on an idle stream');
    const code = reader.base.readUInt32BE(reader.start);
    const stream = this.streams.get(id);
    if (stream === undefined) return this.charge(Cost.unknown);
    if (!this.guard.spendReset()) return this.fail(ErrorCode.enhanceYourCalm, 'a flood of resets');
    this.drop(stream, code, code === ErrorCode.refusedStream);
  }

  private takeSettings(): void {
    const { reader, peer } = this;
    const { base, start, end } = reader;
    this.hasSettings = true;
    if ((reader.flags & Flag.ack) !== 0) return this.charge(Cost.unknown);
    this.charge(Cost.settings + (end - start) / 6);
    if (this.isOver) return;
    const windowBefore = peer.initialWindow;
    const fault = peer.read(base, start, end, !this.options.isServer);
    if (fault !== 0) return this.fail(fault, 'SETTINGS with a value that may not be');
    this.encoder.setTableSize(peer.tableBytes);
    const grown = peer.initialWindow - windowBefore;
    for (const stream of this.streams.values()) {
      stream.sendWindow += grown;
      if (stream.sendWindow > MAX_31) {
        return this.fail(ErrorCode.flowControlError, 'SETTINGS that make a window too large');
      }
    }
    this.reply();
    this.out.settingsAck();
    if (grown > 0) this.pump();
  }

  private takePing(): void {
    const { reader } = this;
    if ((reader.flags & Flag.ack) !== 0) {
      const { onPong } = this;
      this.onPong = null;
      onPong?.();
      return this.charge(Cost.unknown);
    }
    this.charge(Cost.ping);
    if (this.isOver) return;
    this.reply();
    this.out.ping(true, reader.base, reader.start);
  }

  /** Something is about to be written because the peer asked: as long as it takes what it asks for. */
  private reply(): void {
    if (this.isCongested && this.out.used > UNTAKEN_BYTES_MAX) {
      this.fail(ErrorCode.enhanceYourCalm, 'a peer that does not read');
    } else this.owner.onOutput();
  }

  private takeGoaway(): void {
    const { reader } = this;
    const lastId = reader.base.readUInt32BE(reader.start) & MAX_31;
    const code = reader.base.readUInt32BE(reader.start + 4);
    this.charge(Cost.unknown);
    if (this.isOver) return;
    this.hasGoaway = true;
    if (!this.options.isServer) {
      // Section 6.8: the peer has done nothing for these.
      for (const stream of [...this.streams.values()]) {
        if (stream.id > lastId) this.drop(stream, code, true);
      }
    }
    this.owner.onGoaway(code);
  }

  private takeWindowUpdate(): void {
    const { reader } = this;
    const { streamId: id } = reader;
    const increment = reader.base.readUInt32BE(reader.start) & MAX_31;
    this.charge(Cost.windowUpdate);
    if (this.isOver) return;
    if (id === 0) {
      if (increment === 0) return this.fail(ErrorCode.protocolError, 'WINDOW_UPDATE of 0');
      this.sendWindow += increment;
      if (this.sendWindow > MAX_31) {
        return this.fail(ErrorCode.flowControlError, 'a window of the connection too large');
      }
      return this.pump();
    }
    if (this.isIdle(id))
      return this.fail(ErrorCode.protocolError, 'WINDOW_UPDATE on an idle stream');
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    if (increment === 0) {
      return this.failStream(stream, ErrorCode.protocolError, 'WINDOW_UPDATE of 0');
    }
    stream.sendWindow += increment;
    if (stream.sendWindow > MAX_31) {
      return this.failStream(stream, ErrorCode.flowControlError, 'a window of a stream too large');
    }
    if (stream.isWaiting) this.pump();
  }

  // What goes

  /** Client: opens a stream with the request head bytes[0,end). Null: the peer takes none any more. */
  request(
    user: StreamUser,
    head: { readonly bytes: Buffer; readonly end: number; readonly scheme: 'http' | 'https' },
    isLast: boolean,
  ): Stream | null {
    if (!this.mayOpen) return null;
    const stream = this.addStream(this.nextId, user);
    this.nextId += 2;
    const { out } = this;
    const block = out.beginBlock();
    encodeRequest(this.encoder, out, head.bytes, head.end, head.scheme);
    out.endBlock(block, stream.id, isLast);
    stream.isLocalDone = isLast;
    this.wrote();
    return stream;
  }

  /** Client: whether a stream may be opened now. */
  get mayOpen(): boolean {
    if (this.isOver || this.hasGoaway || this.nextId > MAX_31) return false;
    return this.streams.size < this.peer.maxStreams;
  }

  /** Server: sends the response head bytes[0,end). */
  respond(stream: Stream, bytes: Buffer, end: number, isLast: boolean): void {
    if (stream.isClosed || stream.isLocalDone) return;
    const { out } = this;
    const block = out.beginBlock();
    encodeResponse(this.encoder, out, bytes, end);
    out.endBlock(block, stream.id, isLast);
    stream.isLocalDone = isLast;
    this.wrote();
    if (isLast) this.closeIfDone(stream);
  }

  /**
   * Sends base[from,to) as far as it may, and keeps the rest, which leaves as windows open. False where
   * something is kept: onDrain follows.
   */
  send(stream: Stream, base: Buffer, from: number, to: number): boolean {
    if (stream.isClosed) return true;
    assert(!stream.isEnding && !stream.isLocalDone, 'what has ended sends nothing more');
    const sent = stream.isWaiting ? from : this.sendNow(stream, base, from, to);
    if (sent === to) return true;
    stream.queue(Buffer.from(base.subarray(sent, to)));
    this.await(stream);
    return false;
  }

  /** Ends our message, with a trailer section or ''. False where something is kept: as `send`. */
  end(stream: Stream, trailers = ''): boolean {
    if (stream.isClosed || stream.isLocalDone) return true;
    stream.isEnding = true;
    stream.trailers = trailers;
    if (stream.outbox.length > 0) return false;
    this.endNow(stream);
    return true;
  }

  /** Sends base[from,to) and ends our message: in one frame where that is possible. */
  sendLast(stream: Stream, base: Buffer, from: number, to: number, trailers: string): boolean {
    const bytes = to - from;
    const isOne = trailers === '' && bytes <= FRAME_BYTES_MAX && !stream.isWaiting;
    if (!isOne || bytes > stream.sendWindow || bytes > this.sendWindow || this.isCongested) {
      const isSent = bytes === 0 || this.send(stream, base, from, to);
      return this.end(stream, trailers) && isSent;
    }
    if (stream.isClosed) return true;
    stream.isEnding = true;
    stream.isLocalDone = true;
    this.put(stream, base, from, to, true);
    this.guard.earnSent(bytes, true);
    this.closeIfDone(stream);
    return true;
  }

  private await(stream: Stream): void {
    if (!this.waiting.has(stream)) stream.progressMs = this.options.nowMs();
    this.waiting.add(stream);
  }

  /** Returns how far it came. */
  private sendNow(stream: Stream, base: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to && !this.isCongested) {
      const bytes = Math.min(to - at, FRAME_BYTES_MAX, stream.sendWindow, this.sendWindow);
      if (bytes <= 0) break;
      this.put(stream, base, at, at + bytes, false);
      this.guard.earnSent(bytes, bytes === to - at);
      at += bytes;
    }
    return at;
  }

  private put(stream: Stream, base: Buffer, from: number, to: number, isLast: boolean): void {
    stream.sendWindow -= to - from;
    this.sendWindow -= to - from;
    this.out.data(stream.id, base, from, to, isLast);
    this.wrote();
  }

  private endNow(stream: Stream): void {
    const { out } = this;
    stream.isLocalDone = true;
    if (stream.trailers === '') out.data(stream.id, NOTHING, 0, 0, true);
    else {
      const block = out.beginBlock();
      encodeTrailers(this.encoder, out, stream.trailers);
      out.endBlock(block, stream.id, true);
    }
    this.wrote();
    this.closeIfDone(stream);
  }

  private wrote(): void {
    if (this.out.used >= FULL_BYTES && !this.isCongested) this.owner.onFull();
    else this.owner.onOutput();
  }

  /** The socket has taken everything: what waits goes on. */
  drained(): void {
    this.isCongested = false;
    this.pump();
  }

  /** Sends what waits, a frame of each stream in turn, as far as windows and socket allow. */
  private pump(): void {
    if (this.isPumping || this.isOver) return;
    this.isPumping = true;
    let idle = 0;
    while (idle < this.waiting.size && this.sendWindow > 0 && !this.isCongested && !this.isOver) {
      const [stream] = this.waiting as unknown as [Stream];
      this.waiting.delete(stream);
      idle = this.sendWaiting(stream) ? 0 : idle + 1;
      if (stream.isWaiting && !stream.isClosed) this.waiting.add(stream);
      else if (!stream.isClosed || stream.isLocalDone) stream.user?.onDrain(stream);
    }
    this.isPumping = false;
  }

  /** Sends at most a frame of what waits; false where the stream's window has no room for any. */
  private sendWaiting(stream: Stream): boolean {
    const first = stream.outbox[0];
    if (first !== undefined) {
      const to = Math.min(first.length, FRAME_BYTES_MAX, stream.sendWindow, this.sendWindow);
      if (to <= 0) return false;
      stream.progressMs = this.options.nowMs();
      if (to < first.length) stream.outbox[0] = first.subarray(to);
      else stream.outbox.shift();
      this.put(stream, first, 0, to, false);
      this.guard.earnSent(to, to === first.length);
    }
    if (stream.outbox.length === 0 && stream.isEnding && !stream.isLocalDone) this.endNow(stream);
    return true;
  }

  // Ends

  private addStream(id: number, user: StreamUser | null): Stream {
    const stream = new Stream(id, user, this.peer.initialWindow, this.options.streamWindow);
    this.streams.set(id, stream);
    return stream;
  }

  private closeIfDone(stream: Stream): void {
    if (!stream.isRemoteDone || !stream.isLocalDone || stream.isClosed) return;
    // The user has not seen the end of the peer's message yet.
    if (stream.inbox?.isEnded) return;
    this.guard.earnMessage();
    this.close(stream);
  }

  private close(stream: Stream): void {
    stream.isClosed = true;
    this.streams.delete(stream.id);
    this.waiting.delete(stream);
    stream.clearQueue();
    stream.inbox = null;
    this.owner.onStreamClosed();
  }

  /** The peer, or the connection's end, has ended the stream. */
  private drop(stream: Stream, code: number, isUnprocessed: boolean): void {
    const { user } = stream;
    stream.user = null;
    this.close(stream);
    user?.onReset(stream, code, isUnprocessed);
  }

  /** Ends the stream with RST_STREAM, without a word to its user. */
  reset(stream: Stream, code: number): void {
    if (stream.isClosed) return;
    stream.user = null;
    if (!this.isOver) this.putReset(stream.id, code);
    this.close(stream);
  }

  /** Its user has left: nothing that comes is of use any more, and what was kept still leaves. */
  leave(stream: Stream): void {
    if (stream.isClosed) return;
    stream.user = null;
    stream.inbox = null;
    stream.isPaused = false;
    if (stream.isRemoteDone) this.closeIfDone(stream);
    else this.returnToStream(stream);
  }

  private putReset(id: number, code: number): void {
    this.out.reset(id, code);
    this.resets.add(id);
    if (this.resets.size > RESETS_KEPT) {
      const [oldest] = this.resets as unknown as [number];
      this.resets.delete(oldest);
    }
    this.owner.onOutput();
  }

  /** The peer has broken a rule of one stream. */
  private failStream(stream: Stream, code: number, why: string): void {
    const { user } = stream;
    this.reset(stream, code);
    user?.onFault(stream, why);
    if (!this.guard.spendReset()) this.fail(ErrorCode.enhanceYourCalm, 'a flood of faults');
  }

  /** Of a stream that nobody has. */
  private refuse(id: number, code: number): void {
    this.putReset(id, code);
    if (!this.guard.spendReset()) this.fail(ErrorCode.enhanceYourCalm, 'a flood of resets');
  }

  /** The peer has broken a rule of the connection (section 5.4.1). */
  private fail(code: number, why: string): void {
    if (this.isOver) return;
    this.out.goaway(this.lastPeerId, code);
    this.over(code);
    this.owner.onFault(code, why);
  }

  /** No more streams are taken, but those that the peer may have begun: it is asked to stop. */
  sayGoaway(): void {
    if (this.isOver || this.isLeaving) return;
    this.isLeaving = true;
    this.out.goaway(MAX_31);
    this.owner.onOutput();
    // When this is answered, all that the peer opened before it read the GOAWAY has come.
    this.ping(() => this.endStreams());
  }

  /** Server: no streams are taken but those that have come (section 6.8). */
  endStreams(): void {
    if (this.isOver || this.lastTakenId < MAX_31) return;
    this.lastTakenId = this.lastPeerId;
    this.out.goaway(this.lastPeerId);
    this.owner.onOutput();
    this.owner.onStreamClosed();
  }

  /** Whether GOAWAY has said which streams are the last. */
  get isEnding(): boolean {
    return this.lastTakenId < MAX_31;
  }

  /** Asks for a sign of life; `onPong` is called with the answer. */
  ping(onPong: () => void): void {
    this.onPong = onPong;
    this.out.ping(false, PING, 0);
    this.owner.onOutput();
  }

  /** The connection is over: all streams end, and nothing is taken any more. */
  over(code: number): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const stream of [...this.streams.values()]) this.drop(stream, code, false);
    this.waiting.clear();
  }
}
