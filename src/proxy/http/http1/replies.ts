// Answers of our own on one client connection of HTTP/1.1, and whether it may go on after them.
import type { Head } from '../../../http1/head.ts';
import type { Reason } from '../../../model/reason.ts';
import type { LiveListener } from '../../listener.ts';
import type { LiveService } from '../../live-service.ts';
import type { Wire } from '../../network.ts';
import type { OwnAnswer } from '../judgement.ts';
import { failureReply, type OwnReply, replyOf } from '../own-reply.ts';
import type { HttpPlane } from '../plane.ts';
import { recordRefusal, recordUnserved } from '../unserved.ts';
import { replyBytes } from './reply-bytes.ts';

/** An answer of our own. */
export interface ReplyOptions {
  /** More text after the reason's sentence; ''. */
  readonly detail: string;
  readonly mayKeepAlive: boolean;
  /** '' for none. */
  readonly requestId: string;
}

/** The connection that is answered, and the request that it has read last. */
export interface RepliesOwner {
  readonly wire: Wire;
  readonly listener: LiveListener;
  readonly service: LiveService | null;
  readonly address: string;
  readonly listenerKey: string;
  readonly isHead: boolean;
  /** HTTP/1.0 was spoken. */
  readonly isOldClient: boolean;
  /** The client said that no request will follow. */
  readonly isLast: boolean;
  mayKeepAlive(): boolean;
  /** The answer is sent, or with the kernel. */
  afterAnswer(isKept: boolean): void;
}

export class Replies {
  private readonly owner: RepliesOwner;
  private readonly plane: HttpPlane;

  constructor(owner: RepliesOwner, plane: HttpPlane) {
    this.owner = owner;
    this.plane = plane;
  }

  /** Counts and logs what no exchange was begun for; returns what the client is told. */
  refused(why: Reason, head: Head | null, detail: string): ReplyOptions {
    const told = recordRefusal(this.plane.context, this.owner, { why, head, detail });
    return { detail: told, mayKeepAlive: this.mayKeepAfter(head), requestId: '' };
  }

  /** Redirects, or answers OPTIONS, as `judge` has said. */
  answer(head: Head, answer: Exclude<OwnAnswer, { kind: 'refuse' }>): void {
    const reply = replyOf(answer);
    recordUnserved(this.plane.context, this.owner, { status: reply.status, code: '', head });
    this.send(reply, this.mayKeepAfter(head), '');
  }

  /** Whether the whole request is known to have been read, and the connection may go on. */
  private mayKeepAfter(head: Head | null): boolean {
    const { owner } = this;
    if (head === null || owner.isLast || head.isChunked || head.contentLength > 0) return false;
    return owner.mayKeepAlive();
  }

  /** Answers for `why`, whose status is not 0. */
  reply(why: Reason, { detail, mayKeepAlive, requestId }: ReplyOptions): void {
    const isKept = mayKeepAlive && this.owner.mayKeepAlive();
    this.send(failureReply(why, detail), isKept, requestId);
  }

  private send(reply: OwnReply, mayKeepAlive: boolean, requestId: string): void {
    const { isHead, isOldClient, listener, service, wire } = this.owner;
    const bytes = replyBytes(reply, {
      requestId,
      isHead,
      mayKeepAlive,
      isOldClient,
      wallMs: this.plane.context.clock.wallMs(),
      hstsLine: wire.tls === null ? '' : listener.hstsLine,
      serverName: (listener.service ?? service)?.service.http.serverName ?? '',
    });
    wire.write(bytes);
    this.owner.afterAnswer(mayKeepAlive);
  }
}
