// What a world of datagrams consists of, drawn from its seed as plain data. `without` names parts that are left out.
import type { EndpointState } from '../../../src/model/endpoint.ts';
import type { Service } from '../../../src/model/service.ts';
import { makePassive, makeService, makeUdp } from '../../../test/support/service.ts';
import { Chance } from '../../kernel/chance.ts';
import type { DatagramWeather } from '../../net/sim-datagrams.ts';

export const FIRST_ENDPOINT_PORT = 9000;
const FIRST_PORT = 8001;
const SLOTS_EACH = 8;

export interface UdpServicePlan {
  readonly name: string;
  readonly port: number;
  readonly slot: number;
  readonly policy: Service;
}

export interface UdpEndpointPlan {
  readonly name: string;
  readonly service: string;
  readonly port: number;
  readonly slot: number;
  /** Share of datagrams that it does not answer, ... */
  readonly silentShare: number;
  /** ... that it answers late, and once too often. */
  readonly lateShare: number;
  readonly surplusShare: number;
  readonly answerMs: number;
  readonly answerBytes: number;
}

export interface UdpClientPlan {
  readonly name: string;
  readonly source: string;
  readonly service: string;
  readonly startMs: number;
  readonly count: number;
  readonly everyMs: number;
}

export interface UdpChangePlan {
  readonly name: string;
  readonly atMs: number;
  readonly forMs: number;
  readonly endpoint: string;
  readonly kind: EndpointState | 'gone' | 'closed';
}

export interface UdpPlan {
  readonly seed: number;
  readonly spanMs: number;
  readonly workers: number;
  readonly weather: DatagramWeather;
  readonly services: readonly UdpServicePlan[];
  readonly endpoints: readonly UdpEndpointPlan[];
  readonly clients: readonly UdpClientPlan[];
  readonly changes: readonly UdpChangePlan[];
}

const KINDS = ['down', 'ejected', 'drain', 'maint', 'gone', 'closed', 'closed'] as const;
const FATES = [0, 0, 0, null, 400] as const;

export function drawUdpPlan(seed: number, without: ReadonlySet<string>): UdpPlan {
  const chance = new Chance(seed, 'udp world');
  const spanMs = chance.int(1000, 8000);
  const isCalm = chance.happens(0.35);
  const kept = <T extends { name: string }>(list: readonly T[]): T[] =>
    list.filter(({ name }) => !without.has(name));
  const services = Array.from({ length: chance.int(1, 2) }, (_, i) => drawService(seed, i, isCalm));
  const endpoints = services.flatMap((one) => drawEndpoints(seed, one, isCalm));
  const names = endpoints.map(({ name }) => name);
  const fair = { latencyMs: [0.05, 3] as const, lossShare: 0, doubleShare: 0 };
  const weather = {
    latencyMs: [0.05, chance.pick([1, 20, 80])] as const,
    lossShare: chance.pick([0, 0.02, 0.2]),
    doubleShare: chance.pick([0, 0.02, 0.2]),
  };
  return {
    seed,
    spanMs,
    workers: chance.happens(0.4) && !without.has('second worker') ? 2 : 1,
    weather: isCalm || without.has('weather') ? fair : weather,
    services,
    endpoints: kept(endpoints),
    clients: kept(drawClients(seed, services, spanMs)),
    changes: isCalm ? [] : kept(drawChanges(seed, names, spanMs)),
  };
}

function drawService(seed: number, i: number, isCalm: boolean): UdpServicePlan {
  const name = `u${i + 1}`;
  const chance = new Chance(seed, `policy of ${name}`);
  const plain = makeService();
  const isLimited = !isCalm && chance.happens(0.5);
  const limit = (least: number, most: number, otherwise: number): number =>
    isLimited && chance.happens(0.6) ? chance.int(least, most) : otherwise;
  const policy = makeService({
    name,
    protocol: 'udp',
    balance: { policy: chance.pick(['least-conn', 'round-robin', 'random'] as const), hash: null },
    passive: makePassive({ consecutiveFailures: 0, connectFailures: 0 }),
    retry: { ...plain.retry, attempts: chance.int(1, 4) },
    timeouts: {
      ...plain.timeouts,
      idleUdpMs: chance.int(600, 2500),
      responseMs: chance.int(200, 900),
    },
    limits: {
      ...plain.limits,
      connections: limit(2, 10, 10_000),
      connectionsPerClient: limit(1, 4, 0),
      perEndpoint: limit(1, 4, 0),
      queue: limit(0, 4, 1000),
      queueTimeoutMs: chance.int(200, 800),
    },
    udp: makeUdp({
      responses: chance.pick([null, null, 1, 1, 2, 0]),
      amplificationMax: isCalm ? 0 : chance.pick([0, 0, 2]),
      onDownMs: chance.pick(FATES),
      onDrainMs: chance.pick(FATES),
    }),
  });
  return { name, port: FIRST_PORT + i, slot: i, policy };
}

function drawEndpoints(seed: number, service: UdpServicePlan, isCalm: boolean): UdpEndpointPlan[] {
  const chance = new Chance(seed, `endpoints of ${service.name}`);
  return Array.from({ length: chance.int(1, 4) }, (_, k) => {
    const slot = service.slot * SLOTS_EACH + k;
    const isBroken = !isCalm && chance.happens(0.4);
    return {
      name: `e${slot}`,
      service: service.name,
      port: FIRST_ENDPOINT_PORT + slot,
      slot,
      silentShare: isBroken ? chance.pick([0, 0.1, 1]) : 0,
      lateShare: isBroken ? chance.pick([0, 0.2]) : 0,
      surplusShare: isBroken ? chance.pick([0, 0.2]) : 0,
      answerMs: chance.pick([0, 5, 60]),
      answerBytes: chance.pick([30, 30, 400]),
    };
  });
}

function drawClients(
  seed: number,
  services: readonly UdpServicePlan[],
  spanMs: number,
): UdpClientPlan[] {
  const chance = new Chance(seed, 'udp clients');
  return Array.from({ length: chance.int(5, 40) }, (_, i) => ({
    name: `c${i}`,
    // Several sources have one address.
    source: `10.9.0.${chance.int(1, 8)}:${20_000 + i}`,
    service: chance.pick(services).name,
    startMs: chance.between(20, spanMs),
    count: chance.size(1, 40),
    everyMs: chance.pick([0, 5, 50, 400]),
  }));
}

function drawChanges(seed: number, endpoints: readonly string[], spanMs: number): UdpChangePlan[] {
  const chance = new Chance(seed, 'udp changes');
  return Array.from({ length: chance.int(0, 10) }, (_, i) => ({
    name: `change ${i}`,
    atMs: chance.between(20, spanMs * 1.2),
    forMs: chance.size(5, 3000),
    endpoint: chance.pick(endpoints),
    kind: chance.pick(KINDS),
  }));
}
