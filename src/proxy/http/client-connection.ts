// One connection of a client: reads requests in order, hands each to an exchange, and decides what
// becomes of the connection after each answer.
//
//   head -> exchange -> head ...      between requests, and within one
//   exchange -> flushing -> head      the client still has to take what was sent
//   exchange -> tunnel                after 101
//   any -> lingering -> closed        answered, but the client may still be sending
//
// Invariant: `exchange` is set exactly in the states exchange and tunnel; bytes that arrive early
// lie in `stash`, and the wire is paused while they do.
import { assert } from '../../base/assert.ts';
import { withFields } from '../../base/log.ts';
import { TimerEntry, type TimerOwner } from '../../base/timer-wheel.ts';
import { FieldId } from '../../http1/fields.ts';
import { isPersistent } from '../../http1/framing.ts';
import { type Head, HeadFlag, Target } from '../../http1/head.ts';
import { type HeadParser, HeadState } from '../../http1/head-parser.ts';
import { ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, type ReasonCode, reason } from '../../model/reason.ts';
import type { Route } from '../../model/route.ts';
import type { LiveListener } from '../listener.ts';
import type { LiveService } from '../live-service.ts';
import { normalisePath } from '../router.ts';
import type { Wire, WireHandler } from '../wire.ts';
import type { Exchange } from './exchange.ts';
import { ownReply, redirectReply } from './own-reply.ts';
import type { HttpPlane } from './plane.ts';
import { type ClientFacts, VIA_NAME } from './request-head.ts';
import { trustedProxies } from './trusted-proxies.ts';

type State = 'head' | 'exchange' | 'flushing' | 'tunnel' | 'lingering' | 'closed';

/** How long, and for how many bytes, a client that was answered may go on sending. */
const LINGER_MS = 2000;
const LINGER_BYTES_MAX = 1024 * 1024;
/** How long an idle connection is kept for one more request when the process drains. */
const DRAIN_IDLE_MS = 1000;
/** Room around stashed bytes, for chunk framing in place. */
const STASH_ROOM = 64;

const NO_SERVICE = reason('no-service');
const METHOD_NOT_ALLOWED = reason('method-not-allowed');
const HEADER_TIMEOUT = reason('client-header-timeout');
const BODY_TIMEOUT = reason('client-body-timeout');
const TOO_MANY_CONNECTIONS = reason('too-many-connections');
const LOOP = reason('loop');
const BUG = reason('bug');

export class ClientConnection implements WireHandler, TimerOwner {
  readonly wire: Wire;
  private readonly listener: LiveListener;
  private readonly plane: HttpPlane;
  private readonly timer = new TimerEntry(this);
  private state: State = 'head';
  private exchange: Exchange | null = null;
  /** Kept only while a head is in pieces. */
  private parser: HeadParser | null = null;
  private clientFacts: ClientFacts | null = null;
  /** The service whose connections this one counts among, or null. */
  private counted: LiveService | null = null;
  private stash: Buffer | null = null;
  private requests = 0;
  private lingered = 0;
  private isTaking = false;
  /** The client will send no more. */
  hasEnded = false;
  private isDraining = false;
  /** The exchange does not want more of the body for now. */
  isHeld = false;
  private isOldClient = false;
  private isHead = false;

  constructor(wire: Wire, listener: LiveListener, plane: HttpPlane) {
    this.wire = wire;
    this.listener = listener;
    this.plane = plane;
    wire.handler = this;
    this.setTimer(this.listener.timeouts.keepAliveMs);
    this.countConnection();
  }

  get facts(): ClientFacts {
    this.clientFacts ??= this.readFacts();
    return this.clientFacts;
  }

  get listenerKey(): string {
    return this.listener.snapshot.key;
  }

  private readFacts(): ClientFacts {
    const address = this.wire.remoteAddress;
    const policy = this.listener.service?.service.http;
    const isTrusted = trustedProxies(policy?.trustedProxies ?? [])(address);
    return { address, localPort: this.wire.localPort, isTrusted };
  }

  /** Counts it for the service behind the listener; one too many is answered and closed. */
  private countConnection(): void {
    const { service } = this.listener;
    if (service === null) return;
    const { ledger } = this.plane.context;
    this.counted = service;
    ledger.addService(service.slot, ServiceColumn.connections, 1);
    const count = ledger.openConnection(service.slot);
    if (count > service.service.limits.connections) this.refuse(TOO_MANY_CONNECTIONS, false);
  }

  // Bytes

  onBytes(base: Buffer, start: number, end: number): void {
    try {
      this.take(base, start, end);
    } catch (error) {
      this.breakOff(error);
    }
  }

