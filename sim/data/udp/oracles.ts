// What must hold of datagrams at every instant, from docs/udp.md, seen at the product's door: what a listener got
// and answered, and the sockets of its sessions. Nothing of it comes from the product.

import { ServiceColumn } from '../../../src/ledger/layout.ts';
import type { Ledger } from '../../../src/ledger/ledger.ts';
import type { Service } from '../../../src/model/service.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { DatagramWatch, SimDatagramSocket } from '../../net/sim-datagrams.ts';
import { tagOf } from './actors.ts';
import { FIRST_ENDPOINT_PORT, type UdpPlan, type UdpServicePlan } from './plan.ts';
import type { UdpTable } from './table.ts';

/** Timers are late by two ticks at most. */
const TICK_SLACK_MS = 60;
/** What an endpoint that was left may take for what it still answers. */
const LEAVING_MS = 5000;
/** Of a client's datagram. */
const BYTES_MAX = 40;

interface Open {
  /** Of the source whose session it is; '' before its first datagram. */
  address: string;
  client: string;
  activeMs: number;
  /** Answers that are due, where they are counted. */
  owed: number;
  /** Sent, and not answered yet. */
  unanswered: string[];
}

interface Count {
  datagramsIn: number;
  bytesIn: number;
  datagramsOut: number;
  bytesOut: number;
}

export class UdpOracles implements DatagramWatch {
  private readonly kernel: Kernel;
  private readonly plan: UdpPlan;
  private readonly table: UdpTable;
  private readonly fault: (text: string) => void;
  private readonly open = new Map<SimDatagramSocket, Open>();
  private readonly counts = new Map<number, Count>();
  /** Datagrams as the listeners got them, and as sessions sent them on. */
  private readonly received = new Map<string, number>();
  private readonly sent = new Map<string, number>();
  /** Answers as sessions got them, and as clients were sent them. */
  private readonly answered = new Map<string, number>();
  private readonly replied = new Map<string, number>();
  /** Datagrams that nobody may be sent again. */
  private readonly settled = new Set<string>();

  constructor(
    kernel: Kernel,
    { plan, table, fault }: { plan: UdpPlan; table: UdpTable; fault: (text: string) => void },
  ) {
    this.kernel = kernel;
    this.plan = plan;
    this.table = table;
    this.fault = fault;
  }

  private serviceOf(port: number): UdpServicePlan {
    const name = this.plan.endpoints.find((one) => one.port === port)!.service;
    return this.plan.services.find((one) => one.name === name)!;
  }

  private countOf(port: number): Count {
    const known = this.counts.get(port);
    if (known !== undefined) return known;
    const count = { datagramsIn: 0, bytesIn: 0, datagramsOut: 0, bytesOut: 0 };
    this.counts.set(port, count);
    return count;
  }

  onReceived(_worker: number, port: number, bytes: Buffer): void {
    const count = this.countOf(port);
    count.datagramsIn += 1;
    count.bytesIn += bytes.length;
    add(this.received, tagOf(bytes));
  }

  onReplied(_worker: number, port: number, bytes: Buffer): void {
    const count = this.countOf(port);
    count.datagramsOut += 1;
    count.bytesOut += bytes.length;
    const tag = tagOf(bytes);
    if (add(this.replied, tag) > (this.answered.get(tag) ?? 0))
      this.fault(`answer ${tag} goes to its client more often than it came`);
  }

  onOpened(socket: SimDatagramSocket): void {
    const { port, worker } = socket;
    const slot = port - FIRST_ENDPOINT_PORT;
    this.open.set(socket, {
      ...{ address: '', client: '', activeMs: this.kernel.nowMs },
      ...{ owed: 0, unanswered: [] },
    });
    if (!this.table.mayUse(worker, slot))
      this.fault(`worker ${worker} begins a session on e${slot}`);
    const { policy } = this.serviceOf(port);
    if (policy.udp.responses === 0) return;
    const { perEndpoint, connections } = policy.limits;
    const mine = [...this.open.keys()].filter((one) => one.port === port).length;
    if (perEndpoint > 0 && mine > perEndpoint)
      this.fault(`e${slot} has ${mine} sessions, ${perEndpoint} may be`);
    const all = [...this.open.keys()].filter((one) => this.serviceOf(one.port).policy === policy);
    if (all.length > connections) this.fault(`${policy.name} has ${all.length} sessions`);
  }

  onSent(socket: SimDatagramSocket, bytes: Buffer): void {
    const { table, kernel } = this;
    const slot = socket.port - FIRST_ENDPOINT_PORT;
    const tag = tagOf(bytes);
    const { policy } = this.serviceOf(socket.port);
    const client = tag.split('-')[0]!;
    if (table.isLeft(socket.worker, slot)) this.fault(`${tag} goes to e${slot}, which was left`);
    const times = add(this.sent, tag);
    // Each is sent again only when it failed somewhere, and that may happen where something is broken.
    if (this.isSound && times > (this.received.get(tag) ?? 0)) this.fault(`${tag} is sent twice`);
    const one = this.open.get(socket)!;
    one.activeMs = kernel.nowMs;
    one.owed += policy.udp.responses ?? 0;
    one.unanswered.push(tag);
    const isUnique = this.plan.weather.doubleShare === 0;
    if (isUnique && this.settled.has(tag) && times > (this.received.get(tag) ?? 0))
      this.fault(`${tag} is sent again, though it was answered`);
    if (policy.udp.responses === 0) return;
    if (one.client !== '' && one.client !== client)
      this.fault(`${tag} goes out by the socket of ${one.client}`);
    if (one.client === '') this.checkClient(one, client, policy.name);
  }

