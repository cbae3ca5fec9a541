// One HTTP/2 connection without its socket (RFC 9113 sections 3 to 8): bytes in by `feed`, frames out in
// `out`, and streams in between. It keeps the rules of either role, and the bounds. Frames are read here;
// what is received of content is in session/inflow.ts, what is sent in session/outflow.ts, and how
// streams end in session/stream-table.ts. Nothing here knows requests: see StreamUser and SessionOwner.
import { Cost } from './flood-guard.ts';
import { Found, FrameReader } from './frame-reader.ts';
import type { FrameWriter } from './frame-writer.ts';
import type { RequestBlock } from './head-block.ts';
import type { PeerSettings } from './peer-settings.ts';
import { ErrorCode, Flag, FrameType, MAX_31, PREFACE, SettingId } from './protocol.ts';
import { Heads } from './session/heads.ts';
import { Inflow } from './session/inflow.ts';
import { Outflow } from './session/outflow.ts';
import type { HeadBounds, SessionOptions, SessionOwner } from './session/session-owner.ts';
import { StreamTable } from './session/stream-table.ts';
import type { Stream, StreamUser } from './stream.ts';

/** Replies to what a peer sends, while it takes nothing: then it is no peer. */
const UNTAKEN_BYTES_MAX = 256 * 1024;
const PING = Buffer.from('upriver.');
/** A header block, compressed. What it decodes to is bounded by HeadBounds. */
const BLOCK_BYTES_MAX = 128 * 1024;
/** What a header block counts for: decoding it, and what is done for a request, or for an answer. */
const REQUEST_WORK = 32;
const RESPONSE_WORK = 16;

export class Session {
  readonly out: FrameWriter;
  readonly streams: Map<number, Stream>;
  readonly peer: PeerSettings;
  /** What `feed` has done since its owner has set it to 0: a frame, or a piece of one, is 1. */
  work = 0;
  /** The peer has said that it takes no new streams. */
  hasGoaway = false;
  private readonly table: StreamTable;
  private readonly inflow: Inflow;
  private readonly outflow: Outflow;
  private readonly reader = new FrameReader(BLOCK_BYTES_MAX);
  private readonly heads: Heads;
  private prefaceBytes: number;
  private isLeaving = false;
  /** The peer's SETTINGS have come. */
  hasSettings = false;
  /** Waits for the answer to our PING. */
  private onPong: (() => void) | null = null;

  /** `prefaceBytes`: how much of the client's preface has been read already. */
  constructor(owner: SessionOwner, options: SessionOptions, bounds: HeadBounds, prefaceBytes = 0) {
    this.table = new StreamTable(owner, options);
    this.inflow = new Inflow(this.table, this.reader);
    this.outflow = new Outflow(this.table);
    this.out = this.table.out;
    this.streams = this.table.streams;
    this.peer = this.table.peer;
    this.heads = new Heads(this.table, this.reader, this.inflow, bounds);
    this.prefaceBytes = options.isServer ? prefaceBytes : PREFACE.length;
    this.begin();
  }

  /** Our preface (section 3.4). */
  private begin(): void {
    const { options, out, owner } = this.table;
    const { isServer, streams, streamWindow } = options;
    if (!isServer) out.bytes(PREFACE, 0, PREFACE.length);
    out.settings([
      isServer ? [SettingId.maxConcurrentStreams, streams] : [SettingId.enablePush, 0],
      // RFC 8441 section 3; of a client it says nothing.
      ...(isServer ? [[SettingId.enableConnectProtocol, 1] as const] : []),
      [SettingId.initialWindowSize, streamWindow],
      [SettingId.maxHeaderListSize, this.heads.bounds.headBytes],
    ]);
    this.inflow.open();
    owner.onOutput();
  }

  setBounds(bounds: HeadBounds): void {
    this.heads.bounds = bounds;
  }

  /** A rule was broken, or the owner has ended it: nothing is read or sent any more. */
  get isOver(): boolean {
    return this.table.isOver;
  }

  /** The socket does not take more for now: set by the owner, which then calls `drained`. */
  get isCongested(): boolean {
    return this.outflow.isCongested;
  }

  set isCongested(isIt: boolean) {
    this.outflow.isCongested = isIt;
  }

  /** A header block has begun, and its end has not come. */
  get isInHead(): boolean {
    return this.reader.isInBlock;
  }

  /** Streams that have something to send, and may not yet. */
  get waitingCount(): number {
    return this.table.waiting.size;
  }

  // What comes

