// A TCP service over loopback in this thread: raw clients, the real session code, scripted endpoints.

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { expect } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { TimerWheel } from '../../src/base/timer-wheel.ts';
import { EndpointColumn, ServiceColumn } from '../../src/ledger/layout.ts';
import { Ledger, WorkerLedger } from '../../src/ledger/ledger.ts';
import type { ListenPolicy } from '../../src/model/listener.ts';
import { type ReasonCode, reason } from '../../src/model/reason.ts';
import type { Service } from '../../src/model/service.ts';
import type { WorkerContext } from '../../src/proxy/context.ts';
import { Memory } from '../../src/proxy/limits/memory.ts';
import { Room } from '../../src/proxy/limits/room.ts';
import { LiveListener } from '../../src/proxy/listener.ts';
import { LiveService } from '../../src/proxy/live-service.ts';
import { TcpSession } from '../../src/proxy/tcp/session.ts';
import { Challenges } from '../../src/proxy/tls/challenges.ts';
import { makeNodeDatagrams } from '../../src/proxy/wire/node-datagrams.ts';
import { makeNodeNetwork } from '../../src/proxy/wire/node-network.ts';
import type { FromWorker } from '../../src/worker/messages.ts';
import { Worker } from '../../src/worker/worker.ts';
import { loopback, makeListener, makeService, makeSnapshot } from './service.ts';

export class TcpStage {
  readonly ledger = new Ledger();
  readonly wheel = new TimerWheel(systemClock.nowMs);
  readonly messages: FromWorker[] = [];
  readonly servers: Server[] = [];
  readonly memory = new Memory(this.wheel);
  /** What services with TLS to their endpoints find. */
  readonly upstreamTls: WorkerContext['upstreamTls'] = new Map();
  listener!: LiveListener;
  context!: WorkerContext;
  private readonly sockets = new Set<Socket>();

  constructor() {
    this.wheel.start(systemClock);
  }

  async close(): Promise<void> {
    this.listener.abort();
    await this.listener.drain();
    for (const socket of this.sockets) socket.destroy();
    for (const server of this.servers) server.close();
    this.wheel.stop();
  }

  /** An endpoint that hands each connection to `serve`. */
  async listenPeer(serve: (socket: Socket) => void, port = 0): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.add(socket);
      socket.on('error', () => {});
      serve(socket);
    });
    this.servers.push(server);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** A tcp service in front of these ports, listening. */
  async serve(
    ports: readonly number[],
    parts: Partial<Service> = {},
    weights: readonly number[] = [],
    policy: Partial<ListenPolicy> = {},
  ): Promise<LiveService> {
    const { wheel, messages, memory, ledger } = this;
    const service = makeService({ protocol: 'tcp', ...parts });
    const services: WorkerContext['services'] = new Map();
    const context: WorkerContext = {
      index: 0,
      ledger: new WorkerLedger(ledger.buffersFor(0)),
      clock: systemClock,
      network: makeNodeNetwork(silentLogger),
      datagrams: makeNodeDatagrams(silentLogger),
      wheel,
      services,
      tls: new Map(),
      challenges: new Challenges(),
      upstreamTls: this.upstreamTls,
      random: seededRandom(1),
      log: silentLogger,
      accessLog: null,
      report: (message) => messages.push(message),
      memory,
      room: new Room(services, wheel, silentLogger),
    };
    const live = new LiveService(makeSnapshot(service, ports, weights), context);
    context.services.set(service.name, live);
    const plain = makeListener(service, loopback());
    const snapshot = { ...plain, policy: { ...plain.policy, ...policy } };
    this.context = context;
    this.listener = new LiveListener(snapshot, context);
    this.listener.apply(snapshot, context.services);
    await this.listener.open((wire, from) => new TcpSession(wire, from, context));
    return live;
  }

  /** What applies deltas to the service that is served. */
  worker(live: LiveService): Worker {
    const { services } = this.context;
    expect(services.get(live.name)).toBe(live);
    return new Worker(this.context, () => {});
  }

  /** A client that may close one direction; it has connected, and may have been reset already. */
  async dial(localAddress = '127.0.0.1'): Promise<Socket> {
    const { port } = this.listener;
    const socket = connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true });
    this.sockets.add(socket);
    socket.on('error', () => {});
    await new Promise((resolve) => {
      socket.once('connect', resolve);
      socket.once('close', resolve);
    });
    return socket;
  }

  endpointCount(slot: number, key: keyof typeof EndpointColumn): number {
    return this.ledger.endpointTotal(slot, EndpointColumn[key]);
  }

  serviceCount(key: keyof typeof ServiceColumn): number {
    return this.ledger.serviceTotal(0, ServiceColumn[key]);
  }

  /** Until every session has ended and is accounted for. */
  quiet() {
    return expect.poll(() => this.listener.connectionCount + this.ledger.connections(0)).toBe(0);
  }

  /** Sessions that ended for this reason; a client sees the end a moment before it is counted. */
  ended(code: ReasonCode) {
    return expect.poll(() => this.ledger.reasonTotal(0, reason(code).index), { interval: 5 });
  }
}

/** Everything up to the end; by events, for iterating closes both directions. */
export function readAll(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  return new Promise((resolve, reject) => {
    socket.once('end', () => resolve(Buffer.concat(pieces)));
    socket.once('error', reject);
  });
}

/** How the connection ends: `end` in order, or the code of its error. */
export function ending(socket: Socket): Promise<string> {
  socket.resume();
  return new Promise((resolve) => {
    const error: NodeJS.ErrnoException | null = socket.errored;
    if (error !== null) resolve(error.code ?? 'error');
    socket.once('end', () => resolve('end'));
    socket.once('error', (later: NodeJS.ErrnoException) => resolve(later.code ?? 'error'));
  });
}
