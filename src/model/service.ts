// A service with its policy, complete: every default is filled in, every unit is in the name.
// config/ makes these from YAML, flags, environment and registry tags; nothing else does.
import type { ListenSpec } from './listener.ts';
import type { Route } from './route.ts';
import type { UsedSource } from './source.ts';

export type Protocol = 'http' | 'tcp' | 'udp';

export type BalancePolicy = 'least-conn' | 'round-robin' | 'random' | 'p2c' | 'ewma' | 'hash';

/** What `hash` hashes. `name` is the lower-case header or the cookie; '' for source. */
export interface HashKey {
  readonly on: 'source' | 'header' | 'cookie';
  readonly name: string;
}

export interface Balance {
  readonly policy: BalancePolicy;
  /** Non-null exactly when the policy is `hash`. */
  readonly hash: HashKey | null;
}

/** An inclusive range of status codes. */
export interface StatusRange {
  readonly from: number;
  readonly to: number;
}

export const CHECK_TYPES = [
  ...(['http', 'tcp', 'tls', 'redis', 'postgres', 'mysql', 'smtp', 'memcached'] as const),
  ...(['grpc', 'send_expect', 'udp', 'dns'] as const),
] as const;

export type CheckType = (typeof CHECK_TYPES)[number];

/** What a check by `send_expect`, or the body of an HTTP check, has to hold. Bytes are text with one character each. */
export type CheckExpectation =
  | { readonly kind: 'bytes'; readonly bytes: string }
  | { readonly kind: 'pattern'; readonly source: string; readonly ignoreCase: boolean };

/** Types of records that a check by `dns` may ask for, and their numbers (RFC 1035, 3596, 2782). */
export const DNS_TYPES = {
  A: 1,
  NS: 2,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
} as const;

export type DnsType = keyof typeof DNS_TYPES;

/** What a check by `dns` asks. `name` is '' where no one is given: then any answer will do. */
export interface DnsQuestion {
  readonly name: string;
  readonly type: DnsType;
}

/** As whom a check asks; texts are empty where nothing is given. */
export interface CheckLogin {
  readonly user: string;
  readonly database: string;
  readonly password: string;
  /** Wins over `password`. */
  readonly passwordFile: string;
  /** The password may be sent in clear text to any endpoint that asks for it. */
  readonly isCleartextAllowed: boolean;
}

export interface HealthCheck {
  readonly type: CheckType;
  /** What is asked by datagrams: checks by send_expect, udp and dns of a UDP service. */
  readonly isUdp: boolean;
  /** Of `dns`: the question. */
  readonly question: DnsQuestion;
  /** Path and query of an HTTP check. */
  readonly path: string;
  /** What an HTTP check is made in; `auto`: what is agreed on by ALPN. */
  readonly version: 'http1' | 'http2' | 'auto';
  /** The service that gRPC's health service is asked for; '' for the endpoint as a whole. */
  readonly grpcService: string;
  /** TLS of an HTTP check; null: it is made in plain. */
  readonly tls: UpstreamTls | null;
  /** Host field of an HTTP check ('' sends address:port), name for TLS and SMTP. */
  readonly host: string;
  readonly method: 'GET' | 'HEAD' | 'OPTIONS';
  /** Fields of an HTTP check, by lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  /** Port to check; 0 means the endpoint's own. */
  readonly port: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Good checks in a row that bring an endpoint up. */
  readonly rise: number;
  /** Bad checks in a row that bring it down. */
  readonly fall: number;
  readonly expectStatus: readonly StatusRange[];
  /** Of `send_expect`: bytes to send, one character each; '' sends nothing. */
  readonly send: string;
  readonly expect: CheckExpectation | null;
  readonly login: CheckLogin;
  /** Endpoints expect such a header, also from us. */
  readonly sendProxy: SendProxy;
  /** Whether the endpoint is asked for its role. */
  readonly wantsRole: boolean;
  /** What a new endpoint is until its first check: `down` waits for a good one. */
  readonly initial: 'up' | 'down';
}

