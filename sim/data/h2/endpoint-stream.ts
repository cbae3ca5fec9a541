// One request as an endpoint of HTTP/2 gets it, and its answer.
import { partOf } from '../../kernel/bytes.ts';
import type { AnswerFault, Attempt, Request } from '../book.ts';
import type { Talk } from '../talk.ts';
import { checkTold } from '../tls/told.ts';
import { endpointTalk } from '../tunnel-talk.ts';
import { drawStreamAnswer, type StreamAnswer } from './answer-script.ts';
import { checkAsked, drawCallAnswer } from './calls.ts';
import type { H2EndpointConnection } from './endpoint-connection.ts';
import { readFields } from './fields.ts';
import { Code } from './frames.ts';
import type { Field } from './hpack.ts';
import type { PeerStream, StreamHandler } from './peer.ts';
import { StreamTalkEnd } from './tunnels.ts';

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
  private talk: Talk | null = null;
  private isAnswering = false;
  /** What goes on with piece `turn` of the answer to a call. */
  private due: (() => void) | null = null;
  private turn = 0;

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
      return this.whole(true);
    }
    const head = readFields(fields, 'request');
    const request = this.find(head);
    this.announced = Number(head.get('content-length') ?? -1);
    this.draw(request);
    const { fault, isEarly, isHeadLate = false, sends100 } = this.script!;
    if (fault === 'refuses' || fault === 'goaway') return this.refuse(fault);
    if (head.has('expect') && sends100 && fault === '')
      this.connection.peer.outgoing.fields(this.stream, [[':status', '100']], false);
    if (request.websocketKey !== undefined) this.answerLater();
    else if (fault === 'interim-flood') this.answerLater();
    else if (isEarly) this.inTurn(isHeadLate ? 0 : -1, () => this.answerLater());
    if (isLast) this.whole();
  }

  private find(head: ReadonlyMap<string, string>): Request {
    const { book } = this.connection.setting;
    const path = head.get(':path')!;
    const request = book.requests.get(path.slice(1));
    if (request === undefined) throw new Error(`path ${JSON.stringify(path)}`);
    const method = this.methodOf(request, head);
    if (request.isForbidden) throw new Error(`${request.id}, which is malformed`);
    if (method !== request.method) throw new Error(`${request.id} as ${method}`);
    const { attempts } = request;
    if (!IDEMPOTENT.has(method) && attempts.some(({ isUnprocessed }) => !isUnprocessed))
      throw new Error(`${method} ${request.id} a second time`);
    const from = head.get('x-forwarded-for');
    if (from !== request.address)
      throw new Error(`${request.id} of ${request.address} for ${from}`);
    checkTold(request, (name) => head.get(name));
    checkAsked(request, head);
    const { secureHeader = null } = this.connection.setting;
    const scheme = secureHeader === null ? 'http' : 'https';
    if (head.get(':scheme') !== scheme) throw new Error(`${request.id} with another scheme`);
    return request;
  }

  private methodOf({ id, websocketKey }: Request, head: ReadonlyMap<string, string>): string {
    const method = head.get(':method')!;
    const protocol = head.get(':protocol') ?? '';
    if (websocketKey === undefined && protocol === '') return method;
    if (method !== 'CONNECT' || protocol !== 'websocket' || head.has('sec-websocket-key'))
      throw new Error(`${id} as ${method} to ${protocol}`);
    if (!this.connection.setting.habits.h2.takesTunnels)
      throw new Error(`${id}, a tunnel, where none are taken`);
    return 'GET';
  }

  private draw(request: Request): void {
    const { kernel, book, habits, name } = this.connection.setting;
    const count = request.attempts.filter((other) => other.endpoint === name).length;
    const tag = `${request.id}@${name}.${count}`;
    const draw = request.call ? drawCallAnswer : drawStreamAnswer;
    const script = draw(kernel.chance(`answer ${tag}`), { request, tag, habits });
    const { body, fault, ending, switches = false } = script;
    // The product counts it as what it is in HTTP/1.1.
    const status = switches ? 101 : script.status;
    this.script = script;
    this.attempt = {
      ...{ tag, endpoint: name, request, atMs: kernel.nowMs, status, body, fault },
      ending,
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
    if (this.talk !== null) return this.talkGoesOn(bytes, isLast);
    const { body, id } = this.attempt!.request!;
    const at = this.bodyBytes;
    this.bodyBytes += bytes.length;
    if (!bytes.equals(partOf(body, at, this.bodyBytes)))
      throw new Error(`body of ${id} that differs in ${at} to ${this.bodyBytes}`);
    if (isLast) this.whole();
    else this.takeTurn();
  }

  private whole(hadTrailers = false): void {
    const attempt = this.attempt!;
    const { body, hasTrailers = false, id, isBroken } = attempt.request!;
    if (hasTrailers && !hadTrailers) throw new Error(`${id} without its trailers`);
    if (isBroken || this.bodyBytes !== body.length)
      throw new Error(`body of ${id} as whole with ${this.bodyBytes} bytes`);
    if (this.announced >= 0 && this.announced !== body.length)
      throw new Error(`${id} with content-length ${this.announced}, not ${body.length}`);
    attempt.hasWhole = true;
    this.answerLater();
    this.takeTurn();
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

  // A call that takes turns

  /** Goes on when the client has said as much as this piece of the answer is for. */
  private inTurn(piece: number, go: () => void): void {
    this.turn = piece;
    this.due = go;
    this.takeTurn();
  }

  private takeTurn(): void {
    const { due } = this;
    if (due === null || !this.isTurn) return;
    this.due = null;
    due();
  }

  private get isTurn(): boolean {
    const { hasWhole, request } = this.attempt!;
    const { call } = request!;
    if (hasWhole || this.turn < 0 || !call?.takesTurns) return true;
    return this.bodyBytes >= (call.ends[this.turn] ?? Number.POSITIVE_INFINITY);
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
    const { switches } = this.script!;
    if ((fault === 'breaks' || isAtOnce) && !switches) return this.fail(Buffer.alloc(0));
    const { peer, setting } = this.connection;
    const attempt = this.attempt!;
    if (hasInterim) peer.outgoing.fields(this.stream, INTERIM, false);
    const isAll = body.length === 0 && trailers.length === 0;
    attempt.isWholeByLength = fields.some(([name]) => name === 'content-length');
    attempt.answeredMs = setting.kernel.nowMs;
    peer.outgoing.fields(this.stream, fields, isAll && !switches);
    if (switches) return this.beginTalk(attempt);
    if (isAll) this.onSent();
    else this.piece(CUTS.has(fault) ? body.subarray(0, faultAt) : body, 0);
  }

  private beginTalk(attempt: Attempt): void {
    const { connection, stream } = this;
    const { kernel, book, isNarrow } = connection.setting;
    const { peer } = connection;
    const talking = { kernel, book, attempt, isNarrow, end: new StreamTalkEnd(peer, stream) };
    this.talk = endpointTalk(talking, () => {
      attempt.doneMs = kernel.nowMs;
      connection.answered(attempt.fault);
    });
    this.talk.start();
    if (attempt.fault === '') return;
    kernel.after(kernel.chance(`break of ${attempt.tag}`).between(0, 100), () => {
      if (!this.isGone) this.fail(Buffer.alloc(0));
    });
  }

  private talkGoesOn(bytes: Buffer, isLast: boolean): void {
    if (bytes.length > 0) this.talk!.onBytes(bytes);
    if (isLast) this.talk!.onEnd();
  }

  /** Writes piece number `piece`, and the rest after it. */
  private piece(body: Buffer, piece: number): void {
    const { ends, fault, pieces, pauseMs, trailers } = this.script!;
    const { peer, setting } = this.connection;
    if (this.isGone) return;
    const size = Math.ceil(body.length / pieces);
    const to = ends?.[piece] ?? (piece + 1) * size;
    const part = partOf(body, ends?.[piece - 1] ?? piece * size, to);
    // Of a call nothing follows where it is cut, for its client may wait for the rest.
    const isEnd = piece + 1 === pieces || (ends !== undefined && to >= body.length);
    const isLast = isEnd && !CUTS.has(fault);
    if (part.length > 0 || isLast)
      peer.outgoing.content(this.stream, part, isLast, isLast ? trailers : []);
    if (!isEnd) {
      const next = (): void => this.piece(body, piece + 1);
      setting.kernel.after(pauseMs, () => this.inTurn(piece + 1, next));
    } else if (CUTS.has(fault)) this.fail(this.script!.body.subarray(body.length));
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
    if (this.talk !== null) return;
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
