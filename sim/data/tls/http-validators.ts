// A certificate authority that validates a challenge by HTTP (RFC 8555 section 8.3): it must get the key authorization
// while that is outstanding and if it asks for its token at its name, and 404 otherwise. No endpoint may see it: that
// could answer in our place.
import type { Chance } from '../../kernel/chance.ts';
import type { ActorHandler } from '../../net/actor-end.ts';
import type { Request } from '../book.ts';
import { answerOf, domainOf, tokenOf } from './orders.ts';
import { Validating } from './validating.ts';

const PATH = '/.well-known/acme-challenge/';
const ADDRESS = '10.9.8.7';

interface Reply {
  readonly status: number;
  /** X-Upriver-Reason; ''. */
  readonly reason: string;
  readonly body: string;
}

export class HttpValidator extends Validating {
  private isHead = false;
  private text = '';

  protected come(chance: Chance): void {
    const { kernel } = this.setting;
    this.isHead = chance.happens(0.2);
    const bytes = Buffer.from(this.request(chance.happens(0.5) ? 'close' : 'keep-alive'));
    const cut = chance.happens(0.4) ? chance.int(1, bytes.length - 1) : bytes.length;
    const request = this.enter(ADDRESS);
    const handler: ActorHandler = {
      onOpen: () => {
        end.write(bytes.subarray(0, cut));
        if (cut < bytes.length)
          kernel.after(chance.between(0, 30), () => end.write(bytes.subarray(cut)));
      },
      onRefused: () => this.gaveUp(),
      onBytes: (piece) => {
        this.text += piece.toString('latin1');
        const reply = this.reply();
        if (reply === null || this.isDone) return;
        Object.assign(request, { end: 'own', status: reply.status, reason: reply.reason });
        this.check(reply);
        end.close();
        this.isDone = true;
      },
      onEnd: () => {
        end.close();
        this.gaveUp();
      },
      onReset: () => this.gaveUp(),
    };
    const end = this.dial({ chance, address: ADDRESS }, handler);
  }

  private request(connection: string): string {
    const { kind, order } = this.plan;
    const token = kind === 'http-other' ? `${tokenOf(order)}x` : tokenOf(order);
    const line = `${this.isHead ? 'HEAD' : 'GET'} ${PATH}${token} HTTP/1.1`;
    return `${line}\r\nHost: ${domainOf(order)}\r\nConnection: ${connection}\r\n\r\n`;
  }

  /** It is one of the listener's requests, and counted so. */
  private enter(address: string): Request {
    const { name, port, service } = this.plan;
    const { book, kernel } = this.setting;
    const request: Request = {
      ...{ id: name, client: name, address, sourcePort: 0, port, service, idleSinceMs: 0 },
      ...{ method: this.isHead ? 'HEAD' : 'GET', body: Buffer.alloc(0), isUpgrade: false },
      ...{ isForbidden: true, isBroken: false, isOrderly: true },
      ...{ startMs: kernel.nowMs, wholeMs: -1, endedMs: -1, turnMs: 0, attempts: [] },
      ...{ end: 'unanswered', status: 0, reason: '', answeredBy: '', gotBytes: 0, endMs: -1 },
    };
    book.open(request);
    return request;
  }

  /** What has come whole; null: that is not all. */
  private reply(): Reply | null {
    const end = this.text.indexOf('\r\n\r\n');
    if (end < 0) return null;
    const head = this.text.slice(0, end);
    const length = Number(/\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
    const body = this.text.slice(end + 4);
    if (!this.isHead && body.length < length) return null;
    const reason = /\nx-upriver-reason: (\S+)/i.exec(head)?.[1] ?? '';
    return { status: Number(head.slice(9, 12)), reason, body };
  }

  private check({ status, body }: Reply): void {
    const { kind, order } = this.plan;
    const is = kind === 'http' && this.isOutstanding;
    const isAnswered = status === 200;
    if (isAnswered && is === false) this.wrong('is answered a challenge that is not outstanding');
    if (isAnswered && body !== (this.isHead ? '' : answerOf(order))) this.wrong(`is told ${body}`);
    if (isAnswered || this.isExcused) return;
    if (is === true) this.wrong(`gets ${status} to its challenge`);
    else if (status !== 404) this.wrong(`gets ${status}, and no challenge is outstanding`);
  }

  protected gaveUp(): void {
    if (!this.isDone && !this.isExcused) this.wrong('gets no answer');
    this.isDone = true;
  }
}