  /** A rule of ours was broken on this connection: it ends, the others live. */
  private breakOff(error: unknown): void {
    const log = withFields(this.plane.context.log, { state: this.state, reason: BUG.code });
    log.error({ err: error instanceof Error ? error.stack : String(error) }, BUG.text);
    this.abort();
  }

  private take(base: Buffer, start: number, end: number): void {
    let at = start;
    this.isTaking = true;
    while (at < end) {
      if (this.state === 'head') at = this.takeHead(base, at, end);
      else if (this.state === 'exchange' && !this.exchange!.isRequestDone) {
        this.setTimer(this.exchange!.bodyIdleMs);
        at = this.exchange!.takeRequestBytes(base, at, end);
      } else if (this.state === 'tunnel') {
        this.exchange!.takeTunnelBytes(base, at, end);
        at = end;
      } else if (this.state === 'lingering') {
        at = this.drainLingering(at, end);
      } else if (this.state === 'closed') {
        at = end;
      } else {
        this.keep(base, at, end);
        at = end;
      }
    }
    this.isTaking = false;
  }

  /** Keeps what came early: the next request, or tunnel bytes before the 101. */
  private keep(base: Buffer, start: number, end: number): void {
    const before = this.stash === null ? 0 : this.stash.length - 2 * STASH_ROOM;
    const grown = Buffer.allocUnsafe(before + end - start + 2 * STASH_ROOM);
    this.stash?.copy(grown, STASH_ROOM, STASH_ROOM, STASH_ROOM + before);
    base.copy(grown, STASH_ROOM + before, start, end);
    this.stash = grown;
    this.wire.pause();
  }

  /** Goes on with what came early, as far as it leads. */
  private takeStash(): void {
    const { stash } = this;
    if (stash === null) return;
    this.stash = null;
    this.take(stash, STASH_ROOM, stash.length - STASH_ROOM);
    if (this.stash === null && !this.isHeld) this.wire.resume();
  }

  // Requests

  private takeHead(base: Buffer, start: number, end: number): number {
    const isFirst = this.parser === null;
    const parser = this.parser ?? this.plane.takeParser(this.listener.headLimits);
    const next = parser.feed(base, start, end);
    if (parser.state === HeadState.more) {
      this.parser = parser;
      // From the first byte of the head, whatever trickles in later.
      if (isFirst) this.setTimer(this.listener.timeouts.clientHeaderMs);
      return next;
    }
    this.parser = null;
    if (parser.state === HeadState.rejected) {
      const fault = parser.fault as ReasonCode;
      this.plane.giveParser(parser);
      this.refuse(reason(fault), false);
      return next;
    }
    const consumed = this.startExchange(parser.head, base, next, end);
    this.plane.giveParser(parser);
    return consumed;
  }

  /** Starts the exchange for a complete head; returns the offset after the body bytes it took. */
  private startExchange(head: Head, base: Buffer, next: number, end: number): number {
    this.requests += 1;
    this.isOldClient = head.minorVersion === 0;
    this.isHead = head.method === 'HEAD';
    const route = this.route(head);
    if (route === null) return next;
    const { live } = route;
    if (this.counted === null) this.countRouted(live);
    const exchange = this.plane.takeExchange();
    this.exchange = exchange;
    this.state = 'exchange';
    this.plane.context.wheel.cancel(this.timer);
    exchange.begin(this, head, live, route.route);
    let at = next;
    if (!exchange.isRequestDone) {
      this.setTimer(exchange.bodyIdleMs);
      if (next < end) at = exchange.takeRequestBytes(base, next, end);
    }
    // The exchange may have ended over a fault in the body.
    if (this.exchange === exchange) exchange.dispatch();
    return at;
  }

  /** The service that answers for this head; null when the request was answered here. */
  private route(head: Head): { live: LiveService; route: Route | null } | null {
    const mayKeepAlive = isPersistent(head) && !head.isChunked && head.contentLength <= 0;
    const refuse = (why: Reason): null => {
      this.refuse(why, mayKeepAlive);
      return null;
    };
    if (head.method === 'CONNECT' || head.method === 'TRACE') return refuse(METHOD_NOT_ALLOWED);
    const { service, router } = this.listener;
    const route = router === null ? null : router.match(hostOf(head), pathOf(head));
    if (route?.redirect) {
      const { status, location } = route.redirect;
      const isKept = mayKeepAlive && this.mayKeepAlive();
      this.send(redirectReply(status, location, this.replyOptions('', isKept)), isKept);
      return null;
    }
    // What is routed is what is forwarded: a prefix that only the normalised path has can't be cut.
    if (route !== null && hidesPrefix(pathOf(head), route.stripPrefix)) return refuse(NO_SERVICE);
    const live = route === null ? service : this.plane.context.services.get(route.service);
    if (live === null || live === undefined) return refuse(NO_SERVICE);
    if (live.service.http.via && head.has(HeadFlag.via) && isLoop(head)) return refuse(LOOP);
    if (head.has(HeadFlag.maxForwards) && head.method === 'OPTIONS' && !countDown(head)) {
      return refuse(METHOD_NOT_ALLOWED);
    }
    return { live, route };
  }

