// Draws the services of a world and their endpoints.
import { Chance } from '../kernel/chance.ts';
import type { AnswerFault } from './book.ts';
import { drawPlaces, leisurely } from './crowds.ts';
import { drawHttp2Habits } from './h2/habits.ts';
import { drawProxyRules } from './introductions.ts';
import { type EndpointPlan, FIRST_ENDPOINT_PORT, type Mood, type ServicePlan } from './plan.ts';
import { followsPrimary } from './session-rules.ts';
import { commonFaults, drawMind } from './tls/minds.ts';
import { drawPassRules } from './tls/pass.ts';
import { drawListenRules } from './tls/rules.ts';
import { drawHandshakeFault, drawUpstreamRules } from './tls/upstream-rules.ts';
import type { Weights } from './weights.ts';

const FIRST_SERVICE_PORT = 8001;
/** Share of endpoints whose connections are used for many requests: where each is soon over, little is used again. */
const LASTING_SHARE = 0.7;
/** Share of services whose first endpoint may be one that nobody gets through to. */
const LONELY_SHARE = 0.25;

/** Share of HTTP services with TLS that listen on a unix socket. */
const UNIX_SHARE = 0.2;

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

interface ServiceOptions {
  readonly mood: Mood;
  readonly weights: Weights;
  readonly hasHttp2: boolean;
  readonly hasTls: boolean;
  readonly hasUnix: boolean;
}

export function drawServices(
  seed: number,
  { mood, weights, hasHttp2, hasTls, hasUnix }: ServiceOptions,
): ServicePlan[] {
  const { isPlain } = mood;
  const chance = new Chance(seed, 'services');
  const count = chance.int(...weights.services);
  return Array.from({ length: count }, (_, i) => {
    const name = `s${i + 1}`;
    const protocol =
      i > 0 && chance.happens(hasTls ? weights.tcpWithTls : weights.tcp)
        ? ('tcp' as const)
        : ('http' as const);
    const isHttp2 = hasHttp2 && protocol === 'http';
    const isH2c = isHttp2 && new Chance(seed, `http2 of ${name}`).happens(weights.h2c);
    const follows = protocol === 'tcp' && followsPrimary(seed, name);
    const drawn = drawProxyRules(seed, name);
    const port = FIRST_SERVICE_PORT + i;
    const mayPass = hasTls && protocol === 'tcp';
    const passes = mayPass ? drawPassRules(seed, name, weights) : null;
    const speaks = hasTls && passes === null;
    const tls = speaks ? drawListenRules(seed, name) : null;
    const rulesOf = speaks && !follows ? drawUpstreamRules(seed, name, weights) : null;
    const upstream = rulesOf && { ...rulesOf, isAuto: rulesOf.isAuto && isH2c };
    // Connections that are shared speak for nobody; where the protocol is chosen a header leaves HTTP/1.1 alone.
    const isShared = isH2c && upstream?.isAuto !== true;
    const proxy = isShared ? { ...drawn, sends: 'off' as const } : drawn;
    const secure = { tls, upstream, passes };
    const places = protocol === 'http' ? drawPlaces(seed, name) : 0;
    const { fates } = weights;
    // Nobody is told by a PROXY header of a client that has no address; who may connect needs none.
    const mayBeUnix = tls !== null && protocol === 'http' && places === 0;
    const isNamed = proxy.accepts || proxy.sends !== 'off';
    const isUnix =
      hasUnix && mayBeUnix && !isNamed && new Chance(seed, `unix of ${name}`).happens(UNIX_SHARE);
    const rules = { isPlain: isPlain && places === 0, places, follows, isH2c, proxy, fates };
    return { name, protocol, port, slot: i, isUnix, ...rules, ...secure };
  });
}

interface EndpointOptions {
  readonly mood: Mood;
  readonly weights: Weights;
  /** The number of the service. */
  readonly i: number;
  readonly without: ReadonlySet<string>;
}

export function drawEndpoints(
  seed: number,
  service: ServicePlan,
  { mood, weights, i, without }: EndpointOptions,
): EndpointPlan[] {
  const chance = new Chance(seed, `endpoints of ${service.name}`);
  const count = chance.int(1, 5);
  return Array.from({ length: count }, (_, k) => {
    const slot = i * 8 + k;
    const name = `e${slot}`;
    const isBroken = mood.endpointFaults > 0 && chance.happens(0.5);
    const faultsHttp1 = FAULTS.filter(() => chance.happens(0.4));
    const { isH2c, upstream } = service;
    // A service that nobody can reach answers the same to everybody.
    const isSpared = k === 0 && !new Chance(seed, `first of ${service.name}`).happens(LONELY_SHARE);
    const mayFail = upstream !== null && service.places === 0 && !isSpared;
    const isOrderlyMood = mood.endpointFaults === 0;
    const { faults: faultsH2, ...h2 } = drawHttp2Habits(
      new Chance(seed, `http2 of ${name}`),
      weights,
    );
    const isAuto = upstream?.isAuto === true;
    const faultsOfOne = isH2c ? faultsH2 : faultsHttp1;
    const faults = isAuto ? commonFaults(faultsOfOne) : faultsOfOne;
    const hasFaults = isBroken && faults.length > 0 && !without.has(`faults of ${name}`);
    const isLasting = new Chance(seed, `connections of ${name}`).happens(LASTING_SHARE);
    const drawn = {
      faultShare: hasFaults ? mood.endpointFaults : 0,
      faults,
      slowShare: chance.pick([0, 0.1, 0.3]),
      slowMs: chance.pick([50, 300]),
      busyShare: chance.happens(0.2) ? 0.2 : 0,
      bodyMax: mood.bodyMax,
      idleCloseMs: chance.pick(isLasting ? [0, 0, 200, 1000] : [0, 0, 20, 200]),
      isLasting,
      h2,
    };
    const isOrderly = service.places > 0;
    const habits = isOrderly ? leisurely(drawn) : drawn;
    const rejects = chance.happens(0.2) ? 0.2 : 0;
    return {
      name,
      service: service.name,
      protocol: service.protocol,
      port: FIRST_ENDPOINT_PORT + slot,
      slot,
      weight: chance.pick([1, 1, 1, 2, 5]),
      habits,
      rejectShare: hasFaults && !isOrderly ? rejects : 0,
      isH2c,
      mind: isAuto ? drawMind(new Chance(seed, `mind of ${name}`)) : null,
      handshakes:
        mayFail && !without.has(`faults of ${name}`)
          ? drawHandshakeFault(seed, { endpoint: name, isOrderly: isOrderlyMood, weights })
          : '',
    };
  });
}
