// The whole effective configuration, defaults filled in: what config/ produces from flags,
// environment, file and registry overlay, and what everything else is built from.
import type { LogLevel } from '../base/log.ts';
import type { ListenAddress, ListenSpec, ListenTls } from './listener.ts';
import type { RegisterSettings } from './register.ts';
import type { RegistrySettings } from './registries/table.ts';
import type { Route } from './route.ts';
import type { ListenerLimits, ListenerTimeouts, Service } from './service.ts';
import type { SniRoute } from './sni-route.ts';

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
  /** Of a router that passes TLS on; then there are no others. */
  readonly sniRoutes?: readonly SniRoute[];
  readonly limits: ListenerLimits;
  readonly timeouts: ListenerTimeouts;
}

export interface StatsSettings {
  /** Null turns the stats port off. */
  readonly listen: ListenAddress | null;
  /** Null: plain HTTP. */
  readonly tls: ListenTls | null;
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
  /** The registries that are followed. */
  readonly registries: Partial<RegistrySettings>;
  /** Fixed endpoints by service name. */
  readonly static: Readonly<Record<string, readonly StaticEndpoint[]>>;
  readonly services: readonly Service[];
  readonly routers: readonly RouterSettings[];
  /** Keys of the listeners that are there by the overlay in the registry alone. */
  readonly overlayListeners: readonly string[];
  readonly stats: StatsSettings;
  readonly guard: GuardSettings;
  readonly state: StateSettings;
  /** What the process may take; 0: what container and machine allow. */
  readonly memoryMaxBytes: number;
  readonly log: LogSettings;
  /** What is registered beside the balancing; absent where nothing is. */
  readonly register?: RegisterSettings;
  /** Data-plane threads. */
  readonly workers: number;
  readonly shutdownGraceMs: number;
}

const AT_THE_START = ['workers', 'stats', 'register', 'state', 'log'] as const;

/** The keys whose change takes effect at the next start alone. */
export function needRestart(before: Settings, after: Settings): string[] {
  const isOther = (was: unknown, is: unknown) => JSON.stringify(was) !== JSON.stringify(is);
  const keys: string[] = AT_THE_START.filter((key) => isOther(before[key], after[key]));
  const selves = [before, after].map(({ registries }) => registries.consul?.registerSelf);
  return isOther(selves[0], selves[1]) ? [...keys, 'registries.consul.register_self'] : keys;
}
