// A connection to a listener that passes TLS on, until it is known where it goes: by the names in its
// ClientHello, or to the route for what is not TLS.
//   reading -> handed over to a session | closed
// Who speaks a protocol in which the server begins says nothing: after PLAIN_AFTER_MS a connection
// without a byte goes to the route for what is not TLS, where there is one.
import { TimerEntry, type TimerOwner } from '../../base/timer-wheel.ts';
import { type Reason, reason } from '../../model/reason.ts';
import { matchSni, plainRoute, type SniRoute } from '../../model/sni-route.ts';
import { logBug } from '../bug.ts';
import type { WorkerContext } from '../context.ts';
import type { Drainable, LiveListener, Neighbours } from '../listener.ts';
import type { LiveService } from '../live-service.ts';
import type { Wire, WireHandler } from '../network.ts';
import { CLIENT_HELLO_BYTES_MAX, type ClientHello, readClientHello } from '../tls/client-hello.ts';
import { TcpSession } from './session.ts';

/** A TLS client sends its ClientHello as soon as it is connected. */
const PLAIN_AFTER_MS = 1000;
/** Fatal alert unrecognized_name (RFC 6066 section 3). */
const UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112]);

const BAD_CLIENT_HELLO = reason('bad-client-hello');
const CLIENT_CLOSED = reason('client-closed');
const NO_SERVICE = reason('no-service');
const DRAINING = reason('draining');
const TOO_MANY_CONNECTIONS = reason('too-many-connections');

export class HelloReader implements WireHandler, TimerOwner, Drainable {
  group: Neighbours | null = null;
  older: Drainable | null = null;
  younger: Drainable | null = null;
  /** No service counts it yet. */
  readonly service: LiveService | null = null;
  readonly address: string;
  private readonly wire: Wire;
  private readonly listener: LiveListener;
  private readonly context: WorkerContext;
  private readonly timer = new TimerEntry(this);
  private readonly startMs: number;
  private bytes: Buffer = Buffer.alloc(0);
  private needed = 1;
  private hasEnded = false;
  private isDone = false;

  constructor(wire: Wire, listener: LiveListener, context: WorkerContext) {
    this.wire = wire;
    this.listener = listener;
    this.context = context;
    this.address = wire.remoteAddress;
    this.startMs = context.wheel.nowMs;
    wire.handler = this;
    const { clientHeaderMs } = listener.timeouts;
    const waitMs = this.plain === null ? clientHeaderMs : Math.min(PLAIN_AFTER_MS, clientHeaderMs);
    context.wheel.schedule(this.timer, waitMs);
  }

  private get routes(): readonly SniRoute[] {
    return this.listener.snapshot.sniRoutes ?? [];
  }

  private get plain(): SniRoute | null {
    return plainRoute(this.routes);
  }

  onBytes(base: Buffer, start: number, end: number): void {
    if (this.isDone) return;
    const isFirst = this.bytes.length === 0;
    this.bytes = Buffer.concat([this.bytes, base.subarray(start, end)]);
    if (this.bytes.length < this.needed) return;
    const hello = readClientHello(this.bytes);
    if (hello.kind === 'partial' && isFirst) {
      this.context.wheel.schedule(this.timer, this.listener.timeouts.clientHeaderMs);
    }
    this.judge(hello);
  }

  private judge(hello: ClientHello): void {
    switch (hello.kind) {
      case 'partial':
        this.needed = hello.needed;
        if (this.bytes.length > CLIENT_HELLO_BYTES_MAX) this.refuse(BAD_CLIENT_HELLO, 'too long');
        return;
      case 'bad':
        this.refuse(BAD_CLIENT_HELLO, hello.why);
        return;
      case 'plain':
        this.goTo(this.plain, 'no TLS');
        return;
      case 'hello': {
        const route = matchSni(this.routes, hello);
        if (route === null) this.wire.write(UNRECOGNIZED_NAME);
        this.goTo(route, hello.serverName === '' ? 'no server name' : hello.serverName);
      }
    }
  }

  private goTo(route: SniRoute | null, asked: string): void {
    const live = route === null ? undefined : this.context.services.get(route.service);
    if (live === undefined) return this.refuse(NO_SERVICE, asked);
    this.isDone = true;
    this.context.wheel.remove(this.timer);
    const { bytes, hasEnded } = this;
    // Until there is an endpoint, no more is read.
    if (bytes.length > 0) this.wire.pause();
    const opening = { live, bytes, hasEnded };
    this.listener.replace(this, new TcpSession(this.wire, this.listener, this.context, opening));
  }

  private refuse(why: Reason, detail: string): void {
    const { accessLog, clock, log } = this.context;
    const { key } = this.listener.snapshot;
    this.leave();
    log.warn({ listener: key, client: this.address, reason: why.code, detail }, why.text);
    accessLog?.add({
      client: this.address,
      listener: key,
      service: '',
      endpoint: '',
      method: '',
      target: '',
      host: '',
      requestId: '',
      status: 0,
      reason: why.code,
      attempts: 0,
      bytesIn: this.bytes.length,
      bytesOut: 0,
      totalMs: clock.nowMs() - this.startMs,
    });
    // What was answered is to be read, so the end is in order.
    if (why === NO_SERVICE) this.wire.end();
    else this.wire.reset();
  }

  /** It is a connection of this listener no more; what its wire tells is dropped. */
  private leave(): void {
    this.isDone = true;
    this.context.wheel.remove(this.timer);
    this.listener.gone(this);
  }

  onEnd(): void {
    this.hasEnded = true;
    if (!this.isDone && this.bytes.length === 0) this.goTo(this.plain, 'nothing was sent');
    else if (!this.isDone) this.refuse(BAD_CLIENT_HELLO, 'the connection ended within it');
    else this.wire.destroy();
  }

  onDrain(): void {}

  onClose(): void {
    if (!this.isDone) this.refuse(CLIENT_CLOSED, '');
  }

  onTimer(): void {
    if (this.bytes.length === 0 && this.plain !== null) this.goTo(this.plain, 'silence');
    else this.refuse(BAD_CLIENT_HELLO, 'it did not come in time');
  }

  onBug(error: unknown): void {
    logBug(this.context.log, error);
    this.abort();
  }

  get leisure(): 'partial' {
    return 'partial';
  }

  evict(): void {
    if (!this.isDone) this.refuse(TOO_MANY_CONNECTIONS, '');
  }

  depart(): boolean {
    return false;
  }

  /** What it asks for is served yet, as at any other listener. */
  drain(): void {}

  abort(): void {
    if (!this.isDone) this.refuse(DRAINING, '');
  }
}