  private countRouted(live: LiveService): void {
    this.counted = live;
    this.plane.context.ledger.addService(live.slot, ServiceColumn.connections, 1);
    this.plane.context.ledger.openConnection(live.slot);
  }

  // What the exchange tells

  /** Whether the connection may serve another request after this one. */
  mayKeepAlive(): boolean {
    const max = this.listener.service?.service.limits.keepAliveRequests ?? 0;
    return !this.isDraining && !this.hasEnded && (max === 0 || this.requests < max);
  }

  /** The answer is sent, or with the kernel. */
  exchangeDone(isKept: boolean): void {
    this.leaveExchange();
    this.afterAnswer(isKept);
  }

  /** What is not taken yet holds up the next request: a client must read what it asks for. */
  private afterAnswer(isKept: boolean): void {
    if (!isKept) this.linger();
    else if (this.wire.isFlushed) this.nextRequest();
    else {
      this.state = 'flushing';
      this.setTimer(this.listener.timeouts.idleMs);
    }
  }

  private leaveExchange(): void {
    this.exchange = null;
    this.isHeld = false;
  }

  private nextRequest(): void {
    this.state = 'head';
    // What a body was read into is not what an idle connection should hold.
    this.wire.shareBuffer();
    this.isHead = false;
    this.isOldClient = false;
    if (this.hasEnded) {
      this.linger();
      return;
    }
    this.setTimer(this.isDraining ? DRAIN_IDLE_MS : this.listener.timeouts.keepAliveMs);
    // Within `take` its loop goes on by itself.
    if (!this.isTaking) this.takeStash();
    if (this.stash === null) this.wire.resume();
  }

  /** Answers what no exchange was begun for. */
  private refuse(why: Reason, mayKeepAlive: boolean): void {
    if (this.counted !== null) this.plane.context.ledger.addReason(this.counted.slot, why.index);
    this.reply(why, '', mayKeepAlive);
  }

  /** Answers by ourselves. Closes afterwards unless the whole request is known to have been read. */
  reply(why: Reason, detail: string, mayKeepAlive: boolean): void {
    this.leaveExchange();
    if (this.state === 'closed') return;
    if (why.status === 0) {
      this.abort();
      return;
    }
    const isKept = mayKeepAlive && this.mayKeepAlive();
    this.send(ownReply(why, this.replyOptions(detail, isKept)), isKept);
    this.plane.context.log.debug(
      { client: this.wire.remoteAddress, status: why.status, reason: why.code, detail },
      why.text,
    );
  }

  private replyOptions(detail: string, mayKeepAlive: boolean) {
    return {
      detail,
      isHead: this.isHead,
      mayKeepAlive,
      isOldClient: this.isOldClient,
      serverName: this.listener.service?.service.http.serverName ?? '',
    };
  }

  private send(reply: Buffer, isKept: boolean): void {
    this.wire.write(reply);
    this.afterAnswer(isKept);
  }

  /**
   * Ends our side and reads on for a while: closing at once while the client sends would reset
   * the connection and destroy the answer on its way (RFC 9112 section 9.6).
   */
  private linger(): void {
    if (this.state === 'closed') return;
    this.state = 'lingering';
    this.stash = null;
    // Until the answer is taken it is the client's turn; then the client is given a moment to close.
    this.setTimer(this.wire.isFlushed ? LINGER_MS : this.listener.timeouts.idleMs);
    this.wire.end();
    this.wire.resume();
    if (this.hasEnded) this.closeWhenFlushed();
  }

  private drainLingering(start: number, end: number): number {
    this.lingered += end - start;
    if (this.lingered > LINGER_BYTES_MAX) this.abort();
    return end;
  }

  private closeWhenFlushed(): void {
    if (this.wire.isFlushed) this.wire.destroy();
  }

  // Tunnels

  /** The exchange has become a tunnel: bytes that came early belong to it. */
  beginTunnel(): void {
    this.state = 'tunnel';
    this.plane.context.wheel.cancel(this.timer);
    if (!this.isTaking) this.takeStash();
    if (this.stash === null) this.wire.resume();
  }

