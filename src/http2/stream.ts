// One stream (RFC 9113 section 5): which side may still send, its two windows, and what waits in either
// direction. session.ts moves it; its users see the methods of its session.
import type { HeadText } from './head-text.ts';
import { KeptBytes } from './kept-bytes.ts';

/** Who uses a stream. Each call may end the stream, or the connection. */
export interface StreamUser {
  /** A response's head, 1xx among them; `isLast`: nothing follows. On the client's side alone. */
  onHead(stream: Stream, text: HeadText, isLast: boolean): void;
  /**
   * base[from,to) is content, valid until it returns; what lies before it, and base[to,room), may be
   * written to. `isLast`: the peer has ended its message with it.
   */
  onData(stream: Stream, piece: Content, isLast: boolean): void;
  /** The peer has ended its message without content; `trailers`: a line each with its CRLF, or ''. */
  onEnd(stream: Stream, trailers: string): void;
  /** Everything that was sent has left, where `send` said that it had not. */
  onDrain(stream: Stream): void;
  /**
   * The stream is gone: the peer has reset it, or its connection is over; with `isUnprocessed` the
   * peer has done nothing for it.
   */
  onReset(stream: Stream, code: number, isUnprocessed: boolean): void;
  /** The peer has broken a rule on this stream: it was reset by us, and is gone. */
  onFault(stream: Stream, why: string): void;
}

/** A piece of content where it lies; one object is filled again and again. */
export interface Content {
  base: Buffer;
  from: number;
  to: number;
  room: number;
}

export class Stream {
  readonly id: number;
  user: StreamUser | null;
  /** Bytes that we may send, and that the peer may. */
  sendWindow: number;
  receiveWindow: number;
  /** Bytes that were taken and not given back to the window yet. */
  unreturned = 0;
  /** The peer has sent END_STREAM, and we have. */
  isRemoteDone = false;
  isLocalDone = false;
  /** The peer has sent its whole message, and then reset the stream: nothing more is sent to it. */
  isStopped = false;
  /** It is in no table any more. */
  isClosed = false;
  /** The message's head has come: what follows is trailers. */
  hasHead = false;
  /** Content that must still come (section 8.1.1); -1: not known. */
  expected = -1;
  isPaused = false;
  /** Small pieces wait in the inbox for what has come with them. */
  isGathering = false;
  /** Made for the first content that has to wait. */
  inbox: KeptBytes | null = null;
  /** Content that waits for a window, or for the connection, once there was any; then `isEnding` and `trailers`. */
  outbox: KeptBytes | null = null;
  isEnding = false;
  trailers = '';
  /** When content last left, while some waits: monotonic ms. */
  progressMs = 0;

  constructor(id: number, user: StreamUser | null, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.user = user;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  /** Something waits to be sent. */
  get isWaiting(): boolean {
    return this.hasContent || (this.isEnding && !this.isLocalDone);
  }

  /** Content waits to be sent. */
  get hasContent(): boolean {
    return this.outbox !== null && !this.outbox.isEmpty;
  }

  /** Keeps a copy of base[from,to) until it may be sent. */
  queue(base: Buffer, from: number, to: number): void {
    this.outbox ??= new KeptBytes();
    this.outbox.add(base, from, to);
  }

  /** What was queued is not to be sent any more. */
  clearQueue(): void {
    this.outbox?.clear();
  }

  /** Keeps content until the stream is read again. */
  keep({ base, from, to }: Content): void {
    this.inbox ??= new KeptBytes();
    this.inbox.add(base, from, to);
  }

  /** What was kept is not to be read any more. */
  clearInbox(): void {
    this.inbox?.clear();
    this.inbox = null;
  }

  /** Keeps the end of the message, with its trailer section or '', behind the content. */
  keepEnd(trailers: string): void {
    this.inbox ??= new KeptBytes();
    this.inbox.isEnded = true;
    this.inbox.trailers = trailers;
  }
}
