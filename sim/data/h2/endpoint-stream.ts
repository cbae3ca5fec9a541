// One request as an endpoint of HTTP/2 gets it, and its answer.
import type { AnswerFault, Attempt, Request } from '../book.ts';
import { checkTold } from '../tls/told.ts';
import { drawStreamAnswer, type StreamAnswer } from './answer-script.ts';
import type { H2EndpointConnection } from './endpoint-connection.ts';
import { readFields } from './fields.ts';
import { Code } from './frames.ts';
import type { Field } from './hpack.ts';
import type { PeerStream, StreamHandler } from './peer.ts';

const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']);
const FLOOD_MAX = 200;
const INTERIM: readonly Field[] = [
  [':status', '103'],
  ['x-early', 'yes'],
];

export class EndpointStream implements StreamHandler {
  attempt: Attempt | null = null;
  readonly stream: PeerStream;
  private readonly connection: H2EndpointConnection;
  private script: StreamAnswer | null = null;
  private bodyBytes = 0;
  private announced = -1;
  private isAnswering = false;

  constructor(connection: H2EndpointConnection, stream: PeerStream) {
    this.connection = connection;
    this.stream = stream;
    stream.handler = this;
  }

  // The request

  onFields(fields: readonly Field[], isLast: boolean): void {
    if (this.attempt !== null) {
      if (!isLast) throw new Error('trailers that do not end their stream');
      for (const [name, value] of readFields(fields, 'trailers'))
        if (name !== 'x-trailer' || value !== 'end') throw new Error(`trailer ${name}: ${value}`);
      return this.whole();
    }
    const head = readFields(fields, 'request');
    const request = this.find(head);
    this.announced = Number(head.get('content-length') ?? -1);
    this.draw(request);
    const { fault, isEarly, sends100 } = this.script!;
    if (fault === 'refuses' || fault === 'goaway') return this.refuse(fault);
    if (head.has('expect') && sends100 && fault === '')
      this.connection.peer.outgoing.fields(this.stream, [[':status', '100']], false);
    if (isEarly || fault === 'interim-flood') this.answerLater();
    if (isLast) this.whole();
  }

  private find(head: ReadonlyMap<string, string>): Request {
    const { book } = this.connection.setting;
    const path = head.get(':path')!;
    const request = book.requests.get(path.slice(1));
    if (request === undefined) throw new Error(`path ${JSON.stringify(path)}`);
    const method = head.get(':method')!;
    if (request.isForbidden) throw new Error(`${request.id}, which is malformed`);
    if (method !== request.method) throw new Error(`${request.id} as ${method}`);
    const { attempts } = request;
    if (!IDEMPOTENT.has(method) && attempts.some(({ isUnprocessed }) => !isUnprocessed))
      throw new Error(`${method} ${request.id} a second time`);
    const from = head.get('x-forwarded-for');
    if (from !== request.address)
      throw new Error(`${request.id} of ${request.address} for ${from}`);
    checkTold(request, (name) => head.get(name));
    const { secureHeader = null } = this.connection.setting;
    const scheme = secureHeader === null ? 'http' : 'https';
    if (head.get(':scheme') !== scheme) throw new Error(`${request.id} with another scheme`);
    return request;
  }

  private draw(request: Request): void {
    const { kernel, book, habits, name } = this.connection.setting;
    const count = request.attempts.filter((other) => other.endpoint === name).length;
    const tag = `${request.id}@${name}.${count}`;
    const script = drawStreamAnswer(kernel.chance(`answer ${tag}`), { request, tag, habits });
    const { status, body, fault } = script;
    this.script = script;
    this.attempt = {
      ...{ tag, endpoint: name, request, atMs: kernel.nowMs, status, body, fault },
      ...{ hasWhole: false, answeredMs: -1, doneMs: -1, isUnprocessed: false },
    };
    book.see(this.attempt);
    if (kernel.trace.isOn) {
      const what = fault === '' ? `${status} with ${body.length} bytes` : `fault: ${fault}`;
      const where = `stream ${this.stream.id}`;
      book.note(
        `endpoint ${name} gets ${request.method} ${request.id}, ${where}; will answer ${what}`,
      );
    }
  }

  /** The endpoint does nothing for it, and says so (RFC 9113 sections 6.8 and 8.7). */
  private refuse(fault: AnswerFault): void {
    this.attempt!.isUnprocessed = true;
    if (fault === 'refuses') this.connection.peer.reset(this.stream, Code.refused);
    else this.connection.goawayBelow(this.stream);
  }

