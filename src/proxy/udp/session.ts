// One UDP session: what one source sends goes to one endpoint, from a socket of its own, and what that
// answers goes back.
//   placing -> open -> closed
//      ^--------'  |       an endpoint that is not there, gone, or silent where an answer is due
//                  '-> leaving -> closed       nothing new goes to the endpoint; what it still answers is relayed
// Datagrams that have no answer yet are kept for a while. They go to another endpoint when the host of
// this one reports a closed port, when it goes down, or when it does not answer in time.
// An endpoint is credited with its first answer.
import { hashText } from '../../balance/hash.ts';
import { codeOf } from '../../base/coded-error.ts';
import { TimerEntry, type TimerOwner } from '../../base/timer-wheel.ts';
import { EndpointColumn, ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import { BUG, logBug } from '../bug.ts';
import { connectFailure } from '../connect-failure.ts';
import type { WorkerContext } from '../context.ts';
import type { DatagramHandler, DatagramPort, DatagramSocket } from '../datagrams.ts';
import { Hold } from '../hold.ts';
import { ConnectionPlace } from '../limits/connection-place.ts';
import type { LiveEndpoint } from '../live-endpoint.ts';
import type { LiveService } from '../live-service.ts';
import { Placement, type PlacementOwner } from '../placement.ts';
import type { EndpointSession } from '../sessions/endpoint-sessions.ts';
import { accountSession, type EndedSession } from '../sessions/session-account.ts';
import { isStarved } from '../upstream-connection.ts';
import { AwaitedAnswers } from './awaited-answers.ts';
import type { UdpListener } from './listener.ts';
import type { TableEntry } from './session-table.ts';

const DRAINING = reason('draining');
const ENDPOINT_LEFT = reason('endpoint-left');
const OUT_OF_DESCRIPTORS = reason('out-of-descriptors');
const RESPONSE_TIMEOUT = reason('response-timeout');
const TOO_MANY_CONNECTIONS = reason('too-many-connections');

/** How long an endpoint that gets nothing more of a session may take for what it still answers. */
const LEAVING_MS = 5000;

type Owner = DatagramHandler &
  PlacementOwner &
  TimerOwner &
  EndpointSession &
  TableEntry<UdpSession> &
  EndedSession;

export interface Source {
  readonly key: string;
  readonly address: string;
  readonly port: number;
}

export class UdpSession implements Owner {
  readonly key: string;
  // Fields of the table.
  older: UdpSession | null = null;
  younger: UdpSession | null = null;
  isProven = false;
  // What is accounted at its end (session-account.ts).
  readonly live: LiveService;
  readonly startMs: number;
  endpointId = '';
  attempts = 0;
  bytesIn = 0;
  bytesOut = 0;
  why: Reason | null = null;
  private readonly source: Source;
  private readonly listener: UdpListener;
  private readonly context: WorkerContext;
  private readonly timer = new TimerEntry(this);
  private readonly placement: Placement;
  private readonly hold: Hold;
  private readonly place: ConnectionPlace;
  private readonly awaited = new AwaitedAnswers();
  private state: 'placing' | 'open' | 'leaving' | 'closed' = 'placing';
  /** Valid while open or leaving. */
  private socket: DatagramSocket | null = null;
  /** Where it has sent to last, and gets its answers from. */
  private via: DatagramPort | null = null;
  /** Of the clock: when the first datagram without an answer was sent. */
  private sentMs = 0;
  /** Answers that its source got. */
  private answered = 0;
  /** Others were closed so that it finds a descriptor or port. */
  private hasMadeRoom = false;
  /** The endpoint that it has now has answered. */
  private isCredited = false;

  constructor(source: Source, listener: UdpListener, live: LiveService, context: WorkerContext) {
    this.key = source.key;
    this.source = source;
    this.listener = listener;
    this.live = live;
    this.context = context;
    this.startMs = context.clock.nowMs();
    this.placement = new Placement(this, context);
    this.hold = new Hold(context.ledger);
    this.place = new ConnectionPlace(context.ledger);
    this.placement.begin(live, this.hash);
  }

  /** Takes its place among the sessions of the service; null, or why it gets none: then it has ended. */
  begin(): Reason | null {
    const { live, listener, placement, place } = this;
    const refused = place.take(live, listener, this.source) ?? placement.admit(true);
    if (refused !== null) this.end(refused);
    return refused;
  }

  get address(): string {
    return this.source.address;
  }

  private get hash(): number {
    return this.live.service.balance.policy === 'hash' ? hashText(this.source.address) : 0;
  }

  // The source's side

  onDatagram(bytes: Buffer, via: DatagramPort): void {
    this.via = via;
    const { context, awaited, live } = this;
    const { ledger, wheel } = context;
    const isNew = this.bytesIn === 0 && awaited.count === 0 && this.attempts === 0;
    awaited.expect(live.service.udp.responses);
    this.bytesIn += bytes.length;
    ledger.addService(live.slot, ServiceColumn.bytesIn, bytes.length);
    ledger.addService(live.slot, ServiceColumn.datagramsIn, 1);
    if (this.answered > 0) this.listener.table.prove(this);
    this.listener.table.touch(this);
    const isFirst = awaited.count === 0;
    const dropped = awaited.keep(bytes, wheel.nowMs);
    if (isFirst) this.sentMs = context.clock.nowMs();
    if (this.state === 'open') {
      this.send(bytes);
      return;
    }
    if (dropped > 0) ledger.addService(live.slot, ServiceColumn.datagramsDropped, dropped);
    if (isNew) this.placement.find();
  }

  private send(bytes: Buffer): void {
    const { hold, socket, context } = this;
    context.ledger.addEndpoint(hold.endpoint!.slot, EndpointColumn.bytesIn, bytes.length);
    if (this.awaited.sent(context.wheel.nowMs)) this.live.retryBudget.earn();
    this.setTimer();
    socket!.send(bytes);
  }

  // Placing

  onPlaced(endpoint: LiveEndpoint): void {
    const { context, hold, awaited } = this;
    if (!hold.take(endpoint, this.live)) {
      this.placement.lostPlace();
      return;
    }
    try {
      this.socket = context.datagrams.connect(endpoint.address, endpoint.port, this);
    } catch (error) {
      this.notOpened(codeOf(error));
      return;
    }
    hold.count();
    this.attempts += 1;
    this.state = 'open';
    this.isCredited = false;
    this.endpointId = endpoint.id;
    endpoint.sessions.add(this);
    context.ledger.addEndpoint(endpoint.slot, EndpointColumn.connects, 1);
    const isScarce = context.network.isFromReserve(this.socket.descriptor);
    if (isScarce && !this.listener.makeRoomFor(this)) {
      this.listener.refuse(this.live, OUT_OF_DESCRIPTORS, '', awaited.count);
      this.end(OUT_OF_DESCRIPTORS);
      return;
    }
    const again = awaited.recent(context.wheel.nowMs);
    awaited.restart(again.length, this.live.service.udp.responses);
    for (const { bytes } of again) {
      // One of them may have reported a closed port already.
      if (this.state === 'open') this.send(bytes);
    }
    if (this.state === 'open') this.setTimer();
  }

  onNoPlace(why: Reason, detail: string): void {
    this.listener.refuse(this.live, why, detail, this.awaited.count);
    this.end(why);
  }

  /** Out of descriptors or ports, which is no fault of the endpoint's, or there is no way to it. */
  private notOpened(code: string): void {
    if (!isStarved(code)) {
      this.failed(connectFailure(code), code);
      return;
    }
    this.hold.forgo();
    this.hold.leave();
    this.placement.forgetAttempt();
    const mayAgain = !this.hasMadeRoom && this.state !== 'closed';
    if (mayAgain && (this.listener.makeRoomFor(this) || this.placement.makeRoom(code))) {
      this.hasMadeRoom = true;
      this.placement.find();
      return;
    }
    this.listener.refuse(this.live, OUT_OF_DESCRIPTORS, code, this.awaited.count);
    this.end(OUT_OF_DESCRIPTORS);
  }

  // The endpoint's side

  onAnswer(bytes: Buffer): void {
    const { context, live, source } = this;
    const { ledger } = context;
    const endpoint = this.hold.endpoint!;
    this.isAnswered(endpoint);
    ledger.addEndpoint(endpoint.slot, EndpointColumn.bytesOut, bytes.length);
    if (this.mayNotGet(bytes)) {
      ledger.addService(live.slot, ServiceColumn.datagramsDropped, 1);
    } else {
      this.answered += 1;
      this.bytesOut += bytes.length;
      ledger.addService(live.slot, ServiceColumn.bytesOut, bytes.length);
      ledger.addService(live.slot, ServiceColumn.datagramsOut, 1);
      this.listener.table.touch(this);
      this.via!.reply(bytes, source.address, source.port);
    }
    if (this.awaited.isComplete(live.service.udp.responses)) this.end(null);
    else if (this.state === 'open') this.setTimer();
  }

  /** A source that may be made up gets no more than its datagrams allow. */
  private mayNotGet(bytes: Buffer): boolean {
    const { amplificationMax, responses } = this.live.service.udp;
    if (responses === 0) return true;
    if (amplificationMax === 0 || this.isProven) return false;
    return this.bytesOut + bytes.length > amplificationMax * this.bytesIn;
  }

  private isAnswered(endpoint: LiveEndpoint): void {
    const { clock, ledger, wheel } = this.context;
    if (this.awaited.count > 0) {
      const us = (clock.nowMs() - this.sentMs) * 1000;
      ledger.addResponse(endpoint.slot, 0, us);
      this.live.outcomes.took(endpoint, us);
    }
    this.awaited.answered(this.live.service.udp.responses, wheel.nowMs);
    if (this.isCredited) return;
    this.isCredited = true;
    this.live.outcomes.served(endpoint);
    // It is served: whatever it tried before counts no more when this endpoint goes.
    this.placement.endAdmission(0);
    this.placement.begin(this.live, this.hash);
  }

  onUnsent(code: string): void {
    if (this.state === 'leaving') {
      this.end(ENDPOINT_LEFT);
      return;
    }
    if (this.state !== 'open') return;
    // What is too long, or more than there is room for, says nothing of the endpoint.
    if (code === 'EMSGSIZE' || isStarved(code)) {
      this.context.ledger.addService(this.live.slot, ServiceColumn.datagramsDropped, 1);
      return;
    }
    this.failed(connectFailure(code), code);
  }

  /** The endpoint has failed: the session goes on with another one, or ends. */
  private failed(why: Reason, detail: string): void {
    const { live, placement } = this;
    const endpoint = this.hold.endpoint!;
    placement.noteTried(endpoint);
    live.outcomes.failed(endpoint, why);
    const isSaved = this.mayMove(why);
    if (isSaved) live.outcomes.retried(endpoint, why);
    this.leaveEndpoint();
    const fields = { service: live.name, endpoint: endpoint.id, reason: why.code, detail };
    if (isSaved) {
      this.context.log.debug(fields, 'the session moves to another endpoint');
      this.state = 'placing';
      placement.find();
      return;
    }
    const where = `${endpoint.address}:${endpoint.port} ${detail}`.trimEnd();
    this.listener.refuse(live, why, where, this.awaited.count);
    this.end(why);
  }

  private mayMove(why: Reason): boolean {
    const { retry } = this.live.service;
    const { attempts, mayTryOther } = this.placement;
    if (retry.attempts <= 1 || why.retryOn === '' || !isRetried(why.retryOn, retry.on))
      return false;
    if (why !== RESPONSE_TIMEOUT) return mayTryOther || attempts < retry.attempts;
    // The work is done twice where the answer was only late.
    return attempts < retry.attempts && this.live.retryBudget.spend(this.context.wheel.nowMs);
  }

  // Time

  /** Until an answer is overdue, or the session is idle. */
  private setTimer(): void {
    const { timeouts, udp } = this.live.service;
    const dueSinceMs = this.awaited.dueSince(udp.responses);
    const { wheel } = this.context;
    if (dueSinceMs < 0) {
      wheel.schedule(this.timer, timeouts.idleUdpMs);
      return;
    }
    const dueMs = dueSinceMs + Math.min(timeouts.responseMs, timeouts.idleUdpMs);
    wheel.schedule(this.timer, Math.max(0, dueMs - wheel.nowMs));
  }

  onTimer(): void {
    if (this.state === 'leaving') {
      this.end(this.awaited.count > 0 ? ENDPOINT_LEFT : null);
      return;
    }
    if (this.state !== 'open') return;
    if (this.awaited.dueSince(this.live.service.udp.responses) >= 0) {
      this.failed(RESPONSE_TIMEOUT, '');
      return;
    }
    this.end(null);
  }

  // Ends

  /** Its endpoint takes no more work. */
  endSession(why: Reason): void {
    if (this.state !== 'open') return;
    const endpoint = this.hold.endpoint!;
    const isAwaiting = this.awaited.count > 0;
    if (!isAwaiting) {
      this.end(null);
      return;
    }
    if (endpoint.isOut || endpoint.isStandby) {
      this.placement.noteTried(endpoint);
      this.live.outcomes.retried(endpoint, why);
      this.leaveEndpoint();
      this.state = 'placing';
      this.placement.find();
      return;
    }
    // It still works, and may answer what it has.
    this.state = 'leaving';
    this.listener.table.retire(this);
    this.context.wheel.schedule(this.timer, LEAVING_MS);
  }

  /** Another session takes its place. */
  evict(): void {
    this.end(TOO_MANY_CONNECTIONS);
  }

  /** An answer that it waits for may still come. */
  get isAwaiting(): boolean {
    return (
      this.state !== 'closed' && this.awaited.count > 0 && this.live.service.udp.responses !== 0
    );
  }

  /** Ends now, as the process does. */
  abort(): void {
    this.end(this.isAwaiting ? DRAINING : null);
  }

  onBug(error: unknown): void {
    logBug(this.context.log, error, { state: this.state });
    this.end(BUG);
  }

  /** `why`: null where it ended as sessions do. */
  private end(why: Reason | null): void {
    if (this.state === 'closed') return;
    const { context, hold, live } = this;
    const wasOpen = this.state === 'open';
    this.state = 'closed';
    this.why = why;
    context.wheel.remove(this.timer);
    const hasSent = wasOpen && why === null && !this.isCredited && this.bytesIn > 0;
    if (hasSent && hold.endpoint?.takesWork === true) live.outcomes.notRefused(hold.endpoint);
    this.leaveEndpoint();
    this.placement.end(0);
    this.place.leave();
    accountSession(context, this, this.listener.snapshot.key);
    this.listener.gone(this);
  }

  private leaveEndpoint(): void {
    this.socket?.close();
    this.socket = null;
    this.hold.endpoint?.sessions.delete(this);
    this.hold.leave();
  }
}

function isRetried(on: Reason['retryOn'], allowed: ReadonlySet<string>): boolean {
  return allowed.has(on);
}