  endTunnel(): void {
    this.wire.end();
    if (this.hasEnded) this.exchange?.clientEndedTunnel();
  }

  closeTunnel(): void {
    this.leaveExchange();
    this.linger();
  }

  // Back-pressure

  /** The endpoint does not take the body as fast as it comes. */
  holdBody(): void {
    this.isHeld = true;
    this.wire.pause();
  }

  resumeBody(): void {
    if (!this.isHeld) return;
    this.isHeld = false;
    if (this.exchange !== null) this.setTimer(this.exchange.bodyIdleMs);
    if (this.stash === null) this.wire.resume();
  }

  onDrain(): void {
    if (this.state === 'flushing') this.nextRequest();
    else if (this.state === 'lingering') {
      if (this.hasEnded) this.wire.destroy();
      else this.setTimer(LINGER_MS);
    } else this.exchange?.onClientDrain();
  }

  // Ends

  /** The client will send no more; it may still read. */
  onEnd(): void {
    this.hasEnded = true;
    switch (this.state) {
      case 'head':
        // Between requests it is the end; within a head the rest will never come.
        this.state = 'closed';
        this.wire.destroy();
        return;
      case 'exchange':
        if (!this.exchange!.isRequestDone) this.abort();
        return;
      case 'tunnel':
        this.exchange!.clientEndedTunnel();
        return;
      case 'lingering':
        this.closeWhenFlushed();
        return;
    }
  }

  onClose(): void {
    const { exchange, counted } = this;
    this.state = 'closed';
    this.plane.context.wheel.remove(this.timer);
    this.exchange = null;
    this.stash = null;
    if (this.parser !== null) this.plane.giveParser(this.parser);
    this.parser = null;
    exchange?.onClientClose();
    if (counted !== null) this.plane.context.ledger.closeConnection(counted.slot);
    this.counted = null;
    this.listener.gone(this);
  }

  onTimer(): void {
    switch (this.state) {
      case 'head':
        if (this.parser !== null) this.refuse(HEADER_TIMEOUT, false);
        else this.wire.destroy();
        return;
      case 'exchange':
        // While we don't read the body, the silence is not the client's.
        if (this.isHeld) this.setTimer(this.exchange!.bodyIdleMs);
        else if (!this.exchange!.isRequestDone) this.exchange!.failClient(BODY_TIMEOUT);
        return;
      case 'flushing':
      case 'lingering':
        this.wire.destroy();
        return;
    }
  }

  /** No further requests: what is in flight is finished, then it closes. */
  drain(): void {
    this.isDraining = true;
    // An idle client may be sending at this moment; it gets one more answer, with Connection: close.
    if (this.state === 'head' && this.parser === null) this.setTimer(DRAIN_IDLE_MS);
  }

  /** Closes now, whatever is in flight. */
  abort(): void {
    assert(this.wire.handler === this, 'a connection ends its own wire');
    // In mid-answer an orderly close may look like its end.
    if (this.exchange?.endsWithConnection) this.wire.reset();
    else this.wire.destroy();
  }

  /** Closes with RST, so that a response without an end can't look complete. */
  reset(): void {
    this.wire.reset();
  }

  private setTimer(ms: number): void {
    this.plane.context.wheel.schedule(this.timer, ms);
  }
}

function hostOf(head: Head): string {
  if (head.target === Target.absolute) return head.text(head.authorityStart, head.authorityEnd);
  return head.hostStart < 0 ? '' : head.text(head.hostStart, head.hostEnd);
}

/** The path of the target without its query. */
function pathOf(head: Head): string {
  const start = head.target === Target.absolute ? head.authorityEnd : head.targetStart;
  const target = head.text(start, head.targetEnd);
  const end = target.search(/[?#]/);
  const path = end < 0 ? target : target.slice(0, end);
  return path === '' ? '/' : path;
}

function hidesPrefix(path: string, prefix: string): boolean {
  return !path.startsWith(prefix) && (normalisePath(path)?.startsWith(prefix) ?? false);
}

function isLoop(head: Head): boolean {
  let hops = '';
  head.forEachField((id, _name, start, end) => {
    if (id === FieldId.via) hops += `${head.text(start, end)},`;
  });
  return hops.split(',').some((hop) => hop.trim().endsWith(` ${VIA_NAME}`));
}

/** RFC 9110 section 7.6.2: false when the request must not go further. */
function countDown(head: Head): boolean {
  return Number(head.valueOf(FieldId['max-forwards'])) > 0;
}
