// An HTTP endpoint: answers each request as the draw of its answer says, orderly or broken.
import { partOf } from '../kernel/bytes.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { ActorEnd } from '../net/actor-end.ts';
import { TlsEnd } from '../tls/tls-end.ts';
import {
  type AnswerScript,
  drawAnswer,
  type EndpointHabits,
  SURPLUS,
  switching,
} from './answer-script.ts';
import { type Attempt, type Book, mayBeWhole, type Request } from './book.ts';
import { type BodyEnd, type HeadText, HttpReader, type MessageSink } from './http-reader.ts';
import { HeaderReader, type ProxyRules } from './introductions.ts';
import { REQUEST_TRAILER } from './request-script.ts';
import type { Talk } from './talk.ts';
import { checkTold } from './tls/told.ts';
import { endpointTalk } from './tunnel-talk.ts';

const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']);
/** What was sent so long ago has arrived, but on a narrow link. */
const ARRIVED_MS = 150;
const KEY = /^[A-Za-z0-9+/]{22}==$/;
/** A connection with bytes that belong to nothing is closed within so long, there and back. */
const LEFT_MS = 500;
const FLOOD_MAX = 200;
const INTERIM = Buffer.from('HTTP/1.1 103 Early\r\nX-Early: yes\r\n\r\n');
const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');

export interface EndpointSetting {
  readonly kernel: Kernel;
  readonly book: Book;
  readonly name: string;
  readonly service: string;
  readonly habits: EndpointHabits;
  /** What the product's connections begin with. */
  readonly sends: ProxyRules['sends'];
  /** The connection has TLS, and this was read before; null: it is plain. */
  readonly secureHeader?: HeaderReader | null;
  /** HTTP/2 was not offered, though it may be spoken: an upgrade has to be the first that comes. */
  readonly onlyUpgrades?: boolean;
  /** What is sent may take seconds to arrive. */
  readonly isNarrow: boolean;
}

/** One connection of the product's to an endpoint. */
export class HttpEndpointConnection implements MessageSink {
  private readonly setting: EndpointSetting;
  private readonly end: ActorEnd;
  private readonly header: HeaderReader;
  private readonly reader = new HttpReader(this);
  private attempt: Attempt | null = null;
  private script: AnswerScript | null = null;
  private talk: Talk | null = null;
  private bodyBytes = 0;
  /** Of a WebSocket; ''. */
  private key = '';
  private isAnswering = false;
  private isOver = false;
  /** When bytes were sent that belong to no answer. */
  private surplusMs = Number.POSITIVE_INFINITY;
  /** Answers so far. */
  private rounds = 0;
  /** Requests so far. */
  private asked = 0;
  /** What it was asked last. */
  private lastRequest: Request | null = null;

  constructor(setting: EndpointSetting, end: ActorEnd) {
    this.setting = setting;
    this.header = setting.secureHeader ?? new HeaderReader(setting.sends);
    this.end = end;
    end.handler = {
      onBytes: (bytes) => this.take(bytes),
      onEnd: () => this.peerEnded(),
      onReset: () => {
        this.isOver = true;
      },
    };
  }

  private take(bytes: Buffer): void {
    if (this.isOver) return;
    try {
      const rest = this.header.feed(bytes);
      if (rest !== null) this.reader.feed(rest);
    } catch (error) {
      this.wrong(`got what it can't read: ${String(error)}`);
    }
  }

  private wrong(what: string): void {
    const { book, name, service } = this.setting;
    book.fault(`endpoint ${name} ${what}`, service);
    this.isOver = true;
    this.end.reset();
  }

  private peerEnded(): void {
    if (this.talk !== null) return this.talk.onEnd();
    this.isOver = true;
    this.end.close();
  }

  onHead(head: HeadText): BodyEnd {
    const { book, name } = this.setting;
    const match = /^([A-Z]+) \/(\S+) HTTP\/1\.1$/.exec(head.line);
    const request = match === null ? undefined : book.requests.get(match[2]!);
    if (request === undefined) throw new Error(`request line ${JSON.stringify(head.line)}`);
    if (this.attempt !== null) throw new Error(`${request.id} before ${this.attempt.tag} is done`);
    if (request.isForbidden) throw new Error(`${request.id}, which is malformed`);
    if (match![1] !== request.method) throw new Error(`${request.id} as ${match![1]}`);
    if (!IDEMPOTENT.has(request.method) && request.attempts.length > 0)
      throw new Error(`${request.method} ${request.id} a second time`);
    const isUpgrade = head.get('upgrade') !== '';
    if (this.setting.onlyUpgrades === true && this.asked === 0 && !isUpgrade)
      throw new Error(`${request.id} on a connection for upgrades`);
    if (isUpgrade && !request.isUpgrade) throw new Error(`${request.id} with an upgrade`);
    if (this.setting.kernel.nowMs > this.surplusMs + ARRIVED_MS)
      throw new Error(`${request.id} on a connection with surplus bytes`);
    const { address } = request;
    if (head.get('x-forwarded-for') !== address)
      throw new Error(`${request.id} of ${address} for ${head.get('x-forwarded-for')}`);
    this.header.check(request);
    checkTold(request, (name) => head.get(name));
    this.key = this.checkKey(request, head);
    const script = this.draw(request, name);
    const expects = head.get('expect') !== '';
    if (expects && script.sends100 && script.fault === '') this.end.write(CONTINUE);
    if (script.isEarly || script.fault === 'interim-flood') this.answerLater();
    return 'framed';
  }

