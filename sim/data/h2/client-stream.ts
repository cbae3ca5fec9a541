// One request of an HTTP/2 client on its stream: sends it, reads the answer, and compares that with what
// the endpoint sent.
import { type Attempt, mayBeWhole, type Request, type RequestEnd } from '../book.ts';
import type { H2ClientConnection } from './client-connection.ts';
import { readFields } from './fields.ts';
import { Code } from './frames.ts';
import type { Field } from './hpack.ts';
import type { Peer, PeerStream, StreamHandler } from './peer.ts';
import type { StreamScript } from './request-script.ts';

/** A client that expects 100 sends the body all the same after so long. */
const EXPECT_MS = 200;
/** A product that waits so long for the rest of a request, or for a reader, waits for ever. */
const STALLED_MS = 30_000;

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
  private hasBegun = false;

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
    if (script.isHeadAll) this.onSent();
    else if (!script.expects) this.sendBody();
    else kernel.after(EXPECT_MS, () => this.sendBody());
    this.planFault();
  }

  private planFault(): void {
    const { stream } = this;
    const { kernel } = this.connection.client.setting;
    const { fault, faultMs } = this.script;
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
    const { body, fault, faultAt, trailers } = this.script;
    if (fault === 'stops')
      this.peer.outgoing.content(this.stream, body.subarray(0, faultAt), false);
    else this.sendPieces(body, trailers);
  }

  private sendPieces(bytes: Buffer, trailers: readonly Field[]): void {
    const { chance, manner, setting } = this.connection.client;
    if (this.stream.isClosed || this.peer.isOver) return;
    const isSlow = manner.isSlowWriter && bytes.length > 1;
    const count = isSlow ? chance.int(Math.ceil(bytes.length / 12), bytes.length) : bytes.length;
    const isLast = count === bytes.length;
    const part = bytes.subarray(0, count);
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

  onSent(): void {
    const isWhole = this.stream.isLocalDone && this.script.fault !== 'stops';
    if (isWhole) this.request.wholeMs = this.connection.client.setting.kernel.nowMs;
  }

  // Faults

  private cancel(): void {
    if (this.isOver) return;
    this.peer.reset(this.stream, Code.cancel);
    this.end('quit');
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
    if (this.attempt !== null && this.attempt.status !== status)
      throw new Error(`${request.id}: status ${status}, not ${this.attempt.status}`);
    this.length = request.method === 'HEAD' ? -1 : Number(head.get('content-length') ?? -1);
    if (this.script.expects) this.sendBody();
    this.leaveIfEnough();
    if (isLast) this.whole();
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
    for (const [name, value] of readFields(fields, 'trailers'))
      if (name !== 'x-t' || value !== 'end') throw new Error(`trailer ${name}: ${value}`);
    this.whole();
  }

  onData(bytes: Buffer, isLast: boolean): void {
    if (this.isOver) return;
    const { attempt, request } = this;
    if (this.status === 0) throw new Error(`${request.id}: content before the head`);
    const at = this.gotBytes;
    this.gotBytes += bytes.length;
    if (attempt !== null && !bytes.equals(attempt.body.subarray(at, this.gotBytes)))
      throw new Error(`${request.id}: the body differs from byte ${at} on`);
    this.leaveIfEnough();
    if (isLast) this.whole();
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
    this.end('answered');
  }

  onReset(code: number): void {
    if (this.isOver) {
      // The rest of the request is not wanted (RFC 9113 section 8.1).
      if (code !== Code.none) this.wrong(`reset with ${code} after its answer`);
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
