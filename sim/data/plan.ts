// What a world consists of, as plain data: services, endpoints, clients and changes. Drawn from its seed by
// draw-plan.ts.
import type { Protocol } from '../../src/model/service.ts';
import type { Chance } from '../kernel/chance.ts';
import type { Weather } from '../net/weather.ts';
import type { EndpointHabits } from './answer-script.ts';
import type { HttpClientPlan } from './http-client.ts';
import type { ProxyRules } from './introductions.ts';
import type { IntruderPlan } from './intruders.ts';
import type { SessionChangePlan } from './session-rules.ts';
import type { TcpClientPlan } from './tcp-actors.ts';
import type { Mind } from './tls/minds.ts';
import type { OrdersPlan } from './tls/orders.ts';
import type { PassRules } from './tls/pass.ts';
import type { ListenRules } from './tls/rules.ts';
import type { StrangerPlan } from './tls/strangers.ts';
import type { HandshakeFault, UpstreamRules } from './tls/upstream-rules.ts';
import type { Weights } from './weights.ts';

export const ROUTER_PORT = 8080;
/** Among the names of listeners. */
export const ROUTER_NAME = 'router';
export const FIRST_ENDPOINT_PORT = 9000;
/** Who comes by a unix socket, as endpoints are told. */
export const NO_ADDRESS = 'unknown';

export interface ServicePlan {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly slot: number;
  readonly isPlain: boolean;
  /** A crowd comes, for so many places; 0: none does. */
  readonly places: number;
  /** It sends to its primary alone. */
  readonly follows: boolean;
  readonly proxy: ProxyRules;
  /** Its endpoints speak HTTP/2. */
  readonly isH2c: boolean;
  /** Its listener terminates TLS; null: it speaks plainly. */
  readonly tls: ListenRules | null;
  /** Its endpoints speak TLS with the product; null: they don't. */
  readonly upstream: UpstreamRules | null;
  /** Its listener, which speaks TLS, is a unix socket. */
  readonly isUnix: boolean;
  /** Its listener passes TLS on; null: it does not. */
  readonly passes: PassRules | null;
  /** After how long its policies may end its sessions when their endpoint takes no work, ms. */
  readonly fates: Weights['fates'];
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
  /** What it chooses by ALPN; null: that is not its choice. */
  readonly mind: Mind | null;
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
  /** Challenges of ACME, and who validates them. */
  readonly orders: OrdersPlan;
}

/** A world in which everything goes wrong tells as little as one in which nothing does. */
export interface Mood {
  readonly clientFaults: number;
  readonly endpointFaults: number;
  readonly changes: number;
  readonly isPlain: boolean;
  readonly bodyMax: number;
}
