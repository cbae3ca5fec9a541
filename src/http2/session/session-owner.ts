// What a session reports to the owner of the connection, and what it is made with.
import type { HeadText } from '../head-text.ts';
import type { Stream } from '../stream.ts';

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
  /** How much `feed` does before it stops, as `Session.work` counts. */
  readonly workMax: number;
  /** Monotonic ms; coarse ticks are enough. */
  readonly nowMs: () => number;
}

/** Bounds of the heads that come; they may change from one to the next. */
export interface HeadBounds {
  readonly headBytes: number;
  readonly fieldCount: number;
}