  /**
   * Takes base[start,end), as long as `work` is below its bound, and returns the offset after what was taken;
   * `tailroom` bytes behind them may be written to.
   */
  feed(base: Buffer, start: number, end: number, tailroom: number): number {
    let at = start;
    if (this.prefaceBytes < PREFACE.length) at = this.readPreface(base, at, end);
    const { inflow, reader, table } = this;
    const { isServer, workMax } = table.options;
    const blockWork = isServer ? REQUEST_WORK : RESPONSE_WORK;
    // A read that is a piece of a frame alone, such as a record of TLS of one byte, is not for nothing.
    this.work += 1;
    while (at < end && !table.isOver && this.work < workMax) {
      at = reader.read(base, at, end);
      if (reader.found === Found.nothing) continue;
      this.work += reader.found === Found.block ? blockWork : 1;
      inflow.hasMore = at < end;
      this.take(at === end ? tailroom : 0);
    }
    inflow.giveGathered();
    return table.isOver ? end : at;
  }

  private readPreface(base: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.prefaceBytes < PREFACE.length) {
      if (base[at] !== PREFACE[this.prefaceBytes]) {
        this.table.fail(ErrorCode.protocolError, 'no HTTP/2 preface');
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
    if (reader.found === Found.fault) return this.table.fail(reader.fault, reader.why);
    // Section 3.4: the first frame is SETTINGS.
    if (
      !this.hasSettings &&
      !(reader.found === Found.frame && reader.type === FrameType.settings)
    ) {
      return this.table.fail(ErrorCode.protocolError, 'no SETTINGS at the beginning');
    }
    if (reader.found === Found.data) this.inflow.takeData(room);
    else if (reader.found === Found.block) this.heads.take();
    else if (reader.found === Found.streamFault) this.takeStreamFault();
    else this.takeFrame();
  }

  private takeStreamFault(): void {
    const { reader } = this;
    const stream = this.table.streams.get(reader.streamId);
    if (stream !== undefined) this.table.failStream(stream, reader.fault, reader.why);
    else if (this.table.isIdle(reader.streamId)) this.table.charge(Cost.priority);
    else this.table.refuse(reader.streamId, reader.fault);
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
        return this.table.charge(Cost.priority);
      default:
        return this.table.charge(Cost.unknown);
    }
  }

  // Other frames

  private takeReset(): void {
    const { reader, table } = this;
    const { streamId: id } = reader;
    if (table.isIdle(id))
      return table.fail(ErrorCode.protocolError, 'RST_STREAM on an idle stream');
    const code = reader.base.readUInt32BE(reader.start);
    const stream = table.streams.get(id);
    if (stream === undefined) return table.charge(Cost.unknown);
    if (!table.guard.spendReset())
      return table.fail(ErrorCode.enhanceYourCalm, 'a flood of resets');
    if (table.isAnswered(stream)) table.stop(stream);
    else table.drop(stream, code, code === ErrorCode.refusedStream);
  }

  private takeSettings(): void {
    const { reader, peer, table } = this;
    const { base, start, end } = reader;
    this.hasSettings = true;
    if ((reader.flags & Flag.ack) !== 0) return table.charge(Cost.unknown);
    table.charge(Cost.settings + (end - start) / 6);
    if (table.isOver) return;
    const windowBefore = peer.initialWindow;
    const fault = peer.read(base, start, end, !table.options.isServer);
    if (fault !== 0) return table.fail(fault, 'SETTINGS with a value that may not be');
    this.outflow.setTableSize(peer.tableBytes);
    const grown = peer.initialWindow - windowBefore;
    if (!this.outflow.widenAll(grown)) {
      return table.fail(ErrorCode.flowControlError, 'SETTINGS that make a window too large');
    }
    this.reply();
    table.out.settingsAck();
    if (grown > 0) this.outflow.pump();
  }

  private takePing(): void {
    const { reader, table } = this;
    if ((reader.flags & Flag.ack) !== 0) {
      const { onPong } = this;
      this.onPong = null;
      onPong?.();
      return table.charge(Cost.unknown);
    }
    table.charge(Cost.ping);
    if (table.isOver) return;
    this.reply();
    table.out.ping(true, reader.base, reader.start);
  }

  /** Something is about to be written because the peer asked: as long as it takes what it asks for. */
  private reply(): void {
    const { table } = this;
    if (this.isCongested && table.out.used > UNTAKEN_BYTES_MAX) {
      table.fail(ErrorCode.enhanceYourCalm, 'a peer that does not read');
    } else table.owner.onOutput();
  }

