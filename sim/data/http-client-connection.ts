// One connection of an HTTP client: sends requests, reads answers, and compares them with what the
// endpoints sent.
import { partOf } from '../kernel/bytes.ts';
import type { ActorEnd, ActorHandler } from '../net/actor-end.ts';
import { SURPLUS } from './answer-script.ts';
import { type Attempt, mayBeWhole, type Request, type RequestEnd, soonestSentMs } from './book.ts';
import { acceptOf } from './h2/tunnels.ts';
import type { HttpClient } from './http-client.ts';
import { type BodyEnd, type HeadText, HttpReader, type MessageSink } from './http-reader.ts';
import { dialIntroduced, drawIntroduction, type Introduction } from './introductions.ts';
import type { RequestScript } from './request-script.ts';
import type { Talk } from './talk.ts';
import { clientTalk, tunnelBytes } from './tunnel-talk.ts';

/** A client that expects 100 sends the body all the same after so long. */
const EXPECT_MS = 200;
/** A product that waits so long for the rest of a request waits for ever. */
const STALLED_MS = 30_000;

export class HttpClientConnection implements MessageSink {
  private readonly client: HttpClient;
  private readonly end: ActorEnd;
  private readonly introduction: Introduction;
  private readonly reader = new HttpReader(this);
  /** Sent and not answered, oldest first. */
  private readonly open: { request: Request; script: RequestScript }[] = [];
  private head: HeadText | null = null;
  private attempt: Attempt | null = null;
  private bodyBytes = 0;
  private body = '';
  private gotBytes = 0;
  private talk: Talk | null = null;
  private isOver = false;
  /** Nothing is asked on it any more. */
  private isLast = false;
  /** The product said that it closes. */
  private isClosing = false;
  private isSending = false;
  private isAsking = false;
  private answered = 0;
  private continueBody: (() => void) | null = null;
  private isInterim = false;
  /** Tunnel bytes that were sent before the 101. */
  private earlyBytes = 0;
  private idleSinceMs = 0;

  constructor(client: HttpClient) {
    this.client = client;
    const { name, port, address, isIntroduced } = client.plan;
    const { kernel, network } = client.setting;
    const chance = kernel.chance(`introduction ${client.connections} of ${name}`);
    this.introduction = drawIntroduction(chance, { address, accepts: isIntroduced, port });
    const { introduction } = this;
    const handler: ActorHandler = {
      onOpen: () => {
        const { dials } = client.setting.book;
        dials.set(port, (dials.get(port) ?? 0) + 1);
        this.idleSinceMs = client.setting.kernel.nowMs;
        this.begin();
      },
      onRefused: (code) => {
        client.secure?.failed(code);
        this.over('gone', `connecting: ${code}`, true);
      },
      onBytes: (bytes) => this.take(bytes),
      onEnd: () => this.peerEnded(),
      onReset: () => this.over('cut', 'reset', true),
      onTruncated: () => {
        if (this.open.length === 0) client.secure!.truncated();
      },
    };
    const tls = client.secure?.connection(kernel.chance(`tls ${client.connections} of ${name}`));
    const dialling = { kernel, network, chance, name, port, introduction, tls: tls ?? null };
    this.end = dialIntroduced(dialling, handler);
  }

  // Sending

  private begin(): void {
    const { chance, plan, setting } = this.client;
    if (plan.idleMs === 0) this.askMore();
    else setting.kernel.after(chance.between(0, plan.idleMs), () => this.askMore());
  }

  private askMore(): void {
    const { client } = this;
    if (this.isOver || this.isLast || this.isSending || this.talk !== null) return;
    if (!client.hasMore || this.open.length >= client.manner.depth) return;
    const { request, script } = client.next(this.idleSinceMs, this.introduction.client);
    this.open.push({ request, script });
    if (client.setting.kernel.trace.isOn) {
      const what = script.fault === '' ? '' : `, and ${script.fault}`;
      this.note(`asks ${request.method} ${request.id}${what}`);
    }
    if (script.isUpgrade || script.fault !== '') this.isLast = true;
    // What the client does wrong with one request, it does to all on the connection.
    if (script.fault !== '') for (const other of this.open) other.request.isOrderly = false;
    this.isSending = true;
    this.send(request, script);
  }

