// A UDP service over loopback in this thread: plain clients, the real session code, scripted endpoints.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { expect } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import type { Logger } from '../../src/base/log.ts';
import { silentLogger } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { TimerWheel } from '../../src/base/timer-wheel.ts';
import { EndpointColumn, ServiceColumn } from '../../src/ledger/layout.ts';
import { Ledger, WorkerLedger } from '../../src/ledger/ledger.ts';
import type { EndpointState } from '../../src/model/endpoint.ts';
import { type ReasonCode, reason } from '../../src/model/reason.ts';
import type { Service } from '../../src/model/service.ts';
import type { AccessRecord } from '../../src/proxy/access-log.ts';
import type { WorkerContext } from '../../src/proxy/context.ts';
import { Memory } from '../../src/proxy/limits/memory.ts';
import { Room } from '../../src/proxy/limits/room.ts';
import { LiveService } from '../../src/proxy/live-service.ts';
import { Challenges } from '../../src/proxy/tls/challenges.ts';
import { UdpListener } from '../../src/proxy/udp/listener.ts';
import { makeNodeDatagrams } from '../../src/proxy/wire/node-datagrams.ts';
import { makeNodeNetwork } from '../../src/proxy/wire/node-network.ts';
import type { FromWorker } from '../../src/worker/messages.ts';
import { freeUdpPort } from './ports.ts';
import { makeListener, makeService, makeSnapshot } from './service.ts';

/** What an endpoint has got, and how it answers. */
export type Answer = (bytes: Buffer, from: RemoteInfo, socket: Socket) => void;

/** A client with a port of its own. */
export class UdpClient {
  readonly socket: Socket;
  /** Answers, in their order. */
  readonly got: string[] = [];
  private readonly to: number;

  constructor(to: number, port = 0, address = '127.0.0.1') {
    this.to = to;
    this.socket = createSocket('udp4');
    this.socket.on('message', (bytes) => this.got.push(bytes.toString()));
    this.socket.bindSync({ address, port });
  }

  get port(): number {
    return this.socket.address().port;
  }

  send(text: string): void {
    this.socket.send(text, this.to, '127.0.0.1');
  }

  /** The next datagram that comes. */
  async next(): Promise<string> {
    const [bytes] = (await once(this.socket, 'message')) as [Buffer];
    return bytes.toString();
  }

  /** Sends, and takes the next datagram for the answer. */
  ask(text: string): Promise<string> {
    const answer = this.next();
    this.send(text);
    return answer;
  }
}

export class UdpStage {
  readonly ledger = new Ledger();
  /** How far its timers are ahead of the clock. */
  private aheadMs = 0;
  /** Where the clock was stopped; null while it runs. */
  private stoppedMs: number | null = null;
  readonly wheel = new TimerWheel(() => this.nowMs());
  readonly messages: FromWorker[] = [];
  readonly memory = new Memory(this.wheel);
  readonly access: AccessRecord[] = [];
  /** Messages of level warn. */
  readonly warnings: string[] = [];
  listener!: UdpListener;
  context!: WorkerContext;
  private readonly sockets: Socket[] = [];

  constructor() {
    this.wheel.start(systemClock);
  }

  async close(): Promise<void> {
    this.listener.abort();
    await this.quiet();
    for (const socket of this.sockets) {
      try {
        socket.close();
      } catch {
        // The test has closed it.
      }
    }
    this.wheel.stop();
  }

  private nowMs(): number {
    return (this.stoppedMs ?? systemClock.nowMs()) + this.aheadMs;
  }

  /** From now on its time goes on by `advance` alone: the machine's says nothing. */
  stopClock(): void {
    this.stoppedMs = systemClock.nowMs();
  }

  /** Its timers go on as if `ms` had passed. */
  advance(ms: number): void {
    this.aheadMs += ms;
    this.wheel.tick();
  }

