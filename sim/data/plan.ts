// What a world consists of, drawn from its seed: services, endpoints, clients and changes, as plain
// data. `without` names parts that are left out; all other draws stay what they were, so that a
// failing world can be made smaller.
import type { Protocol } from '../../src/model/service.ts';
import { Chance } from '../kernel/chance.ts';
import { drawWeather, fairWeather, type Weather } from '../net/weather.ts';
import type { EndpointHabits } from './answer-script.ts';
import type { AnswerFault } from './book.ts';
import { drawHttp2Habits, HTTP2_SHARE } from './h2/habits.ts';
import type { HttpClientPlan } from './http-client.ts';
import { drawProxyRules, type ProxyRules } from './introductions.ts';
import { drawIntruders, type IntruderPlan } from './intruders.ts';
import {
  drawSessionChanges,
  followsPrimary,
  type SessionChangePlan,
  sourceOfClient,
} from './session-rules.ts';
import type { TcpClientPlan } from './tcp-actors.ts';
import { drawPassRules, type PassRules } from './tls/pass.ts';
import { drawListenRules, type ListenRules, TLS_SHARE } from './tls/rules.ts';
import { drawStrangers, type StrangerPlan } from './tls/strangers.ts';
import {
  drawHandshakeFault,
  drawUpstreamRules,
  type HandshakeFault,
  type UpstreamRules,
} from './tls/upstream-rules.ts';

export const ROUTER_PORT = 8080;
/** Among the names of listeners. */
export const ROUTER_NAME = 'router';
const FIRST_SERVICE_PORT = 8001;
export const FIRST_ENDPOINT_PORT = 9000;
/** Of one client: the world around it costs as much as fifty exchanges. */
const REQUESTS_MAX = 150;

export interface ServicePlan {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly slot: number;
  readonly isPlain: boolean;
  /** It sends to its primary alone. */
  readonly follows: boolean;
  readonly proxy: ProxyRules;
  /** Its endpoints speak HTTP/2. */
  readonly isH2c: boolean;
  /** Its listener terminates TLS; null: it speaks plainly. */
  readonly tls: ListenRules | null;
  /** Its endpoints speak TLS with the product; null: they don't. */
  readonly upstream: UpstreamRules | null;
  /** Its listener passes TLS on; null: it does not. */
  readonly passes: PassRules | null;
}

export interface EndpointPlan {
  readonly name: string;
  readonly service: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly slot: number;
  readonly weight: number;
  readonly habits: EndpointHabits;
  /** Connections that it closes or resets as soon as it has accepted them. */
  readonly rejectShare: number;
  readonly isH2c: boolean;
  /** What is wrong with its TLS; ''. */
  readonly handshakes: HandshakeFault | '';
}

export type ChangeKind =
  | 'state'
  | 'weight'
  | 'leave'
  | 'policy'
  | 'service'
  | 'protocol'
  | 'listener'
  | 'panic'
  | 'memory'
  | 'refuse'
  | 'mute'
  | 'drain'
  | 'certificates'
  | 'endpoint-restart';

export interface ChangePlan {
  /** `change 3`: names its draws. */
  readonly name: string;
  readonly atMs: number;
  readonly kind: ChangeKind;
  /** How long until it is undone; everything is, but the end of a worker. */
  readonly forMs: number;
}

export interface WorldPlan {
  readonly seed: number;
  readonly spanMs: number;
  readonly workers: number;
  readonly descriptors: number;
  /** Links may be so slow that nothing can be said of how long things take. */
  readonly isNarrow: boolean;
  readonly weather: (chance: Chance) => Weather;
  /** Listeners take HTTP/2, some clients speak it, and the endpoints of some services. */
  readonly hasHttp2: boolean;
  /** Listeners that terminate TLS, by name; the router's is its port. Empty: nobody speaks TLS. */
  readonly secure: ReadonlyMap<string, ListenRules>;
  readonly services: readonly ServicePlan[];
  readonly endpoints: readonly EndpointPlan[];
  readonly httpClients: readonly HttpClientPlan[];
  readonly tcpClients: readonly TcpClientPlan[];
  readonly changes: readonly ChangePlan[];
  readonly sessionChanges: readonly SessionChangePlan[];
  readonly intruders: readonly IntruderPlan[];
  readonly strangers: readonly StrangerPlan[];
}

