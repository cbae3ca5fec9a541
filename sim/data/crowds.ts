// Crowds: services that take few connections, and clients of theirs that come all at once, by the router and by the
// service's own port, say nothing for a while at times, and ask when there is no place left. Their endpoints are slow
// and keep every rule, so that connection-oracle.ts can tell how many connections are served.
import { Chance } from '../kernel/chance.ts';
import type { EndpointHabits } from './answer-script.ts';
import type { HttpClientPlan } from './http-client.ts';
import { sourceOfClient } from './session-rules.ts';
import type { ListenRules } from './tls/rules.ts';
import { USUAL } from './weights.ts';

const CROWD_SHARE = 0.08;
/** How long a client of a crowd says nothing between two requests, or before its first, ms at most. */
const IDLE_MS = 300;
const LEISURELY = { slowShare: 0.7, slowMs: 300 } as const;

/** How many connections the HTTP service of this name takes; 0: as many as its policy says, and no crowd comes. */
export function drawPlaces(seed: number, service: string): number {
  const chance = new Chance(seed, `crowd of ${service}`);
  return chance.happens(CROWD_SHARE) ? chance.int(1, 5) : 0;
}

/** The habits of an endpoint that a crowd asks: it is slow, and breaks no rule. */
export function leisurely(habits: EndpointHabits): EndpointHabits {
  return { ...habits, ...LEISURELY, faultShare: 0 };
}

export interface CrowdedService {
  readonly name: string;
  readonly port: number;
  readonly places: number;
  /** Balancers introduce the clients of its own port. */
  readonly isIntroduced: boolean;
  readonly tls: ListenRules | null;
}

export interface CrowdOptions {
  readonly spanMs: number;
  readonly routerPort: number;
  readonly routerTls: ListenRules | null;
}

/** Several times as many clients as there are places, within a moment. */
export function drawCrowd(
  seed: number,
  service: CrowdedService,
  { spanMs, routerPort, routerTls }: CrowdOptions,
): HttpClientPlan[] {
  const chance = new Chance(seed, `clients of the crowd of ${service.name}`);
  const { name, port, places } = service;
  const momentMs = chance.between(20, spanMs);
  const isOneSource = chance.happens(0.3);
  return Array.from({ length: chance.int(places + 2, 3 * places + 6) }, (_, i) => {
    const isRouted = chance.happens(0.7);
    return {
      name: `k${name}-${i}`,
      address: sourceOfClient(isOneSource ? 0 : i),
      isIntroduced: !isRouted && service.isIntroduced,
      port: isRouted ? routerPort : port,
      host: isRouted ? `${name}.sim` : 'sim',
      service: name,
      startMs: momentMs + chance.between(0, 200),
      requests: chance.int(2, 12),
      faultShare: 0,
      bodyMax: 3000,
      hasCalls: false,
      hasTunnels: false,
      weights: USUAL,
      isHttp2: false,
      tls: isRouted ? routerTls : service.tls,
      idleMs: chance.happens(0.6) ? IDLE_MS : 0,
    };
  });
}