  private send(request: Request, script: RequestScript): void {
    const { bytes, headBytes, fault, faultAt } = script;
    const isCutShort = FAULTS_IN_REQUEST.has(fault);
    const sent = isCutShort ? bytes.subarray(0, faultAt) : bytes;
    const done = (): void => this.sent(request, script);
    if (script.expects && fault === '') {
      this.end.write(bytes.subarray(0, headBytes));
      const rest = (): void => {
        if (this.continueBody !== rest) return;
        this.continueBody = null;
        this.sendPieces(bytes.subarray(headBytes), done);
      };
      this.continueBody = rest;
      this.client.setting.kernel.after(EXPECT_MS, rest);
    } else this.sendPieces(sent, done);
  }

  private sendPieces(bytes: Buffer, done: () => void): void {
    const { chance, manner, setting } = this.client;
    if (this.isOver) return;
    if (!manner.isSlowWriter || bytes.length < 2) {
      this.end.write(bytes);
      done();
      return;
    }
    const count = chance.int(Math.ceil(bytes.length / 12), bytes.length);
    this.end.write(bytes.subarray(0, count));
    if (count === bytes.length) done();
    else
      setting.kernel.after(chance.between(0, 25), () =>
        this.sendPieces(bytes.subarray(count), done),
      );
  }

  private sent(request: Request, { fault }: RequestScript): void {
    const { kernel } = this.client.setting;
    this.isSending = false;
    if (!FAULTS_IN_REQUEST.has(fault)) request.wholeMs = kernel.nowMs;
    switch (fault) {
      case 'half-close':
      case 'ends-early':
        this.end.end();
        return;
      case 'closes':
        this.quit(() => this.end.close());
        return;
      case 'resets':
        this.quit(() => this.end.reset());
        return;
      case 'stops-reading':
        this.end.pause();
        kernel.after(3000, () => this.quit(() => this.end.reset()));
        return;
      case 'stops':
        // It waits for the product to lose patience; what it answers is read.
        kernel.after(STALLED_MS, () => this.stalled());
        return;
    }
    if (request.isUpgrade && this.client.chance.happens(0.3)) this.earlyTunnelBytes(request);
    if (this.client.manner.depth > 1) this.askMore();
  }

  /** Bytes for the tunnel may come before the 101. They are lost where there is none. */
  private earlyTunnelBytes(request: Request): void {
    this.earlyBytes = tunnelBytes(request).length >> 1;
    if (this.earlyBytes > 0) this.end.write(tunnelBytes(request).subarray(0, this.earlyBytes));
  }

  private stalled(): void {
    if (this.isOver) return;
    const { request } = this.open[0] ?? {};
    if (request !== undefined)
      this.fault(`${request.id}: the product waits for the rest for ${STALLED_MS} ms`);
    this.quit(() => this.end.reset());
  }

  /** The client leaves, whatever is open. */
  private quit(how: () => void): void {
    if (this.isOver) return;
    how();
    this.over('quit', 'leaves', false);
  }

  // Reading

  private take(bytes: Buffer): void {
    const { chance, manner, setting } = this.client;
    if (this.isOver) return;
    this.gotBytes += bytes.length;
    if (setting.kernel.trace.isOn) this.note(`reads ${bytes.length} bytes: ${preview(bytes)}`);
    try {
      this.reader.feed(bytes);
    } catch (error) {
      this.fault(`${this.open[0]?.request.id ?? 'no request'}: ${String(error)}`);
      this.quit(() => this.end.reset());
      return;
    }
    const { script } = this.open[0] ?? {};
    if (script?.fault === 'leaves-answer' && this.gotBytes > script.faultAt)
      return this.quit(() => (chance.happens(0.5) ? this.end.reset() : this.end.close()));
    if (manner.isSlowReader && chance.happens(0.5) && !this.isOver) {
      this.end.pause();
      setting.kernel.after(chance.between(0, 60), () => this.end.resume());
    }
  }

