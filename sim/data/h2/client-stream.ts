// One request of an HTTP/2 client on its stream: sends it, reads the answer, and compares that with what
// the endpoint sent.
import { type ReasonCode, reason as reasonOf } from '../../../src/model/reason.ts';
import { partOf } from '../../kernel/bytes.ts';
import { type Attempt, mayBeWhole, type Request, type RequestEnd } from '../book.ts';
import type { Talk } from '../talk.ts';
import { clientTalk, tunnelBytes } from '../tunnel-talk.ts';
import { checkEnding, checkOwn } from './calls.ts';
import type { H2ClientConnection } from './client-connection.ts';
import { readFields } from './fields.ts';
import { Code } from './frames.ts';
import type { Field } from './hpack.ts';
import type { Peer, PeerStream, StreamHandler } from './peer.ts';
import type { StreamScript } from './request-script.ts';
import { StreamTalkEnd } from './tunnels.ts';

/** A client that expects 100 sends the body all the same after so long. */
const EXPECT_MS = 200;
/** A product that waits so long for the rest of a request, or for a reader, waits for ever. */
const STALLED_MS = 30_000;
/** A tunnel in which nothing happens is ended between these, ms (policy.ts: `idleTunnelMs`). */
const RESTED_MS = [3900, 9000] as const;

export class ClientStream implements StreamHandler {
  readonly request: Request;
  readonly script: StreamScript;
  readonly stream: PeerStream;
  isOver = false;
  private readonly connection: H2ClientConnection;
  private readonly peer: Peer;
  private status = 0;
  private attempt: Attempt | null = null;
  private length = -1;
  private gotBytes = 0;
  /** What came last of fields. */
  private ending: ReadonlyMap<string, string> | null = null;
  private talk: Talk | null = null;
  private earlyBytes = 0;
  private hasBegun = false;
  /** The next message of a call, when the endpoint has sent more than these bytes. */
  private due: (() => void) | null = null;
  private saidAt = 0;

  constructor(
    connection: H2ClientConnection,
    stream: PeerStream,
    { request, script }: { request: Request; script: StreamScript },
  ) {
    this.connection = connection;
    this.peer = connection.peer;
    this.stream = stream;
    this.request = request;
    this.script = script;
    stream.handler = this;
  }

  // Sending

  begin(): void {
    const { peer, script, stream } = this;
    const { kernel } = this.connection.client.setting;
    if (script.fault === 'stops-reading') stream.giving.isShut = true;
    peer.outgoing.fields(stream, script.fields, script.isHeadAll);
    if (script.tunnel) this.sendEarly(script.tunnel.isEarly);
    else if (script.isHeadAll) this.onSent();
    else if (!script.expects) this.sendBody();
    else kernel.after(EXPECT_MS, () => this.sendBody());
    this.planFault();
  }

  /** What is for the tunnel may come before it is open; it is lost where there is none. */
  private sendEarly(isEarly: boolean): void {
    if (!isEarly) return;
    const bytes = tunnelBytes(this.request);
    this.earlyBytes = bytes.length >> 1;
    if (this.earlyBytes > 0)
      this.peer.outgoing.content(this.stream, bytes.subarray(0, this.earlyBytes), false);
  }

  private planFault(): void {
    const { stream } = this;
    const { kernel } = this.connection.client.setting;
    const { fault, faultMs } = this.script;
    if (this.script.call?.isOwnDeadline) {
      kernel.after(this.script.call.deadlineMs, () => {
        if (!this.isOver) this.request.isOrderly = false;
        this.cancel();
      });
    }
    if (fault === 'cancels') kernel.after(faultMs, () => this.cancel());
    else if (fault === 'stops' || fault === 'stops-reading')
      kernel.after(STALLED_MS, () => this.stalled());
    else if (fault === 'window')
      kernel.after(faultMs, () => {
        if (stream.isClosed) return;
        if (faultMs > 20 || !this.peer.overfill(stream)) stream.giving.give(0);
      });
  }

  private sendBody(): void {
    if (this.hasBegun || this.isOver || this.stream.isClosed) return;
    this.hasBegun = true;
    const { body, call, fault, faultAt, trailers } = this.script;
    if (call !== null) this.sendMessage(0);
    else if (fault === 'stops')
      this.peer.outgoing.content(this.stream, body.subarray(0, faultAt), false);
    else this.sendPieces(body, trailers);
  }

  private sendPieces(bytes: Buffer, trailers: readonly Field[]): void {
    const { chance, manner, setting } = this.connection.client;
    if (this.stream.isClosed || this.peer.isOver) return;
    const isSlow = manner.isSlowWriter && bytes.length > 1;
    const count = isSlow ? chance.int(Math.ceil(bytes.length / 12), bytes.length) : bytes.length;
    const isLast = count === bytes.length;
    const part = partOf(bytes, 0, count);
    // An end of its own, at times.
    const endsApart = isLast && trailers.length === 0 && count > 0 && chance.happens(0.2);
    if (count > 0 || isLast)
      this.peer.outgoing.content(this.stream, part, isLast && !endsApart, isLast ? trailers : []);
    if (endsApart) setting.kernel.after(chance.between(0, 5), () => this.sendPieces(EMPTY, []));
    else if (!isLast)
      setting.kernel.after(chance.between(0, 25), () =>
        this.sendPieces(bytes.subarray(count), trailers),
      );
  }

