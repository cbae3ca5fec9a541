// The policy of a service, drawn: every kind of limit, timeout and retry, mostly plain.

import type {
  BalancePolicy,
  Limits,
  Protocol,
  RetryOn,
  RetryPolicy,
  Service,
  Timeouts,
} from '../../src/model/service.ts';
import { makePassive, makeService } from '../../test/support/service.ts';
import type { Chance } from '../kernel/chance.ts';
import type { ProxyRules } from './introductions.ts';
import { withSessionRules } from './session-rules.ts';
import { type UpstreamRules, upstreamTlsOf } from './tls/upstream-rules.ts';
import type { Weights } from './weights.ts';

/** Retries that nothing but their number bounds. */
export const GENEROUS_PER_SECOND = 100_000;
const ALL_KINDS: readonly RetryOn[] = ['connect', 'reset', 'timeout', 'bad-response'];
const BALANCES: readonly BalancePolicy[] = [
  'least-conn',
  'least-conn',
  'least-conn',
  'round-robin',
  'random',
  'p2c',
  'ewma',
  'hash',
];

function http2By(upstream: UpstreamRules | null): 'h2c' | 'h2' | 'auto' {
  if (upstream === null) return 'h2c';
  return upstream.isAuto ? 'auto' : 'h2';
}

/** `isPlain`: no limit that could refuse a request. */
export function drawPolicy(
  chance: Chance,
  options: {
    name: string;
    protocol: Protocol;
    isPlain: boolean;
    follows: boolean;
    isH2c: boolean;
    places: number;
    proxy: ProxyRules;
    upstream: UpstreamRules | null;
    fates: Weights['fates'];
  },
): Service {
  const { name, protocol, isPlain, places, follows, isH2c, proxy, upstream, fates } = options;
  const policy = chance.pick(BALANCES);
  const hash = { on: 'source' as const, name: '' };
  const service = makeService({
    name,
    protocol,
    balance: { policy, hash: policy === 'hash' ? hash : null },
    passive: makePassive({ consecutiveFailures: 0, connectFailures: 0, ejectionMs: 500 }),
    panic: { threshold: 0.5, spread: chance.pick(['spill', 'all'] as const) },
    retry: drawRetry(chance),
    timeouts: drawTimeouts(chance, isPlain),
    limits: drawLimits(chance, isPlain),
    upstream: {
      protocol: isH2c ? http2By(upstream) : 'http1',
      sendProxy: proxy.sends,
      tls: upstream === null ? null : upstreamTlsOf(upstream, name),
      host: 'client',
    },
    tcp: {
      earlyFailureMs: chance.pick([0, 200, 1000]),
      onDownMs: null,
      onDrainMs: null,
      keepAlive: null,
    },
    primary: follows ? { by: 'tag', tag: 'primary', lock: '' } : null,
    slowStartMs: chance.pick([0, 0, 1000]),
  });
  if (places > 0) return forCrowd(service, places);
  return protocol === 'tcp' ? withSessionRules(chance, service, { isPlain, fates }) : service;
}

/** Nothing but the places of its connections bounds it, and nothing but its answer ends a request. */
function forCrowd(service: Service, places: number): Service {
  const { limits, retry, timeouts } = service;
  const none = { connectionsPerClient: 0, perEndpoint: 0, requests: 0, bodyBytes: 0 };
  return {
    ...service,
    limits: { ...limits, ...none, connections: places, adaptive: false },
    retry: { ...retry, hedge: null },
    timeouts: { ...timeouts, requestMs: 0 },
  };
}

function drawRetry(chance: Chance): RetryPolicy {
  const isGenerous = chance.happens(0.7);
  const kinds = ALL_KINDS.filter(() => isGenerous || chance.happens(0.7));
  return {
    attempts: isGenerous ? 8 : chance.int(1, 4),
    connectAttempts: isGenerous ? 12 : chance.int(1, 6),
    connectTimeMs: isGenerous ? 30_000 : chance.int(500, 5000),
    on: new Set(kinds),
    onStatus: new Set(chance.happens(0.2) ? [503] : []),
    budgetShare: isGenerous ? 1 : 0.2,
    budgetMinPerSecond: isGenerous ? GENEROUS_PER_SECOND : 1,
    bodyBytesMax: chance.pick([0, 1000, 64 * 1024, 64 * 1024]),
    hedge: chance.happens(0.15) ? { afterMs: chance.pick([0, 30, 150]) } : null,
  };
}

function drawTimeouts(chance: Chance, isPlain: boolean): Timeouts {
  return {
    connectMs: chance.int(300, 1000),
    responseMs: chance.int(1500, 3000),
    idleBodyMs: chance.int(2000, 4000),
    idleTunnelMs: chance.int(4000, 6000),
    idleUdpMs: 30_000,
    idleTcpMs: chance.int(4000, 6000),
    clientHeaderMs: chance.int(2000, 4000),
    keepAliveMs: chance.happens(0.2) ? chance.int(50, 500) : chance.int(2000, 5000),
    requestMs: !isPlain && chance.happens(0.2) ? chance.int(500, 4000) : 0,
  };
}

function drawLimits(chance: Chance, isPlain: boolean): Limits {
  const sometimes = (share: number, least: number, most: number, otherwise: number): number =>
    !isPlain && chance.happens(share) ? chance.int(least, most) : otherwise;
  return {
    connections: sometimes(0.15, 2, 16, 10_000),
    connectionsPerClient: sometimes(0.1, 3, 20, 0),
    perEndpoint: sometimes(0.3, 1, 4, 0),
    queue: sometimes(0.3, 0, 8, 1000),
    queueTimeoutMs: chance.int(300, 2000),
    parkMs: chance.happens(0.3) ? chance.int(200, 2000) : 0,
    requests: sometimes(0.2, 1, 6, 0),
    adaptive: !isPlain && chance.happens(0.1),
    headerBytes: 32 * 1024,
    headerCount: 100,
    targetBytes: 8192,
    bodyBytes: sometimes(0.15, 100, 20_000, 0),
    keepAliveRequests: sometimes(0.1, 1, 10, 0),
    pipelined: sometimes(0.15, 1, 3, 0),
    idleUpstream: chance.pick([0, 1, 4, 4, 64, 64, 64, 64]),
    idleUpstreamMs: chance.pick([100, 1000, 30_000]),
    upstreamAgeMs: chance.pick([0, 0, 0, 300]),
  };
}