  /** The key of a WebSocket: the client's own, or one of the product's. */
  private checkKey({ id, websocketKey }: Request, head: HeadText): string {
    if (websocketKey === undefined) return '';
    const key = head.get('sec-websocket-key');
    const isRight = websocketKey === '' ? KEY.test(key) : key === websocketKey;
    if (!isRight || head.get('upgrade').toLowerCase() !== 'websocket')
      throw new Error(`${id}, a WebSocket, with the key ${JSON.stringify(key)}`);
    return key;
  }

  private draw(request: Request, name: string): AnswerScript {
    const { kernel, book, habits } = this.setting;
    const count = request.attempts.filter((other) => other.endpoint === name).length;
    const tag = `${request.id}@${name}.${count}`;
    const script = drawAnswer(kernel.chance(`answer ${tag}`), { request, tag, habits });
    const { status, body, fault } = script;
    this.script = script;
    this.bodyBytes = 0;
    this.isAnswering = false;
    this.asked += 1;
    this.lastRequest = request;
    this.attempt = {
      tag,
      endpoint: name,
      request,
      atMs: kernel.nowMs,
      status,
      body,
      fault,
      hasWhole: false,
      answeredMs: -1,
      doneMs: -1,
    };
    book.see(this.attempt);
    if (kernel.trace.isOn) {
      const what = fault === '' ? `${status} with ${body.length} bytes` : `fault: ${fault}`;
      book.note(`endpoint ${name} gets ${request.method} ${request.id}; will answer ${what}`);
    }
    return script;
  }

  onBody(bytes: Buffer): void {
    const { body, id } = this.attempt!.request!;
    const at = this.bodyBytes;
    this.bodyBytes += bytes.length;
    if (!bytes.equals(partOf(body, at, this.bodyBytes)))
      throw new Error(`body of ${id} that differs in ${at} to ${this.bodyBytes}: ${show(bytes)}`);
  }

  onMessage(trailers: string): void {
    const attempt = this.attempt!;
    const { body, id, isBroken } = attempt.request!;
    if (isBroken || this.bodyBytes !== body.length)
      throw new Error(`body of ${id} as whole with ${this.bodyBytes} bytes`);
    if (trailers !== '' && trailers.toLowerCase() !== REQUEST_TRAILER.toLowerCase())
      throw new Error(`trailers ${JSON.stringify(trailers)}`);
    attempt.hasWhole = true;
    const isStalled = attempt.fault === 'stalls' || attempt.fault === 'silent';
    if (attempt.doneMs < 0) this.answerLater();
    else if (!isStalled) this.between();
  }

  onTunnel(bytes: Buffer): void {
    this.talk!.onBytes(bytes);
  }

  /** Answered and read: the next request may come. */
  private between(): void {
    const { kernel, habits } = this.setting;
    const { idleCloseMs } = habits;
    this.attempt = null;
    if (idleCloseMs === 0 || this.isOver) return;
    this.rounds += 1;
    const round = this.rounds;
    kernel.after(idleCloseMs, () => {
      if (this.attempt === null && this.rounds === round) this.leaveInOrder();
    });
  }

  private answerLater(): void {
    if (this.isAnswering) return;
    this.isAnswering = true;
    const { script } = this;
    if (script!.fault === 'interim-flood') return this.flood(0);
    if (script!.thinkMs === 0) this.answer(0);
    else this.setting.kernel.after(script!.thinkMs, () => this.answer(0));
  }

  private flood(count: number): void {
    if (this.isOver || count === FLOOD_MAX || this.end.isClosed) return;
    this.end.write(INTERIM);
    this.setting.kernel.after(20, () => this.flood(count + 1));
  }

