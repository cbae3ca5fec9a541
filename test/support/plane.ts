// The data plane in this process: a worker with a table of given services, its listener on a free
// port, and the ledger that it counts in.

import { expect } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import type { Logger } from '../../src/base/log.ts';
import { seededRandom } from '../../src/base/prng.ts';
import { TimerWheel } from '../../src/base/timer-wheel.ts';
import { EndpointColumn } from '../../src/ledger/layout.ts';
import { Ledger, WorkerLedger } from '../../src/ledger/ledger.ts';
import { formatListen, PLAIN_LISTEN } from '../../src/model/listener.ts';
import { type ReasonCode, reason } from '../../src/model/reason.ts';
import type { Route } from '../../src/model/route.ts';
import type {
  HttpPolicy,
  Limits,
  RetryPolicy,
  Service,
  Timeouts,
} from '../../src/model/service.ts';
import type { ListenerSnapshot, ServiceSnapshot } from '../../src/model/snapshot.ts';
import { AccessLog } from '../../src/proxy/access-log.ts';
import type { WorkerContext } from '../../src/proxy/context.ts';
import { Memory } from '../../src/proxy/limits/memory.ts';
import { Room } from '../../src/proxy/limits/room.ts';
import { Challenges } from '../../src/proxy/tls/challenges.ts';
import { makeNodeDatagrams } from '../../src/proxy/wire/node-datagrams.ts';
import { makeNodeNetwork } from '../../src/proxy/wire/node-network.ts';
import type { FromWorker } from '../../src/worker/messages.ts';
import { Worker } from '../../src/worker/worker.ts';
import { closePeers, dial, type Endpoint, listenEndpoint, type Peer } from './peer.ts';
import { freePorts } from './ports.ts';
import { loopback, makeListener, makeService, makeSnapshot } from './service.ts';

/** What a test says of its service; the rest is as in makeService. */
export interface Policy
  extends Pick<
    Partial<Service>,
    'name' | 'upstream' | 'balance' | 'passive' | 'panic' | 'primary' | 'tunnels' | 'tcp'
  > {
  readonly retry?: Partial<RetryPolicy>;
  readonly timeouts?: Partial<Timeouts>;
  readonly limits?: Partial<Limits>;
  readonly http?: Partial<HttpPolicy>;
}

export function serviceOf({ retry, timeouts, limits, http, ...parts }: Policy = {}): Service {
  const plain = makeService(parts);
  return {
    ...plain,
    retry: { ...plain.retry, ...retry },
    timeouts: { ...plain.timeouts, ...timeouts },
    limits: { ...plain.limits, ...limits },
    http: { ...plain.http, ...http },
  };
}

const LINES_MAX = 1000;

export class Plane {
  readonly port: number;
  readonly context: WorkerContext;
  readonly worker: Worker;
  readonly ledger: Ledger;
  readonly wheel: TimerWheel;
  readonly accessLog: AccessLog;
  /** Errors that the worker logged: a broken rule of ours is one. */
  readonly errors: unknown[] = [];
  /** What else it logged, fields and message together. */
  readonly lines: Readonly<Record<string, unknown>>[] = [];
  /** Lines of the access log. */
  readonly access: Readonly<Record<string, unknown>>[] = [];
  readonly reports: FromWorker[] = [];
  /** What it was opened with. */
  listener: ListenerSnapshot | null = null;
  /** How far its timers are ahead of the clock. */
  private aheadMs = 0;

  constructor(port: number) {
    this.port = port;
    this.ledger = new Ledger();
    this.wheel = new TimerWheel(() => systemClock.nowMs() + this.aheadMs);
    this.wheel.start(systemClock);
    this.accessLog = new AccessLog({
      wheel: this.wheel,
      wallMs: () => 0,
      send: (lines) => {
        for (const line of lines.trimEnd().split('\n')) this.access.push(JSON.parse(line));
      },
    });
    const log: Logger = {
      debug() {},
      info: (fields, message) => this.tell({ ...fields, message }),
      warn: (fields, message) => this.tell({ ...fields, message }),
      error: (fields) => this.errors.push(fields),
    };
    const services: WorkerContext['services'] = new Map();
    this.context = {
      index: 0,
      ledger: new WorkerLedger(this.ledger.buffersFor(0)),
      clock: systemClock,
      network: makeNodeNetwork(log),
      datagrams: makeNodeDatagrams(log),
      wheel: this.wheel,
      services,
      tls: new Map(),
      challenges: new Challenges(),
      upstreamTls: new Map(),
      random: seededRandom(1),
      log,
      accessLog: this.accessLog,
      report: (message) => this.reports.push(message),
      memory: new Memory(this.wheel),
      room: new Room(services, this.wheel, log),
    };
    this.worker = new Worker(this.context, (listenErrors) =>
      this.reports.push({ type: 'listeners', listenErrors }),
    );
  }