  /** Message `i` of a call; the next one is sent after a while, or when the endpoint has said something. */
  private sendMessage(i: number): void {
    const { body, call, fault, faultAt } = this.script;
    const { kernel } = this.connection.client.setting;
    if (this.isOver || this.stream.isClosed || this.peer.isOver) return;
    const { ends, pauseMs, takesTurns } = call!;
    const from = ends[i - 1] ?? 0;
    const isCut = fault === 'stops' && ends[i]! > faultAt;
    const isLast = i + 1 === ends.length && !isCut;
    this.saidAt = this.gotBytes;
    this.peer.outgoing.content(this.stream, body.subarray(from, isCut ? faultAt : ends[i]), isLast);
    if (isLast || isCut) return;
    const next = (): void => this.sendMessage(i + 1);
    if (takesTurns) this.due = next;
    else kernel.after(pauseMs, next);
  }

  /** The endpoint has said something: it is the client's turn. */
  private takeTurn(): void {
    const { due } = this;
    if (due === null || this.gotBytes === this.saidAt) return;
    this.due = null;
    this.connection.client.setting.kernel.after(this.script.call!.pauseMs, due);
  }

  onSent(): void {
    if (this.script.tunnel) return;
    const isWhole = this.stream.isLocalDone && this.script.fault !== 'stops';
    if (isWhole) this.request.wholeMs = this.connection.client.setting.kernel.nowMs;
  }

  // Faults

  private cancel(): void {
    if (this.isOver) return;
    this.breakOff();
    this.peer.reset(this.stream, Code.cancel);
    this.end('quit');
  }

  private breakOff(): void {
    const { request, talk } = this;
    if (talk !== null && !talk.hasEnded)
      request.brokeOffMs = this.connection.client.setting.kernel.nowMs;
  }

  private stalled(): void {
    if (this.isOver) return;
    const { isNarrow } = this.connection.client.setting;
    if (!isNarrow) this.wrong(`the product waits for ${STALLED_MS} ms`);
    this.cancel();
  }

  private wrong(text: string): void {
    this.connection.wrong(`${this.request.id}: ${text}`);
  }

  // Reading

  onFields(fields: readonly Field[], isLast: boolean): void {
    if (this.isOver) return;
    if (this.status > 0) return this.takeTrailers(fields, isLast);
    const head = readFields(fields, 'response');
    const status = Number(head.get(':status'));
    if (status < 200) return this.interim(status, head, isLast);
    this.status = status;
    const { request } = this;
    this.attempt = this.findAttempt(head);
    request.status = status;
    request.answeredBy = this.attempt?.tag ?? '';
    request.reason = head.get('x-upriver-reason') ?? '';
    if (isLast) this.ending = head;
    if (this.attempt === null && this.script.call !== null) {
      request.status = reasonOf(request.reason as ReasonCode).status;
      checkOwn(head, request.status, isLast);
    }
    if (this.attempt?.status === 101 && status === 200) return this.beginTalk(this.attempt, isLast);
    if (this.attempt !== null && this.attempt.status !== status)
      throw new Error(`${request.id}: status ${status}, not ${this.attempt.status}`);
    this.length = request.method === 'HEAD' ? -1 : Number(head.get('content-length') ?? -1);
    if (this.script.expects) this.sendBody();
    this.leaveIfEnough();
    if (isLast) this.whole();
  }

  private beginTalk(attempt: Attempt, isLast: boolean): void {
    const { earlyBytes, request, stream, peer } = this;
    const { kernel, book } = this.connection.client.setting;
    request.status = 101;
    const rests = request.rests ?? false;
    const end = new StreamTalkEnd(peer, stream);
    this.talk = clientTalk(
      { kernel, book, attempt, end },
      { earlyBytes, rests, onDone: () => this.end('answered') },
    );
    this.talk.start();
    if (rests) kernel.after(RESTED_MS[1], () => this.hasRested());
    if (isLast) this.talk.onEnd();
  }

  private talkGoesOn(bytes: Buffer, isLast: boolean): void {
    const talk = this.talk!;
    const { isNarrow, kernel, mayCut } = this.connection.client.setting;
    if (bytes.length > 0) talk.onBytes(bytes);
    if (!isLast) return;
    const restedMs = kernel.nowMs - talk.lastMs;
    const { request } = this;
    // By a narrow link the last words take their time.
    const isEarly = restedMs < RESTED_MS[0] && !isNarrow;
    if (request.rests && isEarly && !mayCut(request.service))
      this.wrong(`a tunnel is ended after ${Math.round(restedMs)} ms of silence`);
    talk.onEnd();
  }

