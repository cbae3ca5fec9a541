// The whole effective configuration, defaults filled in: what config/ produces from flags,
// environment, file and registry overlay, and what everything else is built from.
import type { LogLevel } from '../base/log.ts';
import type { ListenAddress, ListenRule, ListenSpec } from './listener.ts';
import type { Route } from './route.ts';
import type { ListenerLimits, ListenerTimeouts, Service } from './service.ts';

export interface TlsSettings {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly serverName: string;
  readonly verify: boolean;
}

export interface ConsulSettings {
  /** Agents in fail-over order: http://host:port, https://host:port or unix:///path. */
  readonly addresses: readonly string[];
  readonly token: string;
  /** Read again when it changes; wins over `token`. */
  readonly tokenFile: string;
  /** user:password for HTTP basic authentication. */
  readonly httpAuth: string;
  /** user:password of an agent, by its address; for those that are not here it is `httpAuth`. */
  readonly addressAuth?: Readonly<Record<string, string>>;
  readonly datacenter: string;
  readonly namespace: string;
  readonly partition: string;
  /** Any server may answer, leader or not. */
  readonly stale: boolean;
  /** How long a blocking query waits, ms. */
  readonly waitMs: number;
  readonly tls: TlsSettings;
  /** Watch the catalog for services that carry our tags. */
  readonly selfDescribed: boolean;
  /** Tags `PREFIX.key=value` and Meta keys `PREFIX-key`. */
  readonly tagPrefix: string;
  /** Where services that describe themselves may listen. */
  readonly listenAllow: readonly ListenRule[];
  /** Networks (CIDR) in which no endpoint may be, whoever registers it. */
  readonly endpointDeny: readonly string[];
  /** KV key of the configuration overlay; '' turns it off. */
  readonly kvKey: string;
}

export interface GuardSettings {
  readonly enabled: boolean;
  /** How long endpoints that a doubtful answer left out are kept, ms. */
  readonly holdMs: number;
  /** An answer that leaves out more than this share of a service is asked for a second time. */
  readonly maxRemovedShare: number;
}

export interface StateSettings {
  /** '' keeps nothing over a restart. */
  readonly file: string;
}

export interface StaticEndpoint {
  readonly address: string;
  readonly port: number;
  readonly weight: number;
}

export interface RouterSettings {
  readonly listen: readonly ListenSpec[];
  readonly routes: readonly Route[];
  readonly limits: ListenerLimits;
  readonly timeouts: ListenerTimeouts;
}

export interface StatsSettings {
  /** Null turns the stats port off. */
  readonly listen: ListenAddress | null;
  /** Bearer token for mutating calls; '' allows them from loopback alone. */
  readonly adminToken: string;
  /** Who may read: any, loopback, token, networks and addresses; one that fits is enough. */
  readonly read: readonly string[];
  /** What `token` in `read` asks for; the admin token does as well. */
  readonly readToken: string;
  /** Names under which the port is served beside those of this machine and of private networks. */
  readonly hosts: readonly string[];
}

export interface LogSettings {
  readonly level: LogLevel;
  readonly format: 'json' | 'pretty';
  /** off, stdout, or a file path. */
  readonly access: string;
}

export interface Settings {
  readonly consul: ConsulSettings | null;
  /** Fixed endpoints by service name. */
  readonly static: Readonly<Record<string, readonly StaticEndpoint[]>>;
  readonly services: readonly Service[];
  readonly routers: readonly RouterSettings[];
  readonly stats: StatsSettings;
  readonly guard: GuardSettings;
  readonly state: StateSettings;
  /** What the process may take; 0: what container and machine allow. */
  readonly memoryMaxBytes: number;
  readonly log: LogSettings;
  /** Data-plane threads. */
  readonly workers: number;
  readonly shutdownGraceMs: number;
}
