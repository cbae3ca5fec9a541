// How much of what a world has. Most worlds have some of everything. The others have much of one thing and little else:
// faults that take several draws at once are found soon there, and such a world costs less than half of another one.
import { Chance } from '../kernel/chance.ts';

export interface Weights {
  /** What the world is about; '': everything. */
  readonly name: string;
  /** How many services and clients of HTTP there are, minimum and maximum. */
  readonly services: readonly [number, number];
  readonly httpClients: readonly [number, number];
  /** Share of worlds whose links are good, and of the others that have narrow ones. */
  readonly isFair: number;
  readonly isNarrow: number;
  /** Shares of worlds that have HTTP/2, TLS, and, of those with HTTP/2, gRPC and WebSockets. */
  readonly http2: number;
  readonly tls: number;
  readonly calls: number;
  readonly tunnels: number;
  /** Share of services that are of TCP, of all but the first; and where there is TLS. */
  readonly tcp: number;
  readonly tcpWithTls: number;
  /** Changes of the endpoints of TCP sessions, maximum; after how long these may have to end, ms; share that rests. */
  readonly sessionChanges: number;
  readonly fates: readonly (number | null)[];
  readonly rests: number;
  /** Shares of bodies and sessions that may be large, and of clients of HTTP/2 that upload much where links are good. */
  readonly large: number;
  readonly heavy: number;
  /** Shares of clients that speak HTTP/2, of those that read slowly, and of their requests that ask for a WebSocket. */
  readonly speaksHttp2: number;
  readonly slowReaders: number;
  readonly asksTunnel: number;
  /** Shares of services whose endpoints speak HTTP/2, and of those endpoints that do no more than to refuse streams. */
  readonly h2c: number;
  readonly refusers: number;
  /** Shares of requests and answers with a fault, of which one is drawn. */
  readonly clientFaults: readonly number[];
  readonly endpointFaults: readonly number[];
  /** Share of TCP services that pass TLS on. */
  readonly passes: number;
  /** Shares of services with TLS to their endpoints, and of those endpoints whose handshakes fail; where others are faulty. */
  readonly upstreamTls: number;
  /** Share of services with TLS and HTTP/2 to their endpoints of which each connection chooses the protocol. */
  readonly auto: number;
  readonly badHandshakes: number;
  readonly badHandshakesOfFaulty: number;
  /** Shares of worlds with TLS that have a flood of handshakes, and of floods that are more than the lobby keeps. */
  readonly floods: number;
  readonly deluges: number;
  /** Share of worlds with TLS in which challenges of ACME are outstanding. */
  readonly orders: number;
}

export const USUAL: Weights = {
  name: '',
  services: [1, 3],
  httpClients: [10, 40],
  isFair: 0.4,
  isNarrow: 0.3,
  http2: 0.35,
  tls: 0.35,
  calls: 0.4,
  tunnels: 0.4,
  tcp: 0.4,
  tcpWithTls: 0.7,
  sessionChanges: 12,
  fates: [null, 0, 0, 300, 1000],
  rests: 0.4,
  large: 0.06,
  heavy: 0.1,
  speaksHttp2: 0.6,
  slowReaders: 0.08,
  asksTunnel: 0.06,
  h2c: 0.6,
  refusers: 0.25,
  clientFaults: [0, 0, 0.03, 0.2],
  endpointFaults: [0, 0, 0.05, 0.3],
  passes: 0.65,
  upstreamTls: 0.65,
  auto: 0.4,
  badHandshakes: 0.25,
  badHandshakesOfFaulty: 0.35,
  floods: 0.2,
  deluges: 0.2,
  orders: 0.25,
};

const FEW: Weights = { ...USUAL, httpClients: [3, 12] };

const SESSIONS: Weights = {
  ...FEW,
  name: 'sessions',
  ...{ services: [2, 3], tcp: 1, tcpWithTls: 1, http2: 0, tls: 0.3, passes: 0.7 },
  ...{ sessionChanges: 40, fates: [null, 300, 300, 1000], rests: 0.8, large: 0.3 },
  ...{ endpointFaults: [0, 0, 0.05] },
};

