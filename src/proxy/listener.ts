// A bound address and the connections that came in by it. What it leads to is replaced by each
// snapshot; a connection looks it up at each request, so it follows the table while it lives.
import { codeOf } from '../base/coded-error.ts';
import type { TimerWheel } from '../base/timer-wheel.ts';
import type { HeadLimits } from '../http1/head-parser.ts';
import type { ListenerLimits, ListenerTimeouts } from '../model/service.ts';
import type { ListenerSnapshot } from '../model/snapshot.ts';
import type { WorkerContext } from './context.ts';
import { Crowd, type Group, type Member } from './crowd.ts';
import type { LiveService } from './live-service.ts';
import type { Network, Wire, WireServer } from './network.ts';
import { Router } from './router.ts';

/** Connections of one address that came in by one listener. */
export type Neighbours = Group<Drainable>;

/** A connection as its listener sees it. */
export interface Drainable extends Member<Drainable> {
  /** Finishes what is in flight, then closes; an idle one closes soon. */
  drain(): void;
  /** Closes now. */
  abort(): void;
}

type Outside = Pick<WorkerContext, 'network' | 'wheel'>;

export class LiveListener {
  snapshot: ListenerSnapshot;
  /** Limits of the heads of requests that come in here. */
  headLimits: HeadLimits;
  /** The one service behind it; null where routes decide. */
  service: LiveService | null = null;
  router: Router | null = null;
  private readonly network: Network;
  private readonly wheel: TimerWheel;
  private readonly connections: Crowd<Drainable>;
  private server: WireServer | null = null;
  private isDraining = false;
  private onEmpty: (() => void) | null = null;

  constructor(snapshot: ListenerSnapshot, { network, wheel }: Outside) {
    this.network = network;
    this.wheel = wheel;
    this.connections = new Crowd(wheel);
    this.snapshot = snapshot;
    this.headLimits = headLimitsOf(snapshot.limits);
  }

  /** What it leads to from now on. */
  apply(snapshot: ListenerSnapshot, services: ReadonlyMap<string, LiveService>): void {
    if (snapshot.routes !== this.snapshot.routes || this.router === null) {
      this.router = snapshot.routes.length > 0 ? new Router(snapshot.routes) : null;
    }
    this.snapshot = snapshot;
    this.headLimits = headLimitsOf(snapshot.limits);
    this.service = services.get(snapshot.service) ?? null;
  }

  /**
   * Opens the address. `accept` makes a connection of each wire. Rejects with the system's error
   * (EADDRINUSE, EACCES, EADDRNOTAVAIL).
   */
  async open(accept: (wire: Wire, listener: LiveListener) => Drainable): Promise<void> {
    try {
      this.server = await this.listen(accept);
    } catch (error) {
      const { address } = this.snapshot;
      const isTaken = codeOf(error) === 'EADDRINUSE' && address.kind === 'unix';
      if (!isTaken || !(await this.network.removeStaleSocket(address.path))) throw error;
      this.server = await this.listen(accept);
    }
  }

  private listen(accept: (wire: Wire, listener: LiveListener) => Drainable): Promise<WireServer> {
    const { address, protocol } = this.snapshot;
    return this.network.listen({
      address,
      reusePort: true,
      readBuffer: protocol === 'tcp' ? 'own' : 'shared',
      onWire: (wire) => {
        // The connection may have ended itself at once: a limit was reached.
        const connection = accept(wire, this);
        if (wire.isOpen) this.connections.add(connection);
        if (this.isDraining) connection.drain();
      },
    });
  }

  get isOpen(): boolean {
    return this.server !== null;
  }

  /** The TCP port that is listened on; 0 while it is closed, and for a unix socket. */
  get port(): number {
    return this.server?.port ?? 0;
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  get limits(): ListenerLimits {
    return this.snapshot.limits;
  }

  get timeouts(): ListenerTimeouts {
    return this.snapshot.timeouts;
  }

  /**
   * There is no place for one more connection of `service` (null: of any, for want of descriptors) from
   * `address`: closes some that can be spared. False where there is none.
   */
  makeRoom(service: LiveService | null, address: string): boolean {
    return this.connections.makeRoom({ service, address, nowMs: this.wheel.nowMs });
  }

  /** `connection` goes on as `next`. */
  replace(connection: Drainable, next: Drainable): void {
    this.connections.add(next);
    this.connections.remove(connection);
    if (this.isDraining) next.drain();
  }

  /** A connection has closed. */
  gone(connection: Drainable): void {
    this.connections.remove(connection);
    if (this.connections.size === 0) this.onEmpty?.();
  }

  /** Accepts no more, once those are in that wait already; their connections go on. */
  async close(): Promise<void> {
    const { server } = this;
    this.server = null;
    this.isDraining = true;
    for (const connection of this.connections.members()) connection.drain();
    await server?.close();
  }

  /** Ends the connections on which nothing is going on, as at the end of the process. */
  drainIdle(): void {
    this.connections.hurry();
    for (const connection of this.connections.members()) {
      if (connection.leisure === 'idle') connection.drain();
    }
  }

  /** Closes; resolves when the last connection has finished. */
  async drain(): Promise<void> {
    await this.close();
    if (this.connections.size === 0) return;
    await new Promise<void>((resolve) => {
      this.onEmpty = resolve;
    });
  }

  /** Closes every connection now; returns how many there were. */
  abort(): number {
    const { size } = this.connections;
    for (const connection of this.connections.members()) connection.abort();
    return size;
  }
}

function headLimitsOf({ headerBytes, headerCount, targetBytes }: ListenerLimits): HeadLimits {
  return { headBytes: headerBytes, fieldCount: headerCount, targetBytes };
}
