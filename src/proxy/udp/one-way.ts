// Datagrams that get no answer (`udp.responses: 0`), as those of syslog: each is balanced by itself, and
// a socket is shared by all that goes to one endpoint. What its host refuses goes to another one.
import { hashText } from '../../balance/hash.ts';
import { codeOf } from '../../base/coded-error.ts';
import { EndpointColumn, ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import { connectFailure } from '../connect-failure.ts';
import type { WorkerContext } from '../context.ts';
import type { DatagramHandler, DatagramSocket } from '../datagrams.ts';
import type { LiveEndpoint } from '../live-endpoint.ts';
import type { LiveService } from '../live-service.ts';
import { isStarved } from '../upstream-connection.ts';
import { KeptDatagrams } from './kept-datagrams.ts';

const NO_ENDPOINT = reason('no-endpoint');
const OUT_OF_DESCRIPTORS = reason('out-of-descriptors');
/** A refusal comes within a round trip; what is older has arrived. */
const REFUSED_WITHIN_MS = 250;
/** How often an endpoint that refuses nothing is credited with it. */
const CREDIT_MS = 1000;

export interface OneWayOwner {
  /** A datagram was lost, human-readable. */
  refuse(live: LiveService, why: Reason, detail: string): void;
  /** A rule of ours was broken. */
  onBug(error: unknown): void;
}

/** The socket to one endpoint, and what was sent on it a moment ago. */
class Way implements DatagramHandler {
  readonly endpoint: LiveEndpoint;
  readonly kept = new KeptDatagrams(REFUSED_WITHIN_MS);
  socket: DatagramSocket | null = null;
  creditedMs: number;
  private readonly onRefused: (way: Way, code: string) => void;
  private readonly onThrown: (error: unknown) => void;

  constructor(
    endpoint: LiveEndpoint,
    nowMs: number,
    {
      onRefused,
      onBug,
    }: { onRefused: (way: Way, code: string) => void; onBug: (error: unknown) => void },
  ) {
    this.endpoint = endpoint;
    this.creditedMs = nowMs;
    this.onRefused = onRefused;
    this.onThrown = onBug;
  }

  /** Nobody asked for it. */
  onAnswer(): void {}

  onUnsent(code: string): void {
    this.onRefused(this, code);
  }

  /** It is of no session; the listener tells of it. */
  onBug(error: unknown): void {
    this.onThrown(error);
  }

  close(): void {
    this.socket?.close();
    this.socket = null;
  }
}

export class OneWay {
  private readonly context: WorkerContext;
  private readonly owner: OneWayOwner;
  private readonly ways = new Map<LiveEndpoint, Way>();
  /** The service of the moment; it is another object when it was made again. */
  private live: LiveService;

  constructor(live: LiveService, owner: OneWayOwner, context: WorkerContext) {
    this.live = live;
    this.owner = owner;
    this.context = context;
  }

  /** Sends what this source has sent. */
  send(live: LiveService, bytes: Buffer, address: string): void {
    const { ledger } = this.context;
    if (live !== this.live) this.close();
    this.live = live;
    ledger.addService(live.slot, ServiceColumn.bytesIn, bytes.length);
    ledger.addService(live.slot, ServiceColumn.datagramsIn, 1);
    live.retryBudget.earn();
    const hash = live.service.balance.policy === 'hash' ? hashText(address) : 0;
    this.place(bytes, hash, []);
  }

  /** Closes the sockets of endpoints that take no more work. */
  review(): void {
    for (const [endpoint, way] of this.ways) {
      if (!endpoint.takesWork) this.remove(way);
    }
  }

  close(): void {
    for (const way of this.ways.values()) way.close();
    this.ways.clear();
  }

  /** `tried`: slots of the endpoints that did not take it, which is as often as it may be sent. */
  private place(bytes: Buffer, hash: number, tried: number[]): void {
    const { live } = this;
    for (;;) {
      const endpoint = live.pick(tried, hash);
      if (endpoint === null || tried.includes(endpoint.slot)) {
        this.lose(NO_ENDPOINT, live.whyNoEndpoint());
        return;
      }
      const problem = this.sendTo(endpoint, bytes, [...tried]);
      if (problem === '') return;
      if (isStarved(problem)) {
        this.lose(OUT_OF_DESCRIPTORS, problem);
        return;
      }
      tried.push(endpoint.slot);
      live.outcomes.failed(endpoint, connectFailure(problem));
      if (!this.mayRepeat(tried.length)) {
        this.lose(connectFailure(problem), problem);
        return;
      }
      live.outcomes.retried(endpoint, connectFailure(problem));
    }
  }

  /** Returns '', or the system's code where there is no way to it. */
  private sendTo(endpoint: LiveEndpoint, bytes: Buffer, tried: readonly number[]): string {
    const { ledger, wheel, datagrams } = this.context;
    let way = this.ways.get(endpoint);
    if (way === undefined) {
      const { onRefused } = this;
      const onBug = (error: unknown) => this.owner.onBug(error);
      way = new Way(endpoint, wheel.nowMs, { onRefused, onBug });
      try {
        way.socket = datagrams.connect(endpoint.address, endpoint.port, way);
      } catch (error) {
        return codeOf(error);
      }
      this.ways.set(endpoint, way);
      ledger.addEndpoint(endpoint.slot, EndpointColumn.connects, 1);
    }
    ledger.addEndpoint(endpoint.slot, EndpointColumn.attempts, 1);
    ledger.addEndpoint(endpoint.slot, EndpointColumn.bytesIn, bytes.length);
    ledger.addExchange(this.live.slot, 0, 0);
    way.kept.keep(bytes, wheel.nowMs, tried);
    if (wheel.nowMs - way.creditedMs > CREDIT_MS) {
      way.creditedMs = wheel.nowMs;
      this.live.outcomes.notRefused(endpoint);
    }
    way.socket!.send(bytes);
    return '';
  }

  /** What was sent on this way a moment ago has not arrived. */
  private readonly onRefused = (way: Way, code: string): void => {
    const { ledger, wheel } = this.context;
    if (this.ways.get(way.endpoint) !== way) return;
    // What is too long, or more than there is room for, says nothing of the endpoint.
    if (code === 'EMSGSIZE' || isStarved(code)) {
      ledger.addService(this.live.slot, ServiceColumn.datagramsDropped, 1);
      return;
    }
    const { endpoint } = way;
    const why = connectFailure(code);
    const again = way.kept.recent(wheel.nowMs);
    this.remove(way);
    this.live.outcomes.failed(endpoint, why);
    for (const { bytes, tried } of again) {
      const all = [...tried, endpoint.slot];
      if (!this.mayRepeat(all.length)) {
        this.lose(why, `${endpoint.address}:${endpoint.port} ${code}`);
        continue;
      }
      this.live.outcomes.retried(endpoint, why);
      this.place(bytes, 0, all);
    }
  };

  private mayRepeat(attempts: number): boolean {
    const { retry } = this.live.service;
    return (
      attempts < Math.max(retry.attempts, retry.connectAttempts) &&
      retry.attempts > 1 &&
      retry.on.has('connect')
    );
  }

  private lose(why: Reason, detail: string): void {
    const { ledger } = this.context;
    ledger.addReason(this.live.slot, why.index);
    this.owner.refuse(this.live, why, detail);
  }

  private remove(way: Way): void {
    this.ways.delete(way.endpoint);
    way.close();
  }
}