/** Comparison of endpoints by the share of their requests that failed. */
export interface SuccessRatePolicy {
  /** The longest time over which outcomes are compared. */
  readonly windowMs: number;
  /** Requests that an endpoint needs to be judged. */
  readonly minRequests: number;
  /** Minimum number of endpoints with requests for a comparison. */
  readonly minEndpoints: number;
  /** Share of failures above that of the peers which is always tolerated, 0-1. */
  readonly excess: number;
}

/** Comparison of endpoints by response times. */
export interface LatencyPolicy {
  /** An answer is slow when it takes so many times the p99 of the peers. */
  readonly factor: number;
  /** ... and longer than this, ms. */
  readonly minMs: number;
}

export interface PassiveHealth {
  /** Failed attempts in a row that eject an endpoint; 0 turns ejection off. */
  readonly consecutiveFailures: number;
  /** The same for failures of one kind; 0 sets no limit for the kind. */
  readonly connectFailures: number;
  readonly resets: number;
  readonly timeouts: number;
  /** Answers 502, 503 and 504 in a row; 0 sets no limit. */
  readonly gatewayErrors: number;
  /** Answers 500 to 599 in a row; 0 sets no limit. */
  readonly serverErrors: number;
  /** Null where endpoints are not compared. */
  readonly successRate: SuccessRatePolicy | null;
  /** Null where their response times are not compared. */
  readonly latency: LatencyPolicy | null;
  /** First ejection, ms; each further one in a row lasts as much longer. */
  readonly ejectionMs: number;
  /** Share of the endpoints that may be ejected at once, 0-1. */
  readonly maxEjectedShare: number;
}

export interface PanicPolicy {
  /** Below this share of working endpoints, unhealthy ones get traffic too; 0: never. */
  readonly threshold: number;
  /** `spill`: they get what the working ones can't take; `all`: they are balanced over alike. */
  readonly spread: 'spill' | 'all';
}

/** Between the priorities of a service's sources. */
export interface FailoverPolicy {
  /** How long no endpoint of a priority works before the next one gets the traffic, ms. */
  readonly afterMs: number;
  /** How long one has to work again before the traffic returns, ms. */
  readonly returnAfterMs: number;
}

export type RetryOn = 'connect' | 'reset' | 'timeout' | 'bad-response';

export interface RetryPolicy {
  /** Attempts in all, the first included; 1 turns retries off. */
  readonly attempts: number;
  /** Endpoints that are asked at most while none has seen the request. */
  readonly connectAttempts: number;
  /** How long another endpoint may be asked after the first, ms. */
  readonly connectTimeMs: number;
  readonly on: ReadonlySet<RetryOn>;
  /** Response statuses that are retried (idempotent methods alone). */
  readonly onStatus: ReadonlySet<number>;
  /** Share of the running request rate that may be retries, 0-1. */
  readonly budgetShare: number;
  /** Retries per second that are always allowed, whatever the rate. */
  readonly budgetMinPerSecond: number;
  /** Largest request body that is kept for a second attempt, bytes. */
  readonly bodyBytesMax: number;
  /** A second try beside one that is slow; null where that is off. */
  readonly hedge: Hedge | null;
}

export interface Hedge {
  /** How long the first try is waited for, ms; 0: as long as 95% of the responses take. */
  readonly afterMs: number;
}

export interface Timeouts {
  readonly connectMs: number;
  /** From the request sent to the first byte of the response. */
  readonly responseMs: number;
  /** Between two pieces of a body, in either direction; 0 is no limit. */
  readonly idleBodyMs: number;
  /** Of an upgraded connection without a byte either way; 0 is no limit. */
  readonly idleTunnelMs: number;
  /** Of a TCP session without a byte either way; 0 is no limit. */
  readonly idleTcpMs: number;
  /** Of a UDP session without a datagram either way. */
  readonly idleUdpMs: number;
  /** From the first byte of a request head to its last. */
  readonly clientHeaderMs: number;
  /** How long a client connection may wait for its next request. */
  readonly keepAliveMs: number;
  /** From the request head to the end of the response, over all attempts; 0 is no limit. */
  readonly requestMs: number;
}