  private hasRested(): void {
    if (this.isOver) return;
    if (!this.connection.client.setting.isNarrow) this.wrong('the product keeps an idle tunnel');
    this.cancel();
  }

  private interim(status: number, head: ReadonlyMap<string, string>, isLast: boolean): void {
    if (isLast) throw new Error(`${status} that ends its stream`);
    if (status === 100) this.sendBody();
    else if (head.get('x-early') !== 'yes') throw new Error(`an interim response of nobody`);
  }

  private findAttempt(head: ReadonlyMap<string, string>): Attempt | null {
    const tag = head.get('x-tag') ?? '';
    const { request } = this;
    if (tag === '') {
      if (!head.has('x-upriver-reason')) throw new Error(`${request.id}: an answer of nobody`);
      return null;
    }
    for (const attempt of request.attempts) if (attempt.tag === tag) return attempt;
    throw new Error(`${request.id}: the answer of ${tag}`);
  }

  private takeTrailers(fields: readonly Field[], isLast: boolean): void {
    if (!isLast) throw new Error('trailers that do not end their stream');
    const trailers = readFields(fields, 'trailers');
    this.ending = trailers;
    for (const [name, value] of this.script.call === null ? trailers : [])
      if (name !== 'x-t' || value !== 'end') throw new Error(`trailer ${name}: ${value}`);
    this.whole();
  }

  onData(bytes: Buffer, isLast: boolean): void {
    if (this.isOver) return;
    if (this.talk !== null) return this.talkGoesOn(bytes, isLast);
    const { attempt, request } = this;
    if (this.status === 0) throw new Error(`${request.id}: content before the head`);
    const at = this.gotBytes;
    this.gotBytes += bytes.length;
    if (attempt !== null && !bytes.equals(partOf(attempt.body, at, this.gotBytes)))
      throw new Error(`${request.id}: the body differs from byte ${at} on`);
    this.leaveIfEnough();
    if (isLast) this.whole();
    else this.takeTurn();
  }

  private leaveIfEnough(): void {
    const { fault, faultAt } = this.script;
    if (fault === 'leaves-answer' && this.gotBytes >= faultAt && !this.stream.isRemoteDone)
      this.cancel();
  }

  private whole(): void {
    if (this.isOver) return;
    const { attempt, gotBytes, length, request } = this;
    if (length >= 0 && length !== gotBytes)
      throw new Error(`${request.id}: ${gotBytes} bytes, ${length} were announced`);
    request.gotBytes = gotBytes;
    if (attempt === null) return this.end('own');
    if (!mayBeWhole(attempt))
      throw new Error(`${request.id}: whole, though ${attempt.tag} is ${attempt.fault}`);
    if (request.method !== 'HEAD' && gotBytes !== attempt.body.length)
      throw new Error(`${request.id}: whole after ${gotBytes} of ${attempt.body.length} bytes`);
    checkEnding(attempt, this.ending);
    this.end('answered');
  }

  onReset(code: number): void {
    if (this.isOver) {
      // The rest of the request is not wanted (RFC 9113 section 8.1); that of a tunnel may be lost on its way.
      const isLost = this.talk !== null && code === Code.cancel;
      if (code !== Code.none && !isLost) this.wrong(`reset with ${code} after its answer`);
      return;
    }
    this.connection.note(`${this.request.id} is reset with ${code}`);
    this.checkCode(code);
    if (code === Code.refused) this.unasked('refused');
    else this.end(this.status > 0 ? 'cut' : 'gone');
  }

  private checkCode(code: number): void {
    const { fault, isForbidden } = this.script;
    const codes = isForbidden
      ? [Code.protocol]
      : [
          Code.internal,
          Code.cancel,
          Code.refused,
          ...(this.script.isBroken || fault === 'wrong-length' || fault === 'window'
            ? [Code.protocol]
            : []),
          ...(fault === 'window' ? [Code.flow] : []),
          ...(this.talk?.hasPeerEnded ? [Code.none] : []),
        ];
    const isRight = (codes as readonly number[]).includes(code);
    if (!isRight) this.wrong(`reset with ${code}${fault === '' ? '' : ` for ${fault}`}`);
  }

  /** The product says that nothing was done for it. */
  unasked(how: string): void {
    if (this.isOver) return;
    if (this.request.attempts.length > 0) this.wrong(`${how}, and was asked of an endpoint`);
    this.end('unanswered');
  }

  /** The connection has ended, or the client leaves it. */
  lost(how: 'lost' | 'quit'): void {
    if (this.isOver) return;
    if (how === 'quit') this.end('quit');
    else this.end(this.status > 0 ? 'cut' : 'gone');
  }

  private end(how: RequestEnd): void {
    this.isOver = true;
    this.connection.ended(this, how);
  }
}

const EMPTY = Buffer.alloc(0);