  /** The first datagram of a session: whose it is. */
  private checkClient(one: Open, client: string, service: string): void {
    const { source } = this.plan.clients.find(({ name }) => name === client)!;
    one.client = client;
    one.address = source.split(':')[0]!;
    const { limits } = this.plan.services.find(({ name }) => name === service)!.policy;
    const same = [...this.open].filter(
      ([socket, other]) =>
        other.address === one.address && this.serviceOf(socket.port).name === service,
    );
    const most = limits.connectionsPerClient;
    if (most > 0 && same.length > most)
      this.fault(`${one.address} has ${same.length} sessions of ${service}, ${most} may be`);
  }

  onAnswered(socket: SimDatagramSocket, bytes: Buffer): void {
    const one = this.open.get(socket)!;
    one.activeMs = this.kernel.nowMs;
    one.owed -= 1;
    // Where answers are not counted, any is taken for that to all that was sent.
    if (this.serviceOf(socket.port).policy.udp.responses === null) {
      for (const tag of one.unanswered) this.settled.add(tag);
    }
    one.unanswered = [];
    add(this.answered, tagOf(bytes));
  }

  onTaken(socket: SimDatagramSocket): void {
    const { responses } = this.serviceOf(socket.port).policy.udp;
    const { owed, client } = this.open.get(socket)!;
    if (responses !== null && responses > 0 && owed <= 0)
      this.fault(`the session of ${client} goes on after its last answer`);
  }

  /** A worker has the table, and no other is on its way. */
  onApplied(worker: number, usable: ReadonlySet<number>): void {
    for (const socket of this.open.keys()) {
      const slot = socket.port - FIRST_ENDPOINT_PORT;
      const isOneWay = this.serviceOf(socket.port).policy.udp.responses === 0;
      if (isOneWay && socket.worker === worker && !usable.has(slot))
        this.fault(`worker ${worker} keeps its socket to e${slot}`);
    }
  }

  onClosed(socket: SimDatagramSocket): void {
    const { activeMs, client } = this.open.get(socket)!;
    this.open.delete(socket);
    const { policy } = this.serviceOf(socket.port);
    const silentMs = this.kernel.nowMs - activeMs;
    const { idleUdpMs } = policy.timeouts;
    if (policy.udp.responses !== null || !this.isSound || this.table.isOver) return;
    if (silentMs < idleUdpMs - 1 && policy.limits.connections === 10_000)
      this.fault(`the session of ${client} ends after ${silentMs.toFixed(0)} ms of silence`);
  }

  /** Nothing is lost or closed, and no table changes: all that is sent has its way. */
  get isSound(): boolean {
    const { changes, endpoints, weather } = this.plan;
    return (
      changes.length === 0 &&
      weather.lossShare === 0 &&
      endpoints.every((one) => one.silentShare + one.lateShare + one.surplusShare === 0)
    );
  }

  /** Sessions that ought to have ended: asked at any moment. */
  checkIdle(): void {
    for (const [socket, { activeMs, client }] of this.open) {
      const { policy } = this.serviceOf(socket.port);
      if (policy.udp.responses === 0) continue;
      const leavingMs = this.plan.changes.length > 0 ? LEAVING_MS : 0;
      const mostMs = policy.timeouts.idleUdpMs + leavingMs + TICK_SLACK_MS;
      const silentMs = this.kernel.nowMs - activeMs;
      if (silentMs > mostMs)
        this.fault(`the session of ${client} goes on after ${silentMs.toFixed(0)} ms of silence`);
    }
  }

  /** When all is quiet: what the ledger counted. */
  audit(ledger: Ledger): void {
    for (const { name, slot, port, policy } of this.plan.services) {
      const count = this.countOf(port);
      // What finds no place is counted as dropped alone.
      const dropped = ledger.serviceTotal(slot, ServiceColumn.datagramsDropped);
      const refused = isFree(policy) ? 0 : dropped;
      for (const key of ['datagramsIn', 'bytesIn', 'datagramsOut', 'bytesOut'] as const) {
        const told = ledger.serviceTotal(slot, ServiceColumn[key]);
        const slack = key === 'datagramsIn' ? refused : key === 'bytesIn' ? refused * BYTES_MAX : 0;
        if (told > count[key] || told < count[key] - slack)
          this.fault(`${key} of ${name}: the ledger says ${told}, ${count[key]} would be right`);
      }
    }
  }
}

/** No limit keeps a datagram out. */
export function isFree({ limits }: Service): boolean {
  return limits.connections === 10_000 && limits.connectionsPerClient + limits.perEndpoint === 0;
}

function add(counts: Map<string, number>, tag: string): number {
  const count = (counts.get(tag) ?? 0) + 1;
  counts.set(tag, count);
  return count;
}