export interface Limits {
  /** Client connections of the service, over all workers. */
  readonly connections: number;
  /** Of them those of one client address; 0 is no limit. */
  readonly connectionsPerClient: number;
  /** Requests in flight per endpoint, over all workers; 0 is no limit. */
  readonly perEndpoint: number;
  /** Requests that may wait for a place. */
  readonly queue: number;
  readonly queueTimeoutMs: number;
  /** How long a request may wait while no endpoint is up, ms; 0 answers at once. */
  readonly parkMs: number;
  /** Requests in flight of the service, over all workers; more wait. 0 is no limit. */
  readonly requests: number;
  /** Finds a limit by itself, from response times, and refuses what is above it. */
  readonly adaptive: boolean;
  /** Bytes of a message head. */
  readonly headerBytes: number;
  readonly headerCount: number;
  /** Bytes of a request target. */
  readonly targetBytes: number;
  /** Bytes of a request body; 0 is no limit. */
  readonly bodyBytes: number;
  /** Requests on one client connection before it is closed; 0 is no limit. */
  readonly keepAliveRequests: number;
  /** Requests that a client may have sent ahead of their answers; 0 is no limit. */
  readonly pipelined: number;
  /** Idle upstream connections kept per endpoint and worker. */
  readonly idleUpstream: number;
  /** How long an idle upstream connection is kept, ms. */
  readonly idleUpstreamMs: number;
  /** How long an upstream connection gets new requests, ms; 0 is no limit. */
  readonly upstreamAgeMs: number;
}

/** Version of the PROXY protocol header that endpoints get. */
export type SendProxy = 'off' | 'v1' | 'v2';

/** TCP keep-alive probes; whole seconds, in ms. */
export interface KeepAlive {
  /** Without a byte for so long, the first probe is sent. */
  readonly idleMs: number;
  readonly intervalMs: number;
  /** Probes without an answer that end the connection. */
  readonly count: number;
}

/** As in TcpPolicy; a tunnel that ends here is reset on both sides. */
export interface TunnelPolicy {
  readonly onDownMs: number | null;
  readonly onDrainMs: number | null;
}

export interface TcpPolicy {
  /**
   * A session that ends within this time, ms, by the endpoint and without a byte of it, moves to
   * another endpoint; one that the endpoint cuts counts as a failure. 0 trusts every connection.
   */
  readonly earlyFailureMs: number;
  /**
   * How long sessions go on when their endpoint goes down or is ejected, and when it drains or leaves
   * the registry, ms; null: to their own end.
   */
  readonly onDownMs: number | null;
  readonly onDrainMs: number | null;
  /** Null where no probes are sent. */
  readonly keepAlive: KeepAlive | null;
}

export interface UdpPolicy {
  /** Answers to each datagram, after which a session ends; null: not known, it ends by its idle time. */
  readonly responses: number | null;
  /** Bytes sent to a source, for each byte from it, before it has answered an answer; 0 is no limit. */
  readonly amplificationMax: number;
  /** Datagrams a second of one source address, of one listener and worker; 0 is no limit. */
  readonly ratePerClient: number;
  /** As in TcpPolicy; a session that ends here begins elsewhere with its next datagram. */
  readonly onDownMs: number | null;
  readonly onDrainMs: number | null;
}

/** What a listener holds its clients to, before a request is routed and between two of them. */
export type ListenerLimits = Pick<
  Limits,
  'headerBytes' | 'headerCount' | 'targetBytes' | 'keepAliveRequests' | 'pipelined'
