// The streams of one connection and how each of them ends, whichever side or rule ends it (RFC 9113
// sections 5.1 and 5.4); what is counted against floods, and the end of the connection itself.
import { FloodGuard } from '../flood-guard.ts';
import { FrameWriter } from '../frame-writer.ts';
import { PeerSettings } from '../peer-settings.ts';
import { ErrorCode, MAX_31 } from '../protocol.ts';
import { Stream, type StreamUser } from '../stream.ts';
import type { SessionOptions, SessionOwner } from './session-owner.ts';

/** Ids of streams that we have reset, on which the peer may still be sending. */
const RESETS_KEPT = 256;

export class StreamTable {
  readonly out = new FrameWriter();
  readonly peer = new PeerSettings();
  readonly streams = new Map<number, Stream>();
  /** Streams with content that waits to be sent; the first one's turn is next. */
  readonly waiting = new Set<Stream>();
  readonly owner: SessionOwner;
  readonly options: SessionOptions;
  readonly guard: FloodGuard;
  /** A rule was broken, or the owner has ended it: nothing is read or sent any more. */
  isOver = false;
  /** The highest id of the peer's streams, and the next of ours. */
  lastPeerId = 0;
  nextId = 1;
  /** Streams of the peer's beyond this id are not worked on: GOAWAY said so. */
  lastTakenId = MAX_31;
  private readonly resets = new Set<number>();
  /** The highest id that is not kept any more: of those up to it nothing is known. */
  private forgottenId = 0;

  constructor(owner: SessionOwner, options: SessionOptions) {
    this.owner = owner;
    this.options = options;
    this.guard = new FloodGuard(options.nowMs);
  }

  /** Section 5.1.1: a stream that was never opened. */
  isIdle(id: number): boolean {
    const isPeers = (id % 2 === 1) === this.options.isServer;
    return isPeers ? id > this.lastPeerId : id >= this.nextId;
  }

  /** We have reset it a while ago, or may have: the peer may not know yet. */
  wasReset(id: number): boolean {
    return id <= this.forgottenId || this.resets.has(id);
  }

  add(id: number, user: StreamUser | null): Stream {
    const stream = new Stream(id, user, this.peer.initialWindow, this.options.streamWindow);
    this.streams.set(id, stream);
    return stream;
  }

  /** What the peer sends costs points: see FloodGuard. */
  charge(cost: number): void {
    if (!this.guard.spend(cost)) this.fail(ErrorCode.enhanceYourCalm, 'a flood of frames');
  }

  // Ends of one stream

  /** Both sides have ended, and the user has seen the end: the stream is over. */
  closeIfDone(stream: Stream): void {
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
    stream.clearInbox();
    this.owner.onStreamClosed();
  }

  /** The peer, or the connection's end, has ended the stream. */
  drop(stream: Stream, code: number, isUnprocessed: boolean): void {
    const { user } = stream;
    if (!this.options.isServer && stream.expected === 0) return this.complete(stream);
    stream.user = null;
    this.close(stream);
    user?.onReset(stream, code, isUnprocessed);
  }

  /**
   * Client: the stream has ended with all that was announced, but before its trailers. Whoever gets the
   * response may have it whole, and have asked for more.
   */
  private complete(stream: Stream): void {
    this.stop(stream);
    stream.isRemoteDone = true;
    if (stream.inbox !== null) stream.keepEnd('');
    else stream.user?.onEnd(stream, '');
    this.closeIfDone(stream);
  }

  /** The peer has said everything, and wants nothing more: what is still sent is thrown away. */
  stop(stream: Stream): void {
    stream.isStopped = true;
    stream.isLocalDone = true;
    stream.clearQueue();
    this.waiting.delete(stream);
  }

  /** Ends the stream with RST_STREAM; its user is not told. */
  reset(stream: Stream, code: number): void {
    if (stream.isClosed) return;
    stream.user = null;
    // To the peer a stream that has ended both ways is closed, though we may not have read all of it: a frame on it
    // could cost the connection (section 5.1).
    const hasEnded = stream.isRemoteDone && stream.isLocalDone;
    if (!this.isOver && !hasEnded) this.putReset(stream.id, code);
    this.close(stream);
  }

  private putReset(id: number, code: number): void {
    this.out.reset(id, code);
    this.resets.add(id);
    if (this.resets.size > RESETS_KEPT) {
      const [oldest] = this.resets as unknown as [number];
      this.resets.delete(oldest);
      this.forgottenId = Math.max(this.forgottenId, oldest);
    }
    this.owner.onOutput();
  }

  /** The peer has broken a rule of one stream. */
  failStream(stream: Stream, code: number, why: string): void {
    const { user } = stream;
    if (this.isAnswered(stream)) {
      // One that has ended both ways is closed to the peer: as in `reset`.
      if (!stream.isLocalDone) this.putReset(stream.id, code);
      this.stop(stream);
    } else {
      this.reset(stream, code);
      user?.onFault(stream, why);
    }
    if (!this.guard.spendReset()) this.fail(ErrorCode.enhanceYourCalm, 'a flood of faults');
  }

  /** Resets a stream that was never opened here. */
  refuse(id: number, code: number): void {
    this.putReset(id, code);
    if (!this.guard.spendReset()) this.fail(ErrorCode.enhanceYourCalm, 'a flood of resets');
  }

  // The end of the connection

  /** The peer has broken a rule of the connection (section 5.4.1). */
  fail(code: number, why: string): void {
    if (this.isOver) return;
    this.out.goaway(this.lastPeerId, code);
    this.over(code);
    this.owner.onFault(code, why);
  }

  /** Client: the response is whole, and waits to be read. It stands, whatever comes after it (section 8.1). */
  isAnswered(stream: Stream): boolean {
    return !this.options.isServer && stream.inbox?.isEnded === true;
  }

  /** The connection is over: nothing is taken any more, and all streams end, but answers that wait to be read. */
  over(code: number): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const stream of [...this.streams.values()]) {
      if (this.isAnswered(stream)) this.stop(stream);
      else this.drop(stream, code, false);
    }
    this.waiting.clear();
  }
}