  /**
   * An endpoint; without an answer of its own it says its name and what it got. Its port stays free when
   * it closes: the sessions' own sockets have others.
   */
  endpoint(
    name: string,
    answer?: Answer,
    port = freeUdpPort(),
  ): { port: number; socket: Socket; got: string[] } {
    const socket = createSocket('udp4');
    const got: string[] = [];
    socket.on('message', (bytes, from) => {
      got.push(bytes.toString());
      if (answer === undefined) socket.send(`${name}:${bytes}`, from.port, from.address);
      else answer(bytes, from, socket);
    });
    this.sockets.push(socket);
    const bound = socket.bindSync({ address: '127.0.0.1', port });
    return { port: bound.port, socket, got };
  }

  /** A udp service in front of these ports, listening. */
  async serve(
    ports: readonly number[],
    parts: Partial<Service> = {},
    weights: readonly number[] = [],
    { isFast = true, port = 0 } = {},
  ): Promise<LiveService> {
    const { wheel, messages, memory, ledger } = this;
    const service = makeService({ protocol: 'udp', ...parts });
    const services: WorkerContext['services'] = new Map();
    const log: Logger = {
      ...silentLogger,
      warn: (fields, message) =>
        this.warnings.push(`${(fields as { reason?: string }).reason}: ${message}`),
      error: (fields) => expect(fields).toBe('no error of ours'),
    };
    this.context = {
      index: 0,
      ledger: new WorkerLedger(ledger.buffersFor(0)),
      clock: { ...systemClock, nowMs: () => this.nowMs() },
      network: makeNodeNetwork(silentLogger),
      datagrams: makeNodeDatagrams(log, { isFast }),
      wheel,
      services,
      tls: new Map(),
      challenges: new Challenges(),
      upstreamTls: new Map(),
      random: seededRandom(1),
      log,
      accessLog: { add: (record: AccessRecord) => this.access.push(record) } as never,
      report: (message) => messages.push(message),
      memory,
      room: new Room(services, wheel, silentLogger),
    };
    const live = new LiveService(makeSnapshot(service, ports, weights), this.context);
    services.set(service.name, live);
    const snapshot = makeListener(service, { kind: 'udp', host: '127.0.0.1', port });
    this.listener = new UdpListener(snapshot, this.context);
    this.listener.apply(snapshot, services);
    await this.listener.open();
    return live;
  }

  client(port = 0, address = '127.0.0.1'): UdpClient {
    const client = new UdpClient(this.listener.port, port, address);
    this.sockets.push(client.socket);
    return client;
  }

  endpointCount(slot: number, key: keyof typeof EndpointColumn): number {
    return this.ledger.endpointTotal(slot, EndpointColumn[key]);
  }

  serviceCount(key: keyof typeof ServiceColumn): number {
    return this.ledger.serviceTotal(0, ServiceColumn[key]);
  }

  /** Sessions, or datagrams, that ended for this reason. */
  reasons(code: ReasonCode): number {
    return this.ledger.reasonTotal(0, reason(code).index);
  }

  retries(code: ReasonCode): number {
    return this.ledger.retryTotal(0, reason(code).index);
  }

  inFlight(): number {
    return [0, 1, 2, 3].reduce((sum, slot) => sum + this.ledger.inFlight(slot), 0);
  }

  /** Until every session has ended and is accounted for. */
  quiet() {
    return expect
      .poll(() => this.listener.sessionCount + this.ledger.connections(0) + this.inFlight())
      .toBe(0);
  }
}

/** The endpoint at this place is in that state from now on; `gone`: it is not there any more. */
export function turn(live: LiveService, at: number, state: EndpointState | 'gone'): void {
  const { snapshot } = live;
  const endpoints = snapshot.endpoints.flatMap((one, i) => {
    if (i !== at) return [one];
    return state === 'gone' ? [] : [{ ...one, state }];
  });
  live.apply({ ...snapshot, endpoints });
}