const SECURE_SESSIONS: Weights = {
  ...SESSIONS,
  name: 'secure sessions',
  ...{ isFair: 0.1, isNarrow: 0.1, tls: 1, passes: 0.1, upstreamTls: 0.3, large: 0.7 },
};

/** What some worlds are about; one as often as it stands here. */
const ABOUT: readonly Weights[] = [
  SESSIONS,
  SECURE_SESSIONS,
  SECURE_SESSIONS,
  {
    ...FEW,
    name: 'refused streams',
    ...{ services: [1, 2], http2: 1, h2c: 1, tcp: 0, tls: 0.2, tcpWithTls: 0 },
    ...{ refusers: 0.8, clientFaults: [0, 0, 0.03], endpointFaults: [0.3] },
  },
  {
    ...FEW,
    name: 'tunnels',
    ...{ services: [1, 2], http2: 1, tcp: 0, tls: 0.2, tcpWithTls: 0, speaksHttp2: 0.8 },
    ...{ tunnels: 1, asksTunnel: 0.4, calls: 0.2, clientFaults: [0.03, 0.2] },
  },
  {
    ...FEW,
    name: 'farewells',
    ...{ services: [1, 2], http2: 1, tcp: 0, tls: 0.2, tcpWithTls: 0, speaksHttp2: 0.9 },
    ...{
      isFair: 0.2,
      isNarrow: 0.1,
      slowReaders: 0.6,
      clientFaults: [0.2],
      endpointFaults: [0, 0, 0.05],
    },
  },
  {
    ...FEW,
    name: 'uploads',
    ...{ services: [1, 2], tcp: 0, tcpWithTls: 0, http2: 0.5, tls: 0.6 },
    ...{ isNarrow: 0, large: 0.5, heavy: 0.5, endpointFaults: [0, 0, 0.05, 0.3] },
  },
  {
    ...FEW,
    name: 'distrust',
    ...{ tls: 1, upstreamTls: 1, badHandshakes: 0.5, badHandshakesOfFaulty: 0.5, passes: 0.3 },
    ...{ endpointFaults: [0, 0, 0, 0.05] },
  },
  {
    ...FEW,
    name: 'handshakes',
    ...{ services: [1, 2], httpClients: [2, 6], http2: 0.2, tls: 1, floods: 1, deluges: 0.5 },
  },
];
const ABOUT_SHARE = 0.55;

/** Endpoints that choose their protocol; drawn apart: other worlds stay what they were. */
const MINDS: Weights = {
  ...FEW,
  name: 'minds',
  ...{ services: [1, 2], httpClients: [4, 16], http2: 1, tls: 1, upstreamTls: 1, h2c: 1, auto: 1 },
  ...{ tcp: 0, tcpWithTls: 0, tunnels: 0.7, asksTunnel: 0.15, badHandshakes: 0.1, floods: 0 },
};
const MINDS_SHARE = 0.06;

/** Challenges of ACME while others are served; drawn apart as well. */
const ORDERS: Weights = {
  ...FEW,
  name: 'orders',
  ...{ services: [1, 2], httpClients: [3, 10], tls: 1, tcp: 0, tcpWithTls: 0, http2: 0.5 },
  ...{ floods: 0, orders: 1, upstreamTls: 0.2, endpointFaults: [0, 0, 0.05] },
};
const ORDERS_SHARE = 0.05;

/** The weights of the world of this seed. */
export function drawWeights(seed: number): Weights {
  if (new Chance(seed, 'minds').happens(MINDS_SHARE)) return MINDS;
  if (new Chance(seed, 'about orders').happens(ORDERS_SHARE)) return ORDERS;
  const chance = new Chance(seed, 'weights');
  return chance.happens(ABOUT_SHARE) ? chance.pick(ABOUT) : USUAL;
}