  onData(bytes: Buffer, isLast: boolean): void {
    const { body, id } = this.attempt!.request!;
    const at = this.bodyBytes;
    this.bodyBytes += bytes.length;
    if (!bytes.equals(body.subarray(at, this.bodyBytes)))
      throw new Error(`body of ${id} that differs in ${at} to ${this.bodyBytes}`);
    if (isLast) this.whole();
  }

  private whole(): void {
    const attempt = this.attempt!;
    const { body, id, isBroken } = attempt.request!;
    if (isBroken || this.bodyBytes !== body.length)
      throw new Error(`body of ${id} as whole with ${this.bodyBytes} bytes`);
    if (this.announced >= 0 && this.announced !== body.length)
      throw new Error(`${id} with content-length ${this.announced}, not ${body.length}`);
    attempt.hasWhole = true;
    this.answerLater();
  }

  onReset(code: number): void {
    const { attempt } = this;
    if (code !== Code.cancel && attempt?.fault === '')
      throw new Error(`${attempt.tag} reset with ${code}`);
  }

  // The answer

  private answerLater(): void {
    if (this.isAnswering) return;
    this.isAnswering = true;
    const { fault, thinkMs } = this.script!;
    const { kernel } = this.connection.setting;
    if (fault === 'interim-flood') this.flood(0);
    else if (thinkMs === 0) this.answer();
    else kernel.after(thinkMs, () => this.answer());
  }

  private get isGone(): boolean {
    return this.connection.isOver || this.stream.isClosed;
  }

  private flood(count: number): void {
    if (this.isGone || count === FLOOD_MAX) return;
    this.connection.peer.outgoing.fields(this.stream, INTERIM, false);
    this.connection.setting.kernel.after(20, () => this.flood(count + 1));
  }

  private answer(): void {
    const { fault, faultAt, fields, hasInterim, body, trailers } = this.script!;
    if (this.isGone || fault === 'silent') return;
    const isAtOnce = faultAt < 0 && CUTS.has(fault);
    if (fault === 'breaks' || isAtOnce) return this.fail(Buffer.alloc(0));
    const { peer, setting } = this.connection;
    const attempt = this.attempt!;
    if (hasInterim) peer.outgoing.fields(this.stream, INTERIM, false);
    const isAll = body.length === 0 && trailers.length === 0;
    attempt.isWholeByLength = fields.some(([name]) => name === 'content-length');
    attempt.answeredMs = setting.kernel.nowMs;
    peer.outgoing.fields(this.stream, fields, isAll);
    if (isAll) this.onSent();
    else this.piece(CUTS.has(fault) ? body.subarray(0, faultAt) : body, 0);
  }

  /** Writes piece number `piece`, and the rest after it. */
  private piece(body: Buffer, piece: number): void {
    const { fault, pieces, pauseMs, trailers } = this.script!;
    const { peer, setting } = this.connection;
    if (this.isGone) return;
    const size = Math.ceil(body.length / pieces);
    const part = body.subarray(piece * size, (piece + 1) * size);
    const isEnd = piece + 1 === pieces;
    const isLast = isEnd && !CUTS.has(fault);
    if (part.length > 0 || isLast)
      peer.outgoing.content(this.stream, part, isLast, isLast ? trailers : []);
    if (!isEnd) setting.kernel.after(pauseMs, () => this.piece(body, piece + 1));
    else if (CUTS.has(fault)) this.fail(this.script!.body.subarray(body.length));
  }

  /** In the middle of the answer; `rest`: what is still missing of it. */
  private fail(rest: Buffer): void {
    const { fault } = this.script!;
    const { connection, stream } = this;
    if (fault === 'stalls') return;
    if (fault === 'breaks') connection.misbehave();
    else if (fault === 'cancels') {
      const code = this.attempt!.tag.length % 2 === 0 ? Code.internal : Code.cancel;
      connection.peer.reset(stream, code);
    } else connection.cut(fault === 'resets', stream, rest);
  }

  onSent(): void {
    const attempt = this.attempt!;
    const { kernel, book, name } = this.connection.setting;
    if (!this.stream.isLocalDone || attempt.doneMs >= 0) return;
    attempt.doneMs = kernel.nowMs;
    if (kernel.trace.isOn) book.note(`endpoint ${name} has answered ${attempt.tag}`);
    if (!attempt.hasWhole && this.script!.isEnough) {
      // Nothing more of the request is wanted (RFC 9113 section 8.1).
      this.connection.peer.reset(this.stream, Code.none);
    }
    this.connection.answered(this.script!.fault);
  }
}

/** Faults in the middle of an answer. */
const CUTS: ReadonlySet<AnswerFault> = new Set(['stalls', 'resets', 'closes', 'cancels']);