  private takeGoaway(): void {
    const { reader, table } = this;
    const lastId = reader.base.readUInt32BE(reader.start) & MAX_31;
    const code = reader.base.readUInt32BE(reader.start + 4);
    table.charge(Cost.unknown);
    if (table.isOver) return;
    this.hasGoaway = true;
    if (!table.options.isServer) {
      // Section 6.8: the peer has done nothing for these, unless it has answered them.
      for (const stream of [...table.streams.values()]) {
        if (stream.id > lastId && !table.isAnswered(stream)) table.drop(stream, code, true);
      }
    }
    table.owner.onGoaway(code);
  }

  private takeWindowUpdate(): void {
    const { reader, table } = this;
    const { streamId: id } = reader;
    const increment = reader.base.readUInt32BE(reader.start) & MAX_31;
    table.charge(Cost.windowUpdate);
    if (table.isOver) return;
    if (id === 0) return this.outflow.widen(null, increment);
    if (table.isIdle(id)) {
      return table.fail(ErrorCode.protocolError, 'WINDOW_UPDATE on an idle stream');
    }
    const stream = table.streams.get(id);
    if (stream !== undefined) this.outflow.widen(stream, increment);
  }

  // What goes

  /** Client: opens a stream with a request head. Null: the peer takes none any more. */
  request(user: StreamUser, head: RequestBlock, isLast: boolean): Stream | null {
    return this.mayOpen ? this.outflow.request(user, head, isLast) : null;
  }

  /** Client: whether a stream may be opened now. */
  get mayOpen(): boolean {
    const { table } = this;
    if (table.isOver || this.hasGoaway || table.nextId > MAX_31) return false;
    return table.streams.size < this.peer.maxStreams;
  }

  /** Server: sends the response head bytes[0,end). */
  respond(stream: Stream, bytes: Buffer, end: number, isLast: boolean): void {
    this.outflow.respond(stream, bytes, end, isLast);
  }

  /**
   * Sends base[from,to) as far as it may, and keeps the rest, which leaves as windows open. False where
   * something is kept: onDrain follows.
   */
  send(stream: Stream, base: Buffer, from: number, to: number): boolean {
    return this.outflow.send(stream, base, from, to);
  }

  /** Ends our message, with a trailer section or ''. False where something is kept: as `send`. */
  end(stream: Stream, trailers = ''): boolean {
    return this.outflow.end(stream, trailers);
  }

  /** Sends base[from,to) and ends our message: in one frame where that is possible. */
  sendLast(stream: Stream, base: Buffer, from: number, to: number, trailers: string): boolean {
    return this.outflow.sendLast(stream, base, from, to, trailers);
  }

  /** The socket has taken everything: what waits goes on. */
  drained(): void {
    this.outflow.isCongested = false;
    this.outflow.pump();
  }

  /** What comes on the stream waits there, as much of it as its window allows. */
  pause(stream: Stream): void {
    stream.isPaused = true;
  }

  /** Gives what has waited, as far as the stream is not paused again. */
  resume(stream: Stream): void {
    this.inflow.resume(stream);
  }

  // Ends

  /** Ends the stream with RST_STREAM; its user is not told. */
  reset(stream: Stream, code: number): void {
    this.table.reset(stream, code);
  }

  /** Its user has left: nothing that comes is of use any more, and what was kept still leaves. */
  leave(stream: Stream): void {
    if (stream.isClosed) return;
    stream.user = null;
    stream.clearInbox();
    stream.isPaused = false;
    if (stream.isRemoteDone) this.table.closeIfDone(stream);
    else this.inflow.returnToStream(stream);
  }

  /** No more streams are taken, but those that the peer may have begun: it is asked to stop. */
  sayGoaway(): void {
    const { out, owner } = this.table;
    if (this.isOver || this.isLeaving) return;
    this.isLeaving = true;
    out.goaway(MAX_31);
    owner.onOutput();
    // When this is answered, all that the peer opened before it read the GOAWAY has come.
    this.ping(() => this.endStreams());
  }

  /** Server: no streams are taken but those that have come (section 6.8). */
  endStreams(): void {
    const { table } = this;
    if (table.isOver || this.isEnding) return;
    table.lastTakenId = table.lastPeerId;
    table.out.goaway(table.lastPeerId);
    table.owner.onOutput();
    table.owner.onStreamClosed();
  }

  /** Whether GOAWAY has said which streams are the last. */
  get isEnding(): boolean {
    return this.table.lastTakenId < MAX_31;
  }

  /** Asks for a sign of life; `onPong` is called with the answer. */
  ping(onPong: () => void): void {
    const { out, owner } = this.table;
    this.onPong = onPong;
    out.ping(false, PING, 0);
    owner.onOutput();
  }

  /** The connection is over: nothing is taken any more, and all streams end, but answers that wait to be read. */
  over(code: number): void {
    this.table.over(code);
  }
}