  /** Keeps what is logged, as long as it is not a flood. */
  private tell(line: Readonly<Record<string, unknown>>): void {
    if (this.lines.length < LINES_MAX) this.lines.push(line);
  }

  /** Its timers go on as if `ms` had passed. */
  advance(ms: number): void {
    this.aheadMs += ms;
  }

  client(): Promise<Peer> {
    return dial(this.port);
  }

  /** Opens a connection, sends the request and takes the answer. */
  async ask(request: string): Promise<{ head: string; body: string }> {
    const client = await this.client();
    client.send(request);
    const answer = await client.message();
    client.end();
    return answer;
  }

  async apply(services: readonly ServiceSnapshot[]): Promise<void> {
    await this.worker.apply({ version: 2, upsert: services, remove: [], listeners: null });
  }

  /** Gives its listener other limits and timeouts. */
  async relisten(policy: Pick<Policy, 'limits' | 'timeouts'>): Promise<void> {
    const { limits, timeouts } = serviceOf(policy);
    const listeners = [{ ...this.listener!, limits, timeouts }];
    await this.worker.apply({ version: 2, upsert: [], remove: [], listeners });
  }

  /** Requests of the first service that wait for a place, or for an endpoint. */
  waiting(): number {
    const [live] = this.context.services.values();
    return live?.waitingCount ?? 0;
  }

  inFlight(): number {
    return [0, 1, 2, 3].reduce((sum, slot) => sum + this.ledger.inFlight(slot), 0);
  }

  reasons(code: ReasonCode): number {
    return this.ledger.reasonTotal(0, reason(code).index);
  }

  retries(code: ReasonCode): number {
    return this.ledger.retryTotal(0, reason(code).index);
  }

  endpointCount(slot: number, key: keyof typeof EndpointColumn): number {
    return this.ledger.endpointTotal(slot, EndpointColumn[key]);
  }

  /** Until nothing is in flight any more. */
  async quiet(): Promise<void> {
    await expect.poll(() => this.inFlight(), { interval: 2 }).toBe(0);
    expect(this.errors).toEqual([]);
  }
}

const planes: Plane[] = [];

async function open(
  services: readonly ServiceSnapshot[],
  listenerOf: (port: number) => ListenerSnapshot,
): Promise<Plane> {
  const [port] = await freePorts(1);
  const plane = new Plane(port!);
  planes.push(plane);
  plane.listener = listenerOf(port!);
  const listeners = [plane.listener];
  const errors = await plane.worker.apply({ version: 1, upsert: services, remove: [], listeners });
  expect(errors).toEqual([]);
  return plane;
}

/** A plane with one service in front of these ports. */
export function openPlane(ports: readonly number[], policy: Policy = {}): Promise<Plane> {
  const service = serviceOf(policy);
  return open([makeSnapshot(service, ports)], (port) => {
    const listener = makeListener(service, loopback(port));
    // Whatever is true of HTTP/1.1 holds where HTTP/2 is spoken too.
    return { ...listener, policy: { ...listener.policy, http2: true } };
  });
}

/**
 * A plane whose listener is a router, with the limits and timeouts of `policy`; its services have
 * plain ones. Services have the slots of their order.
 */
export function openRouter(
  routes: readonly Route[],
  services: Readonly<Record<string, number>>,
  policy: Pick<Policy, 'limits' | 'timeouts'> = {},
): Promise<Plane> {
  const snapshots = Object.entries(services).map(([name, port], slot): ServiceSnapshot => {
    const snapshot = makeSnapshot(serviceOf({ name }), [port]);
    return { ...snapshot, slot, endpoints: snapshot.endpoints.map((one) => ({ ...one, slot })) };
  });
  return open(snapshots, (port) => {
    const { limits, timeouts } = serviceOf(policy);
    const address = loopback(port);
    const behind = { service: '', routes, limits, timeouts, policy: PLAIN_LISTEN };
    return { key: formatListen(address), address, protocol: 'http', ...behind };
  });
}

/** One endpoint and the plane in front of it. */
export async function openPair(policy: Policy = {}): Promise<{ plane: Plane; endpoint: Endpoint }> {
  const endpoint = await listenEndpoint();
  return { plane: await openPlane([endpoint.port], policy), endpoint };
}

/** After each test: whatever it was about, nothing may be left in flight, and no rule broken. */
export async function closePlanes(): Promise<void> {
  const all = planes.splice(0);
  closePeers();
  for (const plane of all) {
    await plane.worker.drain(0);
    await plane.quiet();
    await expect.poll(() => plane.ledger.connections(0), { interval: 2 }).toBe(0);
    plane.wheel.stop();
  }
}

/** An answer with a length. */
export function answer(body: string, fields = '', status = '200 OK'): string {
  return `HTTP/1.1 ${status}\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** A request to host `a`. */
export function request(line: string, fields = '', body = ''): string {
  return `${line} HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`;
}