  onHead(head: HeadText): BodyEnd {
    const first = this.open[0];
    if (first === undefined) return this.unasked(head);
    const { request, script } = first;
    const status = Number(/^HTTP\/1\.1 ([1-5]\d\d) /.exec(head.line)?.[1]);
    if (!(status > 0)) throw new Error(`status line ${JSON.stringify(head.line)}`);
    this.head = head;
    this.bodyBytes = 0;
    this.body = '';
    if (status < 200 && status !== 101) return this.interim(status, head);
    this.attempt = this.findAttempt(request, head);
    this.isInterim = false;
    request.status = status;
    request.answeredBy = this.attempt?.tag ?? '';
    request.reason = head.get('x-upriver-reason');
    if (head.get('connection').includes('close')) {
      this.isLast = true;
      this.isClosing = true;
    }
    if (this.attempt !== null && this.attempt.status !== status)
      throw new Error(`status ${status}, not ${this.attempt.status}`);
    if (status === 101) return this.beginTalk(request);
    if (script.expects) this.continueBody?.();
    if (request.method === 'HEAD' || status === 204 || status === 304) return 'none';
    const isFramed = head.get('transfer-encoding') !== '' || head.get('content-length') !== '';
    if (this.client.manner.isOld && head.get('transfer-encoding') !== '')
      throw new Error('chunks for HTTP/1.0');
    return isFramed ? 'framed' : 'close';
  }

  /** The product may refuse a connection, or lose patience, before it gets a request. */
  private unasked(head: HeadText): BodyEnd {
    if (!UNASKED.has(head.get('x-upriver-reason')))
      throw new Error(`an answer without a request: ${head.line}`);
    this.isInterim = true;
    this.isLast = true;
    return 'framed';
  }

  private interim(status: number, head: HeadText): BodyEnd {
    if (this.client.manner.isOld) throw new Error('an interim response for HTTP/1.0');
    if (status === 100) this.continueBody?.();
    else if (head.get('x-early') !== 'yes')
      throw new Error(`an interim response of nobody: ${head.line}`);
    this.isInterim = true;
    return 'none';
  }

  private findAttempt(request: Request, head: HeadText): Attempt | null {
    const tag = head.get('x-tag');
    if (tag === '') {
      if (head.get('x-upriver-reason') === '') throw new Error(`${head.line} of nobody`);
      return null;
    }
    for (const attempt of request.attempts) if (attempt.tag === tag) return attempt;
    throw new Error(`the answer of ${tag}`);
  }

  onBody(bytes: Buffer): void {
    const at = this.bodyBytes;
    this.bodyBytes += bytes.length;
    const { attempt } = this;
    if (attempt === null) this.body += bytes.toString('latin1');
    else if (!bytes.equals(partOf(attempt.body, at, this.bodyBytes)))
      throw new Error(`the body differs from byte ${at} on: ${preview(bytes)}`);
  }

  onMessage(_trailers: string): void {
    if (this.isInterim) {
      this.isInterim = false;
      return;
    }
    // The client may have left while it read the head.
    if (this.isOver) return;
    const { request } = this.open.shift()!;
    const { attempt } = this;
    request.gotBytes = this.bodyBytes;
    this.head = null;
    this.attempt = null;
    this.answered += 1;
    const { isNarrow, kernel } = this.client.setting;
    this.idleSinceMs = isNarrow ? Math.max(this.idleSinceMs, soonestSentMs(request)) : kernel.nowMs;
    const [next] = this.open;
    if (next !== undefined) next.request.turnMs = kernel.nowMs;
    if (attempt === null) this.ended(request, 'own');
    else {
      this.checkWhole(request, attempt);
      this.ended(request, 'answered');
    }
    this.afterAnswer();
  }

  private checkWhole(request: Request, attempt: Attempt): void {
    if (!mayBeWhole(attempt)) throw new Error(`whole, though ${attempt.tag} is ${attempt.fault}`);
    if (request.method !== 'HEAD' && this.bodyBytes !== attempt.body.length)
      throw new Error(`whole after ${this.bodyBytes} of ${attempt.body.length} bytes`);
  }

