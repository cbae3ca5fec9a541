// Draws a world from its seed. `without` names parts that are left out; all other draws stay what they were,
// so that a failing world can be made smaller.
import { Chance } from '../kernel/chance.ts';
import { drawWeather, fairWeather, type Weather } from '../net/weather.ts';
import { drawCrowds, drawHttpClients, drawTcpClients } from './draw-clients.ts';
import { drawEndpoints, drawServices } from './draw-services.ts';
import { drawIntruders } from './intruders.ts';
import {
  type ChangeKind,
  type ChangePlan,
  type Mood,
  ROUTER_NAME,
  type ServicePlan,
  type WorldPlan,
} from './plan.ts';
import { drawSessionChanges } from './session-rules.ts';
import { drawOrders, NO_ORDERS, type OrdersPlan } from './tls/orders.ts';
import { drawListenRules, type ListenRules } from './tls/rules.ts';
import { drawStrangers, type StrangerPlan } from './tls/strangers.ts';
import { drawWeights, type Weights } from './weights.ts';

const CHANGES: readonly ChangeKind[] = [
  'state',
  'state',
  'state',
  'weight',
  'leave',
  'leave',
  'policy',
  'service',
  'protocol',
  'listener',
  'panic',
  'memory',
  'refuse',
  'refuse',
  'mute',
  'drain',
];

export function drawPlan(seed: number, without: ReadonlySet<string>): WorldPlan {
  const chance = new Chance(seed, 'world');
  const weights = drawWeights(seed);
  const spanMs = chance.int(1000, 6000);
  const workers = chance.happens(0.4) ? 2 : 1;
  const isFair = chance.happens(weights.isFair);
  const isNarrow = !isFair && chance.happens(weights.isNarrow);
  const mood: Mood = {
    clientFaults: chance.pick(weights.clientFaults),
    endpointFaults: chance.pick(weights.endpointFaults),
    changes: chance.pick([0, 0, 4, 16]),
    isPlain: chance.happens(0.4),
    bodyMax: isFair ? 600_000 : isNarrow ? 3000 : 30_000,
  };
  const descriptors = chance.happens(0.08) ? chance.int(20, 60) : 65_536;
  const kept = <T extends { name: string }>(list: readonly T[]): T[] =>
    list.filter(({ name }) => !without.has(name));
  const hasHttp2 = new Chance(seed, 'http2').happens(weights.http2) && !without.has('http2');
  const hasTls = new Chance(seed, 'tls').happens(weights.tls) && !without.has('tls');
  const services = drawServices(seed, {
    ...{ mood, weights, hasHttp2, hasTls },
    hasUnix: !without.has('unix sockets'),
  });
  const routerTls = hasTls ? drawListenRules(seed, ROUTER_NAME) : null;
  const introduced = services.filter(({ proxy }) => proxy.accepts);
  const tcpServices = services.filter(({ protocol }) => protocol === 'tcp');
  const endpoints = services.flatMap((service, i) =>
    drawEndpoints(seed, service, { mood, weights, i, without }),
  );
  const hasCalls = new Chance(seed, 'calls').happens(weights.calls) && !without.has('calls');
  const mayTunnel = hasHttp2 && !without.has('tunnels');
  const hasTunnels = mayTunnel && new Chance(seed, 'tunnels').happens(weights.tunnels);
  const options = { mood, weights, spanMs, without, hasHttp2, hasCalls, hasTunnels, routerTls };
  const strangers = kept(
    // By a unix socket all come from nowhere, and have no share of the lobby of their own.
    drawStrangers(seed, {
      services: services.filter(({ isUnix }) => !isUnix),
      weights,
      spanMs,
      mayFlood: descriptors === 65_536,
    }),
  );
  return {
    seed,
    spanMs,
    workers: without.has('second worker') ? 1 : workers,
    descriptors: without.has('few descriptors') ? 65_536 : descriptors,
    weather:
      isFair || without.has('weather') ? () => fairWeather : isNarrow ? drawWeather : drawWide,
    isNarrow,
    hasHttp2,
    secure: secureListeners(services, routerTls),
    services,
    endpoints: kept(endpoints),
    httpClients: kept([
      ...drawHttpClients(seed, services, options),
      ...drawCrowds(seed, services, options),
    ]),
    tcpClients: kept(drawTcpClients(seed, services, options)),
    changes: kept([
      ...drawChanges(seed, mood.changes, spanMs),
      ...(hasTls ? drawRenewals(seed, spanMs) : []),
    ]),
    strangers,
    orders: ordersOf(seed, { services, weights, spanMs, strangers, without }),
    intruders: kept(drawIntruders(seed, { services: introduced, spanMs, isNarrow })),
    sessionChanges: kept(drawSessionChanges(seed, { weights, spanMs, services: tcpServices })),
  };
}

/** None beside a flood, which takes all the places of connections that are looked into. */
function ordersOf(
  seed: number,
  options: {
    services: readonly ServicePlan[];
    weights: Weights;
    spanMs: number;
    strangers: readonly StrangerPlan[];
    without: ReadonlySet<string>;
  },
): OrdersPlan {
  const { services, weights, spanMs, strangers, without } = options;
  if (strangers.some(({ count }) => count > 1) || without.has('orders')) return NO_ORDERS;
  const { orders, validators } = drawOrders(seed, { services, spanMs, share: weights.orders });
  return { orders, validators: validators.filter(({ name }) => !without.has(name)) };
}

/** Any weather through which 30 KB pass within a second. */
function drawWide(chance: Chance): Weather {
  const weather = drawWeather(chance);
  const [least, most] = weather.latencyMs;
  return {
    ...weather,
    latencyMs: [least, Math.min(most, 8)],
    windowBytes: Math.max(weather.windowBytes, 1000),
    // After each write that is taken in part the rest waits for a way through the network: many small frames would
    // take seconds.
    partialShare: Math.min(weather.partialShare, 0.1),
  };
}

function secureListeners(
  services: readonly ServicePlan[],
  router: ListenRules | null,
): Map<string, ListenRules> {
  const rules = new Map<string, ListenRules>();
  for (const { name, tls } of services) if (tls !== null) rules.set(name, tls);
  if (router !== null) rules.set(ROUTER_NAME, router);
  return rules;
}

/** Certificates that are renewed, and endpoints that forget their sessions. */
function drawRenewals(seed: number, spanMs: number): ChangePlan[] {
  const chance = new Chance(seed, 'renewals');
  return Array.from({ length: chance.happens(0.5) ? chance.int(1, 4) : 0 }, (_, i) => ({
    name: `renewal ${i}`,
    atMs: chance.between(20, spanMs),
    kind: chance.pick(['certificates', 'endpoint-restart'] as const),
    forMs: 1,
  }));
}

function drawChanges(seed: number, count: number, spanMs: number): ChangePlan[] {
  const chance = new Chance(seed, 'changes');
  return Array.from({ length: count }, (_, i) => ({
    name: `change ${i}`,
    atMs: chance.between(20, spanMs * 1.2),
    kind: chance.pick(CHANGES),
    forMs: chance.size(1, 2000),
  }));
}
