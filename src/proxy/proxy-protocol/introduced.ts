// Connections to endpoints that began with a PROXY protocol header: they speak for one client connection,
// and are kept for its next requests alone. They close with it, at the latest.
import { BOUNDS } from '../../model/bounds.ts';
import type { SendProxy } from '../../model/service.ts';
import type { LiveEndpoint } from '../live-endpoint.ts';
import type { Wire } from '../network.ts';
import { Pool } from '../pool.ts';

/** The connections of one client connection to one endpoint, which began with one kind of header. */
interface Kept {
  readonly endpoint: LiveEndpoint;
  readonly version: SendProxy;
  readonly pool: Pool;
}

export class Introduced {
  private readonly clients = new Map<Wire, Kept[]>();

  /** Client connections that have any. */
  get size(): number {
    return this.clients.size;
  }

  /** Where connections to `endpoint` that speak for `client` are kept; made when it is needed. */
  poolOf(client: Wire, endpoint: LiveEndpoint, version: SendProxy): Pool {
    let all = this.clients.get(client);
    if (all === undefined) {
      all = [];
      this.clients.set(client, all);
    }
    for (const kept of all) {
      if (kept.endpoint === endpoint && kept.version === version) return kept.pool;
    }
    this.makeRoom(all);
    const pool = new Pool(BOUNDS.introducedConnections.max);
    all.push({ endpoint, version, pool });
    endpoint.ownPools.add(pool);
    return pool;
  }

  /** Endpoints come and go while a client stays; and one of thousands need not be met again soon. */
  private makeRoom(all: Kept[]): void {
    for (let at = all.length - 1; at >= 0; at -= 1) {
      if (!all[at]!.endpoint.takesWork) this.forget(all, at);
    }
    if (all.length >= BOUNDS.introducedEndpoints.max) this.forget(all, 0);
  }

  /** What is idle closes now, and what is in use when it is given back. */
  private forget(all: Kept[], at: number): void {
    const { endpoint, pool } = all[at]!;
    endpoint.ownPools.delete(pool);
    pool.close();
    all.splice(at, 1);
  }

  /** The client connection is closed: nobody else may use what it has. */
  leave(client: Wire): void {
    if (this.clients.size === 0) return;
    const all = this.clients.get(client);
    if (all === undefined) return;
    this.clients.delete(client);
    while (all.length > 0) this.forget(all, all.length - 1);
  }
}