  /** Writes piece number `piece`, and the rest after it. */
  private answer(piece: number): void {
    const { end, setting } = this;
    const { bytes, pieces, pauseMs, switches } = this.script!;
    if (this.isOver || end.isClosed) return;
    const attempt = this.attempt!;
    if (piece === 0) attempt.answeredMs = setting.kernel.nowMs;
    if (switches && this.key !== '') end.write(switching(attempt.tag, this.key));
    else if (pieces === 1) end.write(bytes);
    else {
      const size = Math.ceil(bytes.length / pieces);
      end.write(bytes.subarray(piece * size, (piece + 1) * size));
    }
    if (piece + 1 < pieces && (!switches || this.key === ''))
      setting.kernel.after(pauseMs, () => this.answer(piece + 1));
    else this.answered(attempt);
  }

  private answered(attempt: Attempt): void {
    const { kernel, name } = this.setting;
    const script = this.script!;
    attempt.doneMs = kernel.nowMs;
    if (script.switches) return this.beginTalk(attempt);
    const delayMs = (): number => kernel.chance(`after ${attempt.tag}`).between(0, 400);
    if (script.fault === 'surplus') this.noteSurplus();
    switch (script.fault) {
      case 'silent':
      case 'stalls':
        return;
      case 'resets':
        return this.leave(() => this.end.reset());
      case 'closes':
        return this.leave(() => this.breakOff(attempt));
      case 'closes-idle':
        kernel.after(delayMs(), () => this.whileIdle(() => this.leaveInOrder()));
        break;
      case 'resets-idle':
        kernel.after(delayMs(), () => this.whileIdle(() => this.end.reset()));
        break;
      case 'surplus-idle':
        kernel.after(this.surplusAfterMs(attempt), () => this.whileIdle(() => this.sendSurplus()));
        break;
    }
    if (script.closes) this.endAfter(attempt);
    if (attempt.hasWhole) this.between();
    if (kernel.trace.isOn) this.setting.book.note(`endpoint ${name} has answered ${attempt.tag}`);
  }

  /** Ends in mid-answer, in order or, over TLS, without close_notify. */
  private breakOff({ tag }: Attempt): void {
    const { end } = this;
    const isCut = end instanceof TlsEnd && this.setting.kernel.chance(`break ${tag}`).happens(0.5);
    if (isCut) end.truncate();
    else end.end();
  }

  /** Ends its side behind an answer; over TLS a faulty one leaves close_notify out. */
  private endAfter(attempt: Attempt): void {
    const { kernel, habits } = this.setting;
    const { end } = this;
    const isCut = end instanceof TlsEnd && habits.faultShare > 0;
    if (!isCut || !kernel.chance(`end of ${attempt.tag}`).happens(0.5)) return end.end();
    if (this.script!.endsByClose && mayBeWhole(attempt)) attempt.fault = 'truncates';
    end.truncate();
  }

  /** A connection that is used much is idle for a moment only. */
  private surplusAfterMs({ tag }: Attempt): number {
    const chance = this.setting.kernel.chance(`surplus after ${tag}`);
    return chance.between(0, chance.pick([5, 40, 400]));
  }

  private sendSurplus(): void {
    const { isNarrow, kernel } = this.setting;
    this.noteSurplus();
    this.end.write(Buffer.from(SURPLUS));
    // While the last answer takes its time, what follows that may lie unread.
    if (isNarrow || this.lastRequest?.end === 'open') return;
    const { asked } = this;
    kernel.after(LEFT_MS, () => {
      // To a request that was on its way they look like the beginning of an answer.
      if (this.isOver || this.end.isClosed || this.asked !== asked) return;
      this.wrong('is kept though it sent surplus bytes');
    });
  }

  private noteSurplus(): void {
    const { isNarrow, kernel } = this.setting;
    if (!isNarrow) this.surplusMs = kernel.nowMs;
  }

  /** As far as the endpoint knows: a request may be on its way. */
  private whileIdle(how: () => void): void {
    if (this.attempt === null) this.leave(how);
  }

  /** Ends its side, and reads nothing that crosses that. */
  private leaveInOrder(): void {
    this.isOver = true;
    this.leave(() => this.end.end());
  }

  private leave(how: () => void): void {
    if (this.end.isClosed) return;
    this.setting.book.note(`endpoint ${this.setting.name} leaves a connection`);
    how();
  }

  private beginTalk(attempt: Attempt): void {
    const { kernel, book } = this.setting;
    this.reader.toTunnel();
    const isNarrow = this.setting.isNarrow;
    const talking = { kernel, book, attempt, isNarrow, end: this.end };
    this.talk = endpointTalk(talking, () => this.end.close());
    this.talk.start();
    if (attempt.fault === 'resets')
      kernel.after(kernel.chance(`reset of ${attempt.tag}`).between(0, 100), () =>
        this.leave(() => this.end.reset()),
      );
  }
}

function show(bytes: Buffer): string {
  return JSON.stringify(bytes.toString('latin1', 0, 60));
}