>;
export type ListenerTimeouts = Pick<Timeouts, 'clientHeaderMs' | 'keepAliveMs' | 'idleBodyMs'>;

/** What happens to the fields of a head. Names are lower case. */
export interface HeaderRules {
  /** Set (replacing) or, with an empty value, removed. */
  readonly set: Readonly<Record<string, string>>;
  /** New name by old name; applied before `set`. */
  readonly rename: Readonly<Record<string, string>>;
}

/**
 * X-Request-Id. `off`: none is made, and an untrusted client's is taken away; `on`: every request has
 * one, a trusted proxy's own or else a new one; `keep`: any client's own or else a new one.
 */
export type RequestIdPolicy = 'off' | 'on' | 'keep';

export interface HttpPolicy {
  /** Peers (CIDR) whose X-Forwarded-* are extended; everyone else's are replaced. */
  readonly trustedProxies: readonly string[];
  /** Sends RFC 7239 Forwarded as well. */
  readonly forwarded: boolean;
  /** Adds Via on both sides and refuses a request that carries our own (508). */
  readonly via: boolean;
  readonly requestId: RequestIdPolicy;
  /** Server field put into our own replies; '' for none. */
  readonly serverName: string;
  readonly headers: { readonly request: HeaderRules; readonly response: HeaderRules };
}

/** A route that a service asks for in its registry: on the router at this address. */
export interface OwnRoute {
  readonly listen: ListenSpec;
  readonly route: Route;
}

/** How the primary of a service is known, which alone gets traffic. */
export interface PrimaryPolicy {
  readonly by: 'check' | 'tag' | 'lock';
  /** The tag of the primary. */
  readonly tag: string;
  /** Key of Consul's KV store whose session holds the lock; '' for none. */
  readonly lock: string;
}

/** How the endpoints of a service are spoken to. */
export interface UpstreamPolicy {
  /**
   * `h2c`: HTTP/2 by prior knowledge; `h2`: over TLS, by ALPN. `auto`: over TLS what the endpoint chooses by
   * ALPN, and HTTP/1.1 in plain.
   */
  readonly protocol: 'http1' | 'h2c' | 'h2' | 'auto';
  readonly sendProxy: SendProxy;
  /** Null: endpoints are spoken to in plain. */
  readonly tls: UpstreamTls | null;
  /** The Host that endpoints get: the client's, the name (or address) of each, or a given one. */
  readonly host: 'client' | 'endpoint' | { readonly name: string };
}

/** TLS to endpoints. */
export interface UpstreamTls {
  /** CA certificates; '' takes the public ones. */
  readonly caFile: string;
  /** Our own certificate and its key; '' for none. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Name that the certificate has to be for, and that is asked for; '' is the endpoint's own. */
  readonly serverName: string;
  readonly verify: boolean;
}

export interface Service {
  readonly name: string;
  /** Where its endpoints come from; of two that say the same, the first is believed. */
  readonly from: readonly UsedSource[];
  /** Empty where only a router leads to the service. */
  readonly listen: readonly ListenSpec[];
  readonly protocol: Protocol;
  readonly balance: Balance;
  readonly health: HealthCheck | null;
  readonly passive: PassiveHealth;
  readonly panic: PanicPolicy;
  readonly failover: FailoverPolicy;
  readonly retry: RetryPolicy;
  readonly timeouts: Timeouts;
  readonly limits: Limits;
  readonly http: HttpPolicy;
  readonly upstream: UpstreamPolicy;
  readonly tunnels: TunnelPolicy;
  readonly tcp: TcpPolicy;
  readonly udp: UdpPolicy;
  readonly slowStartMs: number;
  /** Of a service that describes itself, and is one of several behind a listener. */
  readonly ownRoute?: OwnRoute;
  /** Null where all endpoints get traffic. */
  readonly primary: PrimaryPolicy | null;
}