  private afterAnswer(): void {
    const { client } = this;
    if (this.isLast && this.open.length === 0) {
      // It closes when the product has closed, or at once.
      if (client.chance.happens(0.5)) this.quit(() => this.end.close());
      return;
    }
    if (!client.hasMore && this.open.length === 0) {
      this.quit(() => this.end.close());
      return;
    }
    if (this.isAsking) return;
    this.isAsking = true;
    client.setting.kernel.after(this.drawThinkMs(), () => {
      this.isAsking = false;
      for (let i = 0; i < client.manner.depth; i += 1) this.askMore();
    });
  }

  private drawThinkMs(): number {
    const { chance, manner, plan } = this.client;
    if (plan.idleMs > 0) return chance.between(0, plan.idleMs);
    return chance.happens(0.7) ? 0 : chance.between(0, manner.thinkMs);
  }

  private beginTalk(request: Request): BodyEnd {
    const { kernel, book } = this.client.setting;
    const attempt = this.attempt!;
    if (!request.isUpgrade) throw new Error('101 unasked');
    const { websocketKey: key } = request;
    if (key !== undefined && this.head!.get('sec-websocket-accept') !== acceptOf(key))
      throw new Error(`the key of ${request.id} is accepted wrongly`);
    const onDone = (): void => {
      this.open.shift();
      this.ended(request, 'answered');
      this.quit(() => this.end.close());
    };
    const talking = { kernel, book, attempt, end: this.end };
    this.talk = clientTalk(talking, { earlyBytes: this.earlyBytes, onDone });
    this.talk.start();
    return 'switch';
  }

  onTunnel(bytes: Buffer): void {
    this.talk!.onBytes(bytes);
  }

  // Ends

  private peerEnded(): void {
    if (this.isOver) return;
    if (this.talk !== null) return this.talk.onEnd();
    try {
      this.reader.end();
    } catch (error) {
      this.fault(`${this.open[0]?.request.id ?? 'no request'}: ${String(error)}`);
    }
    if (this.isOver) return;
    this.over(this.head === null ? 'gone' : 'cut', 'ended', this.answered === 0);
    this.end.close();
  }

  private over(how: RequestEnd, text: string, isFailure: boolean): void {
    if (this.isOver) return;
    this.isOver = true;
    this.reader.stop();
    this.note(`is done with a connection: ${text}`);
    const [first, ...others] = this.open;
    if (first !== undefined) {
      const end = how === 'cut' && this.head === null ? 'gone' : how;
      const isExpected = end === 'gone' && this.isClosing;
      this.ended(first.request, isExpected ? 'unanswered' : end);
    }
    for (const { request } of others) {
      // Its turn never came.
      request.turnMs = this.client.setting.kernel.nowMs;
      this.ended(request, 'unanswered');
    }
    this.open.length = 0;
    this.client.left(isFailure);
  }

  private ended(request: Request, end: RequestEnd): void {
    const { kernel, judge } = this.client.setting;
    request.end = end;
    request.endMs = kernel.nowMs;
    if (kernel.trace.isOn)
      this.note(`${request.id} ends: ${request.end} ${request.status} ${request.reason}`);
    judge(request);
  }

  private fault(text: string): void {
    const { name, service } = this.client.plan;
    this.client.setting.book.fault(`client ${name}, ${text}`, service);
  }

  private note(text: string): void {
    this.client.setting.book.note(`client ${this.client.plan.name} ${text}`);
  }
}

function preview(bytes: Buffer): string {
  const text = JSON.stringify(bytes.toString('latin1', 0, 60));
  return bytes.includes(SURPLUS) ? `${text}, bytes of nobody` : text;
}

const UNASKED: ReadonlySet<string> = new Set([
  'too-many-connections',
  'client-connections',
  'out-of-descriptors',
  'client-header-timeout',
]);

/** Faults that leave the request unfinished, so that it is not whole. */
const FAULTS_IN_REQUEST: ReadonlySet<string> = new Set(['ends-early', 'closes', 'resets', 'stops']);
