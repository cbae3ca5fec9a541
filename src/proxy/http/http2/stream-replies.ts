// Answers of our own on the streams of one client connection, and how a stream ends when the response is
// sent, or waits to be, while its request still comes.
import type { Head } from '../../../http1/head.ts';
import { ErrorCode } from '../../../http2/protocol.ts';
import type { Session } from '../../../http2/session.ts';
import type { Stream } from '../../../http2/stream.ts';
import type { Reason } from '../../../model/reason.ts';
import type { LiveListener } from '../../listener.ts';
import type { LiveService } from '../../live-service.ts';
import type { Wire } from '../../network.ts';
import { grpcLines, isGrpc } from '../grpc.ts';
import type { OwnAnswer } from '../judgement.ts';
import { failureReply, type OwnReply, replyLines, replyOf } from '../own-reply.ts';
import type { HttpPlane } from '../plane.ts';
import { recordRefusal, recordUnserved } from '../unserved.ts';

/** What a reply of our own is made of, beside its reason. */
export interface StreamReplyOptions {
  readonly detail: string;
  readonly requestId: string;
  readonly isHead: boolean;
  readonly isGrpc: boolean;
}

/** The connection whose streams are answered. */
export interface RepliesOwner {
  readonly wire: Wire;
  readonly session: Session;
  readonly listener: LiveListener;
  readonly service: LiveService | null;
  readonly address: string;
  readonly listenerKey: string;
}

export class StreamReplies {
  private readonly owner: RepliesOwner;
  private readonly plane: HttpPlane;

  constructor(owner: RepliesOwner, plane: HttpPlane) {
    this.owner = owner;
    this.plane = plane;
  }

  /** Counts, logs and answers what no exchange was begun for. */
  refuse(stream: Stream, why: Reason, head: Head | null, detail = ''): void {
    const told = recordRefusal(this.plane.context, this.owner, { why, head, detail });
    const isHead = head?.method === 'HEAD';
    const isCall = head !== null && isGrpc(head);
    this.reply(stream, why, { detail: told, requestId: '', isHead, isGrpc: isCall });
  }

  /** As `refuse`, with what `judge` has answered. */
  answer(stream: Stream, head: Head, answer: OwnAnswer): void {
    if (answer.kind === 'refuse') return this.refuse(stream, answer.why, head, answer.detail);
    const reply = replyOf(answer);
    recordUnserved(this.plane.context, this.owner, { status: reply.status, code: '', head });
    this.send(stream, reply, { requestId: '', isHead: head.method === 'HEAD' });
  }

  /** Sends an answer of our own, and ends the stream. */
  reply(stream: Stream, why: Reason, options: StreamReplyOptions): void {
    const { detail, isGrpc: isCall } = options;
    if (why.status === 0) this.owner.session.reset(stream, ErrorCode.cancel);
    else if (isCall) this.sendTrailersAlone(stream, grpcLines(why, detail));
    else this.send(stream, failureReply(why, detail), options);
  }

  private sendTrailersAlone(stream: Stream, lines: string): void {
    const head = Buffer.from(`HTTP/1.1 200 \r\n${lines}\r\n`, 'latin1');
    this.owner.session.respond(stream, head, head.length, true);
    this.finish(stream);
  }

  private send(
    stream: Stream,
    reply: OwnReply,
    { requestId, isHead }: Pick<StreamReplyOptions, 'requestId' | 'isHead'>,
  ): void {
    const { listener, service, session, wire } = this.owner;
    const lines = replyLines(reply, {
      requestId,
      wallMs: this.plane.context.clock.wallMs(),
      hstsLine: wire.tls === null ? '' : listener.hstsLine,
      serverName: (listener.service ?? service)?.service.http.serverName ?? '',
    });
    const head = Buffer.from(`HTTP/1.1 ${reply.status} \r\n${lines}\r\n`, 'latin1');
    const body = Buffer.from(isHead ? '' : reply.body);
    session.respond(stream, head, head.length, body.length === 0);
    if (body.length > 0) session.sendLast(stream, body, 0, body.length, '');
    this.finish(stream);
  }

  /** The response is sent, or waits to be: a request that goes on is not wanted (section 8.1). */
  finish(stream: Stream): void {
    const { session } = this.owner;
    if (stream.isClosed) return;
    if (stream.isRemoteDone) session.leave(stream);
    else if (stream.isWaiting) {
      session.leave(stream);
      stream.user = new Leftover(session);
    } else session.reset(stream, ErrorCode.noError);
  }

  /** Ends the streams of exchanges that have ended, whose response nobody has taken for `ms`. */
  endStalled(ms: number): void {
    const { session } = this.owner;
    const { nowMs } = this.plane.context.wheel;
    for (const stream of [...session.streams.values()]) {
      const isLeft = stream.user === null || stream.user instanceof Leftover;
      const isStalled = stream.isWaiting && nowMs - stream.progressMs >= ms;
      if (isLeft && isStalled) session.reset(stream, ErrorCode.cancel);
    }
  }
}

/** The user of a stream whose response waits to be sent, while its request still comes. */
class Leftover {
  private readonly session: Session;

  constructor(session: Session) {
    this.session = session;
  }

  onHead(): void {}
  onData(): void {}
  onEnd(): void {}
  onReset(): void {}
  onFault(): void {}

  onDrain(stream: Stream): void {
    if (!stream.isRemoteDone) this.session.reset(stream, ErrorCode.noError);
  }
}