const FAULTS: readonly AnswerFault[] = [
  'silent',
  'stalls',
  'resets',
  'resets',
  'closes',
  'closes',
  'surplus',
  'junk',
  'both-lengths',
  'bad-length',
  'bad-chunk',
  'bad-switch',
  'interim-flood',
  'huge-head',
  'closes-idle',
  'resets-idle',
  'surplus-idle',
];

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

/** A world in which everything goes wrong tells as little as one in which nothing does. */
interface Mood {
  readonly clientFaults: number;
  readonly endpointFaults: number;
  readonly changes: number;
  readonly isPlain: boolean;
  readonly bodyMax: number;
}

export function drawPlan(seed: number, without: ReadonlySet<string>): WorldPlan {
  const chance = new Chance(seed, 'world');
  const spanMs = chance.int(1000, 6000);
  const workers = chance.happens(0.4) ? 2 : 1;
  const isFair = chance.happens(0.4);
  const isNarrow = !isFair && chance.happens(0.3);
  const mood: Mood = {
    clientFaults: chance.pick([0, 0, 0.03, 0.2]),
    endpointFaults: chance.pick([0, 0, 0.05, 0.3]),
    changes: chance.pick([0, 0, 4, 16]),
    isPlain: chance.happens(0.4),
    bodyMax: isFair ? 600_000 : isNarrow ? 3000 : 30_000,
  };
  const descriptors = chance.happens(0.08) ? chance.int(20, 60) : 65_536;
  const kept = <T extends { name: string }>(list: readonly T[]): T[] =>
    list.filter(({ name }) => !without.has(name));
  const hasHttp2 = new Chance(seed, 'http2').happens(HTTP2_SHARE) && !without.has('http2');
  const hasTls = new Chance(seed, 'tls').happens(TLS_SHARE) && !without.has('tls');
  const services = drawServices(seed, { mood, hasHttp2, hasTls });
  const routerTls = hasTls ? drawListenRules(seed, ROUTER_NAME) : null;
  const introduced = services.filter(({ proxy }) => proxy.accepts);
  const tcpServices = services.filter(({ protocol }) => protocol === 'tcp');
  const endpoints = services.flatMap((service, i) =>
    drawEndpoints(seed, service, { mood, i, without }),
  );
  const options = { mood, spanMs, without, hasHttp2, routerTls };
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
    httpClients: kept(drawHttpClients(seed, services, options)),
    tcpClients: kept(drawTcpClients(seed, services, options)),
    changes: kept([
      ...drawChanges(seed, mood.changes, spanMs),
      ...(hasTls ? drawRenewals(seed, spanMs) : []),
    ]),
    strangers: kept(drawStrangers(seed, { services, spanMs, mayFlood: descriptors === 65_536 })),
    intruders: kept(drawIntruders(seed, { services: introduced, spanMs, isNarrow })),
    sessionChanges: kept(drawSessionChanges(seed, { spanMs, services: tcpServices })),
  };
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

interface ServiceOptions {
  readonly mood: Mood;
  readonly hasHttp2: boolean;
  readonly hasTls: boolean;
}

function drawServices(seed: number, { mood, hasHttp2, hasTls }: ServiceOptions): ServicePlan[] {
  const { isPlain } = mood;
  const chance = new Chance(seed, 'services');
  const count = chance.int(1, 3);
  return Array.from({ length: count }, (_, i) => {
    const name = `s${i + 1}`;
    const protocol = i > 0 && chance.happens(0.4) ? ('tcp' as const) : ('http' as const);
    const isHttp2 = hasHttp2 && protocol === 'http';
    const isH2c = isHttp2 && new Chance(seed, `http2 of ${name}`).happens(0.6);
    const follows = protocol === 'tcp' && followsPrimary(seed, name);
    const drawn = drawProxyRules(seed, name);
    // Connections that are shared speak for nobody.
    const proxy = isH2c ? { ...drawn, sends: 'off' as const } : drawn;
    const port = FIRST_SERVICE_PORT + i;
    const mayPass = hasTls && protocol === 'tcp';
    const passes = mayPass ? drawPassRules(seed, name) : null;
    const speaks = hasTls && passes === null;
    const tls = speaks ? drawListenRules(seed, name) : null;
    const upstream = speaks && !follows ? drawUpstreamRules(seed, name) : null;
    const secure = { tls, upstream, passes };
    return { name, protocol, port, slot: i, isPlain, follows, isH2c, proxy, ...secure };
  });
}

