// What the control plane tells the workers: immutable, versioned, complete per service. A worker
// that has applied every delta in order holds the whole table; a new worker gets one delta with
// everything in it.
import type { EffectiveEndpoint } from './endpoint.ts';
import type { ListenAddress, ListenPolicy } from './listener.ts';
import type { Route } from './route.ts';
import type { ListenerLimits, ListenerTimeouts, Protocol, Service } from './service.ts';
import type { SniRoute } from './sni-route.ts';

export interface ServiceSnapshot {
  readonly service: Service;
  /** The service's row in the ledger. */
  readonly slot: number;
  /** Too few endpoints work: the spare ones are used too. */
  readonly isPanicking: boolean;
  /** Endpoints of this priority get the traffic; others when these fail. */
  readonly priority: number;
  /** Every endpoint, whatever its state: draining ones still have connections. */
  readonly endpoints: readonly EffectiveEndpoint[];
}

export interface ListenerSnapshot {
  /** formatListen(address). */
  readonly key: string;
  readonly address: ListenAddress;
  readonly policy: ListenPolicy;
  readonly protocol: Protocol;
  /** The one service behind it, or '' when routes decide. */
  readonly service: string;
  /** In order of precedence, first match wins; empty when `service` is set. */
  readonly routes: readonly Route[];
  /** Of a listener that passes TLS on, in order of precedence; then there are no other routes. */
  readonly sniRoutes?: readonly SniRoute[];
  /** Those of the service behind it, or of the router. */
  readonly limits: ListenerLimits;
  readonly timeouts: ListenerTimeouts;
}

export interface SnapshotDelta {
  readonly version: number;
  /** Services that are new or changed, whole. */
  readonly upsert: readonly ServiceSnapshot[];
  /** Names of services that are gone. */
  readonly remove: readonly string[];
  /** All listeners, or null where they did not change. */
  readonly listeners: readonly ListenerSnapshot[] | null;
}
