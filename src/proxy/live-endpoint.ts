// An endpoint as a worker lives it: what survives snapshots, its pool of connections among it.
import type { Choice } from '../balance/balancer.ts';
import type { TimerWheel } from '../base/timer-wheel.ts';
import type { EffectiveEndpoint } from '../model/endpoint.ts';
import type { ClientTls } from './network.ts';
import { Pool } from './pool.ts';
import { EndpointSessions } from './sessions/endpoint-sessions.ts';
import type { SharedConnections } from './shared-connections.ts';

export type HttpVersion = 'http1' | 'http2';

export class LiveEndpoint implements Choice {
  readonly id: string;
  readonly slot: number;
  readonly address: string;
  readonly port: number;
  priority: number;
  /** Its own Host, for requests that are to bring it. */
  host = '';
  /** Null: it is spoken to in plain. */
  tls: ClientTls | null = null;
  /** As `tls`, to be spoken to by HTTP/1.1 alone, where `tls` leaves the choice to the endpoint. */
  http1Tls: ClientTls | null = null;
  /**
   * Of `upstream.protocol: auto`: what the last handshake has agreed on. Before the first, HTTP/2: requests
   * that come at the same time then wait for one connection, and not for one each.
   */
  agreed: HttpVersion = 'http2';
  /** It has said by HTTP/2 that it takes no tunnels there. */
  refusesTunnels = false;
  readonly pool = new Pool();
  /** Pools of connections that speak for one client each (introduced.ts). */
  readonly ownPools = new Set<Pool>();
  /** Where the endpoint is spoken to by a protocol that shares connections; made when it is needed. */
  shared: SharedConnections | null = null;
  readonly sessions: EndpointSessions;
  weight: number;
  latencyUs = 0;
  /** It takes work only because the service is in panic. */
  isSpare = false;
  /** Another priority than its own has the traffic: it gets what that can't take. */
  isFallback = false;
  /** Its check speaks against it; an endpoint that is only ejected may well answer. */
  isDown = false;
  /** It is down or ejected, and takes no work. */
  isOut = false;
  /** Another endpoint is the primary, or none is. */
  isStandby = false;
  /** False once it is down, drained or gone: what is in flight finishes, nothing is kept open. */
  takesWork = true;
  /** Monotonic ms until which the worker passes it over; 0: not. */
  avoidUntilMs = 0;

  /** `sessions`: those that it still has from before it left the table; null: none. */
  constructor(
    endpoint: EffectiveEndpoint,
    wheel: TimerWheel,
    sessions: EndpointSessions | null = null,
  ) {
    this.sessions = sessions ?? new EndpointSessions(wheel);
    this.id = endpoint.id;
    this.slot = endpoint.slot;
    this.address = endpoint.address;
    this.port = endpoint.port;
    this.priority = endpoint.priority;
    this.weight = endpoint.weight;
  }

  /** Sets what TLS to it is like. Connections that were begun otherwise are not used any more. */
  secure(tls: ClientTls | null, http1Tls: ClientTls | null): void {
    this.tls = tls;
    this.http1Tls = http1Tls;
    this.agreed = 'http2';
    this.refusesTunnels = false;
    this.retire();
  }

  /** Closes the connections that lie idle; returns how many. */
  closeIdle(): number {
    let count = this.pool.size;
    this.pool.clear();
    for (const pool of this.ownPools) {
      count += pool.size;
      pool.clear();
    }
    return count + (this.shared?.closeIdle() ?? 0);
  }

  /** It takes no work any more: nothing is kept open for what may come. */
  retire(): void {
    this.pool.clear();
    for (const pool of this.ownPools) pool.clear();
    this.shared?.leave();
  }
}
