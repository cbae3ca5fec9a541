// A UDP port that is listened on, and the sessions of those who send to it. What it leads to is replaced
// by each snapshot; a session looks it up when it begins.
import { ServiceColumn } from '../../ledger/layout.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { ListenerSnapshot } from '../../model/snapshot.ts';
import { logBug } from '../bug.ts';
import type { WorkerContext } from '../context.ts';
import type { DatagramPort, DatagramReceiver, DatagramServer } from '../datagrams.ts';
import type { LiveService } from '../live-service.ts';
import { OneWay } from './one-way.ts';
import { UdpSession } from './session.ts';
import { SessionTable } from './session-table.ts';
import { SourceRates } from './source-rates.ts';

const NO_SERVICE = reason('no-service');
const CLIENT_DATAGRAMS = reason('client-datagrams');

/** How often datagrams that are lost are logged, for each reason. */
const LOG_MS = 10_000;
/** How often, while the listener closes, it is looked whether answers are still to come. */
const CLOSING_LOOK_MS = 25;
/** So long it waits for them. */
const CLOSING_MS = 2000;

export class UdpListener implements DatagramReceiver {
  snapshot: ListenerSnapshot;
  service: LiveService | null = null;
  readonly table = new SessionTable<UdpSession>();
  private readonly context: WorkerContext;
  private server: DatagramServer | null = null;
  private oneWay: OneWay | null = null;
  /** Made for the first datagram of a service that limits them. */
  private rates: SourceRates | null = null;
  private readonly loggedMs = new Map<Reason, number>();
  private closing: Promise<void> | null = null;

  constructor(snapshot: ListenerSnapshot, context: WorkerContext) {
    this.snapshot = snapshot;
    this.context = context;
  }

  /** What it leads to from now on. */
  apply(snapshot: ListenerSnapshot, services: ReadonlyMap<string, LiveService>): void {
    this.snapshot = snapshot;
    this.service = services.get(snapshot.service) ?? null;
    this.oneWay?.review();
  }

  /** Services came or went. One that closes leads where it did until its service is back. */
  refind(services: ReadonlyMap<string, LiveService>): void {
    this.service = services.get(this.snapshot.service) ?? this.service;
    this.oneWay?.review();
  }

  /** Opens the port. Rejects with the system's error (EADDRINUSE, EACCES, EADDRNOTAVAIL). */
  async open(): Promise<void> {
    const { address } = this.snapshot;
    if (address.kind === 'unix') throw new Error('a udp listener has a port');
    const { host, port } = address;
    this.server = await this.context.datagrams.listen({ host, port, receiver: this });
  }

  /** The port that is listened on; 0 while it is closed. */
  get port(): number {
    return this.server?.port ?? 0;
  }

  get sessionCount(): number {
    return this.table.size;
  }

  onDatagram(bytes: Buffer, address: string, port: number, via: DatagramPort): void {
    try {
      this.take(bytes, address, port, via);
    } catch (error) {
      this.onBug(error);
    }
  }

  /** A rule of ours was broken, for one datagram. */
  onBug(error: unknown): void {
    logBug(this.context.log, error);
  }

  private take(bytes: Buffer, address: string, port: number, via: DatagramPort): void {
    const { service } = this;
    if (service === null) {
      this.log(NO_SERVICE, '', this.snapshot.key);
      return;
    }
    const { ratePerClient, responses } = service.service.udp;
    if (ratePerClient > 0) {
      this.rates ??= new SourceRates();
      if (!this.rates.take(address, ratePerClient, this.context.clock.nowMs())) {
        this.context.ledger.addReason(service.slot, CLIENT_DATAGRAMS.index);
        this.refuse(service, CLIENT_DATAGRAMS, address);
        return;
      }
    }
    if (responses === 0) {
      this.oneWay ??= new OneWay(service, this, this.context);
      this.oneWay.send(service, bytes, address);
      return;
    }
    const key = `${via.name} ${address} ${port}`;
    let session = this.table.get(key);
    if (session === undefined) {
      session = new UdpSession({ key, address, port }, this, service, this.context);
      const refused = session.begin();
      if (refused !== null) {
        this.refuse(service, refused, address);
        return;
      }
      this.table.add(session);
    }
    try {
      session.onDatagram(bytes, via);
    } catch (error) {
      session.onBug(error);
    }
  }

  /** Datagrams were lost. Anyone may send any number of them, so not each is logged. */
  refuse(live: LiveService, why: Reason, detail: string, count = 1): void {
    this.context.ledger.addService(live.slot, ServiceColumn.datagramsDropped, count);
    this.log(why, live.name, detail);
  }

  private log(why: Reason, service: string, detail: string): void {
    const { log, wheel } = this.context;
    if (wheel.nowMs - (this.loggedMs.get(why) ?? Number.NEGATIVE_INFINITY) < LOG_MS) return;
    this.loggedMs.set(why, wheel.nowMs);
    log.warn({ service, reason: why.code, detail }, why.text);
  }

  /** One session gives its place to another; false where none does. */
  makeRoom(_service: LiveService | null): boolean {
    const { victim } = this.table;
    victim?.evict();
    return victim !== null;
  }

  /** The same for one that has its place, and finds no socket: it does not give way to itself. */
  makeRoomFor(session: UdpSession): boolean {
    return this.table.victim !== session && this.makeRoom(null);
  }

  /** A session has ended. */
  gone(session: UdpSession): void {
    this.table.remove(session);
  }

  /** Short of memory: sessions that wait for nothing begin again with their next datagram. */
  drainIdle(): void {
    for (const session of this.table.sessions()) if (!session.isAwaiting) session.abort();
  }

  /**
   * Closes the port. Without it no answer reaches anyone, so answers are waited for a while; until then
   * it is served as before, for what comes in has nowhere else to go. Resolves at once.
   */
  close(): Promise<void> {
    void this.drain();
    return Promise.resolve();
  }

  /** Closes; resolves when it is done. */
  drain(): Promise<void> {
    this.closing ??= this.waitForAnswers().then(() => {
      this.abort();
    });
    return this.closing;
  }

  private waitForAnswers(): Promise<void> {
    const { clock } = this.context;
    const untilMs = clock.nowMs() + CLOSING_MS;
    return new Promise((resolve) => {
      const look = (): void => {
        const isAwaited = this.table.sessions().some((session) => session.isAwaiting);
        if (!isAwaited || this.server === null || clock.nowMs() >= untilMs) resolve();
        else clock.setTimer(CLOSING_LOOK_MS, look);
      };
      look();
    });
  }

  /** Closes everything now; returns how many sessions waited for an answer. */
  abort(): number {
    const sessions = this.table.sessions();
    const count = sessions.filter((session) => session.isAwaiting).length;
    this.server?.close();
    this.server = null;
    this.oneWay?.close();
    for (const session of sessions) session.abort();
    return count;
  }
}
