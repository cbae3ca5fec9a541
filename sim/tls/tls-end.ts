// An actor's end of a connection with TLS: to the actor it is as any other one, and begins when the handshake
// is done. An end without close_notify is none: the actor is told of a reset.
import { joined } from '../kernel/bytes.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { ActorEnd, type ActorHandler } from '../net/actor-end.ts';
import type { TcpEnd } from '../net/tcp.ts';
import type { TlsEngine } from './engine.ts';
import { engineOf } from './engine-of.ts';
import type { EngineOptions, TlsEvent } from './engine-parts.ts';

/** Of one connection of an actor. */
export interface ActorTls {
  readonly engine: EngineOptions;
  /** Told when the handshake of a client begins. */
  readonly onHello?: () => void;
  /** Told when the handshake is done. */
  readonly onSecure?: (end: TlsEnd) => void;
  /** A client may resume by this. */
  readonly onTicket?: (ticket: Buffer) => void;
  /** The product has broken a rule of TLS. */
  readonly onWrong: (text: string) => void;
  /** What comes before TLS, in plain: returns what follows it, or null while that is not there. */
  readonly preface?: (bytes: Buffer) => Buffer | null;
  /** Before the ClientHello, in plain; calls what it is given then. */
  readonly before?: ((end: TlsEnd, hello: () => void) => void) | undefined;
}

interface FlightLimit {
  left: number;
  readonly done: () => void;
}

/** One connection in so many seals each write by itself; others seal those of one moment together, as a buffer in front of TLS does. */
const SINGLE_OF = 5;

export class TlsEnd extends ActorEnd {
  readonly engine: TlsEngine;
  private readonly tls: ActorTls;
  private readonly loop: Kernel;
  private readonly gathers: boolean;
  /** What was written in this moment and is not sealed yet. */
  private gathered: Buffer[] = [];
  private pending: Buffer[] = [];
  private isEndingLater = false;
  private hasEnded = false;
  private isFailed = false;
  private limit: FlightLimit | null = null;
  /** The handshake was done. */
  private wasSecure = false;

  constructor(
    kernel: Kernel,
    tcp: TcpEnd,
    { handler, tls }: { handler: ActorHandler; tls: ActorTls },
  ) {
    super(kernel, tcp, handler);
    this.tls = tls;
    this.loop = kernel;
    this.gathers = tls.engine.random % SINGLE_OF !== 0;
    this.engine = engineOf(tls.engine);
  }

  get isSecure(): boolean {
    return this.engine.state === 'open';
  }

  override get isFlushed(): boolean {
    return this.pending.length === 0 && this.gathered.length === 0 && super.isFlushed;
  }

  override opened(): void {
    const hello = (): void => {
      if (this.isClosed) return;
      this.tls.onHello?.();
      this.engine.start();
      this.sendOut();
    };
    const { before } = this.tls;
    if (before === undefined) hello();
    else before(this, hello);
  }

  override write(bytes: Buffer): boolean {
    if (this.isClosed || this.isEndingLater) return false;
    if (!this.isSecure) {
      this.pending.push(bytes);
      return false;
    }
    if (this.gathers) this.gather(bytes);
    else {
      this.engine.write(bytes);
      this.sendOut();
    }
    return this.isFlushed;
  }

  private gather(bytes: Buffer): void {
    if (this.gathered.length === 0) this.loop.tick(() => this.sealGathered());
    this.gathered.push(bytes);
  }

  private sealGathered(): void {
    const { gathered } = this;
    if (gathered.length === 0 || this.isClosed) return;
    this.gathered = [];
    this.engine.write(joined(gathered));
    this.sendOut();
  }

  override end(): void {
    if (this.isClosed || this.isEndingLater) return;
    this.isEndingLater = true;
    if (this.isSecure) this.endNow();
  }

  private endNow(): void {
    this.sealGathered();
    this.engine.close();
    this.sendOut();
    super.end();
  }

  override close(): void {
    this.sealGathered();
    if (!this.isClosed && this.isSecure) {
      this.engine.close();
      this.sendOut();
    }
    super.close();
  }

  override reset(): void {
    this.sealGathered();
    super.reset();
  }

  /** Ends it by FIN alone, as whoever cuts the connection. */
  truncate(): void {
    this.sealGathered();
    super.end();
  }

  private sendOut(): void {
    const { out } = this.engine;
    if (out.length === 0) return;
    this.engine.out = [];
    for (const record of out) {
      if (this.limit === null) this.writeRaw(record);
      else this.sendLimited(this.limit, record);
    }
  }

  private sendLimited(limit: FlightLimit, record: Buffer): void {
    const { left, done } = limit;
    if (left < 0) return;
    if (left > 0) this.writeRaw(record.subarray(0, left));
    limit.left -= record.length;
    if (limit.left > 0) return;
    limit.left = -1;
    done();
  }

  /** Says so many bytes of its own flight alone, and calls `done` then. */
  limitFlight(bytes: number, done: () => void): void {
    this.limit = { left: bytes, done };
  }

  /** Closes without a word, as whoever dies. */
  cut(): void {
    this.sealGathered();
    super.close();
  }

  protected override took(bytes: Buffer): void {
    const { engine } = this;
    const rest = this.tls.preface === undefined ? bytes : this.tls.preface(bytes);
    if (rest === null || rest.length === 0) return;
    engine.feed(rest);
    while (!this.isClosed && !this.isFailed) {
      const event = engine.next();
      if (event === null) break;
      this.take(event);
      if (!this.isClosed) this.sendOut();
    }
    // By TLS 1.2 a client answers a flight before it is established.
    if (!this.isClosed) this.sendOut();
  }

  private take(event: TlsEvent): void {
    switch (event.kind) {
      case 'hello':
        return this.engine.choose(null);
      case 'established':
        return this.secured();
      case 'ticket':
        return this.tls.onTicket?.(event.ticket);
      case 'closed':
        if (this.hasEnded) return;
        this.hasEnded = true;
        return super.ended();
      case 'failed':
        return this.failed(event.error);
      default:
        return this.handler.onBytes(event.bytes);
    }
  }

  private secured(): void {
    this.wasSecure = true;
    // Finished goes before whatever the actor says.
    this.sendOut();
    this.tls.onSecure?.(this);
    if (this.isClosed) return;
    this.handler.onOpen?.();
    const { pending } = this;
    this.pending = [];
    for (const bytes of pending) this.engine.write(bytes);
    this.sendOut();
    if (this.isEndingLater && !this.isClosed) this.endNow();
  }

  private failed(error: NodeJS.ErrnoException): void {
    this.isFailed = true;
    if (this.wasSecure) this.tls.onWrong(`TLS fails on an open connection: ${error.code}`);
    this.sendOut();
    super.close();
    this.giveUp(`TLS: ${error.code}`);
  }

  private giveUp(why: string): void {
    this.isClosed = true;
    if (this.wasSecure || this.handler.onRefused === undefined) this.handler.onReset();
    else this.handler.onRefused(why);
  }

  protected override ended(): void {
    if (this.hasEnded) return;
    if (this.wasSecure) this.handler.onTruncated?.();
    super.close();
    this.giveUp('TLS: ended');
  }

  protected override lost(): void {
    this.giveUp('TLS: reset');
  }
}