function drawEndpoints(
  seed: number,
  service: ServicePlan,
  { mood, i, without }: { mood: Mood; i: number; without: ReadonlySet<string> },
): EndpointPlan[] {
  const chance = new Chance(seed, `endpoints of ${service.name}`);
  const count = chance.int(1, 5);
  return Array.from({ length: count }, (_, k) => {
    const slot = i * 8 + k;
    const name = `e${slot}`;
    const isBroken = mood.endpointFaults > 0 && chance.happens(0.5);
    const faultsHttp1 = FAULTS.filter(() => chance.happens(0.4));
    const { isH2c, upstream } = service;
    const mayFail = upstream !== null && mood.endpointFaults > 0;
    const { faults: faultsH2, ...h2 } = drawHttp2Habits(new Chance(seed, `http2 of ${name}`));
    const faults = isH2c ? faultsH2 : faultsHttp1;
    const hasFaults = isBroken && faults.length > 0 && !without.has(`faults of ${name}`);
    const habits = {
      faultShare: hasFaults ? mood.endpointFaults : 0,
      faults,
      slowShare: chance.pick([0, 0.1, 0.3]),
      slowMs: chance.pick([50, 300]),
      busyShare: chance.happens(0.2) ? 0.2 : 0,
      bodyMax: mood.bodyMax,
      idleCloseMs: chance.pick([0, 0, 20, 200]),
      h2,
    };
    const rejects = chance.happens(0.2) ? 0.2 : 0;
    return {
      name,
      service: service.name,
      protocol: service.protocol,
      port: FIRST_ENDPOINT_PORT + slot,
      slot,
      weight: chance.pick([1, 1, 1, 2, 5]),
      habits,
      rejectShare: hasFaults ? rejects : 0,
      isH2c,
      handshakes:
        mayFail && !without.has(`faults of ${name}`) ? drawHandshakeFault(seed, name) : '',
    };
  });
}

interface ClientOptions {
  readonly mood: Mood;
  readonly spanMs: number;
  readonly without: ReadonlySet<string>;
  readonly hasHttp2: boolean;
  readonly routerTls: ListenRules | null;
}

/** `first 5 of c1`: the requests after those are left out. */
function bounded(name: string, count: number, without: ReadonlySet<string>): number {
  if (without.size === 0) return count;
  for (let kept = 1; kept < count; kept += 1)
    if (without.has(`all but ${kept} of ${name}`)) return kept;
  return count;
}

function drawHttpClients(
  seed: number,
  services: readonly ServicePlan[],
  { mood, spanMs, without, hasHttp2, routerTls }: ClientOptions,
): HttpClientPlan[] {
  const chance = new Chance(seed, 'http clients');
  const targets = services.filter(({ protocol }) => protocol === 'http');
  return Array.from({ length: chance.int(10, 40) }, (_, i) => {
    const name = `c${i}`;
    const service = chance.pick(targets);
    const isRouted = chance.happens(0.3);
    const requests = chance.size(1, REQUESTS_MAX);
    const faultShare = chance.happens(0.5) ? mood.clientFaults : 0;
    return {
      name,
      address: sourceOfClient(i),
      isIntroduced: !isRouted && service.proxy.accepts,
      port: isRouted ? ROUTER_PORT : service.port,
      host: isRouted ? `${service.name}.sim` : 'sim',
      service: service.name,
      startMs: chance.between(20, spanMs),
      requests: bounded(name, requests, without),
      faultShare: without.has(`faults of ${name}`) ? 0 : faultShare,
      bodyMax: mood.bodyMax,
      isHttp2: hasHttp2 && new Chance(seed, `http2 of ${name}`).happens(0.6),
      tls: isRouted ? routerTls : service.tls,
    };
  });
}

function drawTcpClients(
  seed: number,
  services: readonly ServicePlan[],
  { mood, spanMs, without }: ClientOptions,
): TcpClientPlan[] {
  const chance = new Chance(seed, 'tcp clients');
  const targets = services.filter(({ protocol }) => protocol === 'tcp');
  if (targets.length === 0) return [];
  return Array.from({ length: chance.int(4, 12) }, (_, i) => {
    const name = `t${i}`;
    const sessions = chance.int(1, 25);
    const { port, name: service, proxy, tls, passes } = chance.pick(targets);
    return {
      name,
      address: sourceOfClient(i),
      isIntroduced: proxy.accepts,
      port,
      service,
      startMs: chance.between(20, spanMs),
      sessions: bounded(name, sessions, without),
      tls,
      passes,
      faultShare: without.has(`faults of ${name}`) ? 0 : mood.clientFaults,
      bodyMax: mood.bodyMax,
    };
  });
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
