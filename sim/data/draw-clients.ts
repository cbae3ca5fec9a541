// Draws who asks: the clients of HTTP and of TCP, and crowds.
import { Chance } from '../kernel/chance.ts';
import { drawCrowd } from './crowds.ts';
import type { HttpClientPlan } from './http-client.ts';
import { type Mood, NO_ADDRESS, ROUTER_PORT, type ServicePlan } from './plan.ts';
import { sourceOfClient } from './session-rules.ts';
import type { TcpClientPlan } from './tcp-actors.ts';
import type { ListenRules } from './tls/rules.ts';
import type { Weights } from './weights.ts';

/** Of one client: the world around it costs as much as a hundred exchanges. */
const REQUESTS_MAX = 300;

interface ClientOptions {
  readonly mood: Mood;
  readonly weights: Weights;
  readonly spanMs: number;
  readonly without: ReadonlySet<string>;
  readonly hasHttp2: boolean;
  readonly hasCalls: boolean;
  readonly hasTunnels: boolean;
  readonly routerTls: ListenRules | null;
}

/** `first 5 of c1`: the requests after those are left out. */
function bounded(name: string, count: number, without: ReadonlySet<string>): number {
  if (without.size === 0) return count;
  for (let kept = 1; kept < count; kept += 1)
    if (without.has(`all but ${kept} of ${name}`)) return kept;
  return count;
}

export function drawHttpClients(
  seed: number,
  services: readonly ServicePlan[],
  { mood, weights, spanMs, without, hasHttp2, hasCalls, hasTunnels, routerTls }: ClientOptions,
): HttpClientPlan[] {
  const chance = new Chance(seed, 'http clients');
  const targets = services.filter(({ protocol }) => protocol === 'http');
  return Array.from({ length: chance.int(...weights.httpClients) }, (_, i) => {
    const name = `c${i}`;
    const service = chance.pick(targets);
    const isRouted = chance.happens(0.3);
    const requests = chance.size(1, REQUESTS_MAX);
    const faultShare = chance.happens(0.5) ? mood.clientFaults : 0;
    return {
      name,
      address: service.isUnix && !isRouted ? NO_ADDRESS : sourceOfClient(i),
      isIntroduced: !isRouted && service.proxy.accepts,
      port: isRouted ? ROUTER_PORT : service.port,
      host: isRouted ? `${service.name}.sim` : 'sim',
      service: service.name,
      startMs: chance.between(20, spanMs),
      requests: bounded(name, requests, without),
      faultShare: without.has(`faults of ${name}`) ? 0 : faultShare,
      bodyMax: mood.bodyMax,
      hasCalls: hasCalls && service.isH2c && service.upstream?.isAuto !== true,
      hasTunnels,
      weights,
      isHttp2: hasHttp2 && new Chance(seed, `http2 of ${name}`).happens(weights.speaksHttp2),
      tls: isRouted ? routerTls : service.tls,
      idleMs: 0,
    };
  });
}

export function drawCrowds(
  seed: number,
  services: readonly ServicePlan[],
  { spanMs, without, routerTls }: ClientOptions,
): HttpClientPlan[] {
  const options = { spanMs, routerPort: ROUTER_PORT, routerTls };
  return services
    .filter(({ places }) => places > 0)
    .flatMap((service) => {
      const facts = { ...service, isIntroduced: service.proxy.accepts };
      return drawCrowd(seed, facts, options).map((client) => ({
        ...client,
        requests: bounded(client.name, client.requests, without),
      }));
    });
}

export function drawTcpClients(
  seed: number,
  services: readonly ServicePlan[],
  { mood, weights, spanMs, without }: ClientOptions,
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
      rests: weights.rests,
      large: weights.large,
    };
  });
}
