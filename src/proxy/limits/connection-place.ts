// The place of one client connection among those that its service may have: of all clients together, and
// of one address. Counts hold over all workers.
import { hashText } from '../../balance/hash.ts';
import { ServiceColumn } from '../../ledger/layout.ts';
import type { WorkerLedger } from '../../ledger/ledger.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { WorkerContext } from '../context.ts';
import type { LiveListener } from '../listener.ts';
import type { LiveService } from '../live-service.ts';
import type { Wire } from '../network.ts';

const TOO_MANY_CONNECTIONS = reason('too-many-connections');
const CLIENT_CONNECTIONS = reason('client-connections');
const OUT_OF_DESCRIPTORS = reason('out-of-descriptors');

/** What has the connections, or sessions, some of which may give way. */
export interface Roomy {
  makeRoom(service: LiveService | null, address: string): boolean;
}

/** Who opens a connection. The address is asked for where it counts alone: it may be a system call. */
export interface Located {
  readonly address: string;
}

export class ConnectionPlace {
  /** The service that counts the connection, or has refused it; null: none does, or no more. */
  service: LiveService | null = null;
  private readonly ledger: WorkerLedger;
  /** Of service and address, where the service limits those of one address. */
  private client = -1;
  /** Whoever was refused is not counted, however long it takes to be told. */
  private isCounted = false;

  constructor(ledger: WorkerLedger) {
    this.ledger = ledger;
  }

  /**
   * Takes in a connection that has just come in by `listener`: counts it where that has one service,
   * and makes room where descriptors run out. Null, or why it is refused; `leave` follows in either case.
   */
  enter(wire: Wire, listener: LiveListener, { network, room }: WorkerContext): Reason | null {
    const { service } = listener;
    const refused =
      service === null ? null : this.take(service, listener, { address: wire.remoteAddress });
    if (refused !== null || !network.isFromReserve(wire.descriptor)) return refused;
    listener.makeRoom(null, wire.remoteAddress);
    room.closeIdle('EMFILE');
    return this.refuse(OUT_OF_DESCRIPTORS);
  }

  /**
   * Counts the connection of `client`, which came in by `listener`, among those of `service`. Null,
   * or why it is one too many; `leave` follows in either case.
   */
  take(service: LiveService, listener: Roomy, client: Located): Reason | null {
    const { ledger } = this;
    const { slot } = service;
    const { connections, connectionsPerClient } = service.service.limits;
    this.service = service;
    this.isCounted = true;
    ledger.addService(slot, ServiceColumn.connections, 1);
    const count = ledger.openConnection(slot);
    if (connectionsPerClient > 0) {
      this.client = hashText(`${slot} ${client.address}`);
      const ofClient = ledger.openClient(this.client);
      if (ofClient > connectionsPerClient) return this.refuse(CLIENT_CONNECTIONS);
    }
    const hasRoom = count <= connections || listener.makeRoom(service, client.address);
    return hasRoom ? null : this.refuse(TOO_MANY_CONNECTIONS);
  }

  leave(): void {
    this.giveBack();
    this.service = null;
  }

  private refuse(why: Reason): Reason {
    this.giveBack();
    return why;
  }

  private giveBack(): void {
    const { client, ledger, service } = this;
    if (!this.isCounted) return;
    this.isCounted = false;
    ledger.closeConnection(service!.slot);
    if (client >= 0) ledger.closeClient(client);
    this.client = -1;
  }
}
