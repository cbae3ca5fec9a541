// What a session gets of content: counted against both windows, given to the user of its stream as it
// comes, or kept in the stream while that is not read. Windows open again as content is taken.
import { Cost } from '../flood-guard.ts';
import type { FrameReader } from '../frame-reader.ts';
import { DEFAULT_WINDOW, ErrorCode, Flag } from '../protocol.ts';
import type { Content, Stream } from '../stream.ts';
import type { StreamTable } from './stream-table.ts';

const NOTHING = Buffer.alloc(0);
/** Content of fewer bytes waits for what has come with it: to copy it costs less than a write. */
const SMALL_BYTES = 4096;

export class Inflow {
  /** More lies behind the frame that is being read. */
  hasMore = false;
  private readonly table: StreamTable;
  private readonly reader: FrameReader;
  private receiveWindow = DEFAULT_WINDOW;
  private unreturned = 0;
  /** Streams with small pieces that wait for each other while `feed` reads. */
  private gathering: Stream[] = [];
  /** Filled for each call of a user's onData. */
  private readonly piece = { base: NOTHING as Buffer, from: 0, to: 0, room: 0 };

  constructor(table: StreamTable, reader: FrameReader) {
    this.table = table;
    this.reader = reader;
  }

  /** Opens the connection's window as far as the options say. */
  open(): void {
    const { options, out } = this.table;
    this.receiveWindow = options.connectionWindow;
    out.windowUpdate(0, options.connectionWindow - DEFAULT_WINDOW);
  }

  /** Takes the piece of a DATA frame that was read; `room`: bytes behind it that may be written to. */
  takeData(room: number): void {
    const { reader, table } = this;
    const { streamId, isFrameEnd, start, end } = reader;
    const flow = reader.takeFlow();
    const isLast = isFrameEnd && (reader.flags & Flag.endStream) !== 0;
    if (flow > this.receiveWindow) {
      return table.fail(ErrorCode.flowControlError, 'DATA beyond the window of the connection');
    }
    this.returnToConnection(flow);
    const stream = table.streams.get(streamId);
    if (stream === undefined) return this.takeStray(streamId, end > start);
    if (stream.isRemoteDone) {
      return table.failStream(stream, ErrorCode.streamClosed, 'DATA after END_STREAM');
    }
    if (!stream.hasHead) {
      return table.failStream(stream, ErrorCode.protocolError, 'DATA before the head');
    }
    stream.receiveWindow -= flow;
    if (stream.receiveWindow < 0) {
      return table.fail(ErrorCode.flowControlError, 'DATA beyond the window of its stream');
    }
    if (end === start && !isLast && isFrameEnd) table.charge(Cost.emptyData);
    else table.guard.earnReceived(end - start);
    if (table.isOver || !this.mayContain(stream, end - start, isLast)) return;
    // What is large enough not to wait is given behind what has waited.
    if (stream.isGathering && end - start >= SMALL_BYTES) this.empty(stream);
    if (stream.isClosed) return;
    stream.unreturned += flow;
    if (end > start) this.give(stream, start, isLast, room);
    else if (isLast) this.endRemote(stream, '');
    else this.returnToStream(stream);
  }

  /**
   * DATA of no open stream. What was on its way when its stream was reset is ignored (section 5.1); as on an open
   * stream it is content alone that costs no points: an upload that is refused at once comes in hundreds of frames.
   */
  private takeStray(id: number, hasContent: boolean): void {
    const { table } = this;
    if (table.isIdle(id)) table.fail(ErrorCode.protocolError, 'DATA on an idle stream');
    else if (table.wasReset(id)) {
      if (!hasContent) table.charge(Cost.emptyData);
    } else table.fail(ErrorCode.streamClosed, 'DATA on a closed stream');
  }

  /** Section 8.1.1: the content is as long as its head said. */
  mayContain(stream: Stream, bytes: number, isLast: boolean): boolean {
    if (stream.expected < 0) return true;
    stream.expected -= bytes;
    if (stream.expected >= 0 && !(isLast && stream.expected > 0)) return true;
    const why = 'content of another length than announced';
    this.table.failStream(stream, ErrorCode.protocolError, why);
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

  /** The content that was read, whose first byte is at `start`. */
  private give(stream: Stream, start: number, isLast: boolean, room: number): void {
    const { base, end } = this.reader;
    const isSmall = this.hasMore && !isLast && end - start < SMALL_BYTES;
    const piece = this.content(base, start, end, end + room);
    if (stream.isPaused || stream.inbox !== null || isSmall) {
      this.keep(stream, piece, isLast);
      return;
    }
    stream.isRemoteDone = isLast;
    stream.user?.onData(stream, piece, isLast);
    if (isLast) this.table.closeIfDone(stream);
    else if (!stream.isPaused) this.returnToStream(stream);
  }

  /**
   * What is not read for now waits; and small pieces wait for each other until all that has come is read, or a large
   * one comes: what they cost further on does not depend on their size.
   */
  private keep(stream: Stream, piece: Content, isLast: boolean): void {
    stream.keep(piece);
    if (!stream.isPaused && !stream.isGathering) {
      stream.isGathering = true;
      this.gathering.push(stream);
    }
    if (isLast) this.endRemote(stream, '');
  }

  /** All that has come is read. */
  giveGathered(): void {
    if (this.gathering.length === 0) return;
    const { gathering } = this;
    this.gathering = [];
    for (const stream of gathering) {
      stream.isGathering = false;
      if (!stream.isPaused) this.empty(stream);
    }
  }

  /** The peer's message is whole. */
  endRemote(stream: Stream, trailers: string): void {
    stream.isRemoteDone = true;
    if (stream.inbox !== null) stream.keepEnd(trailers);
    else stream.user?.onEnd(stream, trailers);
    this.table.closeIfDone(stream);
  }

  /** The connection's window does not wait for anybody: each stream's own bounds what waits. */
  private returnToConnection(flow: number): void {
    const { options, out, owner } = this.table;
    this.receiveWindow -= flow;
    this.unreturned += flow;
    if (this.unreturned < options.connectionWindow / 2) return;
    out.windowUpdate(0, this.unreturned);
    this.receiveWindow += this.unreturned;
    this.unreturned = 0;
    owner.onOutput();
  }

  /** Widens the window of the stream by what its user has taken, once that is half of it. */
  returnToStream(stream: Stream): void {
    const { options, out, owner } = this.table;
    if (stream.isRemoteDone || stream.isClosed) return;
    if (stream.unreturned < options.streamWindow / 2) return;
    out.windowUpdate(stream.id, stream.unreturned);
    stream.receiveWindow += stream.unreturned;
    stream.unreturned = 0;
    owner.onOutput();
  }

  resume(stream: Stream): void {
    if (!stream.isPaused) return;
    stream.isPaused = false;
    this.empty(stream);
  }

  private empty(stream: Stream): void {
    const { inbox } = stream;
    while (inbox !== null && !stream.isPaused && !stream.isClosed && inbox.take(this.piece)) {
      stream.user?.onData(stream, this.piece, false);
      inbox.done();
    }
    if (stream.isPaused || stream.isClosed) return;
    stream.inbox = null;
    this.returnToStream(stream);
    if (inbox === null || !inbox.isEnded) return;
    stream.user?.onEnd(stream, inbox.trailers);
    this.table.closeIfDone(stream);
  }
}
