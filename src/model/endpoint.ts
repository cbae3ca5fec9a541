// One address:port of a service, as a registry reports it and as we decided about it.

import type { HealthCheck } from './service.ts';

/** What the registry thinks of the endpoint; the worst of its checks (maintenance is the worst). */
export type RegistryStatus = 'passing' | 'warning' | 'critical' | 'maintenance';

/** An endpoint as its provider reports it: desired state, before health and operator. */
export interface Endpoint {
  /** Unique within its service and stable over re-registration: `node/serviceId` in Consul. */
  readonly id: string;
  /** An IP address: host names are resolved by the provider. */
  readonly address: string;
  readonly port: number;
  /** Share of the traffic relative to its peers; 0 takes no new work. */
  readonly weight: number;
  readonly status: RegistryStatus;
  /** Why the status isn't passing: check output or maintenance reason; '' when passing. */
  readonly statusText: string;
  /** As registered, where the registry has tags; some of them where there are many. */
  readonly tags?: readonly string[];
  /** It is reached by UDP alone, as its registry tells; left out where that is not said. */
  readonly transport?: 'udp';
  /** The active check that it declares itself; counts where its service has none. */
  readonly check?: HealthCheck;
  /** The host name that was registered in place of the address. */
  readonly hostName?: string;
}

/** What we decided. `up` and `slow-start` get new work; the others don't. */
export type EndpointState = 'up' | 'slow-start' | 'down' | 'ejected' | 'drain' | 'maint';

/** An endpoint with the decision of reconcile: what workers, dashboard and API see. */
export interface EffectiveEndpoint {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  /** As in Endpoint. */
  readonly hostName?: string;
  readonly weight: number;
  readonly state: EndpointState;
  /** Why the state is what it is; '' for a plain `up`. */
  readonly reason: string;
  /** When the state began, ms since the epoch. */
  readonly sinceMs: number;
  /** Its row in the ledger. */
  readonly slot: number;
  /**
   * Only our own check or an ejection speaks against it, and it has taken work before: in a panic
   * it is used after all.
   */
  readonly isSpare: boolean;
  /** The service follows its primary, and this is another: its sessions end at once. */
  readonly isStandby?: boolean;
  /** When slow start began, ms since the epoch; 0 when it doesn't apply. */
  readonly slowStartFromMs: number;
  /** Of the best of the sources that name it. */
  readonly priority: number;
}

/** Whether the endpoint may get new work. */
export function takesWork(endpoint: EffectiveEndpoint): boolean {
  return (endpoint.state === 'up' || endpoint.state === 'slow-start') && endpoint.weight > 0;
}
